-- What only the servers of a deployment know, the same for all of them.
CREATE TABLE secrets (
    name   text  PRIMARY KEY,
    secret bytea NOT NULL
);
