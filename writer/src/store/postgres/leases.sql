-- The nodes' signs of life, by their own time: needed only while the bus is away. Unlogged: they are worth nothing
-- after a crash, and are spared the journal.
CREATE UNLOGGED TABLE node_leases (
    node_id  bigint PRIMARY KEY,
    as_of_ms bigint NOT NULL
) WITH (fillfactor = 50);
