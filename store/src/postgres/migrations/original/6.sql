ALTER TABLE scheduler_versions ADD COLUMN IF NOT EXISTS rolling_update_status VARCHAR(255);
