-- Where each account's history begins, and how far what lies before has been cleared away. retained_from advances first, then rows
-- go in bounded transactions; from retained_from on, sum(event_counts) = count(events) at every committed instant.
CREATE TABLE retention (
    only_row      boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    retained_from timestamptz NOT NULL DEFAULT 'epoch',
    cleared_to    timestamptz NOT NULL DEFAULT 'epoch'
);

INSERT INTO retention DEFAULT VALUES;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_reference_table('retention');
    END IF;
END
$$;

GRANT SELECT ON retention TO weir_api;
GRANT SELECT, UPDATE ON retention TO weir_worker;
