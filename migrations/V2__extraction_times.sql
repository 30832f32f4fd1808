-- When what a change came from was extracted from its source; null where nobody said.
ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS extracted_at timestamptz;
-- Keys may be longer than what other kinds of indexes hold.
CREATE INDEX IF NOT EXISTS audit_log_extracted ON audit_log USING hash (record_id) WHERE extracted_at IS NOT NULL;
