-- Rows are inserted by COPY where that can be. A volatile default would make it insert them one by one; so stored_at is now the
-- start of the statement that inserted the row, not the moment of the row within it.
ALTER TABLE events ALTER COLUMN stored_at SET DEFAULT statement_timestamp();
