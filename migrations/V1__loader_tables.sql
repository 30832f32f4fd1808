-- The loader's own tables. They are made in the schema that the search path names.
-- Tables that exist already are adopted: nothing is dropped or rewritten, nullable columns are added.

CREATE TABLE IF NOT EXISTS validation_queue (
  id bigserial PRIMARY KEY,
  table_name text NOT NULL,
  fragment_id text,
  s3_key text,
  validated_data jsonb,
  status text NOT NULL DEFAULT 'pending',
  batch_id text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  loaded_at timestamptz,
  error_message text
);
-- The application that set the status last; null where the validator did.
ALTER TABLE validation_queue ADD COLUMN IF NOT EXISTS application uuid;
CREATE INDEX IF NOT EXISTS validation_queue_batch ON validation_queue (batch_id);

CREATE TABLE IF NOT EXISTS audit_log (
  id bigserial PRIMARY KEY,
  table_name text NOT NULL,
  operation text NOT NULL,
  record_id text,
  old_values jsonb,
  new_values jsonb,
  batch_id text,
  changed_by text,
  changed_at timestamptz
);
ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS application uuid;
ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS plan_hash text;
ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS origin text;
CREATE INDEX IF NOT EXISTS audit_log_application ON audit_log (application);

CREATE TABLE IF NOT EXISTS batch_load_log (
  id bigserial PRIMARY KEY,
  batch_id text,
  operation text,
  table_name text,
  records_affected bigint,
  status text,
  error_message text,
  loaded_at timestamptz
);
ALTER TABLE batch_load_log ADD COLUMN IF NOT EXISTS application uuid;

-- One row for each application of a plan. Rows are only ever added.
CREATE TABLE IF NOT EXISTS loader_ledger (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  application uuid NOT NULL UNIQUE,
  plan_hash text NOT NULL,
  kind text NOT NULL,
  batch_id text NOT NULL,
  actor text NOT NULL,
  applied_at timestamptz NOT NULL,
  undoes uuid[] NOT NULL DEFAULT '{}',
  tables jsonb NOT NULL,
  records bigint NOT NULL,
  rejected bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS loader_ledger_batch ON loader_ledger (batch_id);
CREATE INDEX IF NOT EXISTS loader_ledger_plan ON loader_ledger (plan_hash);

-- What tells this database from its copies.
CREATE TABLE IF NOT EXISTS loader_identity (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  lineage text NOT NULL
);
INSERT INTO loader_identity (lineage) VALUES (gen_random_uuid()::text) ON CONFLICT DO NOTHING;
