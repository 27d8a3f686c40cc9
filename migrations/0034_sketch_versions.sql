-- When a sketch was built tells one build of a bucket from the next, so that a reader who has merged some already knows which of
-- them are still what it merged.
ALTER TABLE sketches ADD COLUMN built_at timestamptz NOT NULL DEFAULT clock_timestamp();
