ALTER TABLE scheduler_versions ADD COLUMN IF NOT EXISTS rollback_version VARCHAR(255);
