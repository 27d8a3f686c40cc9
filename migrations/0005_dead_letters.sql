-- Index over the dead-letter topic: which record of the log was set aside, why, and where its letter stands. Written by the
-- worker after the topic has acknowledged the letter and before the record's offset is settled, so a settled record is either
-- in events or here. The topic stays the truth; rows here may go at any time.
CREATE TABLE dead_letters (
    first_failed_at   timestamptz NOT NULL,
    set_aside_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    kafka_offset      bigint      NOT NULL,
    letter_offset     bigint,
    kafka_partition   integer     NOT NULL,
    letter_partition  integer     NOT NULL,
    tries             integer     NOT NULL,
    account_id        text COLLATE "C" NOT NULL,
    topic             text COLLATE "C" NOT NULL,
    event_id          text COLLATE "C",
    reason            text COLLATE "C" NOT NULL,
    stage             text COLLATE "C" NOT NULL,
    detail            text        NOT NULL,
    PRIMARY KEY (account_id, topic, kafka_partition, kafka_offset)
);

COMMENT ON COLUMN dead_letters.account_id IS 'empty when nobody could tell whose record it was';

CREATE INDEX dead_letters_by_event ON dead_letters (account_id, event_id);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table('dead_letters', 'account_id', colocate_with => 'events');
    END IF;
END
$$;

ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY dead_letters_of_account ON dead_letters USING (account_id = current_setting('app.account_id'));

GRANT SELECT ON dead_letters TO weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO weir_worker;
