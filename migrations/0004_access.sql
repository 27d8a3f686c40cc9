-- Who may do what. weir_migrate owns the tables; FORCE binds even the owner to the policies. weir_api reads one account at a
-- time: without app.account_id a query fails (never set) or finds nothing (set to nothing), it never finds too much.
-- weir_worker has BYPASSRLS, may not change the schema and serves no HTTP. Partitions carry no grants: the way in is the parent.
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE events FORCE ROW LEVEL SECURITY;
CREATE POLICY events_of_account ON events USING (account_id = current_setting('app.account_id'));

ALTER TABLE event_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY event_counts_of_account ON event_counts USING (account_id = current_setting('app.account_id'));

GRANT SELECT ON events, event_counts, log_progress TO weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON events, event_counts, log_progress TO weir_worker;
