-- The table that the first of several spellings of a name finds.
-- $1: the spellings, as SQL.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
  (WITH RECURSIVE below(oid) AS (SELECT c.oid UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
   SELECT pg_catalog.min(f.relname::text) FROM below b JOIN pg_catalog.pg_class f ON f.oid = b.oid AND f.relkind = 'f'),
  (WITH RECURSIVE above(oid) AS (SELECT c.oid UNION SELECT i.inhparent FROM above a
     JOIN pg_catalog.pg_class k ON k.oid = a.oid AND k.relispartition JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid)
   SELECT pg_catalog.array_agg(a.oid) FROM above a)
FROM pg_catalog.unnest($1) WITH ORDINALITY s(name, o)
JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(s.name)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY s.o LIMIT 1
