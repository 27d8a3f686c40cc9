-- What accounts sent by minute and what became of it, for 30 days (WEIR_USAGE_DAYS). A minute is written again while it grows.
CREATE TABLE usage_minutes (
    minute      timestamptz      NOT NULL,
    offered     bigint           NOT NULL,
    accepted    bigint           NOT NULL,
    refused     bigint           NOT NULL,
    bytes       bigint           NOT NULL,
    peak_events bigint           NOT NULL,
    peak_second smallint         NOT NULL,
    account_id  text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, minute)
) WITH (fillfactor = 70);
CREATE INDEX usage_minutes_by_minute ON usage_minutes (minute);

COMMENT ON COLUMN usage_minutes.peak_events IS 'events offered in the busiest second, peak_second (0 to 59)';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table('usage_minutes', 'account_id');
    END IF;
END
$$;

ALTER TABLE usage_minutes ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_minutes FORCE ROW LEVEL SECURITY;
CREATE POLICY usage_minutes_of_operators ON usage_minutes USING (current_setting('app.operator', true) = 'on');

GRANT SELECT, INSERT, UPDATE, DELETE ON usage_minutes TO weir_api;
