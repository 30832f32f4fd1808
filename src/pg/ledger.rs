//! The ledger: which plans were applied, when, by whom, and which are taken back.

mod changes;
mod in_part;
mod referring;
mod undoable;

use crate::pg::own::Own;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::plan::LedgerTable;
use crate::sql::{Literal, Statement, Values};
use crate::text::escape;

pub(in crate::pg) use changes::changes;
pub use in_part::{UndoneRows, counts};
pub use referring::find_referring;
#[cfg(test)]
pub(in crate::pg) use referring::list as list_referring;
pub use undoable::{later_loads, loads, undoable};

/// One application of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Application {
    /// Its random id.
    pub application: String,
    /// The plan's hash.
    pub plan_hash: String,
    /// `load` or `rollback`.
    pub kind: String,
    /// The batch.
    pub batch_id: String,
    /// Who applied it.
    pub actor: String,
    /// When, in UTC.
    pub applied_at: String,
    /// The applications that it took back: all that was still to be undone of them.
    pub undoes: Vec<String>,
    /// The applications of which it took back some rows and left others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undoes_in_part: Vec<String>,
    /// Its tables, in dependency order.
    pub tables: Vec<LedgerTable>,
    /// Records read for its plan.
    pub records: u64,
    /// Records that were left out.
    pub rejected: u64,
    /// The application that took it back, where one did and was not taken back itself.
    pub undone_by: Option<String>,
    /// The applications that took back some of its rows, newest first; where it is taken back as a whole, those that
    /// did before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone_in_part_by: Vec<String>,
    /// How many of its rows these took back, by table, where others are left.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub undone_rows: BTreeMap<String, u64>,
}

/// Whether taking an application back brings again what an earlier rollback had taken back: of a load it does not, of the
/// rollback of one it does, of that rollback's rollback it does not, and so on.
pub fn brings_back(all: &[Application], application: &Application) -> bool {
    let took_back = application.takes_back().next();
    let took_back = took_back.and_then(|id| all.iter().find(|a| a.application == *id));
    took_back.is_some_and(|a| !brings_back(all, a))
}

impl Application {
    /// How many rows it changed.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|t| t.counts.changes()).sum()
    }

    /// `undone in part: 3 of 120 rows`, where it is.
    pub fn in_part(&self) -> Option<String> {
        let undone: u64 = self.undone_rows.values().sum();
        (undone > 0).then(|| format!("undone in part: {undone} of {} rows", self.rows()))
    }
}

/// The application of a plan that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// It.
    pub application: Application,
    /// What took it back, where something did and was not taken back itself.
    pub undone: Option<Application>,
}

impl Latest {
    /// That of the plan with this hash among `all`, which are newest first: the one in effect, or else the newest.
    pub fn of(plan_hash: &str, all: &[Application]) -> Option<Latest> {
        let mut of_plan = all.iter().filter(|a| a.plan_hash == plan_hash);
        let newest = of_plan.clone().next()?;
        let application = of_plan.find(|a| a.undone_by.is_none()).unwrap_or(newest);
        let undone = application.undone_by.as_ref();
        Some(Latest {
            application: application.clone(),
            undone: undone.and_then(|by| all.iter().find(|a| a.application == *by).cloned()),
        })
    }

    /// Whether its rows are there.
    pub fn in_effect(&self) -> bool {
        self.application.undone_by.is_none()
    }
}

/// When it was applied and by whom, and when it was rolled back and by whom.
impl fmt::Display for Latest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Application {
            applied_at,
            actor,
            application,
            ..
        } = &self.application;
        let actor = escape(actor);
        write!(
            f,
            "applied at {applied_at} by {actor} (application {application})"
        )?;
        match &self.undone {
            None => match self.application.in_part() {
                Some(in_part) => write!(f, " and {in_part}"),
                None => Ok(()),
            },
            Some(by) => write!(
                f,
                " and rolled back at {} by {}",
                by.applied_at,
                escape(&by.actor)
            ),
        }
    }
}

