//! What would go wrong at apply: check constraints, unique keys and foreign keys, asked of
//! PostgreSQL for all rows at once, on the rows as they would be.

use super::Session;
use super::compare::Snapshot;
use super::stage::Stage;
use crate::config::{OnDuplicate, OnImmutable, OnInvalid, Resolution, Stamp, Strategy};
use crate::error::Result;
use crate::ident::{Ident, Literal};
use crate::schema::{Column, ForeignKey, Identity, Table, UniqueIndex};

/// A table's rows as they would be, where anything has to be asked about them.
///
/// The temporary table has the table's own column names, so that its expressions hold there, and
/// the loader's: `n` (the record), `new`, `changed` (the row would be written) and `good` (nothing
/// is wrong with the record so far).
pub struct After<'a> {
    stage: &'a Stage<'a>,
    /// Unique indexes that the batch can violate.
    unique: Vec<&'a UniqueIndex>,
}

const N: &str = "\"loader n\"";
const NEW: &str = "\"loader new\"";
const CHANGED: &str = "\"loader changed\"";
const GOOD: &str = "\"loader good\"";

/// Reports each row for which an expression is false or fails, one by one: only where asking for
/// all at once failed.
const PREPARE: &str = "\
CREATE FUNCTION pg_temp.loader_check_rows(of text, expression text) RETURNS TABLE (n bigint, why text)
LANGUAGE plpgsql AS $loader$
DECLARE holds bool;
BEGIN
  FOR n IN EXECUTE 'SELECT \"loader n\" FROM ' || of || ' WHERE \"loader good\" AND \"loader changed\"' LOOP
    BEGIN
      EXECUTE 'SELECT (' || expression || ') FROM ' || of || ' WHERE \"loader n\" = $1' INTO holds USING n;
      IF holds IS FALSE THEN why := 'it is false'; RETURN NEXT; END IF;
    EXCEPTION WHEN OTHERS THEN why := SQLERRM; RETURN NEXT; END;
  END LOOP;
END $loader$;
";

/// Makes the temporary tables for what has to be checked, before the snapshot begins.
///
/// # Errors
/// [`crate::Error::Database`].
pub async fn prepare<'a>(session: &Session, stages: &'a [Stage<'a>]) -> Result<Vec<After<'a>>> {
    session.run("preparing checks", PREPARE).await?;
    let mut all = Vec::new();
    for stage in stages {
        let parent = |other: &Stage<'_>| {
            other
                .table
                .foreign_keys
                .iter()
                .any(|k| k.parent == stage.table.name)
        };
        let unique: Vec<&UniqueIndex> = stage
            .table
            .unique
            .iter()
            .filter(|index| can_collide(stage, index))
            .collect();
        let asked = !stage.table.checks.is_empty()
            || !unique.is_empty()
            || !stage.table.foreign_keys.is_empty()
            || stages.iter().any(parent);
        if asked {
            let after = After { stage, unique };
            let columns: Vec<String> = stage
                .table
                .columns
                .iter()
                .map(|c| {
                    let collate = c.collation.as_ref().map(|c| format!(" COLLATE {c}"));
                    format!(
                        "{} {}{}",
                        Ident(&c.name),
                        c.base_type_sql,
                        collate.unwrap_or_default()
                    )
                })
                .collect();
            let sql = format!(
                "CREATE TEMPORARY TABLE {bare} ({N} bigint PRIMARY KEY, {NEW} bool, {CHANGED} bool, {GOOD} bool, {})",
                columns.join(", "),
                bare = after.bare_name(),
            );
            session
                .run(&after.doing("preparing checks of"), &sql)
                .await?;
            all.push(after);
        }
    }
    Ok(all)
}

