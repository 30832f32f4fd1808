-- The valid unique indexes of a table, the primary key first; without those in which what overlaps is the same
-- (WITHOUT OVERLAPS), which are exclusion constraints. One that only a partition has is as one with a condition.
-- held: held.sql.
SELECT c.relname::text,
  ARRAY(SELECT CASE WHEN h.bounds IS NULL OR k.n = 0 THEN k.n ELSE (SELECT o.attnum FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_attribute o ON o.attrelid = $1::pg_catalog.oid AND o.attname = a.attname
      WHERE a.attrelid = i.indrelid AND a.attnum = k.n) END
    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g ORDER BY g),
  CASE WHEN h.bounds IS NULL THEN pg_catalog.pg_get_expr(i.indpred, i.indrelid)
    ELSE pg_catalog.concat_ws(' AND ', pg_catalog.format('(%s)', h.bounds), pg_catalog.pg_get_expr(i.indpred, i.indrelid)) END,
  i.indimmediate,
  coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
  i.indisprimary AND h.bounds IS NULL,
  coalesce(q.schemas, '{}'), coalesce(q.operators, '{}'),
  ARRAY(SELECT (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = k.c)
    FROM pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY k(c, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  h.bounds IS NOT NULL
FROM held h JOIN pg_catalog.pg_index i ON i.indrelid = h.relid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid, LATERAL (
  SELECT pg_catalog.array_agg(n.nspname::text ORDER BY k.o), pg_catalog.array_agg(op.oprname::text ORDER BY k.o)
  FROM pg_catalog.unnest(i.indclass::oid[]) WITH ORDINALITY k(c, o)
    JOIN pg_catalog.pg_opclass oc ON oc.oid = k.c
    JOIN pg_catalog.pg_amop p ON p.amopfamily = oc.opcfamily AND p.amopstrategy = 3
      AND p.amoplefttype = oc.opcintype AND p.amoprighttype = oc.opcintype
    JOIN pg_catalog.pg_operator op ON op.oid = p.amopopr
    JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace WHERE k.o <= i.indnkeyatts) q(schemas, operators)
WHERE (h.bounds IS NULL OR NOT c.relispartition) AND i.indisunique AND NOT i.indisexclusion AND i.indisvalid
  AND pg_catalog.concat(i.indexprs, i.indpred) !~ ':varattno (0|-)'
ORDER BY h.bounds IS NOT NULL, i.indisprimary DESC, c.relname
