//! What must be so before a plan is staged: it is for this database, and what it takes back is in
//! effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::ledger::{self, Latest, UndoneRows};
use crate::plan::TargetDatabase;
use crate::planfile::PlanFile;

/// Whether the plan is for this database.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) saying what differs.
pub async fn check_target(
    session: &Session,
    target: &TargetDatabase,
    loader_schema: &str,
) -> Result<()> {
    is_target(&session.target(loader_schema).await?, target)
}

/// Whether a plan for `target` is for the database that is `here`.
///
/// # Errors
/// As [`check_target`].
pub fn is_target(here: &TargetDatabase, target: &TargetDatabase) -> Result<()> {
    let differs = [
        ("database", &target.database, &here.database),
        ("server", &target.identity, &here.identity),
        ("lineage", &target.lineage, &here.lineage),
        (
            "schema of the loader's tables",
            &target.loader_schema,
            &here.loader_schema,
        ),
    ];
    match differs.iter().find(|(_, planned, found)| planned != found) {
        None => Ok(()),
        Some((what, planned, found)) => Err(Error::plan_refused(format!(
            "the plan was made for another database: its {what} is {planned}, and this one's is {found}; \
             connect to the database that it was made for, or make a plan for this one"
        ))),
    }
}

/// The latest application of this plan, undone or not.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn applied_before(session: &Session, file: &PlanFile) -> Result<Option<Latest>> {
    let schema = &file.header.target.loader_schema;
    let all = ledger::applications(session, schema, Some(&file.header.batch_id)).await?;
    Ok(Latest::of(&file.hash, &all))
}

/// Why a plan is not applied a second time: it was rolled back, and the approval does not say that it
/// covers that.
#[derive(Debug, thiserror::Error)]
#[error("the plan was {0}; applying it again needs a new approval that names this application")]
pub struct RolledBack(pub Latest);

impl RolledBack {
    /// What `error` was made from, where it is that.
    pub fn of(error: &Error) -> Option<&RolledBack> {
        error.cause()
    }
}

/// Whether an approval covers that the plan was applied before and rolled back: `again` names the
/// application that was, so that it covers this one rollback and no later one.
///
/// # Errors
/// [`NotApproved`](crate::ErrorKind::NotApproved) where it does not.
pub(super) fn covers(again: Option<&str>, before: Option<&Latest>) -> Result<()> {
    match (before, again) {
        (Some(before), again) if again != Some(before.application.application.as_str()) => {
            let refused = RolledBack(before.clone());
            Err(Error::of(ErrorKind::NotApproved, refused))
        }
        (None, Some(other)) => Err(Error::not_approved(format!(
            "the plan was never applied here, and the approval names an application of it ({})",
            crate::text::escape(other)
        ))),
        _ => Ok(()),
    }
}

/// A plan of which some rows were undone is neither applied nor to be applied again.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where some were.
pub fn not_in_part(before: Option<&Latest>) -> Result<()> {
    match before {
        Some(before) if before.application.in_part().is_some() => {
            Err(Error::plan_refused(format!(
                "the plan was {before}; it is not applied again: make a new plan, which has what is missing"
            )))
        }
        _ => Ok(()),
    }
}

/// What a rollback takes back, as the ledger has it.
#[derive(Debug, Default)]
pub struct TakenBack {
    /// The applications; none of a load.
    pub(super) applications: Vec<String>,
    /// Which of their rows are undone already.
    pub(super) undone: UndoneRows,
    /// The loads in effect that came after the first of them.
    pub(super) later: Vec<ledger::Application>,
    /// Which rows of these are undone.
    pub(super) later_undone: UndoneRows,
    /// The types that the columns of each table had then, as SQL.
    pub(super) types: BTreeMap<String, BTreeMap<String, String>>,
    /// Those of the applications that are never taken back as a whole.
    pub(super) unaudited: BTreeSet<String>,
}

/// What a rollback takes back must not have been taken back by another.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it was; [`Database`](crate::ErrorKind::Database).
pub async fn still_in_effect(session: &Session, file: &PlanFile) -> Result<TakenBack> {
    let header = &file.header;
    let taken_back = header.taken_back();
    if taken_back.is_empty() {
        return Ok(TakenBack::default());
    }
    let all = ledger::applications(session, &header.target.loader_schema, None).await?;
    for id in &taken_back {
        let undoable = ledger::undoable(&all, id)
            .map_err(|e| e.with_kind(ErrorKind::PlanRefused).and("; make a new plan"))?;
        if header.undoes_in_part.contains(id) && !undoable.is_load() {
            return Err(Error::plan_refused(format!(
                "the plan takes the rollback {id} back in part, and a rollback is taken back as a whole: it was not made \
                 by the loader; make a new one"
            )));
        }
    }
    let undone = UndoneRows::new(&all);
    let later = ledger::later_loads(&all, &taken_back);
    let later: Vec<ledger::Application> = later.cloned().collect();
    let of_later: Vec<String> = later.iter().map(|a| a.application.clone()).collect();
    let ours = all.iter().filter(|a| taken_back.contains(&a.application));
    let unaudited = ours.clone().filter(|a| a.has_unaudited());
    let unaudited = unaudited.map(|a| a.application.clone()).collect();
    let types = ours.flat_map(|a| &a.tables);
    let types = types.map(|t| (t.table.clone(), t.types.clone()));
    Ok(TakenBack {
        types: types.collect(),
        unaudited,
        undone: undone.of(&taken_back),
        later_undone: undone.of(&of_later),
        applications: taken_back,
        later,
    })
}
