-- The table and its partitions, where they are not very many, each with the condition for its rows. What only a
-- partition demands holds under that condition.
-- $1: the table's object id.
WITH held AS MATERIALIZED (
  SELECT $1::pg_catalog.oid AS relid, NULL::pg_catalog.oid AS parentrelid, false AS isleaf, NULL::text AS relname, NULL::text AS bounds
  UNION ALL
  SELECT t.relid, t.parentrelid, t.isleaf, c.relname::text, coalesce(pg_catalog.pg_get_partition_constraintdef(t.relid), 'true')
  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
  WHERE t.relid <> $1::pg_catalog.oid
    AND 200 >= (SELECT pg_catalog.count(*) FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) x WHERE x.isleaf))
