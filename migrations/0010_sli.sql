-- What was kept of the promises. Sums only: a flush adds, reports read. A flush is written once, whatever its answer's fate:
-- sli_flushes remembers the last number of each instance, in the transaction of the sums.
--
-- le_N counts good answers within N ms and above the bin before it; slower those beyond the last.
CREATE TABLE sli_minutes (
    minute    timestamptz      NOT NULL,
    operation text COLLATE "C" NOT NULL,
    good      bigint           NOT NULL,
    bad       bigint           NOT NULL,
    client    bigint           NOT NULL,
    le_10     bigint           NOT NULL,
    le_25     bigint           NOT NULL,
    le_50     bigint           NOT NULL,
    le_100    bigint           NOT NULL,
    le_250    bigint           NOT NULL,
    le_500    bigint           NOT NULL,
    le_1000   bigint           NOT NULL,
    le_2500   bigint           NOT NULL,
    le_5000   bigint           NOT NULL,
    le_10000  bigint           NOT NULL,
    slower    bigint           NOT NULL,
    PRIMARY KEY (minute, operation)
) WITH (fillfactor = 70);

CREATE TABLE sli_hours (
    account_id text COLLATE "C" NOT NULL,
    hour       timestamptz      NOT NULL,
    operation  text COLLATE "C" NOT NULL,
    good       bigint           NOT NULL,
    bad        bigint           NOT NULL,
    client     bigint           NOT NULL,
    le_10      bigint           NOT NULL,
    le_25      bigint           NOT NULL,
    le_50      bigint           NOT NULL,
    le_100     bigint           NOT NULL,
    le_250     bigint           NOT NULL,
    le_500     bigint           NOT NULL,
    le_1000    bigint           NOT NULL,
    le_2500    bigint           NOT NULL,
    le_5000    bigint           NOT NULL,
    le_10000   bigint           NOT NULL,
    slower     bigint           NOT NULL,
    PRIMARY KEY (account_id, hour, operation)
) WITH (fillfactor = 70);
CREATE INDEX sli_hours_by_hour ON sli_hours (hour);

-- Minutes in which some instance that serves tenants lived. One that is missing between two that are there was an outage of all.
CREATE TABLE sli_heartbeats (
    minute timestamptz PRIMARY KEY
);

CREATE TABLE sli_flushes (
    instance   text COLLATE "C" PRIMARY KEY,
    flush_seq  bigint           NOT NULL,
    flushed_at timestamptz      NOT NULL DEFAULT now()
);

-- What people know about bad times: written by operators, shown in reports. No accounts named: it concerned all of them.
CREATE TABLE incidents (
    incident_id text COLLATE "C" PRIMARY KEY,
    title       text             NOT NULL,
    started_at  timestamptz      NOT NULL,
    ended_at    timestamptz,
    impact      text             NOT NULL,
    root_cause  text,
    mended_by   text,
    accounts    text[]           NOT NULL DEFAULT '{}',
    public      boolean          NOT NULL DEFAULT false,
    version     bigint           NOT NULL DEFAULT 1,
    changed_at  timestamptz      NOT NULL DEFAULT now(),
    changed_by  text             NOT NULL,
    CHECK (ended_at IS NULL OR ended_at >= started_at)
);
CREATE INDEX incidents_by_start ON incidents (started_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table('sli_hours', 'account_id');
    END IF;
END
$$;

-- A tenant's question names its account and sees that one. Flushes and the operator's report concern every account and say so.
ALTER TABLE sli_hours ENABLE ROW LEVEL SECURITY;
ALTER TABLE sli_hours FORCE ROW LEVEL SECURITY;
CREATE POLICY sli_hours_of_account ON sli_hours
    USING (account_id = current_setting('app.account_id', true) OR current_setting('app.every_account', true) = 'on');

GRANT SELECT, INSERT, UPDATE, DELETE ON sli_minutes, sli_hours, sli_heartbeats, sli_flushes TO weir_api, weir_worker;
GRANT SELECT, INSERT, UPDATE ON incidents TO weir_api;
