//! What the catalogs say about a table.

mod kinds;

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use crate::error::{Error, Result};
use crate::pg::{Session, failed};
use crate::sql::ident::{Ident, Qualified};
use crate::table::config::Config;
use crate::table::schema::{
    Asks, Check, Column, Equality, ForeignKey, Identity, Shape, Table, UniqueIndex,
};
use crate::text::hex;

const COLUMNS: &str = r#"
SELECT a.attnum, a.attname::text,
  pg_catalog.format_type(a.atttypid, a.atttypmod),
  pg_catalog.format_type(b.oid, b.typmod),
  bt.typname::text, bt.typcategory::text, t.typtype = 'd',
  a.attnotnull OR b.is_required,
  CASE WHEN a.attgenerated = '' THEN coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), b.typdefault) END,
  a.attidentity::text, a.attgenerated <> '',
  NOT EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = b.oid
    AND c.casttarget = 'pg_catalog.text'::pg_catalog.regtype AND c.castmethod = 'f'),
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
  a.atttypid, a.atttypmod
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
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"#;

const UNIQUE: &str = r#"
SELECT c.relname::text,
  ARRAY(SELECT k.n FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g ORDER BY g),
  pg_catalog.pg_get_expr(i.indpred, i.indrelid),
  i.indimmediate,
  coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
  i.indisprimary,
  ARRAY(SELECT n.nspname::text FROM pg_catalog.unnest(i.indclass::oid[]) WITH ORDINALITY k(c, o)
    JOIN pg_catalog.pg_opclass oc ON oc.oid = k.c
    JOIN pg_catalog.pg_amop p ON p.amopfamily = oc.opcfamily AND p.amopstrategy = 3
      AND p.amoplefttype = oc.opcintype AND p.amoprighttype = oc.opcintype
    JOIN pg_catalog.pg_operator op ON op.oid = p.amopopr
    JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  ARRAY(SELECT op.oprname::text FROM pg_catalog.unnest(i.indclass::oid[]) WITH ORDINALITY k(c, o)
    JOIN pg_catalog.pg_opclass oc ON oc.oid = k.c
    JOIN pg_catalog.pg_amop p ON p.amopfamily = oc.opcfamily AND p.amopstrategy = 3
      AND p.amoplefttype = oc.opcintype AND p.amoprighttype = oc.opcintype
    JOIN pg_catalog.pg_operator op ON op.oid = p.amopopr WHERE k.o <= i.indnkeyatts ORDER BY k.o),
  ARRAY(SELECT (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(co.collname)
      FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = k.c)
    FROM pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY k(c, o) WHERE k.o <= i.indnkeyatts ORDER BY k.o)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid
ORDER BY i.indisprimary DESC, c.relname"#;

const EXCLUSIONS: &str = r#"
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
WHERE k.conrelid = $1 AND k.contype = 'x' ORDER BY k.conname"#;

/// Check constraints; that a partition takes the row, where they are not very many; and what
/// indexes evaluate.
const CHECKS: &str = r#"
SELECT conname::text, 'c', pg_catalog.pg_get_expr(conbin, conrelid), coalesce(conkey, '{}')
  FROM pg_catalog.pg_constraint k
  WHERE conrelid = $1 AND contype = 'c' AND coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
UNION ALL
SELECT c.relname::text, 'p', CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_get_partition_constraintdef(c.oid)
    ELSE coalesce(p.bounds, 'false') END, '{}'
  FROM pg_catalog.pg_class c, LATERAL (
    SELECT pg_catalog.string_agg(coalesce(pg_catalog.pg_get_partition_constraintdef(t.relid), 'true'), ' OR '),
      pg_catalog.count(*) FROM pg_catalog.pg_partition_tree(c.oid) t WHERE t.isleaf AND t.relid <> c.oid) p(bounds, leaves)
  WHERE c.oid = $1 AND (c.relkind = 'p' AND p.leaves <= 200
    OR c.relispartition AND pg_catalog.pg_get_partition_constraintdef(c.oid) IS NOT NULL)
UNION ALL
SELECT c.relname::text, 'i', x.expression, '{}'
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid, LATERAL (
    SELECT pg_catalog.pg_get_indexdef(i.indexrelid, g, true) FROM pg_catalog.generate_series(1, i.indnkeyatts::int) g
      WHERE i.indkey[g - 1] = 0
    UNION ALL SELECT pg_catalog.pg_get_expr(i.indpred, i.indrelid)) x(expression)
  WHERE i.indrelid = $1 AND i.indisready AND x.expression IS NOT NULL
ORDER BY 2, 1, 3"#;

const FOREIGN_KEYS: &str = r#"
SELECT k.conname::text, cn.nspname::text, c.relname::text, pn.nspname::text, p.relname::text,
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY x(n, o)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.n ORDER BY x.o),
  ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY x(n, o)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.n ORDER BY x.o),
  k.condeferrable, k.confmatchtype = 'f', k.conrelid = $1,
  ARRAY(SELECT n.nspname::text FROM pg_catalog.unnest(k.conpfeqop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op JOIN pg_catalog.pg_namespace n ON n.oid = op.oprnamespace ORDER BY x.o),
  ARRAY(SELECT op.oprname::text FROM pg_catalog.unnest(k.conpfeqop) WITH ORDINALITY x(op, o)
    JOIN pg_catalog.pg_operator op ON op.oid = x.op ORDER BY x.o),
  k.confupdtype IN ('a', 'r'), k.conrelid
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = $1 OR k.confrelid = $1)
ORDER BY k.conname, cn.nspname, c.relname"#;

