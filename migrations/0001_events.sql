-- Events, one row each, unique by (account_id, event_id): a replay can only find the row already there.
--
-- Text that is compared or sorted is COLLATE "C": byte order, so cursors are stable across operating systems and comparisons
-- are memcmp. Fixed-width columns come first, so rows carry no padding.

-- The logins are made before the schema, because they need a superuser and outlive it (deploy/postgres/logins.sql).
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(wanted.name, ', ')
      INTO missing
      FROM (VALUES ('weir_api'), ('weir_worker')) AS wanted (name)
     WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing login(s): %', missing
            USING HINT = 'run deploy/postgres/logins.sql as a superuser first, then weir migrate again';
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_api' AND (rolbypassrls OR rolsuper)) THEN
        RAISE EXCEPTION 'weir_api must not be superuser nor have BYPASSRLS: it could read across accounts';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_worker' AND rolbypassrls) THEN
        RAISE EXCEPTION 'weir_worker needs BYPASSRLS: it writes for every account'
            USING HINT = 'ALTER ROLE weir_worker BYPASSRLS, as a superuser';
    END IF;
END
$$;

-- On Citus the extension shards by account_id itself; everywhere else 16 hash partitions keep the indexes small and a batch
-- within few of them (more than 32 cost more than they give).
DO $$
DECLARE
    on_citus boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'citus');
BEGIN
    EXECUTE '
        CREATE TABLE events (
            occurred_at    timestamptz NOT NULL,
            received_at    timestamptz NOT NULL,
            stored_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
            schema_version integer     NOT NULL,
            account_id     text COLLATE "C" NOT NULL,
            event_id       text COLLATE "C" NOT NULL,
            event_name     text COLLATE "C" NOT NULL,
            user_id        text COLLATE "C" NOT NULL,
            channel        text COLLATE "C" NOT NULL,
            source         text COLLATE "C",
            campaign_id    text COLLATE "C",
            value          numeric,
            tags           text[],
            metadata       json,
            PRIMARY KEY (account_id, event_id)
        )' || CASE WHEN on_citus THEN '' ELSE ' PARTITION BY HASH (account_id)' END;
    IF on_citus THEN
        PERFORM create_distributed_table('events', 'account_id');
    ELSE
        FOR remainder IN 0..15 LOOP
            EXECUTE format(
                'CREATE TABLE events_%s PARTITION OF events FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                lpad(remainder::text, 2, '0'), remainder);
        END LOOP;
    END IF;
END
$$;

COMMENT ON COLUMN events.metadata IS 'json, not jsonb: the tenant gets back the bytes it sent';

-- Listings read it backwards: newest first, event_id breaks ties, so a page is one bounded range scan on an account of any size.
CREATE INDEX events_by_time ON events (account_id, occurred_at, event_id);
