//! The five tables of a biobank, with the original's configuration.

/// The tables. `id` and `created_at` are the database's own.
pub const SCHEMA: &str = "
CREATE TABLE subjects (
  global_subject_id text PRIMARY KEY, center text NOT NULL, sex text, consent boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT '2024-01-01Z', created_by text, updated_at timestamptz);
CREATE TABLE local_subject_ids (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, global_subject_id text NOT NULL REFERENCES subjects,
  center text NOT NULL, local_subject_id text NOT NULL, identifier_type text NOT NULL DEFAULT 'primary',
  UNIQUE (center, local_subject_id, identifier_type));
CREATE TABLE lcl (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, global_subject_id text NOT NULL REFERENCES subjects,
  niddk_no text NOT NULL, passage_number int, freezer text,
  created_at timestamptz NOT NULL DEFAULT '2024-01-01Z', created_by text, updated_at timestamptz,
  UNIQUE (global_subject_id, niddk_no));
CREATE TABLE dna (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, global_subject_id text NOT NULL REFERENCES subjects,
  sample_id text NOT NULL, concentration numeric(10,3),
  created_at timestamptz NOT NULL DEFAULT '2024-01-01Z', created_by text,
  UNIQUE (global_subject_id, sample_id));
CREATE TABLE specimen (
  sample_id text PRIMARY KEY, global_subject_id text NOT NULL REFERENCES subjects, volume numeric(10,3),
  freezer text, created_at timestamptz NOT NULL DEFAULT '2024-01-01Z', updated_at timestamptz);
";

/// lcl, dna and specimen as in the original's example, in its JSON; the other two in its spirit.
pub const TABLES: &str = r#"{
  "subjects": {"natural_key": ["global_subject_id"], "immutable_fields": ["created_at", "created_by"]},
  "local_subject_ids": {"natural_key": ["center", "local_subject_id", "identifier_type"]},
  "lcl": {
    "natural_key": ["global_subject_id", "niddk_no"],
    "immutable_fields": ["created_at", "created_by"],
    "update_strategy": "upsert",
    "conflict_resolution": "merge",
    "audit_changes": true,
    "soft_delete": false
  },
  "dna": {
    "natural_key": ["global_subject_id", "sample_id"],
    "immutable_fields": ["created_at", "created_by"],
    "update_strategy": "upsert",
    "conflict_resolution": "merge",
    "audit_changes": true,
    "soft_delete": false
  },
  "specimen": {
    "natural_key": ["sample_id"],
    "immutable_fields": ["created_at"],
    "update_strategy": "upsert",
    "conflict_resolution": "replace",
    "audit_changes": true,
    "soft_delete": false
  }
}"#;