/// The applications of one batch, and what took them back, or those of all batches, newest first.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn applications(
    session: &Session,
    schema: &str,
    batch_id: Option<&str>,
) -> Result<Vec<Application>> {
    let rows = session.rows(&list(schema, batch_id)).await?;
    let mut all: Vec<Application> = rows
        .iter()
        .map(|row| {
            // The sort of a ledger that another version wrote: better no answer than half of one.
            let tables = serde_json::from_str(row.text(7)?).map_err(|e| {
                Error::config(format!(
                    "the ledger {} holds entries that this version does not read: {e}",
                    Own::Ledger.shown(schema)
                ))
            })?;
            Ok(Application {
                application: row.text(0)?.to_owned(),
                plan_hash: row.text(1)?.to_owned(),
                kind: row.text(2)?.to_owned(),
                batch_id: row.text(3)?.to_owned(),
                actor: row.text(4)?.to_owned(),
                applied_at: row.text(5)?.to_owned(),
                undoes: words(row.text(6)?),
                tables,
                records: row.parsed(8)?,
                rejected: row.parsed(9)?,
                undoes_in_part: words(row.text(10)?),
                undone_by: None,
                undone_in_part_by: Vec::new(),
                undone_rows: BTreeMap::new(),
            })
        })
        .collect::<Result<_>>()?;
    mark_undone(&mut all);
    if let Some(batch_id) = batch_id {
        retain_batch(&mut all, batch_id);
    }
    let undone = UndoneRows::new(&all);
    if !undone.is_empty() {
        for row in session.rows(&undone.count(schema)).await? {
            let of = row.text(0)?;
            for application in all.iter_mut().filter(|a| a.application == of) {
                let (table, rows) = (row.text(1)?.to_owned(), row.parsed(2)?);
                application.undone_rows.insert(table, rows);
            }
        }
    }
    Ok(all)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Leaves the applications of a batch and those that take some of them back. `all` is newest first.
fn retain_batch(all: &mut Vec<Application>, batch_id: &str) {
    let own = all.iter().filter(|a| a.batch_id == batch_id);
    let mut of_batch: BTreeSet<String> = own.map(|a| a.application.clone()).collect();
    for application in all.iter().rev() {
        if application.takes_back().any(|of| of_batch.contains(of)) {
            of_batch.insert(application.application.clone());
        }
    }
    all.retain(|a| of_batch.contains(&a.application));
}

pub(in crate::pg) fn list(schema: &str, batch_id: Option<&str>) -> Statement {
    let mut values = Values::default();
    let only = batch_id.map_or_else(String::new, |batch_id| {
        // Rows of one batch may be taken back with another.
        format!(
            "WHERE batch_id = {} OR kind = 'rollback'",
            values.text(batch_id)
        )
    });
    let sql = format!(
        "SELECT application::text, plan_hash, kind, batch_id, actor, applied_at::text, \
         pg_catalog.array_to_string(undoes, ' '), tables::text, records::text, rejected::text, \
         pg_catalog.array_to_string(coalesce(undoes_in_part, '{{}}'), ' ') \
         FROM {} {only} ORDER BY sequence DESC",
        Own::Ledger.within(schema)
    );
    Statement::with("reading the ledger", sql, values)
}

/// The ids of the applications that are taken back, and which of the others are in part.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn undone(session: &Session, schema: &str) -> Result<(Vec<String>, UndoneRows)> {
    let sql = format!(
        "SELECT application::text, pg_catalog.array_to_string(undoes, ' '), \
           pg_catalog.array_to_string(coalesce(undoes_in_part, '{{}}'), ' ') \
         FROM {} WHERE kind = 'rollback' ORDER BY sequence DESC",
        Own::Ledger.within(schema)
    );
    let rows = session
        .rows(&Statement::new("reading the ledger", sql))
        .await?;
    let mut undone: Vec<String> = Vec::new();
    let mut in_part = UndoneRows::default();
    // As in `mark_undone`: whoever takes it back comes first.
    for row in &rows {
        let by = row.text(0)?;
        if undone.iter().any(|id| id == by) {
            continue;
        }
        undone.extend(words(row.text(1)?));
        for of in words(row.text(2)?) {
            in_part.add(by, &of);
        }
    }
    Ok((undone, in_part))
}

