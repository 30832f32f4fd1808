-- Every type from which the columns of a table are made, down to base types.
-- $1: the table's object id.
WITH RECURSIVE reached(oid) AS (
  SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT n.oid FROM reached r CROSS JOIN LATERAL (SELECT * FROM pg_catalog.pg_type t WHERE t.oid = r.oid OFFSET 0) p CROSS JOIN LATERAL (
    SELECT p.typbasetype WHERE p.typtype = 'd'
    UNION ALL SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = p.typelem AND e.typarray = p.oid
    UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE p.oid IN (g.rngtypid, g.rngmultitypid)
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
      WHERE p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped) n(oid))
-- A base type that the server reads and prints as it does text, as citext, is one for all that is said about values.
SELECT p.oid, p.typtype::text, p.typnamespace = 'pg_catalog'::pg_catalog.regnamespace OR k.like_text,
  CASE WHEN k.like_text THEN 'text' ELSE p.typname::text END,
  p.typbasetype, p.typtypmod, e.oid, e.typdelim::text,
  (SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE p.oid IN (g.rngtypid, g.rngmultitypid)),
  ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a
    WHERE p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  ARRAY(SELECT a.atttypmod FROM pg_catalog.pg_attribute a
    WHERE p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
  i.provolatile = 'i',
  ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = p.oid ORDER BY l.enumsortorder),
  -- What decides which values it takes and how it prints them, for the fingerprint.
  CASE WHEN p.typtype IN ('d', 'e', 'c') THEN pg_catalog.array_to_string(ARRAY[p.typtype::text,
    pg_catalog.format_type(p.oid, NULL), pg_catalog.format_type(nullif(p.typbasetype, 0), p.typtypmod), p.typnotnull::text,
    pg_catalog.pg_get_expr(p.typdefaultbin, 0),
    ARRAY(SELECT pg_catalog.quote_ident(k.conname) || ' ' || pg_catalog.pg_get_constraintdef(k.oid)
      FROM pg_catalog.pg_constraint k WHERE k.contypid = p.oid AND k.contype = 'c' ORDER BY k.conname)::text,
    ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = p.oid ORDER BY l.enumsortorder)::text,
    ARRAY(SELECT pg_catalog.quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
      FROM pg_catalog.pg_attribute a WHERE p.typtype = 'c' AND a.attrelid = p.typrelid AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY a.attnum)::text], ' ', '-') END
FROM pg_catalog.pg_type p JOIN pg_catalog.pg_proc i ON i.oid = p.typinput
JOIN pg_catalog.pg_proc o ON o.oid = p.typoutput
CROSS JOIN LATERAL (SELECT p.typtype = 'b' AND i.prosrc = 'textin' AND o.prosrc = 'textout'
  AND ARRAY[i.prolang, o.prolang] <@ ARRAY(SELECT n.oid FROM pg_catalog.pg_language n WHERE n.lanname = 'internal') AS like_text) k
LEFT JOIN pg_catalog.pg_type e ON e.oid = p.typelem AND e.typarray = p.oid
-- They are few, which a join would not know.
WHERE p.oid = ANY (ARRAY(SELECT oid FROM reached))
