//! What would go wrong at apply: check constraints, unique keys and foreign keys, asked of
//! PostgreSQL for all rows at once, on the rows as they would be.

mod fill;
mod references;
mod rules;
mod unique;

use crate::error::Result;
use crate::pg::Session;
use crate::pg::plan::compare::Snapshot;
use crate::pg::plan::stage::Stage;
use crate::sql::ident::Ident;
use crate::table::config::{OnDuplicate, OnImmutable, OnInvalid, Stamp, TableConfig};
use crate::table::schema::{Column, Identity, Table, UniqueIndex};

/// A table's rows as they would be, where anything has to be asked about them.
///
/// The temporary table has the table's own column names, so that its expressions hold there, and
/// the loader's, named below.
pub struct After<'a> {
    stage: &'a Stage<'a>,
    /// Unique indexes and exclusion constraints that the batch can violate.
    unique: Vec<&'a UniqueIndex>,
    /// For each column, whether a new row's value is not known where no record gives it.
    unknown: Vec<bool>,
}

/// The record.
const N: &str = "\"loader n\"";
/// The row is inserted.
const NEW: &str = "\"loader new\"";
/// The row is written.
const CHANGED: &str = "\"loader changed\"";
/// An update changes a column of a foreign key: apply writes it after the inserts.
const REFERS: &str = "\"loader refers\"";
/// That an update is written after the inserts into its table; the last column, set when all are there.
const LATE: &str = "\"loader late\"";
/// Every given value has a column's type, so that expressions can be evaluated.
const SOUND: &str = "\"loader sound\"";
/// Nothing was found wrong with the record so far.
const GOOD: &str = "\"loader good\"";
/// The record is not left out: others can rely on its row, and collide with it.
const COUNTS: &str = "\"loader counts\"";
/// Which columns the record gave.
const GIVEN: &str = "\"loader given\"";
/// The row that it updates.
const TABLE: &str = "\"loader table\"";
const ROW: &str = "\"loader row\"";

/// Reports each row for which an expression is false or fails, one by one: only where asking for
/// all at once failed. That something may not be asked is no fault of a row.
const PREPARE: &str = "\
CREATE FUNCTION pg_temp.loader_check_rows(of text, condition text, expression text) RETURNS TABLE (n bigint, why text)
LANGUAGE plpgsql AS $loader$
DECLARE holds bool;
BEGIN
  FOR n IN EXECUTE 'SELECT \"loader n\" FROM ' || of || ' WHERE ' || condition LOOP
    BEGIN
      EXECUTE 'SELECT (' || expression || ') FROM ' || of || ' WHERE \"loader n\" = $1' INTO holds USING n;
      IF holds IS FALSE THEN why := NULL; RETURN NEXT; END IF;
    EXCEPTION WHEN insufficient_privilege THEN RAISE;
      WHEN OTHERS THEN why := SQLERRM; RETURN NEXT;
    END;
  END LOOP;
END $loader$;
";