/// Everything that decides what a write to the table does, one line each, in an order that does
/// not depend on object ids.
const DESCRIPTION: &str = r#"
SELECT pg_catalog.array_agg(line ORDER BY line COLLATE "C") FROM (
  SELECT pg_catalog.concat_ws(' ', 'table', c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence)
    FROM pg_catalog.pg_class c WHERE c.oid = $1
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'column', a.attnum, pg_catalog.quote_ident(a.attname),
    pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    (SELECT pg_catalog.concat_ws('.', n.nspname, co.collname) FROM pg_catalog.pg_collation co
      JOIN pg_catalog.pg_namespace n ON n.oid = co.collnamespace WHERE co.oid = a.attcollation))
    FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'constraint', pg_catalog.quote_ident(k.conname),
    pg_catalog.pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred, k.convalidated)
    FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1 AND k.contype <> 'n'
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'referrer', pg_catalog.quote_ident(n.nspname), pg_catalog.quote_ident(c.relname),
    pg_catalog.quote_ident(k.conname), pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE k.confrelid = $1 AND k.contype = 'f' AND k.conparentid = 0
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'index', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indimmediate)
    FROM pg_catalog.pg_index i WHERE i.indrelid = $1 AND i.indisunique
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'trigger', g.tgenabled, pg_catalog.pg_get_triggerdef(g.oid),
    pg_catalog.md5(p.prosrc), pg_catalog.array_to_string(p.proconfig, ','))
    FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
    WHERE g.tgrelid = $1 AND NOT g.tgisinternal
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'rule', pg_catalog.pg_get_ruledef(r.oid))
    FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1
  UNION ALL
  SELECT pg_catalog.concat_ws(' ', 'policy', pg_catalog.quote_ident(p.polname), p.polcmd, p.polpermissive,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_catalog.pg_policy p WHERE p.polrelid = $1
) d(line)"#;

/// The tables configured under `names`, as the catalogs describe them, in the order of `names`.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where a table does not exist or is no table; [`Database`](crate::ErrorKind::Database).
pub async fn tables(session: &Session, config: &Config, names: &[String]) -> Result<Vec<Table>> {
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        if !config.tables.contains_key(name) {
            return Err(config.unknown(name));
        }
        tables.push(table(session, name).await?);
    }
    Ok(tables)
}

