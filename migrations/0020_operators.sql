-- What operators keep: documents by kind and name (sources, topic classes), and a row for every change of one. Each kind has a
-- version that grows with every change, so that an instance asks for one number a second and for the documents only when it moved.
--
-- The tables are open only in a transaction that says it acts for operators (app.operator): a query of a tenant finds nothing.
CREATE TABLE operator_versions (
    kind    text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL
);

CREATE TABLE operator_documents (
    version    bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind       text COLLATE "C" NOT NULL REFERENCES operator_versions,
    name       text COLLATE "C" NOT NULL,
    document   json NOT NULL,
    sealed     bytea[] NOT NULL,
    PRIMARY KEY (kind, name)
);

COMMENT ON COLUMN operator_documents.sealed IS 'secrets, readable only with WEIR_SEAL_KEY, which is not in this database';

CREATE TABLE audit (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text COLLATE "C" NOT NULL,
    request_id text NOT NULL,
    account_id text COLLATE "C",
    subject    text COLLATE "C" NOT NULL,
    action     text COLLATE "C" NOT NULL,
    reason     text NOT NULL,
    before     json,
    after      json
);

CREATE INDEX audit_by_subject ON audit (subject, audit_id);

INSERT INTO operator_versions (kind, version) VALUES ('source', 0), ('topic', 0);

ALTER TABLE operator_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE operator_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY operator_versions_of_operators ON operator_versions USING (current_setting('app.operator', true) = 'on');

ALTER TABLE operator_documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE operator_documents FORCE ROW LEVEL SECURITY;
CREATE POLICY operator_documents_of_operators ON operator_documents USING (current_setting('app.operator', true) = 'on');

ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_of_operators ON audit USING (current_setting('app.operator', true) = 'on');

GRANT SELECT, UPDATE ON operator_versions TO weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON operator_documents TO weir_api;
GRANT SELECT, INSERT ON audit TO weir_api;
