-- Processes that are alive until expires_at.
CREATE TABLE maestro_node (
    session UUID PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    hosts BOOLEAN NOT NULL,
    draining BOOLEAN NOT NULL DEFAULT FALSE,
    runtime_domain TEXT NOT NULL,
    version TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
-- The session that owns a scheduler or the name of one, how often it changed hands, and its last stored batch.
CREATE TABLE maestro_owner (
    scheduler TEXT PRIMARY KEY,
    session UUID,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL
);
CREATE INDEX maestro_owner_session ON maestro_owner (session);
-- The part of a batch that is still to be written to Redis.
CREATE TABLE maestro_outbox (
    scheduler TEXT NOT NULL,
    seq BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    PRIMARY KEY (scheduler, seq)
);
-- What operators decided about a scheduler.
CREATE TABLE maestro_operator (
    scheduler TEXT PRIMARY KEY,
    record JSONB NOT NULL
);
-- What the nodes share and nobody set, such as the secret between them.
CREATE TABLE maestro_setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
