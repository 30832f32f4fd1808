//! What would go wrong at apply: check constraints, unique keys and foreign keys, asked of
//! PostgreSQL for all rows at once, on the rows as they would be.

mod along;
mod behind;
mod bereft;
mod deleted;
mod fill;
mod follow;
mod marked;
mod older;
mod order;
mod references;
mod rules;
mod unique;

#[cfg(test)]
pub(super) use fill::Generated;
#[cfg(test)]
pub(super) use fill::written_soundly;
#[cfg(test)]
pub(super) use older::Audited;

pub use behind::behind;
pub use marked::to_marked_rows;
pub use older::older;

use crate::error::Result;
use crate::pg::Session;
use crate::pg::near;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::stage::Stage;
use crate::pg::plan::trial;
use crate::pg::stamps;
use crate::plan::ViolationKind;
use crate::sql::{Ident, Literal, Qualified, Statement, Temporary, Values, list};
use crate::table::config::{OnDuplicate, OnImmutable, OnInvalid, OnOlder, Stamp, TableConfig};
use crate::table::schema::{Check, Column, ForeignKey, UniqueIndex};
use crate::table::target::Target;

/// A table's rows as they would be, where anything has to be asked about them.
///
/// The temporary table has the table's own column names, so that its expressions hold there, and
/// the loader's, named below.
pub struct After<'a> {
    stage: &'a Stage<'a>,
    target: &'a Target,
    /// Unique indexes and exclusion constraints that the batch can violate.
    unique: Vec<&'a UniqueIndex>,
    /// For each column, whether a new row's value is not known where no record gives it.
    unknown: Vec<bool>,
    /// The new rows of these columns, by index, cannot hold the default.
    misfits: Vec<usize>,
    /// Whether the plan has records of other tables.
    others: bool,
}

/// The record.
const N: &str = "\"loader n\"";
/// The row is inserted.
const NEW: &str = "\"loader new\"";
/// The row is written.
const CHANGED: &str = "\"loader changed\"";
/// An update changes a column of a foreign key.
const REFERS: &str = "\"loader refers\"";
/// What is done to the row: [`Write`](crate::pg::order::Write).
const WRITE: &str = "\"loader write\"";
/// Its turn, where it is written in one; 0 where it cannot be put in order.
const TURN: &str = "\"loader turn\"";
/// Every given value has a column's type, so that expressions can be evaluated.
const SOUND: &str = "\"loader sound\"";
/// Nothing was found wrong with the record so far.
const VALID: &str = "\"loader valid\"";
/// The record is not left out: others can rely on its row, and collide with it.
const COUNTS: &str = "\"loader counts\"";
/// The row that the record names is removed.
const GOES: &str = "\"loader goes\"";
/// Which columns the record gave.
const GIVEN: &str = "\"loader given\"";
/// The row that it updates.
const TABLE: &str = "\"loader table\"";
const ROW: &str = "\"loader row\"";

/// What evaluates what others wrote (checks, defaults, indexes), in the time zone and the styles in which it is when rows
/// are written.
///
/// `loader_check_rows` reports each row for which a statement about it says false or fails, one by one: only where asking
/// for all at once failed. That something may not be asked is no fault of a row. `loader_check` runs a statement, and returns
/// how many rows it touched; null where it fails.
fn evaluating(styles: &str) -> Statement {
    Statement::new("preparing checks", EVALUATING.replace("$styles", styles))
}

const EVALUATING: &str = "\
CREATE FUNCTION pg_temp.loader_check(statement text) RETURNS bigint LANGUAGE plpgsql $styles AS $loader$
DECLARE touched bigint;
BEGIN EXECUTE statement; GET DIAGNOSTICS touched = ROW_COUNT; RETURN touched; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $loader$;
CREATE FUNCTION pg_temp.loader_check_rows(of text, condition text, one text) RETURNS TABLE (n bigint, why text)
LANGUAGE plpgsql $styles AS $loader$
DECLARE holds bool;
BEGIN
  FOR n IN EXECUTE 'SELECT \"loader n\" FROM ' || of || ' WHERE ' || condition LOOP
    BEGIN
      EXECUTE one INTO holds USING n;
      IF holds IS FALSE THEN why := NULL; RETURN NEXT; END IF;
    EXCEPTION WHEN insufficient_privilege THEN RAISE;
      WHEN OTHERS THEN why := SQLERRM; RETURN NEXT;
    END;
  END LOOP;