/// Whether records of this batch can violate a unique index: the natural key's own finds the row,
/// and what the database numbers by itself does not collide.
fn can_collide(stage: &Stage<'_>, index: &UniqueIndex) -> bool {
    let is_key = index.predicate.is_none()
        && index.columns.len() == stage.config.natural_key.len()
        && index.columns.iter().all(|n| {
            stage
                .table
                .column_by_number(*n)
                .is_some_and(|c| stage.config.natural_key.contains(&c.name))
        });
    let number = |n: &i16| stage.table.columns.iter().position(|c| c.number == *n);
    let numbered = index
        .columns
        .iter()
        .filter_map(number)
        .any(|i| !stage.used[i] && is_numbered(&stage.table.columns[i]));
    !is_key && !numbered
}

/// Whether the database gives each new row another value.
fn is_numbered(column: &Column) -> bool {
    column.identity != Identity::None
        || column
            .default
            .as_ref()
            .is_some_and(|d| d.contains("nextval(") || d.contains("uuid"))
}

impl<'a> After<'a> {
    fn bare_name(&self) -> String {
        format!("loader_after_{}", self.stage.number())
    }

    fn sql_name(&self) -> String {
        format!("pg_temp.{}", self.bare_name())
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} the records of table {}", self.stage.name)
    }

    /// Fills in the rows as they would be.
    async fn fill(&self, snapshot: &Snapshot<'_>) -> Result<()> {
        let (stage, table, config) = (self.stage, self.stage.table, self.stage.config);
        let exists = "t.tableoid IS NOT NULL";
        let replace = config.conflict_resolution == Resolution::Replace;
        let mut values = Vec::new();
        let mut differs = Vec::new();
        let mut broken = Vec::new();
        for (i, c) in table.columns.iter().enumerate() {
            let (name, cell) = (Ident(&c.name), format!("s.{}", c.staged()));
            let stamp = config.stamps().find(|(n, _)| *n == c.name).map(|(_, s)| s);
            let now = matches!(stamp, Some(Stamp::Now)).then(|| "pg_catalog.now()".to_owned());
            let given = format!("pg_catalog.substr(s._given, {}, 1) = '1'", i + 1);
            broken.extend(self.breaks(i, c, &given, &cell));
            let default = match &c.default {
                _ if now.is_some() => now.clone().unwrap_or_default(),
                Some(default) if !is_numbered(c) => format!("({default})"),
                _ => "NULL".into(),
            };
            let inserted = if stage.used[i] {
                format!(
                    "CASE WHEN {given} THEN {cell} ELSE {default}::{} END",
                    c.base_type_sql
                )
            } else {
                format!("{default}::{}", c.base_type_sql)
            };
            let fixed = config.natural_key.contains(&c.name)
                || config.immutable_fields.contains(&c.name)
                || !stage.used[i];
            let updated = match now {
                Some(now) => now,
                None if config.soft_delete.column() == Some(c.name.as_str()) => {
                    differs.push(format!("t.{name} IS NOT NULL"));
                    "NULL".into()
                }
                None if fixed => format!("t.{name}"),
                None => {
                    let wins = if replace {
                        given
                    } else {
                        format!("{cell} IS NOT NULL")
                    };
                    differs.push(format!(
                        "({wins} AND {} IS DISTINCT FROM {})",
                        c.staged_text("s"),
                        c.text("t")
                    ));
                    format!("CASE WHEN {wins} THEN {cell} ELSE t.{name} END")
                }
            };
            // A generated column follows from the others, in the outer query.
            values.push(match c.generation {
                Some(_) => format!("NULL::{} AS {name}", c.base_type_sql),
                None => format!(
                    "CASE WHEN {exists} THEN {updated} ELSE {inserted} END::{} AS {name}",
                    c.base_type_sql
                ),
            });
        }
        let changed = match differs.is_empty() {
            true => "t.tableoid IS NULL".to_owned(),
            false => format!("(t.tableoid IS NULL OR {})", differs.join(" OR ")),
        };
        let outer: Vec<String> = table
            .columns
            .iter()
            .map(|c| match &c.generation {
                Some(expression) => format!("({expression})"),
                None => Ident(&c.name).to_string(),
            })
            .collect();
        let mut joins = format!(
            "{} s LEFT JOIN {} t ON {}",
            stage.sql_name(),
            table.name,
            stage.keys_equal()
        );
        let mut conditions: Vec<String> = table
            .key(&config.natural_key)
            .iter()
            .map(|(c, _)| format!("s.{} IS NOT NULL", c.staged()))
            .collect();
        let mut good = "s._findings IS NULL".to_owned();
        if !broken.is_empty() {
            good += &format!(" AND ({}) IS NOT TRUE", broken.join(" OR "));
        }
        if stage.findings {
            good += &format!(
                " AND NOT EXISTS (SELECT FROM pg_temp.loader_findings v WHERE v._t = {} AND v._n = s._n)",
                stage.number()
            );
        }
        if stage.duplicates {
            joins += &format!(" LEFT JOIN {} d ON d._n = s._n", stage.duplicates_name());
            if config.on_duplicate == OnDuplicate::Last {
                conditions.push(
                    "(d._n IS NULL OR s._n = CASE WHEN d.variants = 1 THEN d.first ELSE d.last END)".into(),
                );
            } else {
                conditions.push("(d._n IS NULL OR s._n = d.first)".into());
                good += " AND coalesce(d.variants, 1) = 1";
            }
        }
        conditions.push(match (config.update_strategy, config.conflict_resolution) {
            (Strategy::InsertOnly, _) | (Strategy::Upsert, Resolution::Skip) => {
                "t.tableoid IS NULL".into()
            }
            (Strategy::UpdateOnly, Resolution::Skip) => "false".into(),
            (Strategy::UpdateOnly, _) => exists.into(),
            (Strategy::Upsert, _) => "true".into(),
        });
        let order = match config.soft_delete.column() {
            Some(mark) => format!("s._n, t.{} IS NULL DESC", Ident(mark)),
            None => "s._n".into(),
        };
        let sql = format!(
            "INSERT INTO {} SELECT {N}, {NEW}, {CHANGED}, {GOOD}, {} FROM (\
               SELECT DISTINCT ON (s._n) s._n AS {N}, t.tableoid IS NULL AS {NEW}, {changed} AS {CHANGED}, ({good}) AS {GOOD}, {} \
               FROM {joins} WHERE {} ORDER BY {order}) x",
            self.sql_name(),
            outer.join(", "),
            values.join(", "),
            conditions.join(" AND "),
        );
        snapshot
            .session
            .run(&self.doing("working out what would become of"), &sql)
            .await
    }

    /// When a record that is staged as `s` is left out for what [`crate::decide`] will say about one
    /// column: its null, or a change of an immutable one.
    fn breaks(&self, i: usize, c: &Column, given: &str, cell: &str) -> Option<String> {
        let config = self.stage.config;
        if config.natural_key.contains(&c.name)
            || config.soft_delete.column() == Some(c.name.as_str())
        {
            return None;
        }
        let (absent, exists) = ("t.tableoid IS NULL", "t.tableoid IS NOT NULL");
        let immutable = config.immutable_fields.contains(&c.name);
        let mut when = Vec::new();
        if self.stage.used[i] && c.not_null {
            when.push(format!("{absent} AND {given} AND {cell} IS NULL"));
            if !immutable && config.conflict_resolution == Resolution::Replace {
                when.push(format!("{exists} AND {given} AND {cell} IS NULL"));
            }
        }
        if self.stage.used[i] && immutable && config.on_immutable != OnImmutable::Keep {
            when.push(format!(
                "{exists} AND {cell} IS NOT NULL AND {} IS DISTINCT FROM {}",
                c.staged_text("s"),
                c.text("t")
            ));
        }
        if c.required() && !config.is_stamp(&c.name) {
            when.push(match self.stage.used[i] {
                true => format!("{absent} AND NOT {given}"),
                false => absent.to_owned(),
            });
        }
        (!when.is_empty()).then(|| when.join(" OR "))
    }

    /// Adds findings: `select` yields record, field, given value and message.
    async fn find(&self, session: &Session, kind: &str, select: &str) -> Result<u64> {
        let sql = format!(
            "INSERT INTO pg_temp.loader_findings (_t, _n, kind, field, given, message) \
             SELECT {}, x.n, '{kind}', x.field, x.given, x.message FROM ({select}) x(n, field, given, message)",
            self.stage.number()
        );
        session.execute(&self.doing("checking"), &sql).await
    }

    async fn checks(&self, session: &Session) -> Result<u64> {
        let mut found = 0;
        for check in &self.stage.table.checks {
            let expression = &check.expression;
            let message = format!(
                "the check constraint {} does not hold: {expression}",
                check.name
            );
            let all = format!(
                "SELECT {N}, NULL::text, NULL::text, {}::text FROM {} WHERE {GOOD} AND {CHANGED} AND ({expression}) IS FALSE",
                Literal(&message),
                self.sql_name()
            );
            let attempt = format!("SELECT pg_catalog.count(*) FROM ({all}) x");
            let works = format!(
                "SELECT pg_temp.loader_try({})::int4::int8",
                Literal(&attempt)
            );
            let select = if session.number(&self.doing("checking"), &works).await? == 1 {
                all
            } else {
                format!(
                    "SELECT r.n, NULL::text, NULL::text, {}::text || ' (' || r.why || ')' \
                     FROM pg_temp.loader_check_rows({}, {}) r",
                    Literal(&message),
                    Literal(&self.sql_name()),
                    Literal(expression)
                )
            };
            found += self.find(session, "check_failed", &select).await?;
        }
        Ok(found)
    }

    async fn unique(&self, session: &Session) -> Result<u64> {
        let mut found = 0;
        for index in &self.unique {
            found += self.unique_index(session, index).await?;
        }
        Ok(found)
    }

    /// Rows that would hold a value of a unique index which another row holds, or would hold.
    async fn unique_index(&self, session: &Session, index: &UniqueIndex) -> Result<u64> {
        let table = self.stage.table;
        let keys: Vec<String> = index
            .keys_sql
            .iter()
            .enumerate()
            .map(|(i, k)| format!("({k}) AS k{i}"))
            .collect();
        let predicate = index.predicate.as_deref().unwrap_or("true");
        let not_null = match index.nulls_not_distinct {
            true => "true".to_owned(),
            false => (0..keys.len())
                .map(|i| format!("k{i} IS NOT NULL"))
                .collect::<Vec<_>>()
                .join(" AND "),
        };
        let natural = table.key(&self.stage.config.natural_key);
        let natural_columns: Vec<String> = natural
            .iter()
            .map(|(c, _)| format!("{} AS {}", Ident(&c.name), c.staged()))
            .collect();
        let (keys, natural_columns) = (keys.join(", "), natural_columns.join(", "));
        let after = format!(
            "(SELECT * FROM (SELECT {N} AS n, {NEW} AS new, {GOOD} AND {CHANGED} AS written, {keys}, {natural_columns} \
             FROM {} WHERE ({predicate})) x WHERE {not_null})",
            self.sql_name()
        );
        let now = format!(
            "(SELECT * FROM (SELECT {keys}, {natural_columns} FROM {} WHERE ({predicate})) x WHERE {not_null})",
            table.name
        );
        let equal = |left: &str, right: &str| -> String {
            let parts: Vec<String> = index
                .equality
                .iter()
                .enumerate()
                .map(|(i, eq)| {
                    let collate = eq.collation.as_ref().map(|c| format!(" COLLATE {c}"));
                    let collate = collate.unwrap_or_default();
                    let same = format!(
                        "{left}.k{i}{collate} OPERATOR({}.{}) {right}.k{i}",
                        Ident(&eq.schema),
                        eq.operator
                    );
                    match index.nulls_not_distinct {
                        true => format!("({same} OR {left}.k{i} IS NULL AND {right}.k{i} IS NULL)"),
                        false => same,
                    }
                })
                .collect();
            parts.join(" AND ")
        };
        let same_row = |left: &str, right: &str| -> String {
            let parts: Vec<String> = natural
                .iter()
                .map(|(c, eq)| {
                    let collate = eq.collation.as_ref().map(|c| format!(" COLLATE {c}"));
                    format!(
                        "{left}.{cell}{} OPERATOR({}.{}) {right}.{cell}",
                        collate.unwrap_or_default(),
                        Ident(&eq.schema),
                        eq.operator,
                        cell = c.staged()
                    )
                })
                .collect();
            parts.join(" AND ")
        };
        let values = |alias: &str| {
            let parts: Vec<String> = (0..index.keys_sql.len())
                .map(|i| format!("coalesce({alias}.k{i}::text, 'null')"))
                .collect();
            format!("pg_catalog.concat_ws(', ', {})", parts.join(", "))
        };
        let name_of = |alias: &str| {
            let parts: Vec<String> = natural
                .iter()
                .map(|(c, _)| {
                    format!(
                        "{} || '=' || {alias}.{}::text",
                        Literal(&c.name),
                        c.staged()
                    )
                })
                .collect();
            format!("pg_catalog.concat_ws(', ', {})", parts.join(", "))
        };
        // A row that this plan changes frees its value for an insert, which comes later, but for
        // another update only where the constraint waits for the end.
        let freed = if index.immediate {
            "a.new AND NOT b.new"
        } else {
            "true"
        };
        let all = format!(
            "(SELECT {NEW} AS new, {natural_columns} FROM {})",
            self.sql_name()
        );
        let select = format!(
            "WITH a AS MATERIALIZED {after} \
             SELECT a.n, {field}, {given}, 'the unique key {index} would hold this value twice: ' || o.who FROM a, LATERAL (\
               SELECT min(who) FROM (\
                 SELECT 'also in the record for ' || {who_b} FROM a b WHERE b.n <> a.n AND {equal_ab} \
                 UNION ALL \
                 SELECT 'the row ' || {who_t} || ' has it' FROM {now} t WHERE {equal_at} AND NOT ({same_at}) \
                   AND NOT EXISTS (SELECT FROM {all} b WHERE {same_bt} AND ({freed}))) w(who)) o(who) \
             WHERE a.written AND o.who IS NOT NULL",
            field =
                match index.columns.as_slice() {
                    [number] => table.column_by_number(*number).map_or(
                        "NULL::text".to_owned(),
                        |c| format!("{}::text", Literal(&c.name))
                    ),
                    _ => "NULL::text".into(),
                },
            given = values("a"),
            index = index.name.replace('\'', "''"),
            who_b = name_of("b"),
            who_t = name_of("t"),
            equal_ab = equal("a", "b"),
            equal_at = equal("a", "t"),
            same_at = same_row("a", "t"),
            same_bt = same_row("b", "t"),
        );
        self.find(session, "unique_conflict", &select).await
    }

    async fn parents(&self, session: &Session, all: &[After<'_>]) -> Result<u64> {
        let mut found = 0;
        for key in &self.stage.table.foreign_keys {
            found += self.parent(session, key, all).await?;
        }
        Ok(found)
    }

    /// Rows that would refer to a row which is neither there nor brought by this plan.
    async fn parent(&self, session: &Session, key: &ForeignKey, all: &[After<'_>]) -> Result<u64> {
        let columns: Vec<&Column> = key
            .columns
            .iter()
            .filter_map(|c| self.stage.table.column(c))
            .collect();
        let given: Vec<String> = columns
            .iter()
            .map(|c| format!("a.{} IS NOT NULL", Ident(&c.name)))
            .collect();
        let equal: Vec<String> = key
            .columns
            .iter()
            .zip(&key.parent_columns)
            .zip(&key.equality)
            .map(|((child, parent), (schema, operator))| {
                format!(
                    "p.{} OPERATOR({}.{operator}) a.{}",
                    Ident(parent),
                    Ident(schema),
                    Ident(child)
                )
            })
            .collect();
        let equal = equal.join(" AND ");
        let provider = all.iter().find(|p| p.stage.table.name == key.parent);
        let in_plan = match provider {
            Some(p) => {
                let counts = match p.stage.config.on_invalid {
                    // A record that blocks the plan has to be mended, and will then be there.
                    OnInvalid::Block => "true",
                    OnInvalid::Reject => GOOD,
                };
                format!(
                    " AND NOT EXISTS (SELECT FROM {} p WHERE {equal} AND {counts})",
                    p.sql_name()
                )
            }
            None => String::new(),
        };
        let value: Vec<String> = columns.iter().map(|c| c.text("a")).collect();
        let what = format!(
            "no row of {} has {} = ",
            key.parent.name,
            key.parent_columns.join(", ")
        );
        let field = match key.columns.as_slice() {
            [one] => format!("{}::text", Literal(one)),
            _ => "NULL::text".into(),
        };
        let select = format!(
            "SELECT a.{N}, {field}, {value}, {what} || {value} || {where_} FROM {after} a \
             WHERE a.{GOOD} AND a.{CHANGED} AND {given} \
               AND NOT EXISTS (SELECT FROM {parent} p WHERE {equal}){in_plan}",
            value = format!("pg_catalog.concat_ws(', ', {})", value.join(", ")),
            what = Literal(&what),
            where_ = Literal(&format!(
                ", neither in the database nor among the records of this plan that can be loaded ({})",
                key.name
            )),
            after = self.sql_name(),
            given = given.join(" AND "),
            parent = key.parent,
        );
        self.find(session, "missing_parent", &select).await
    }

    /// Records with findings are no longer good.
    async fn spoil(&self, session: &Session) -> Result<()> {
        let sql = format!(
            "UPDATE {} a SET {GOOD} = false FROM pg_temp.loader_findings v WHERE v._t = {} AND v._n = a.{N} AND a.{GOOD}",
            self.sql_name(),
            self.stage.number()
        );
        session
            .execute(&self.doing("checking"), &sql)
            .await
            .map(drop)
    }
}

/// Asks about all tables, parents first, until nothing new is found: what is left out takes with it
/// what depends on it. Returns the numbers of the tables with findings.
///
/// # Errors
/// [`crate::Error::Database`].
pub async fn run(snapshot: &Snapshot<'_>, all: &[After<'_>]) -> Result<Vec<usize>> {
    let session = snapshot.session;
    let mut tables = Vec::new();
    for after in all {
        after.fill(snapshot).await?;
    }
    for after in all {
        let found = after.checks(session).await? + after.unique(session).await?;
        if found > 0 {
            after.spoil(session).await?;
            tables.push(after.stage.number());
        }
    }
    loop {
        let mut found = 0;
        for after in all {
            let here = after.parents(session, all).await?;
            if here > 0 {
                after.spoil(session).await?;
                tables.push(after.stage.number());
            }
            found += here;
        }
        if found == 0 {
            return Ok(tables);
        }
    }
}

/// The tables that checks read beside the batch's own, to be locked with them.
pub fn parents(tables: &[Table]) -> impl Iterator<Item = &crate::ident::Qualified> {
    let own = move |name: &crate::ident::Qualified| tables.iter().any(|t| t.name == *name);
    tables
        .iter()
        .flat_map(|t| &t.foreign_keys)
        .map(|k| &k.parent)
        .filter(move |name| !own(name))
}
