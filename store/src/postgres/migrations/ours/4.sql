-- Runtimes that were created by themselves, also of names without a scheduler. Some databases at 3 have it already.
CREATE TABLE IF NOT EXISTS maestro_runtime (
    scheduler TEXT NOT NULL PRIMARY KEY,
    record JSONB NOT NULL
);
