//! Which applications are taken back, and what they had loaded.

use std::collections::BTreeSet;

use super::TakenBack;
use crate::error::{Error, Remedy, Result};
use crate::pg::ledger::Application;
use crate::plan::Kind;

/// The applications to take back, newest first.
pub(super) fn choose<'a>(all: &'a [Application], of: &TakenBack) -> Result<Vec<&'a Application>> {
    match of {
        TakenBack::Application(id) => Ok(vec![application(all, id)?]),
        TakenBack::Batch(id) => loads_in_effect(all, id),
    }
}

fn application<'a>(all: &'a [Application], id: &str) -> Result<&'a Application> {
    let Some(found) = all.iter().find(|a| a.application == id) else {
        return Err(
            Error::config(format!("there is no application {id} in the ledger"))
                .with_remedy(Remedy::History),
        );
    };
    match &found.undone_by {
        Some(by) => Err(Error::config(format!(
            "the application {id} was taken back already, by {by}"
        ))),
        None => Ok(found),
    }
}

/// All loads of a batch, of which `all` are the applications, that are in effect.
fn loads_in_effect<'a>(all: &'a [Application], batch: &str) -> Result<Vec<&'a Application>> {
    let known = !all.is_empty();
    let in_effect: BTreeSet<&str> = all
        .iter()
        .filter(|a| a.kind == Kind::Load.word() && a.undone_by.is_none())
        .map(|load| last_redone(all, load).application.as_str())
        .collect();
    let loads: Vec<&Application> = all
        .iter()
        .filter(|a| in_effect.contains(a.application.as_str()))
        .collect();
    match (loads.is_empty(), known) {
        (false, _) => Ok(loads),
        (true, true) => Err(Error::config(format!(
            "nothing of batch {batch} is in effect: everything was taken back already"
        ))
        .with_remedy(Remedy::History)),
        (true, false) => Err(Error::config(format!(
            "batch {batch} was never applied to this database"
        ))
        .with_remedy(Remedy::History)),
    }
}

/// What brought a load into effect last: the load itself, or the newest rollback of a rollback of
/// it, whose images are what the rows hold.
fn last_redone<'a>(all: &'a [Application], load: &'a Application) -> &'a Application {
    let undoes = |by: &Application, of: &Application| by.undoes.contains(&of.application);
    let redoes = |a: &&Application| {
        let mut rollbacks = all.iter().filter(|u| undoes(u, load));
        a.undone_by.is_none() && rollbacks.any(|u| undoes(a, u))
    };
    match all.iter().find(redoes) {
        Some(redo) => last_redone(all, redo),
        None => load,
    }
}

/// The columns of a table that the loads themselves wrote, of which the chosen applications are
/// the rollbacks, or the rollbacks of rollbacks. All others are the database's own affair.
pub(super) fn loaded_columns(
    all: &[Application],
    chosen: &[&Application],
    table: &str,
) -> Vec<String> {
    let mut columns = BTreeSet::new();
    let mut open = chosen.to_vec();
    while let Some(application) = open.pop() {
        open.extend(
            all.iter()
                .filter(|a| application.undoes.contains(&a.application)),
        );
        if application.kind == Kind::Load.word() {
            let tables = application.tables.iter().filter(|t| t.table == table);
            columns.extend(tables.flat_map(|t| t.columns.iter().cloned()));
        }
    }
    columns.into_iter().collect()
}
