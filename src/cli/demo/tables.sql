CREATE TABLE subjects (
  gsid text PRIMARY KEY,
  sex text CHECK (sex IN ('F', 'M')),
  birth_year int,
  created_by text,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE specimen (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sample_id text NOT NULL UNIQUE,
  gsid text NOT NULL REFERENCES subjects,
  volume_ml numeric(10,3),
  freezer text
);
INSERT INTO subjects (gsid, sex, birth_year, created_by) VALUES
  ('GSID-001', 'F', 1984, 'redcap'), ('GSID-002', 'M', 1990, 'redcap'), ('GSID-003', NULL, 1971, 'redcap');
INSERT INTO specimen (sample_id, gsid, volume_ml, freezer) VALUES
  ('SMP-1', 'GSID-001', 1.5, 'A/1'), ('SMP-2', 'GSID-002', 2.0, 'A/2');
