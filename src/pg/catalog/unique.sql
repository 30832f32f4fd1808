-- The valid unique indexes of a table, the primary key first; without those in which what overlaps is the same
-- (WITHOUT OVERLAPS), which are exclusion constraints.
-- $1: the table's object id.
SELECT c.relname::text,
  ARRAY(SELECT k.n FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g ORDER BY g),
  pg_catalog.pg_get_expr(i.indpred, i.indrelid),
  i.indimmediate,
  coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
  i.indisprimary,
  coalesce(q.schemas, '{}'), coalesce(q.operators, '{}'),
  ARRAY(SELECT (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = k.c)
    FROM pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY k(c, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid, LATERAL (
  SELECT pg_catalog.array_agg(n.nspname::text ORDER BY k.o), pg_catalog.array_agg(op.oprname::text ORDER BY k.o)
  FROM pg_catalog.unnest(i.indclass::oid[]) WITH ORDINALITY k(c, o)
    JOIN pg_catalog.pg_opclass oc ON oc.oid = k.c
    JOIN pg_catalog.pg_amop p ON p.amopfamily = oc.opcfamily AND p.amopstrategy = 3
      AND p.amoplefttype = oc.opcintype AND p.amoprighttype = oc.opcintype
    JOIN pg_catalog.pg_operator op ON op.oid = p.amopopr
    JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace WHERE k.o <= i.indnkeyatts) q(schemas, operators)
WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique AND NOT i.indisexclusion AND i.indisvalid
  AND pg_catalog.concat(i.indexprs, i.indpred) !~ ':varattno (0|-)'
ORDER BY i.indisprimary DESC, c.relname
