-- Check constraints; that a column has a value, where that holds for new rows alone (NOT VALID); that a partition takes the row, where they are not very many; and what indexes evaluate.
-- $1: the table's object id.
SELECT conname::text, 'c', pg_catalog.pg_get_expr(conbin, conrelid), coalesce(conkey, '{}')
  FROM pg_catalog.pg_constraint k
  WHERE conrelid = $1::pg_catalog.oid AND contype = 'c' AND coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
UNION ALL
SELECT k.conname::text, 'c', pg_catalog.format('(%I IS DISTINCT FROM NULL)', a.attname), k.conkey
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
  WHERE k.conrelid = $1::pg_catalog.oid AND k.contype = 'n' AND NOT k.convalidated
UNION ALL
SELECT c.relname::text, 'p', CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_get_partition_constraintdef(c.oid)
    ELSE coalesce(p.bounds, 'false') END, '{}'
  FROM pg_catalog.pg_class c, LATERAL (
    SELECT pg_catalog.string_agg(coalesce(pg_catalog.pg_get_partition_constraintdef(t.relid), 'true'), ' OR '),
      pg_catalog.count(*) FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf AND t.relid <> c.oid) p(bounds, leaves)
  WHERE c.oid = $1::pg_catalog.oid AND (c.relkind = 'p' AND p.leaves <= 200
    OR c.relispartition AND pg_catalog.pg_get_partition_constraintdef(c.oid) IS NOT NULL)
UNION ALL
SELECT c.relname::text, 'i', x.expression,
  CASE WHEN pg_catalog.concat(i.indexprs, i.indpred) ~ ':varattno (0|-)' THEN '{0}'::int2[] ELSE '{}' END
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid, LATERAL (
    SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g
      WHERE i.indkey[g - 1] = 0
    UNION ALL SELECT pg_catalog.pg_get_expr(i.indpred, i.indrelid)) x(expression)
  WHERE i.indrelid = $1::pg_catalog.oid AND i.indisready AND x.expression IS NOT NULL
ORDER BY 2, 1, 3