END $loader$;
";

/// The most values of a check that are shown.
const MOST_READ: usize = 20;

/// Makes the temporary tables for what has to be checked, before the snapshot begins.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn prepare(session: &Session, stages: &[Stage<'_>]) -> Result<()> {
    session.run(&evaluating(&session.styles)).await?;
    session
        .run(&Statement::new(
            "preparing checks",
            crate::pg::order::CREATE,
        ))
        .await?;
    for stage in stages {
        if stage.rows > 0 && (stage.brings || stage.target.mark().is_some()) {
            let known = [
                (Stamp::BatchId, stage.batch_id),
                (Stamp::Now, stamps::MOMENT),
            ];
            for stamp in known {
                stamps::hold(session, stage.target, stage.target.config.stamps(), stamp).await?;
            }
        }
    }
    for after in needed(stages) {
        session.run(&after.create()).await?;
        for index in after.exclusions() {
            session.run(&after.create_excluded(index)).await?;
            // Without it all rows are compared with all, which takes longer.
            trial::works(session, &after.index_excluded(index)).await?;
        }
    }
    near::prepare(session, stages.iter().map(|stage| stage.target)).await
}

/// The tables about which something has to be asked.
pub fn needed<'a>(stages: &'a [Stage<'a>]) -> Vec<After<'a>> {
    let others = |after: &After<'_>| {
        let mut stages = stages.iter();
        stages.any(|s| s.rows > 0 && s.target.place != after.target.place)
    };
    let all = stages.iter().map(|stage| {
        let mut after = After::new(stage);
        after.others = others(&after);
        after
    });
    all.filter(|after| after.is_needed(stages)).collect()
}

/// Asks about all tables, parents first, until nothing new is found: what is left out takes with it
/// what depends on it, and does not make room for others. Returns the numbers of the tables with findings.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn run(snapshot: &Snapshot<'_>, all: &mut [After<'_>]) -> Result<Vec<usize>> {
    let session = snapshot.session;
    let mut tables = Vec::new();
    if all.iter().any(|after| after.stage.findings) {
        session.run(&analyze_findings()).await?;
    }
    for after in all.iter_mut() {
        let found = after.fill(session).await? + after.rules(session).await?;
        after.mark_invalid(session, found, &mut tables).await?;
        for key in after.target.foreign_keys() {
            key.near_parents(&after.written()).bring(session).await?;
        }
    }
    along::take_along(session, all).await?;
    let all = &*all;
    order::find(session, all).await?;
    let leaves_out = all.iter().any(|a| leaves_out(&a.target.config));
    let mut asked = Asked::First;
    loop {
        let mut found = 0;
        for after in all {
            let mut here = after.parents(session, all, asked).await?;
            after.mark_invalid(session, here, &mut tables).await?;
            let mut more = after.unique(session, asked).await?;
            more += after.children(session, all, asked).await?;
            more += after.still_referred(session, all, asked).await?;
            after.mark_invalid(session, more, &mut tables).await?;
            here += more;
            found += here;
        }
        if found == 0 || !leaves_out {
            return Ok(tables);
        }
        asked = Asked::Again;
    }
}

/// Whether rows are asked about for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Asked {
    /// All rows are.
    First,
    /// Only rows with which nothing was wrong before are, because others were left out since.
    Again,
}

impl Asked {
    /// The condition that row `a` is asked about.
    fn about(self, alias: &str) -> String {
        match self {
            Asked::First => "true".into(),
            Asked::Again => format!("{alias}.{VALID}"),
        }
    }
}

/// A natural key with its values, for people, as SQL. Its columns may have collations between which none could be
/// chosen when rows are put in order by it.
fn who<'c>(key: impl IntoIterator<Item = (&'c Column, String)>) -> String {
    let parts = key.into_iter().map(|(column, value)| {
        let name = Literal(&column.name);
        format!("{name} || '=' || coalesce({value}, 'null')")
    });
    format!(
        "pg_catalog.concat_ws(', ', {}) COLLATE pg_catalog.\"default\"",
        list(parts)
    )
}

/// The condition that a row has a foreign key, where not each of its table has.
fn has(key: &ForeignKey) -> Option<String> {
    key.only.as_ref().map(|only| format!("({only})"))
}

