-- Everything that decides what a write to the table does, one line each, in an order that does not depend on object ids.
-- $1: the table's object id.
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
  SELECT pg_catalog.concat_ws(' ', 'referrer', pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(c.relname),
    pg_catalog.quote_ident(k.conname), pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE k.confrelid = $1::pg_catalog.oid AND k.contype = 'f' AND k.conparentid = 0
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'index', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indimmediate)
    FROM pg_catalog.pg_index i WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'trigger', g.tgenabled, pg_catalog.pg_get_triggerdef(g.oid),
    pg_catalog.md5(p.prosrc), pg_catalog.array_to_string(p.proconfig, ','))
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid = $1::pg_catalog.oid AND NOT g.tgisinternal
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'rule', pg_catalog.pg_get_ruledef(r.oid))
    FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1::pg_catalog.oid
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'policy', pg_catalog.quote_ident(p.polname), p.polcmd, p.polpermissive,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_catalog.pg_policy p WHERE p.polrelid = $1::pg_catalog.oid
) d(line)
