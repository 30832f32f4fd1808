-- The exclusion constraints of a table, keys WITHOUT OVERLAPS among them, in the columns of unique.sql.
-- held: held.sql.
SELECT k.conname::text,
  ARRAY(SELECT CASE WHEN h.bounds IS NULL OR k.n = 0 THEN k.n ELSE (SELECT o.attnum FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_attribute o ON o.attrelid = $1::pg_catalog.oid AND o.attname = a.attname
      WHERE a.attrelid = i.indrelid AND a.attnum = k.n) END
    FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g ORDER BY g),
  CASE WHEN h.bounds IS NULL THEN pg_catalog.pg_get_expr(i.indpred, i.indrelid)
    ELSE pg_catalog.concat_ws(' AND ', pg_catalog.format('(%s)', h.bounds), pg_catalog.pg_get_expr(i.indpred, i.indrelid)) END, i.indimmediate, false, false,
  ARRAY(SELECT n.nspname::text FROM pg_catalog.unnest(k.conexclop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace ORDER BY x.o),
  ARRAY(SELECT op.oprname::text FROM pg_catalog.unnest(k.conexclop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op ORDER BY x.o),
  ARRAY(SELECT (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = x.c)
    FROM pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY x(c, o) WHERE x.o <= i.indnkeyatts ORDER BY x.o),
  h.bounds IS NOT NULL
FROM held h JOIN pg_catalog.pg_constraint k ON k.conrelid = h.relid JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
WHERE (h.bounds IS NULL OR k.conparentid = 0) AND k.conexclop IS NOT NULL
  AND pg_catalog.concat(i.indexprs, i.indpred) !~ ':varattno (0|-)' ORDER BY k.conname