/// The tables of the plan in which a row may be to which `key` refers.
fn parents_by<'o, 'a>(
    key: &ForeignKey,
    all: &'o [After<'a>],
) -> impl Iterator<Item = &'o After<'a>> {
    all.iter()
        .filter(|p| p.target.table.shares_rows(key.parent_oid))
}

/// The tables of the plan in which a row may be that refers by `key`.
fn children_by<'o, 'a>(
    key: &ForeignKey,
    all: &'o [After<'a>],
) -> impl Iterator<Item = &'o After<'a>> {
    all.iter()
        .filter(|c| c.target.table.shares_rows(key.child_oid))
}

fn leaves_out(config: &TableConfig) -> bool {
    config.on_invalid == OnInvalid::Reject
        || config.on_duplicate == OnDuplicate::Reject
        || config.on_immutable == OnImmutable::Reject
        || config.on_older == OnOlder::Reject
}

impl<'a> After<'a> {
    pub(in crate::pg) fn new(stage: &'a Stage<'a>) -> After<'a> {
        After {
            stage,
            target: stage.target,
            unique: unique::that_can_collide(stage),
            unknown: stage
                .target
                .table
                .columns
                .iter()
                .map(Column::is_unknown)
                .collect(),
            misfits: Vec::new(),
            others: false,
        }
    }

    /// Whether anything has to be asked about the table, or about others that refer to it.
    fn is_needed(&self, stages: &[Stage<'_>]) -> bool {
        let table = &self.target.table;
        let refers = |other: &Stage<'_>| {
            let mut keys = other.target.foreign_keys();
            keys.any(|k| table.shares_rows(k.parent_oid))
        };
        let mut columns = table.columns.iter();
        !table.checks.is_empty()
            || !self.unique.is_empty()
            || self.target.foreign_keys().next().is_some()
            || self.target.referrers().next().is_some()
            || columns.any(|c| c.domain || c.generation.is_some() || c.may_be_cut())
            || stages.iter().any(refers)
    }

    pub(in crate::pg) fn create(&self) -> Statement {
        let columns = self.target.table.columns.iter();
        let sql = format!(
            "CREATE TEMPORARY TABLE {bare} ({N} bigint PRIMARY KEY, {NEW} bool, {CHANGED} bool, {REFERS} bool, \
             {SOUND} bool, {VALID} bool, {COUNTS} bool, {GOES} bool, {WRITE} smallint, {TURN} int, {GIVEN} text, {TABLE} oid, {ROW} tid, \
             {columns})",
            bare = self.temporary().bare(),
            columns = list(columns.map(|c| c.defined_as(Ident(&c.name)))),
        );
        Statement::new(self.doing("preparing checks of"), sql)
    }

    fn temporary(&self) -> Temporary {
        Temporary {
            what: "after",
            number: self.target.place,
        }
    }

    /// For `FROM`, with its condition: rows `a` that are written.
    fn written(&self) -> String {
        format!("{} a WHERE a.{CHANGED}", self.temporary())
    }

    /// For `FROM`: rows `a` beside the rows `p` that are there now.
    fn now(&self) -> String {
        format!(
            "{} a JOIN {} p ON p.ctid = a.{ROW} AND p.tableoid = a.{TABLE}",
            self.temporary(),
            self.target.table.rows
        )
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} the records of table {}", self.target.name)
    }

    fn checking(&self, sql: String) -> Statement {
        Statement::new(self.doing("checking"), sql)
    }

    async fn tried(&self, session: &Session, statement: &Statement) -> Result<Option<u64>> {
        tried(session, statement).await
    }

    /// Runs a statement that notes findings, and returns how many. Without statistics the planner takes them for
    /// few, and looks at all of them for each record.
    async fn note_all(&self, session: &Session, find: &Statement) -> Result<u64> {
        let found = session.execute(find).await?;
        if found > 0 {
            session.run(&analyze_findings()).await?;
        }
        Ok(found)
    }

    /// Notes findings: `select` yields record, field, given value and message.
    fn find(&self, kind: ViolationKind, select: &str) -> Statement {
        self.note(kind, select, "true")
    }

    /// As [`After::find`], with messages in which no value is quoted.
    fn find_unquoted(&self, kind: ViolationKind, select: &str) -> Statement {
        self.note(kind, select, "false")
    }

    fn note(&self, kind: ViolationKind, select: &str, quotes: &str) -> Statement {
        self.checking(format!(
            "INSERT INTO pg_temp.loader_findings (_t, _n, kind, field, given, message, quotes) \
             SELECT {}, x.n, '{kind}', x.field, x.given, x.message, {quotes} FROM ({select}) x(n, field, given, message)",
            self.target.place
        ))
    }

    /// Notes rows that break a check: `select` yields record, message, and whether that may quote a value. Their
    /// [values](After::show_values) are still missing.
    fn find_broken(&self, select: &str) -> Statement {
        self.checking(format!(
            "INSERT INTO pg_temp.loader_findings (_t, _n, kind, message, quotes, vals) \
             SELECT {place}, x.n, '{kind}', x.message, x.quotes, '' FROM ({select}) x(n, message, quotes)",
            place = self.target.place,
            kind = ViolationKind::CheckFailed,
        ))
    }

    /// Notes the values that a check reads beside the rows that were just found to break it.
    pub(in crate::pg) fn show_values(&self, check: &Check) -> Statement {
        let columns = check.columns.iter();
        let columns = columns.filter_map(|n| self.target.table.column_by_number(*n));
        let columns: Vec<&Column> = columns.take(MOST_READ).collect();
        let (beside, values) = self.shown(&columns, "a");
        let values = columns.iter().zip(values);
        let values = values.map(|(c, value)| format!("{}, {value}", Literal(&c.name)));
        self.checking(format!(
            "UPDATE pg_temp.loader_findings v SET vals = pg_catalog.json_build_object({values})::text FROM {rows} a{beside} \
             WHERE v._t = {place} AND v._n = a.{N} AND v.vals = ''",
            values = list(values),
            rows = self.temporary(),
            place = self.target.place,
        ))
    }

    /// Where something was `found`: records with findings are no longer valid, and do not count
    /// where findings leave them out.
    async fn mark_invalid(
        &self,
        session: &Session,
        found: u64,
        tables: &mut Vec<usize>,
    ) -> Result<()> {
        if found == 0 {
            return Ok(());
        }
        tables.push(self.target.place);
        session.run(&self.set_invalid()).await
    }

    pub(in crate::pg) fn set_invalid(&self) -> Statement {
        let counts = match self.target.config.on_invalid {
            OnInvalid::Block => COUNTS,
            OnInvalid::Reject => "false",
        };
        self.checking(format!(
            "UPDATE {} a SET {VALID} = false, {COUNTS} = {counts} FROM pg_temp.loader_findings v \
             WHERE v._t = {} AND v._n = a.{N} AND a.{VALID}",
            self.temporary(),
            self.target.place
        ))
    }

    /// Whether an update of this batch can change a column.
    fn moves(&self, column: &str) -> bool {
        let config = &self.target.config;
        let mut columns = self.target.table.columns.iter().zip(&self.stage.used);
        columns.any(|(c, used)| {
            c.name == column && (*used || c.generation.is_some() || config.is_stamp(column))
        }) && !config.keeps(column)
    }
}

