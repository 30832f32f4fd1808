-- The columns of a table in order, each with its type below all domains, its default, its equality.
-- $1: the table's object id.
SELECT a.attnum, a.attname::text,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  -- With its schema, whatever the search path is.
  CASE WHEN own.schema <> 'pg_catalog'::pg_catalog.regnamespace AND pg_catalog.pg_type_is_visible(own.oid)
    THEN own.schema::text || '.' ELSE '' END || pg_catalog.format_type(b.oid, b.typmod),
  bt.typname::text, bt.typcategory::text, t.typtype = 'd',
  a.attnotnull OR b.is_required,
  CASE WHEN a.attgenerated = '' THEN coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), b.typdefault) END,
  a.attidentity::text, a.attgenerated <> '',
  NOT EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = b.oid
    AND c.casttarget = 'pg_catalog.text'::pg_catalog.regtype AND (c.castmethod = 'f' OR c.castmethod = 'b'
      AND bt.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace)),
  CASE WHEN bt.typcategory = 'A' AND bt.typelem <> 0 THEN e.typdelim::text END,
  CASE WHEN e.typtype = 'd' THEN pg_catalog.format_type(e.typbasetype, -1) ELSE e.typname::text END IN ('json', 'jsonb'),
  (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)
    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
    WHERE c.oid = a.attcollation AND a.attcollation <> bt.typcollation),
  (SELECT ARRAY[n.nspname::text, o.oprname::text] FROM pg_catalog.pg_opclass c
    JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
    JOIN pg_catalog.pg_amop p ON p.amopfamily = c.opcfamily AND p.amopstrategy = 3
      AND p.amoplefttype = c.opcintype AND p.amoprighttype = c.opcintype
    JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr
    JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
    WHERE c.opcdefault AND c.opcintype = b.oid),
  CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
  a.atttypid, a.atttypmod,
  -- The sequence that is the column's own, else one of which its default draws.
  coalesce((SELECT ARRAY[n.nspname::text, s.relname::text] FROM pg_catalog.pg_depend o
      JOIN pg_catalog.pg_class s ON s.oid = o.objid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
      WHERE o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND o.refobjid = a.attrelid AND o.refobjsubid = a.attnum AND o.deptype IN ('a', 'i') ORDER BY s.oid LIMIT 1),
    (SELECT ARRAY[n.nspname::text, s.relname::text] FROM pg_catalog.pg_depend o
      JOIN pg_catalog.pg_class s ON s.oid = o.refobjid AND s.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
      WHERE o.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND o.objid = d.oid
        AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass ORDER BY s.oid LIMIT 1)),
  -- Until version 14 the column depends on them, from then on its expression does.
  ARRAY(SELECT DISTINCT o.refobjsubid::int2 FROM pg_catalog.pg_depend o
    WHERE a.attgenerated <> '' AND (o.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND o.objid = d.oid
        OR o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objid = a.attrelid AND o.objsubid = a.attnum)
      AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.refobjid = a.attrelid
      AND o.refobjsubid NOT IN (0, a.attnum) ORDER BY 1),
  -- Whether its default calls a function that may return something else each time; of those of PostgreSQL itself,
  -- nothing stands here.
  EXISTS (SELECT FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_proc p ON p.oid = o.refobjid AND p.provolatile = 'v'
    WHERE a.attgenerated = '' AND o.objid = coalesce(d.oid, a.atttypid) AND o.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND o.classid = CASE WHEN d.oid IS NULL THEN 'pg_catalog.pg_type' ELSE 'pg_catalog.pg_attrdef' END::pg_catalog.regclass)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (
  WITH RECURSIVE up(oid, typmod, is_required, typdefault, depth) AS (
    SELECT t.oid, a.atttypmod, t.typnotnull, pg_catalog.pg_get_expr(t.typdefaultbin, 0), 0
    UNION ALL
    SELECT p.typbasetype, p.typtypmod, up.is_required OR q.typnotnull,
      coalesce(up.typdefault, pg_catalog.pg_get_expr(q.typdefaultbin, 0)), up.depth + 1
    FROM up JOIN pg_catalog.pg_type p ON p.oid = up.oid AND p.typtype = 'd'
    JOIN pg_catalog.pg_type q ON q.oid = p.typbasetype)
  SELECT oid, typmod, is_required, typdefault FROM up ORDER BY depth DESC LIMIT 1) b
JOIN pg_catalog.pg_type bt ON bt.oid = b.oid
LEFT JOIN pg_catalog.pg_type e ON e.oid = bt.typelem
CROSS JOIN LATERAL (
  SELECT o.oid, o.typnamespace::pg_catalog.regnamespace FROM pg_catalog.pg_type o
  WHERE o.oid = CASE WHEN bt.typcategory = 'A' AND e.oid IS NOT NULL THEN e.oid ELSE bt.oid END) own(oid, schema)
WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