/// Marks what is taken back. `all` is newest first: whoever takes an application back is newer
/// than it, so it is decided already whether that still counts.
fn mark_undone(all: &mut [Application]) {
    let mut undone: BTreeMap<String, String> = BTreeMap::new();
    let mut in_part: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for application in all {
        let (id, by) = (&application.application, &application.application);
        application.undone_by = undone.get(id).cloned();
        application.undone_in_part_by = in_part.remove(id).unwrap_or_default();
        if application.undone_by.is_some() {
            continue;
        }
        for of in &application.undoes {
            undone.entry(of.clone()).or_insert_with(|| by.clone());
        }
        for of in &application.undoes_in_part {
            in_part.entry(of.clone()).or_default().push(by.clone());
        }
    }
}

/// The application with this id, if it was committed.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn committed(session: &Session, schema: &str, application: &str) -> Result<bool> {
    let mut values = Values::default();
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {} WHERE application = {}::uuid)",
        Own::Ledger.within(schema),
        values.text(application)
    );
    session
        .holds(&Statement::with("reading the ledger", sql, values))
        .await
}

/// Waits until no apply of this plan is running any more, and keeps others from beginning one until
/// the session ends.
///
/// # Errors
/// [`Locked`](crate::ErrorKind::Locked) while one is; [`Database`](crate::ErrorKind::Database).
pub async fn wait_for_end(session: &Session, doing: &str, plan_hash: &str) -> Result<()> {
    let key = plan_lock(plan_hash);
    let sql = format!("SELECT pg_catalog.pg_advisory_lock({key})");
    session.run(&Statement::new(doing, sql)).await
}

/// Waits until no apply of this plan is running any more.
///
/// # Errors
/// As [`wait_for_end`].
pub async fn wait_until_idle(session: &Session, plan_hash: &str) -> Result<()> {
    let doing = "waiting for a running apply of this plan";
    wait_for_end(session, doing, plan_hash).await?;
    let key = plan_lock(plan_hash);
    let sql = format!("SELECT pg_catalog.pg_advisory_unlock({key})");
    session.run(&Statement::new(doing, sql)).await
}

/// The key of the advisory lock that an apply of this plan holds to its end.
pub fn plan_lock(plan_hash: &str) -> String {
    format!(
        "pg_catalog.hashtextextended({}, 0)",
        Literal(&format!("table-loader {plan_hash}"))
    )
}

/// The key of the advisory lock that every apply in a database holds to its end.
pub const DATABASE_LOCK: i64 = 0x7461_626c_656c_6f61;

#[cfg(test)]
mod tests {
    use super::*;

    fn application(id: &str, undoes: &[&str]) -> Application {
        Application {
            application: id.into(),
            plan_hash: String::new(),
            kind: "load".into(),
            batch_id: "b".into(),
            actor: String::new(),
            applied_at: String::new(),
            undoes: undoes.iter().map(|u| (*u).to_owned()).collect(),
            tables: Vec::new(),
            records: 0,
            rejected: 0,
            undone_by: None,
            undoes_in_part: Vec::new(),
            undone_in_part_by: Vec::new(),
            undone_rows: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_taken_back_may_be_taken_back() {
        let undone = |mut all: Vec<Application>| {
            mark_undone(&mut all);
            let ids = all.into_iter().filter(|a| a.undone_by.is_some());
            ids.map(|a| a.application).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(undone(vec![application("a", &[])]), "");
        let rolled_back = vec![application("r", &["a"]), application("a", &[])];
        assert_eq!(undone(rolled_back), "a");
        let restored = vec![
            application("rr", &["r"]),
            application("r", &["a"]),
            application("a", &[]),
        ];
        assert_eq!(undone(restored), "r");
    }
}
