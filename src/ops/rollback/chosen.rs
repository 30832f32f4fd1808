//! Which applications are taken back, and what they had loaded.

use std::collections::BTreeSet;

use super::TakenBack;
use crate::error::{Error, Remedy, Result};
use crate::pg::ledger::{Application, loads, undoable};
use crate::plan::LedgerTable;

/// The applications to take back, newest first; `in_part` says that it may be some of their rows.
pub(super) fn choose<'a>(
    all: &'a [Application],
    of: &TakenBack,
    in_part: bool,
) -> Result<Vec<&'a Application>> {
    match of {
        TakenBack::Application(id) => Ok(vec![undoable(all, id)?]),
        TakenBack::Batch(id) => loads_in_effect(all, id, in_part),
    }
}

/// All loads of a batch, of which `all` are the applications, that are in effect.
fn loads_in_effect<'a>(
    all: &'a [Application],
    batch: &str,
    in_part: bool,
) -> Result<Vec<&'a Application>> {
    let of_batch = || all.iter().filter(|a| a.batch_id == batch);
    let known = of_batch().next().is_some();
    let in_effect = || of_batch().filter(|a| a.is_load() && a.undone_by.is_none());
    // What brought other loads back as well, or some that are taken back again, is not taken back for these.
    let is_of_these = |redo: &Application| {
        loads(all, redo).into_iter().all(|id| {
            let mut these = in_effect().filter(|load| load.application == *id);
            these.any(|load| last_redone(all, load).application == redo.application)
        })
    };
    let in_effect: BTreeSet<&str> = in_effect()
        .map(|load| {
            let redone = last_redone(all, load);
            if in_part || was_in_part(all, load) || !is_of_these(redone) {
                load
            } else {
                redone
            }
        })
        .map(|a| a.application.as_str())
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

/// Whether some rows of a load were ever taken back without the others: then no rollback of a rollback has
/// all of them.
fn was_in_part(all: &[Application], load: &Application) -> bool {
    all.iter()
        .any(|a| a.undoes_in_part.contains(&load.application))
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
/// the rollbacks, or the rollbacks of rollbacks; and those that these wrote, because rows were deleted and inserted again,
/// but for what triggers set (`by_trigger`). All others are the database's own affair.
pub(super) fn written_columns(
    all: &[Application],
    chosen: &[&Application],
    (table, by_trigger): (&str, &[String]),
) -> Vec<String> {
    let mut columns = BTreeSet::new();
    for application in with_those_before(all, chosen) {
        let written = of_table([application], table).flat_map(|t| &t.columns);
        let written = written.filter(|c| application.is_load() || !by_trigger.contains(c));
        columns.extend(written.cloned());
    }
    columns.into_iter().collect()
}

/// The columns of a table that triggers are known to set beside what is written: as they were seen to when the chosen
/// applications wrote, or by any other load, but for what the chosen ones gave themselves.
pub(super) fn set_by_triggers(
    all: &[Application],
    chosen: &[&Application],
    table: &str,
) -> Vec<String> {
    let ours = with_those_before(all, chosen);
    let given: BTreeSet<&String> = of_table(ours.iter().copied().filter(|a| a.is_load()), table)
        .flat_map(|t| &t.columns)
        .collect();
    let seen = of_table(ours, table).flat_map(|t| &t.by_trigger);
    let mut elsewhere = seen_of_triggers(all, table);
    elsewhere.retain(|c| !given.contains(c));
    let set: BTreeSet<String> = seen.cloned().chain(elsewhere).collect();
    set.into_iter().collect()
}

/// The columns of a table that triggers were seen to set when any application wrote.
pub(super) fn seen_of_triggers(all: &[Application], table: &str) -> Vec<String> {
    let seen = of_table(all, table).flat_map(|t| t.by_trigger.iter().cloned());
    let seen: BTreeSet<String> = seen.collect();
    seen.into_iter().collect()
}

/// The chosen applications, what they took back, what that had taken back, and so on.
fn with_those_before<'a>(
    all: &'a [Application],
    chosen: &[&'a Application],
) -> Vec<&'a Application> {
    let mut found: Vec<&Application> = Vec::new();
    let mut open = chosen.to_vec();
    while let Some(application) = open.pop() {
        let taken_back = |a: &&Application| application.takes_back().any(|of| *of == a.application);
        open.extend(all.iter().filter(taken_back));
        found.push(application);
    }
    found
}

fn of_table<'a>(
    applications: impl IntoIterator<Item = &'a Application>,
    table: &str,
) -> impl Iterator<Item = &'a LedgerTable> {
    let tables = applications.into_iter().flat_map(|a| &a.tables);
    tables.filter(move |t| t.table == table)
}

/// The rollbacks of rollbacks that brought rows of these applications back, newest first.
pub(super) fn redone_by<'a>(
    all: &[Application],
    of: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let of: BTreeSet<&String> = of.collect();
    let undoes = |a: &&Application| a.takes_back().any(|id| of.contains(id));
    let rollbacks: BTreeSet<&String> = all.iter().filter(undoes).map(|a| &a.application).collect();
    let redoes = |a: &&Application| a.takes_back().any(|id| rollbacks.contains(id));
    let redone = all.iter().filter(redoes);
    redone.map(|a| a.application.clone()).collect()
}
