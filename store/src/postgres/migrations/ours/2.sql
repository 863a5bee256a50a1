-- Since when a batch waits. Rows of a program that does not know it are as old as the database finds them.
ALTER TABLE maestro_outbox ADD COLUMN written_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp();
