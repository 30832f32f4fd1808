CREATE TABLE subjects (
  global_subject_id text PRIMARY KEY,
  center text NOT NULL,
  sex text,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  updated_at timestamptz
);
CREATE TABLE local_subject_ids (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  global_subject_id text NOT NULL REFERENCES subjects,
  center text NOT NULL,
  local_subject_id text NOT NULL,
  identifier_type text NOT NULL DEFAULT 'primary',
  UNIQUE (center, local_subject_id, identifier_type)
);
CREATE TABLE lcl (
  id bigserial PRIMARY KEY,
  global_subject_id text NOT NULL REFERENCES subjects,
  niddk_no text NOT NULL,
  passage_number int,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  updated_at timestamptz,
  UNIQUE (global_subject_id, niddk_no)
);
CREATE TABLE dna (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  global_subject_id text NOT NULL REFERENCES subjects,
  sample_id text NOT NULL,
  concentration numeric(10,3),
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  modified_at timestamptz,
  modified_by text,
  UNIQUE (global_subject_id, sample_id)
);
CREATE TABLE specimen (
  sample_id text PRIMARY KEY,
  global_subject_id text NOT NULL REFERENCES subjects,
  volume numeric(10,3),
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
INSERT INTO subjects VALUES ('G1', 'A', 'F', '2024-01-01Z', 'redcap', '2024-01-02Z');
INSERT INTO local_subject_ids (global_subject_id, center, local_subject_id) VALUES ('G1', 'A', '7');
INSERT INTO lcl (global_subject_id, niddk_no, passage_number, created_by) VALUES ('G1', 'N1', 3, 'redcap');
INSERT INTO dna (global_subject_id, sample_id, concentration, modified_by) VALUES ('G1', 'D1', 1.5, 'x');
INSERT INTO specimen (sample_id, global_subject_id, volume) VALUES ('S1', 'G1', 0.75);
