-- The table and its partitions, where they are not very many, each with the condition for its rows. What only a
-- partition demands holds under that condition.
-- A hash of a domain's values cannot be asked for: such tables are left out.
-- $1: the table's object id.
WITH held AS MATERIALIZED (
  SELECT $1::pg_catalog.oid AS relid, NULL::pg_catalog.oid AS parentrelid, false AS isleaf, NULL::text AS relname, NULL::text AS bounds
  UNION ALL
  SELECT t.relid, t.parentrelid, t.isleaf, c.relname::text, coalesce(pg_catalog.pg_get_partition_constraintdef(t.relid), 'true')
  FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) t JOIN pg_catalog.pg_class c ON c.oid = t.relid
  WHERE t.relid <> $1::pg_catalog.oid
    AND 200 >= (SELECT pg_catalog.count(*) FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) x WHERE x.isleaf)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid) x
      JOIN pg_catalog.pg_partitioned_table h ON h.partrelid = x.relid AND h.partstrat = 'h'
      JOIN pg_catalog.pg_attribute a ON a.attrelid = x.relid AND a.attnum = ANY (h.partattrs::int2[])
      JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typtype = 'd'))