/// The table that `name` (with or without a schema) means in this session.
///
/// # Errors
/// As [`tables`].
pub async fn table(session: &Session, name: &str) -> Result<Table> {
    let doing = format!("reading the definition of table {name}");
    let mut spellings = vec![Ident(name).to_string()];
    if let Some((schema, table)) = name.split_once('.') {
        spellings.push(format!("{}.{}", Ident(schema), Ident(table)));
    }
    let sql = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text \
         FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY s(name, o) \
         JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(s.name) \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY s.o LIMIT 1";
    let found = session
        .client
        .query_opt(sql, &[&spellings])
        .await
        .map_err(|e| failed(&doing, &e))?
        .ok_or_else(|| {
            Error::config(format!(
                "table {name} does not exist in the database, or not in the search path; name its schema as schema.table"
            ))
        })?;
    let oid: u32 = found.get(0);
    let qualified = Qualified {
        schema: found.get(1),
        name: found.get(2),
    };
    let kind: String = found.get(3);
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(Error::config(format!(
            "{qualified} is not a table (relkind {kind}); views and foreign tables cannot be loaded"
        )));
    }
    let rows = async |sql: &str| {
        session
            .client
            .query(sql, &[&oid])
            .await
            .map_err(|e| failed(&doing, &e))
    };
    let types = kinds::Types::new(&rows(kinds::TYPES).await?);
    let columns = rows(COLUMNS).await?;
    let columns = columns.iter().map(|row| column(row, &types)).collect();
    let unique = rows(UNIQUE).await?.iter().map(unique_index).collect();
    let exclusions = rows(EXCLUSIONS).await?.iter().map(unique_index).collect();
    let (mut foreign_keys, mut referrers) = (Vec::new(), Vec::new());
    for row in &rows(FOREIGN_KEYS).await? {
        let key = foreign_key(row);
        if key.parent == qualified {
            referrers.push(key.clone());
        }
        if row.get(9) {
            foreign_keys.push(key);
        }
    }
    let triggers = rows(
        "SELECT tgname::text, pg_catalog.cardinality(tgattr::int2[]) > 0 FROM pg_catalog.pg_trigger \
         WHERE tgrelid = $1 AND NOT tgisinternal AND tgenabled IN ('O', 'A') ORDER BY tgname",
    )
    .await?;
    let description: Vec<String> = rows(DESCRIPTION)
        .await?
        .first()
        .map(|r| r.get(0))
        .unwrap_or_default();
    let mut hasher = Sha256::new();
    for line in &description {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    Ok(Table {
        oid,
        name: qualified,
        columns,
        unique,
        exclusions,
        foreign_keys,
        referrers,
        checks: rows(CHECKS).await?.iter().map(check).collect(),
        triggers: triggers.iter().map(|r| r.get(0)).collect(),
        column_triggers: triggers.iter().any(|r| r.get(1)),
        fingerprint: format!("sha256:{}", hex(&hasher.finalize())),
    })
}

fn column(row: &Row, types: &kinds::Types) -> Column {
    let base_type: String = row.get(4);
    let delimiter: Option<String> = row.get(12);
    let element_json: Option<bool> = row.get(13);
    let shape = match delimiter.and_then(|d| d.chars().next()) {
        _ if matches!(base_type.as_str(), "json" | "jsonb") => Shape::Json,
        Some(delimiter) => Shape::Array {
            delimiter,
            element_json: element_json.unwrap_or(false),
        },
        None => Shape::Scalar,
    };
    let category: String = row.get(5);
    let identity: String = row.get(9);
    let equality: Option<Vec<String>> = row.get(15);
    let mut equality = equality.unwrap_or_default().into_iter();
    Column {
        number: row.get(0),
        name: row.get(1),
        type_sql: row.get(2),
        base_type_sql: row.get(3),
        base_type,
        category: category.chars().next().unwrap_or('X'),
        domain: row.get(6),
        not_null: row.get(7),
        default: row.get(8),
        identity: match identity.as_str() {
            "a" => Identity::Always,
            "d" => Identity::ByDefault,
            _ => Identity::None,
        },
        generated: row.get(10),
        generation: row.get(16),
        text_cast: row.get(11),
        shape,
        kind: types.kind(row.get(17), row.get(18)),
        collation: row.get(14),
        equality: Equality {
            schema: equality.next().unwrap_or_else(|| "pg_catalog".into()),
            operator: equality.next().unwrap_or_else(|| "=".into()),
            collation: None,
        },
    }
}

fn unique_index(row: &Row) -> UniqueIndex {
    let schemas: Vec<String> = row.get(7);
    let operators: Vec<String> = row.get(8);
    let collations: Vec<Option<String>> = row.get(9);
    let equality = schemas
        .into_iter()
        .zip(operators)
        .zip(collations)
        .map(|((schema, operator), collation)| Equality {
            schema,
            operator,
            collation,
        })
        .collect();
    UniqueIndex {
        name: row.get(0),
        columns: row.get(1),
        equality,
        keys_sql: row.get(2),
        predicate: row.get(3),
        immediate: row.get(4),
        nulls_not_distinct: row.get(5),
        primary: row.get(6),
    }
}

fn foreign_key(row: &Row) -> ForeignKey {
    let schemas: Vec<String> = row.get(10);
    let operators: Vec<String> = row.get(11);
    ForeignKey {
        name: row.get(0),
        child: Qualified {
            schema: row.get(1),
            name: row.get(2),
        },
        child_oid: row.get(13),
        parent: Qualified {
            schema: row.get(3),
            name: row.get(4),
        },
        columns: row.get(5),
        parent_columns: row.get(6),
        deferrable: row.get(7),
        match_full: row.get(8),
        equality: schemas.into_iter().zip(operators).collect(),
        keeps: row.get(12),
    }
}

fn check(row: &Row) -> Check {
    let asks: &str = row.get(1);
    Check {
        name: row.get(0),
        asks: match asks {
            "c" => Asks::Check,
            "p" => Asks::Partitions,
            _ => Asks::Index,
        },
        expression: row.get(2),
        columns: row.get(3),
    }
}
