-- Who went by which lane, since when and why. Each instance decides for what it publishes itself, so there may be one row an
-- instance. Rows older than 30 days go when the account moves again.
--
-- Like what operators keep, it is open only in a transaction that says it acts for operators: a query of a tenant finds nothing.
CREATE TABLE account_lanes (
    since      timestamptz NOT NULL,
    backlog    bigint NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    instance   text COLLATE "C" NOT NULL,
    lane       text COLLATE "C" NOT NULL CHECK (lane IN ('standard', 'bulk')),
    reason     text COLLATE "C" NOT NULL CHECK (reason IN ('backlog', 'calm', 'pinned', 'unpinned')),
    PRIMARY KEY (account_id, since, instance)
);

COMMENT ON COLUMN account_lanes.backlog IS 'records of the account that this instance had published and Postgres had not';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table('account_lanes', 'account_id', colocate_with => 'events');
    END IF;
END
$$;

SET LOCAL app.operator = 'on';
INSERT INTO operator_versions (kind, version) VALUES ('lane', 0);

ALTER TABLE account_lanes ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_lanes FORCE ROW LEVEL SECURITY;
CREATE POLICY account_lanes_of_operators ON account_lanes USING (current_setting('app.operator', true) = 'on');

GRANT SELECT, INSERT, DELETE ON account_lanes TO weir_api;