/// Makes the temporary tables for what has to be checked, before the snapshot begins.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn prepare<'a>(session: &Session, stages: &'a [Stage<'a>]) -> Result<Vec<After<'a>>> {
    session.run("preparing checks", PREPARE).await?;
    let mut all = Vec::new();
    for stage in stages {
        let table = stage.table;
        let refers = |other: &Stage<'_>| {
            let mut keys = other.table.foreign_keys.iter();
            keys.any(|k| k.parent == table.name)
        };
        let unique = unique::that_can_collide(stage);
        let asked = !table.checks.is_empty()
            || !unique.is_empty()
            || !table.foreign_keys.is_empty()
            || !table.referrers.is_empty()
            || table
                .columns
                .iter()
                .any(|c| c.domain || c.generation.is_some())
            || stages.iter().any(refers);
        if asked {
            let after = After {
                stage,
                unique,
                unknown: Vec::new(),
            };
            let columns: Vec<String> = table.columns.iter().map(definition).collect();
            let sql = format!(
                "CREATE TEMPORARY TABLE {bare} ({N} bigint PRIMARY KEY, {NEW} bool, {CHANGED} bool, {REFERS} bool, \
                 {SOUND} bool, {GOOD} bool, {COUNTS} bool, {GIVEN} text, {TABLE} oid, {ROW} tid, {}, {LATE} bool NOT NULL DEFAULT false)",
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

fn definition(column: &Column) -> String {
    let collate = column.collation.as_ref().map(|c| format!(" COLLATE {c}"));
    format!(
        "{} {}{}",
        Ident(&column.name),
        column.base_type_sql,
        collate.unwrap_or_default()
    )
}

/// Asks about all tables, parents first, until nothing new is found: what is left out takes with it
/// what depends on it, and does not make room for others. Returns the numbers of the tables with findings.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn run(snapshot: &Snapshot<'_>, all: &mut [After<'_>]) -> Result<Vec<usize>> {
    let session = snapshot.session;
    let mut tables = Vec::new();
    for after in all.iter_mut() {
        let found = after.fill(session).await? + after.rules(session).await?;
        after.spoil(session, found, &mut tables).await?;
    }
    let all = &*all;
    for after in all {
        after.late(session, all).await?;
    }
    let leaves_out = all.iter().any(|a| leaves_out(a.stage.config));
    let mut again = false;
    loop {
        let mut found = 0;
        for after in all {
            let mut here = after.parents(session, all, again).await?;
            after.spoil(session, here, &mut tables).await?;
            let more =
                after.unique(session, again).await? + after.children(session, all, again).await?;
            after.spoil(session, more, &mut tables).await?;
            here += more;
            found += here;
        }
        if found == 0 || !leaves_out {
            return Ok(tables);
        }
        again = true;
    }
}

fn leaves_out(config: &TableConfig) -> bool {
    config.on_invalid == OnInvalid::Reject
        || config.on_duplicate == OnDuplicate::Reject
        || config.on_immutable == OnImmutable::Reject
}

impl After<'_> {
    fn bare_name(&self) -> String {
        format!("loader_after_{}", self.stage.number())
    }

    fn sql_name(&self) -> String {
        format!("pg_temp.{}", self.bare_name())
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} the records of table {}", self.stage.name)
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

    /// Whether a statement runs without an error.
    async fn works(&self, session: &Session, statement: &str) -> Result<bool> {
        let sql = format!(
            "SELECT pg_temp.loader_try({})::int4::int8",
            crate::sql::ident::Literal(statement)
        );
        Ok(session.number(&self.doing("checking"), &sql).await? == 1)
    }

    /// Where something was `found`: records with findings are no longer good, and do not count
    /// where findings leave them out.
    async fn spoil(&self, session: &Session, found: u64, tables: &mut Vec<usize>) -> Result<()> {
        if found == 0 {
            return Ok(());
        }
        tables.push(self.stage.number());
        let counts = match self.stage.config.on_invalid {
            OnInvalid::Block => COUNTS,
            OnInvalid::Reject => "false",
        };
        let sql = format!(
            "UPDATE {} a SET {GOOD} = false, {COUNTS} = {counts} FROM pg_temp.loader_findings v \
             WHERE v._t = {} AND v._n = a.{N} AND a.{GOOD}",
            self.sql_name(),
            self.stage.number()
        );
        session
            .execute(&self.doing("checking"), &sql)
            .await
            .map(drop)
    }

    /// Finds the updates that are written after the inserts into their table: those that begin to
    /// refer to a row which is inserted there, or later (see `pg::apply`).
    async fn late(&self, session: &Session, all: &[After<'_>]) -> Result<()> {
        if self.unique.is_empty() {
            return Ok(());
        }
        for key in &self.stage.table.foreign_keys {
            let later = |p: &&After<'_>| {
                p.stage.table.name == key.parent && p.stage.number() >= self.stage.number()
            };
            for p in all.iter().filter(later) {
                let sql = format!(
                    "UPDATE {} a SET {LATE} = true FROM {} p WHERE a.{REFERS} AND p.{NEW} AND p.{COUNTS} AND {}",
                    self.sql_name(),
                    p.sql_name(),
                    references::equal(key, "p", "a")
                );
                session.run(&self.doing("checking"), &sql).await?;
            }
        }
        Ok(())
    }

    /// Whether an update of this batch can change a column.
    fn moves(&self, column: &str) -> bool {
        let config = self.stage.config;
        let mut columns = self.stage.table.columns.iter().zip(&self.stage.used);
        columns.any(|(c, used)| {
            c.name == column && (*used || c.generation.is_some() || config.is_stamp(column))
        }) && !config.natural_key.iter().any(|k| k == column)
            && !config.immutable_fields.iter().any(|k| k == column)
    }
}

/// Whether the database gives each new row another value.
fn is_numbered(column: &Column) -> bool {
    column.identity != Identity::None
        || column
            .default
            .as_ref()
            .is_some_and(|d| d.contains("nextval(") || d.contains("uuid"))
}

/// Whether apply sets the column to what is not known yet.
fn is_foreign_stamp(config: &TableConfig, column: &Column) -> bool {
    let mut stamps = config.stamps();
    stamps.any(|(name, stamp)| name == column.name && stamp != Stamp::Now)
}

/// The tables that checks read beside the batch's own, to be locked with them.
pub fn parents(tables: &[Table]) -> impl Iterator<Item = &crate::sql::ident::Qualified> {
    let own = move |name: &crate::sql::ident::Qualified| tables.iter().any(|t| t.name == *name);
    tables
        .iter()
        .flat_map(|t| &t.foreign_keys)
        .map(|k| &k.parent)
        .filter(move |name| !own(name))
}
