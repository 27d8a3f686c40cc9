-- What accounts may do, and what became of it: quotas, overrides with a start and an end, use per minute, lanes, and who changed
-- what and why.
--
-- Every write of a quota or override raises quota_revision in its own transaction. That row's lock puts the writes in commit
-- order, so whoever polls the revision never misses one that committed late.

CREATE TABLE quota_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL
);
INSERT INTO quota_revision (revision) VALUES (0);

-- NULL means: as below (for a quota the defaults, for an override the quota).
CREATE TABLE quotas (
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    version          bigint      NOT NULL CHECK (version > 0),
    sustained_limit  bigint CHECK (sustained_limit BETWEEN 0 AND 1000000000000),
    burst_limit      bigint CHECK (burst_limit BETWEEN 0 AND 1000000000000),
    bytes_limit      bigint CHECK (bytes_limit BETWEEN 0 AND 1000000000000),
    concurrent_limit bigint CHECK (concurrent_limit BETWEEN 0 AND 1000000000000),
    monthly_limit    bigint CHECK (monthly_limit BETWEEN 0 AND 1000000000000),
    bank_minutes     bigint CHECK (bank_minutes BETWEEN 0 AND 1440),
    weight           bigint CHECK (weight BETWEEN 1 AND 1000),
    account_id       text COLLATE "C" NOT NULL,
    sustained_mode   text CHECK (sustained_mode IN ('enforce', 'shadow', 'off')),
    burst_mode       text CHECK (burst_mode IN ('enforce', 'shadow', 'off')),
    bytes_mode       text CHECK (bytes_mode IN ('enforce', 'shadow', 'off')),
    concurrent_mode  text CHECK (concurrent_mode IN ('enforce', 'shadow', 'off')),
    monthly_mode     text CHECK (monthly_mode IN ('enforce', 'shadow', 'off')),
    lane             text CHECK (lane IN ('standard', 'bulk')),
    PRIMARY KEY (account_id),
    CHECK ((sustained_limit IS NULL) = (sustained_mode IS NULL)),
    CHECK ((burst_limit IS NULL) = (burst_mode IS NULL)),
    CHECK ((bytes_limit IS NULL) = (bytes_mode IS NULL)),
    CHECK ((concurrent_limit IS NULL) = (concurrent_mode IS NULL)),
    CHECK ((monthly_limit IS NULL) = (monthly_mode IS NULL))
);
COMMENT ON COLUMN quotas.version IS 'the entity tag: grows with every write of the quota or its overrides';
COMMENT ON COLUMN quotas.lane IS 'pinned by an operator; NULL: chosen by backlog';

CREATE TABLE quota_overrides (LIKE quotas INCLUDING CONSTRAINTS EXCLUDING INDEXES);
ALTER TABLE quota_overrides
    DROP COLUMN version,
    DROP COLUMN updated_at,
    DROP COLUMN lane,
    ADD COLUMN override_id bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN starts_at   timestamptz NOT NULL,
    ADD COLUMN ends_at     timestamptz NOT NULL,
    ADD COLUMN actor       text COLLATE "C" NOT NULL,
    ADD COLUMN reason      text NOT NULL,
    ADD CHECK (starts_at < ends_at),
    ADD PRIMARY KEY (account_id, override_id);

CREATE TABLE usage_minutes (
    minute      timestamptz NOT NULL,
    offered     bigint      NOT NULL,
    accepted    bigint      NOT NULL,
    refused     bigint      NOT NULL,
    bytes       bigint      NOT NULL,
    peak_second bigint      NOT NULL,
    account_id  text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, minute)
);
COMMENT ON COLUMN usage_minutes.peak_second IS 'most events offered in one second of the minute';

CREATE TABLE account_lanes (
    since      timestamptz NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    lane       text NOT NULL CHECK (lane IN ('standard', 'bulk')),
    reason     text NOT NULL,
    PRIMARY KEY (account_id, since)
);
COMMENT ON TABLE account_lanes IS 'every move of an account between lanes; the latest row is where it is';

CREATE TABLE audit (
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    audit_id   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    account_id text COLLATE "C" NOT NULL,
    actor      text COLLATE "C" NOT NULL,
    action     text COLLATE "C" NOT NULL,
    reason     text NOT NULL,
    before     json,
    after      json,
    PRIMARY KEY (account_id, audit_id)
);
CREATE INDEX audit_by_time ON audit (at, audit_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_reference_table('quota_revision');
        PERFORM create_distributed_table(name, 'account_id', colocate_with => 'events')
           FROM unnest(ARRAY['quotas', 'quota_overrides', 'usage_minutes', 'account_lanes', 'audit']) AS name;
    END IF;
END
$$;

-- A tenant's transaction (app.account_id) sees its own rows. Operators and the loader of quotas work on all accounts: their
-- transactions say so (app.operator), and no code path of a tenant sets it. Without either a query fails or finds nothing.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['quotas', 'quota_overrides', 'usage_minutes', 'account_lanes', 'audit'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY %I ON %I USING (
                CASE WHEN current_setting(''app.operator'', true) = ''on'' THEN true
                     ELSE account_id = current_setting(''app.account_id'') END)',
            name || '_of_account', name);
    END LOOP;
END
$$;

-- What was audited stays: nobody may change or remove it.
GRANT SELECT, UPDATE ON quota_revision TO weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON quotas, quota_overrides TO weir_api;
GRANT SELECT, INSERT, UPDATE ON usage_minutes, account_lanes TO weir_api;
GRANT SELECT, INSERT ON audit TO weir_api;
GRANT SELECT ON quota_revision, quotas, quota_overrides, account_lanes TO weir_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_minutes TO weir_worker;
