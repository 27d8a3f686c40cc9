-- What accounts may do where it differs from the defaults, and for a time. A row of quotas is written with every change of the
-- account's quota or overrides, under the version of the kind 'quota' that the change raised; it stays, empty, when the quota is
-- reset, so that whoever follows by version sees that too. Changes wait for each other at the version's row, so versions become
-- visible in their order.
CREATE TABLE quotas (
    version    bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    account_id text COLLATE "C" PRIMARY KEY,
    quota      json NOT NULL
);
CREATE INDEX quotas_by_version ON quotas (version);

CREATE TABLE quota_overrides (
    override_id bigint GENERATED ALWAYS AS IDENTITY,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    account_id  text COLLATE "C" NOT NULL,
    quota       json NOT NULL,
    reason      text NOT NULL,
    actor       text COLLATE "C" NOT NULL,
    ended_by    text COLLATE "C",
    PRIMARY KEY (account_id, override_id),
    CHECK (ends_at >= starts_at)
);
CREATE INDEX quota_overrides_by_end ON quota_overrides (account_id, ends_at);

COMMENT ON COLUMN quota_overrides.ended_by IS 'who ended it before its time';

-- The trail of quotas is in the table of all operators' changes.
CREATE INDEX audit_by_account ON audit (account_id, audit_id);

-- The policies bind the owner too.
SET LOCAL app.operator = 'on';
INSERT INTO operator_versions (kind, version) VALUES ('quota', 0);

ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotas FORCE ROW LEVEL SECURITY;
CREATE POLICY quotas_of_operators ON quotas USING (current_setting('app.operator', true) = 'on');

ALTER TABLE quota_overrides ENABLE ROW LEVEL SECURITY;
ALTER TABLE quota_overrides FORCE ROW LEVEL SECURITY;
CREATE POLICY quota_overrides_of_operators ON quota_overrides USING (current_setting('app.operator', true) = 'on');

GRANT SELECT, INSERT, UPDATE ON quotas, quota_overrides TO weir_api;
-- The worker shares by weight.
GRANT SELECT ON operator_versions, quotas, quota_overrides TO weir_worker;
