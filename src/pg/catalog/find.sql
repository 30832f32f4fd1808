-- The table that the first of several spellings of a name finds.
-- $1: the spellings, as SQL.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text
FROM pg_catalog.unnest($1) WITH ORDINALITY s(name, o)
JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(s.name)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY s.o LIMIT 1
