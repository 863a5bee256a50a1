-- How far each version of a scheduler is whose versions are started and published one by one.
CREATE TABLE maestro_version (
    scheduler TEXT NOT NULL,
    version TEXT NOT NULL,
    record JSONB NOT NULL,
    PRIMARY KEY (scheduler, version)
);
