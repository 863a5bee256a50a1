CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE TABLE IF NOT EXISTS schedulers (
    id UUID PRIMARY KEY DEFAULT uuid_generate_v4(),
    name VARCHAR(255) NOT NULL,
    game VARCHAR(255) NOT NULL,
    yaml TEXT NOT NULL,
    state TEXT NOT NULL,
    state_last_changed_at INTEGER NOT NULL DEFAULT 0,
    last_scale_op_at INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX IF NOT EXISTS schedulers_name_unique ON schedulers (name);
CREATE INDEX IF NOT EXISTS scheduler_name ON schedulers (name);
