-- Everything that decides what a write to the table does, one line each, in an order that does not depend on object ids.
-- $1: the table's object id.
WITH RECURSIVE below(oid) AS (
  SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = $1::pg_catalog.oid
  UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
SELECT pg_catalog.array_agg(line ORDER BY line COLLATE "C") FROM (
  SELECT pg_catalog.concat_ws(' ', 'table', c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence)
    FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'column', a.attnum, pg_catalog.quote_ident(a.attname),
    pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    (SELECT pg_catalog.concat_ws('.', n.nspname, co.collname) FROM pg_catalog.pg_collation co
      JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = a.attcollation))
    FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'constraint', pg_catalog.quote_ident(k.conname),
    pg_catalog.pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred, k.convalidated)
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1::pg_catalog.oid AND k.contype <> 'n'
  UNION ALL
  -- What it takes as a partition.
  SELECT pg_catalog.concat_ws(' ', 'partition', pg_catalog.pg_get_partition_constraintdef(c.oid))
    FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid AND c.relispartition
  UNION ALL
  -- What its checks, defaults, generated columns and indexes call.
  SELECT DISTINCT pg_catalog.concat_ws(' ', 'function', p.oid::pg_catalog.regprocedure, p.provolatile, pg_catalog.md5(p.prosrc),
    pg_catalog.array_to_string(p.proconfig, ','))
    FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_proc p ON p.oid = o.refobjid
    WHERE o.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND (o.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
          AND o.objid IN (SELECT k.oid FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1::pg_catalog.oid)
        OR o.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
          AND o.objid IN (SELECT d.oid FROM pg_catalog.pg_attrdef d WHERE d.adrelid = $1::pg_catalog.oid)
        OR o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND o.objid IN (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique))
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'referrer', pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(c.relname),
    pg_catalog.quote_ident(k.conname), pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (k.confrelid = $1::pg_catalog.oid OR k.confrelid IN (SELECT oid FROM below)) AND k.contype = 'f' AND k.conparentid = 0
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'index', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indimmediate)
    FROM pg_catalog.pg_index i WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'trigger', g.tgenabled, pg_catalog.pg_get_triggerdef(g.oid),
    pg_catalog.md5(p.prosrc), pg_catalog.array_to_string(p.proconfig, ','))
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid = $1::pg_catalog.oid AND NOT g.tgisinternal
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'below', c.oid::pg_catalog.regclass, 'trigger', g.tgenabled, pg_catalog.pg_get_triggerdef(g.oid),
    pg_catalog.md5(p.prosrc), pg_catalog.array_to_string(p.proconfig, ','))
    FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid JOIN pg_catalog.pg_trigger g ON g.tgrelid = b.oid
    JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid WHERE NOT g.tgisinternal AND g.tgparentid = 0
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'below', c.oid::pg_catalog.regclass, 'constraint', pg_catalog.quote_ident(k.conname),
    pg_catalog.pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred, k.convalidated)
    FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid JOIN pg_catalog.pg_constraint k ON k.conrelid = b.oid
    WHERE k.contype NOT IN ('n', 't') AND k.conparentid = 0 AND k.coninhcount = 0
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'below', c.oid::pg_catalog.regclass, 'index', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indimmediate)
    FROM below b JOIN pg_catalog.pg_class c ON c.oid = b.oid JOIN pg_catalog.pg_index i ON i.indrelid = b.oid
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indisunique AND NOT x.relispartition
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'rule', pg_catalog.pg_get_ruledef(r.oid))
    FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1::pg_catalog.oid
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'policy', pg_catalog.quote_ident(p.polname), p.polcmd, p.polpermissive,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_catalog.pg_policy p WHERE p.polrelid = $1::pg_catalog.oid
) d(line)
