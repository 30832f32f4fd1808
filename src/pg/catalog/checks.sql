-- Check constraints; that a column has a value, where that holds for new rows alone (NOT VALID); that a partition takes
-- the row, and what only one of them demands, where they are not very many; and what indexes evaluate. Last, whether it
-- calls a function that is not immutable; of those of PostgreSQL itself, nothing stands here.
-- $1: the table's object id; held: held.sql.
SELECT conname::text, 'c', pg_catalog.pg_get_expr(conbin, conrelid), coalesce(conkey, '{}'),
  EXISTS (SELECT FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_proc f ON f.oid = o.refobjid AND f.provolatile <> 'i'
    WHERE o.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND o.objid = k.oid
      AND o.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
  FROM pg_catalog.pg_constraint k
  WHERE conrelid = $1::pg_catalog.oid AND contype = 'c' AND coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
UNION ALL
SELECT k.conname::text, 'c', pg_catalog.format('(%I IS DISTINCT FROM NULL)', a.attname), k.conkey, false
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
  WHERE k.conrelid = $1::pg_catalog.oid AND k.contype = 'n' AND NOT k.convalidated
UNION ALL
SELECT pg_catalog.format('NOT NULL of %s', a.attname), 'c', pg_catalog.format('(%I IS DISTINCT FROM NULL)', a.attname), ARRAY[a.attnum], false
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND a.attnotnull AND a.attgenerated <> '' AND NOT a.attisdropped
UNION ALL
SELECT pg_catalog.format('%s of %s', k.conname, p.relname), 'c',
    pg_catalog.format('((%s) IS NOT TRUE OR (%s))', p.bounds, pg_catalog.pg_get_expr(k.conbin, k.conrelid)),
    CASE WHEN 0 >= ANY (k.conkey) THEN '{0}'::int2[] ELSE '{}' END,
  EXISTS (SELECT FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_proc f ON f.oid = o.refobjid AND f.provolatile <> 'i'
    WHERE o.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND o.objid = k.oid
      AND o.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
  FROM held p JOIN pg_catalog.pg_constraint k ON k.conrelid = p.relid
  WHERE p.bounds IS NOT NULL AND k.contype = 'c' AND k.coninhcount = 0 AND coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
UNION ALL
SELECT pg_catalog.format('NOT NULL of %s', p.relname), 'c',
    pg_catalog.format('((%s) IS NOT TRUE OR (%I IS DISTINCT FROM NULL))', p.bounds, a.attname), '{}', false
  FROM held p JOIN pg_catalog.pg_attribute a ON p.bounds IS NOT NULL AND a.attrelid = p.relid AND a.attnum > 0 AND a.attnotnull
  JOIN pg_catalog.pg_attribute o ON o.attrelid = p.parentrelid AND o.attname = a.attname AND NOT o.attnotnull
UNION ALL
SELECT c.relname::text, 'p', CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_get_partition_constraintdef(c.oid)
    ELSE coalesce(p.bounds, 'false') END, '{}', false
  FROM pg_catalog.pg_class c, LATERAL (
    SELECT pg_catalog.string_agg(bounds, ' OR ') FROM held WHERE isleaf) p(bounds)
  WHERE c.oid = $1::pg_catalog.oid AND (c.relkind = 'p'
      AND (p.bounds IS NOT NULL OR NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf AND t.relid <> c.oid))
    OR c.relispartition AND pg_catalog.pg_get_partition_constraintdef(c.oid) IS NOT NULL)
UNION ALL
SELECT c.relname::text, 'i', x.expression,
  CASE WHEN pg_catalog.concat(i.indexprs, i.indpred) ~ ':varattno (0|-)' THEN '{0}'::int2[] ELSE '{}' END, false
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid, LATERAL (
    SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g
      WHERE i.indkey[g - 1] = 0
    UNION ALL SELECT pg_catalog.pg_get_expr(i.indpred, i.indrelid)) x(expression)
  WHERE i.indrelid = $1::pg_catalog.oid AND i.indisready AND x.expression IS NOT NULL
ORDER BY 2, 1, 3
