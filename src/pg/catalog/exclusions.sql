-- The exclusion constraints of a table, keys WITHOUT OVERLAPS among them, in the columns of unique.sql.
-- $1: the table's object id.
SELECT k.conname::text,
  ARRAY(SELECT x.n FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY x(n, o) WHERE x.o <= i.indnkeyatts ORDER BY x.o),
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g ORDER BY g),
  pg_catalog.pg_get_expr(i.indpred, i.indrelid), i.indimmediate, false, false,
  ARRAY(SELECT n.nspname::text FROM pg_catalog.unnest(k.conexclop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace ORDER BY x.o),
  ARRAY(SELECT op.oprname::text FROM pg_catalog.unnest(k.conexclop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op ORDER BY x.o),
  ARRAY(SELECT (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = x.c)
    FROM pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY x(c, o) WHERE x.o <= i.indnkeyatts ORDER BY x.o)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
WHERE k.conrelid = $1::pg_catalog.oid AND k.conexclop IS NOT NULL
  AND pg_catalog.concat(i.indexprs, i.indpred) !~ ':varattno (0|-)' ORDER BY k.conname
