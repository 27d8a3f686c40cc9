-- How far the log has been stored. A row says: everything this partition received before record_time is in events (or in the
-- dead-letter topic), and the first record that may be missing is next_offset. Both only ever grow.
--
-- Not an account table: it names no account and shows no event, so every login may read it.
CREATE TABLE log_progress (
    topic           text COLLATE "C" NOT NULL,
    kafka_partition integer          NOT NULL,
    next_offset     bigint           NOT NULL,
    record_time     timestamptz      NOT NULL,
    PRIMARY KEY (topic, kafka_partition)
) WITH (fillfactor = 50);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_reference_table('log_progress');
    END IF;
END
$$;
