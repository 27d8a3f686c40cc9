-- What buckets too big to look at event by event hold, as sketches (Apache DataSketches): users by name and channel (HLL), and in
-- the row of the empty name the most active users of all (frequent items). Built from the events themselves by the worker, so a
-- row may go at any time; events says how many of them it has seen, and a different number in event_counts calls for a new one.
CREATE TABLE sketches (
    bucket      timestamptz NOT NULL,
    events      bigint      NOT NULL,
    account_id  text COLLATE "C" NOT NULL,
    event_name  text COLLATE "C" NOT NULL,
    channel     text COLLATE "C" NOT NULL,
    sketch      bytea       NOT NULL,
    PRIMARY KEY (account_id, bucket, event_name, channel)
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table('sketches', 'account_id', colocate_with => 'events');
    END IF;
END
$$;

ALTER TABLE sketches ENABLE ROW LEVEL SECURITY;
ALTER TABLE sketches FORCE ROW LEVEL SECURITY;
CREATE POLICY sketches_of_account ON sketches USING (account_id = current_setting('app.account_id'));

GRANT SELECT ON sketches TO weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON sketches TO weir_worker;
