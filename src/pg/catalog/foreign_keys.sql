-- The foreign keys from and to a table that are enforced, and those from its partitions alone, and to these or to what
-- inherits from it. One that a partitioned table has is also one of each of its partitions, for which only the
-- partition's counts.
-- $1: the table's object id; held: held.sql.
, below AS (
  WITH RECURSIVE below(oid) AS (SELECT $1::pg_catalog.oid UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
  SELECT oid FROM below)
SELECT k.conname::text, cn.nspname::text, c.relname::text, pn.nspname::text, p.relname::text,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY x(n, o)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.o),
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY x(n, o)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY x.o),
  k.condeferrable, k.confmatchtype = 'f', is_child.it,
  ARRAY(SELECT n.nspname::text FROM pg_catalog.unnest(k.conpfeqop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace ORDER BY x.o),
  ARRAY(SELECT op.oprname::text FROM pg_catalog.unnest(k.conpfeqop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op ORDER BY x.o),
  k.confupdtype IN ('a', 'r'), k.conrelid, k.confdeltype IN ('a', 'r'), k.confupdtype = 'c', k.confrelid, is_parent.it,
  CASE WHEN is_child.it AND k.conrelid <> $1::pg_catalog.oid
    THEN coalesce((SELECT h.bounds FROM held h WHERE h.relid = k.conrelid), 'false') END,
  ARRAY(WITH RECURSIVE parts(oid) AS (SELECT k.confrelid WHERE is_parent.it AND k.confrelid <> $1::pg_catalog.oid
      UNION SELECT i.inhrelid FROM parts b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
    SELECT oid FROM parts ORDER BY oid),
  -- Where the two differ, PostgreSQL compares by the parent's.
  ARRAY(SELECT CASE WHEN of_child.attcollation <> of_parent.attcollation THEN
      (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(co.collname)
        FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace
        WHERE co.oid = of_parent.attcollation) END
    FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) WITH ORDINALITY x(c, p, o)
    JOIN pg_catalog.pg_attribute of_child ON of_child.attrelid = k.conrelid AND of_child.attnum = x.c
    JOIN pg_catalog.pg_attribute of_parent ON of_parent.attrelid = k.confrelid AND of_parent.attnum = x.p ORDER BY x.o),
  -- RESTRICT and what changes rows by itself do not wait.
  k.condeferrable AND k.confdeltype = 'a', k.condeferrable AND k.confupdtype = 'a'
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
LEFT JOIN pg_catalog.pg_constraint whole ON whole.oid = k.conparentid,
LATERAL (SELECT k.conrelid = $1::pg_catalog.oid
  OR whole.oid IS NULL AND c.relispartition AND k.conrelid IN (SELECT oid FROM below)) is_child(it),
LATERAL (SELECT k.confrelid = $1::pg_catalog.oid OR whole.oid IS NULL AND k.confrelid IN (SELECT oid FROM below)) is_parent(it)
WHERE k.contype = 'f' AND coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
  AND (is_child.it AND whole.conrelid IS DISTINCT FROM k.conrelid
    OR is_parent.it AND whole.confrelid IS DISTINCT FROM k.confrelid AND (whole.oid IS NULL OR NOT c.relispartition))
ORDER BY k.conname, cn.nspname, c.relname