/// Runs a statement that evaluates what others wrote, where [`evaluating`] says. Returns how many rows it touched;
/// `None` where it fails.
async fn tried(session: &Session, statement: &Statement) -> Result<Option<u64>> {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_temp.loader_check({})",
        values.text(statement.text())
    );
    let tried = Statement::with(statement.doing(), sql, values);
    let row = session.row(&tried).await?;
    match row.get(0) {
        None => Ok(None),
        Some(_) => Ok(Some(row.parsed(0)?)),
    }
}

fn analyze_findings() -> Statement {
    let analyze = "ANALYZE pg_temp.loader_findings (_t, _n, kind)";
    Statement::new("checking the records", analyze)
}

/// Whether apply sets the column to who applies, or a trigger to something, which is not known yet.
fn is_foreign_stamp(config: &TableConfig, column: &Column) -> bool {
    let mut stamps = config.stamps();
    stamps
        .any(|(name, stamp)| name == column.name && matches!(stamp, Stamp::Actor | Stamp::Trigger))
}

/// The tables that checks read beside the batch's own, to be locked with them.
pub fn parents(targets: &[Target]) -> impl Iterator<Item = &Qualified> {
    let own = move |name: &Qualified| targets.iter().any(|t| t.table.name == *name);
    let foreign_keys = targets.iter().flat_map(|t| &t.table.foreign_keys);
    let lookups = targets.iter().flat_map(|t| &t.lookups.all);
    let parents = foreign_keys.map(|k| &k.parent);
    parents
        .chain(lookups.map(|l| &l.relation))
        .filter(move |name| !own(name))
}
