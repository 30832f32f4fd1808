-- The tables that a name may mean.
-- $1: schemas, empty for the search path; $2: names. What is in a schema that the role may not use is found too.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
  (SELECT pg_catalog.min(f.relname::text) FROM pg_catalog.pg_class f WHERE f.oid = ANY (below.oids) AND f.relkind = 'f'),
  (WITH RECURSIVE above(oid) AS (SELECT c.oid UNION SELECT i.inhparent FROM above a
     JOIN pg_catalog.pg_class k ON k.oid = a.oid AND k.relispartition JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid)
   SELECT pg_catalog.array_agg(a.oid) FROM above a),
  kin.schemas, kin.names, below.oids,
  -- By which the planner takes it for next to empty: statistics of when it was, or when it had a single row.
  EXISTS (SELECT FROM pg_catalog.pg_class q WHERE q.oid = ANY (below.oids) AND q.relkind = 'r'
    AND CASE WHEN q.reltuples >= 0 AND q.reltuples < 2 * q.relpages THEN pg_catalog.pg_relation_size(q.oid) >= 65536 END)
FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY s(schema, name, o)
JOIN pg_catalog.pg_class c ON c.oid = CASE s.schema WHEN '' THEN pg_catalog.to_regclass(pg_catalog.quote_ident(s.name))
  ELSE (SELECT k.oid FROM pg_catalog.pg_class k JOIN pg_catalog.pg_namespace m ON m.oid = k.relnamespace
    WHERE m.nspname = s.schema::name AND k.relname = s.name::name) END
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  WITH RECURSIVE below(oid) AS (SELECT c.oid UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
  SELECT pg_catalog.array_agg(b.oid ORDER BY b.oid) AS oids FROM below b) below
CROSS JOIN LATERAL (
  WITH RECURSIVE up(oid) AS (SELECT c.oid UNION SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid)
  SELECT coalesce(pg_catalog.array_agg(rn.nspname::text ORDER BY r.oid), '{}') AS schemas,
    coalesce(pg_catalog.array_agg(r.relname::text ORDER BY r.oid), '{}') AS names
  FROM (SELECT oid FROM up UNION SELECT pg_catalog.unnest(below.oids)) x JOIN pg_catalog.pg_class r ON r.oid = x.oid AND r.oid <> c.oid
  JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace) kin
ORDER BY s.o
