-- Counts per account, name, channel and 15 minutes, changed only in the transaction that inserts the rows they count:
-- sum(event_counts.events) = count(events) per account at every committed instant.
--
-- bucket stands second in the key: windows read one range, whatever the number of names.
DO $$
DECLARE
    on_citus boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'citus');
BEGIN
    EXECUTE '
        CREATE TABLE event_counts (
            bucket      timestamptz NOT NULL,
            events      bigint      NOT NULL,
            value_count bigint      NOT NULL,
            account_id  text COLLATE "C" NOT NULL,
            event_name  text COLLATE "C" NOT NULL,
            channel     text COLLATE "C" NOT NULL,
            value_sum   numeric     NOT NULL,
            PRIMARY KEY (account_id, bucket, event_name, channel)
        )' || CASE WHEN on_citus THEN '' ELSE ' PARTITION BY HASH (account_id)' END;
    IF on_citus THEN
        PERFORM create_distributed_table('event_counts', 'account_id', colocate_with => 'events');
    ELSE
        -- Room in each page lets the many updates of a live bucket stay there (HOT) and leave the index alone.
        FOR remainder IN 0..15 LOOP
            EXECUTE format(
                'CREATE TABLE event_counts_%s PARTITION OF event_counts FOR VALUES WITH (MODULUS 16, REMAINDER %s)
                 WITH (fillfactor = 70)',
                lpad(remainder::text, 2, '0'), remainder);
        END LOOP;
    END IF;
END
$$;
