-- The users' enabled triggers of a table and of those below it, and whether each is bound to columns; of one that
-- partitions have from their table, that of the table alone.
-- $1: the table's object id.
WITH RECURSIVE below(oid) AS (
  SELECT $1::pg_catalog.oid
  UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
SELECT tgname::text, pg_catalog.bool_or(pg_catalog.cardinality(tgattr::int2[]) > 0)
FROM below b JOIN pg_catalog.pg_trigger ON tgrelid = b.oid
WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND (tgparentid = 0 OR tgrelid = $1::pg_catalog.oid)
GROUP BY tgname ORDER BY tgname
