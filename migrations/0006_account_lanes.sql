-- Who went by which lane, and since when. Written best-effort by the API that moved the account: each instance decides for what it
-- publishes itself, so there may be one row an instance.
CREATE TABLE account_lanes (
    since      timestamptz NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    lane       text COLLATE "C" NOT NULL CHECK (lane IN ('standard', 'bulk')),
    reason     text NOT NULL,
    PRIMARY KEY (account_id, since, lane)
);

-- Lanes an operator chose; an account without a row is moved by its backlog. Every instance reads all of it four times a second.
-- Not under row-level security: it holds an operator's decisions and nothing of an account, and only operators' routes write it.
CREATE TABLE lane_pins (
    pinned_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    account_id text COLLATE "C" PRIMARY KEY,
    lane       text COLLATE "C" NOT NULL CHECK (lane IN ('standard', 'bulk')),
    actor      text NOT NULL,
    reason     text NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table('account_lanes', 'account_id', colocate_with => 'events');
        PERFORM create_reference_table('lane_pins');
    END IF;
END
$$;

ALTER TABLE account_lanes ENABLE ROW LEVEL SECURITY;
ALTER TABLE account_lanes FORCE ROW LEVEL SECURITY;
CREATE POLICY account_lanes_of_account ON account_lanes FOR SELECT USING (account_id = current_setting('app.account_id'));
-- History is added by a task that serves no tenant; nothing of it can be read, changed or removed by this.
CREATE POLICY account_lanes_added ON account_lanes FOR INSERT WITH CHECK (true);

GRANT SELECT, INSERT ON account_lanes TO weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON lane_pins TO weir_api;
GRANT SELECT, DELETE ON account_lanes TO weir_worker;
