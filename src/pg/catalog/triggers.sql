-- The users' enabled triggers of a table, and whether each is bound to columns.
-- $1: the table's object id.
SELECT tgname::text, pg_catalog.cardinality(tgattr::int2[]) > 0
FROM pg_catalog.pg_trigger
WHERE tgrelid = $1::pg_catalog.oid AND NOT tgisinternal AND tgenabled IN ('O', 'A')
ORDER BY tgname
