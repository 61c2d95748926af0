-- The nodes' signs of life, by their own time: needed only while the bus is away, worth nothing after a crash.
CREATE TABLE node_leases (
    node_id  INTEGER PRIMARY KEY,
    as_of_ms INTEGER NOT NULL
) STRICT;
