//! What may be undone, and in which order: loads in any order and in part; rollbacks as a whole, and
//! newest first where several concern one load.

use std::collections::BTreeSet;

use super::Application;
use crate::error::{Error, Remedy, Result};
use crate::plan::Kind;

impl Application {
    /// Whether it loaded a batch.
    pub fn is_load(&self) -> bool {
        self.kind == Kind::Load.word()
    }

    /// Whether it changed rows of a table without an audit log: these stay when all others are taken back.
    pub fn has_unaudited(&self) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|t| !t.config.audit_changes && t.counts.changes() > 0)
    }

    /// The applications that it took back, whole or in part.
    pub fn takes_back(&self) -> impl Iterator<Item = &String> {
        self.undoes.iter().chain(&self.undoes_in_part)
    }
}

/// The application `id` among `all`, if it may be undone now.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where it is not there, is undone already, or where another rollback must be undone before.
pub fn undoable<'a>(all: &'a [Application], id: &str) -> Result<&'a Application> {
    let Some(found) = all.iter().find(|a| a.application == id) else {
        return Err(
            Error::config(format!("there is no application {id} in the ledger"))
                .with_remedy(Remedy::History),
        );
    };
    if let Some(by) = &found.undone_by {
        return Err(Error::config(format!(
            "the application {id} was taken back already, by {by}"
        )));
    }
    match in_the_way(all, found) {
        None => Ok(found),
        Some(by) => Err(Error::config(format!(
            "the rollback {id} cannot be taken back while the later one {} of the same load is in effect; take that one \
             back first",
            by.application
        ))),
    }
}

/// The loads in effect that came after the first of `applications`, beside these themselves: what they changed is
/// not to be taken back unseen.
pub fn later_loads<'a>(
    all: &'a [Application],
    applications: &'a [String],
) -> impl Iterator<Item = &'a Application> {
    let is_meant = |a: &Application| applications.contains(&a.application);
    let first = all.iter().rposition(is_meant).unwrap_or_default();
    let later = all.iter().take(first);
    later.filter(move |a| a.is_load() && a.undone_by.is_none() && !is_meant(a))
}

/// A later rollback that concerns a load which `of`, a rollback, concerns too. Two that each took rows of
/// a load back are about different rows and do not mind each other; and one that brings back what a rollback later
/// than `of` took leaves all as `of` had it.
fn in_the_way<'a>(all: &'a [Application], of: &Application) -> Option<&'a Application> {
    if of.is_load() {
        return None;
    }
    let loads = loads(all, of);
    let later = all.iter().take_while(|a| a.application != of.application);
    let is_later = |id: &String| later.clone().any(|a| a.application == *id);
    let rollbacks = later
        .clone()
        .filter(|a| !a.is_load() && a.undone_by.is_none());
    let mut concerned = rollbacks.filter(|by| !by.takes_back().all(is_later));
    concerned.find(|by| {
        let both = loads_of(all, by, &loads);
        both.iter().any(|load| {
            let in_part = |a: &Application| a.undoes_in_part.contains(load);
            !(in_part(of) && in_part(by))
        })
    })
}

/// The loads that a rollback undoes or brings back; of a load, itself.
pub fn loads<'a>(all: &'a [Application], of: &'a Application) -> BTreeSet<&'a String> {
    let mut loads = BTreeSet::new();
    let mut open = vec![of];
    while let Some(application) = open.pop() {
        if application.is_load() {
            loads.insert(&application.application);
        }
        let ids: BTreeSet<&String> = application.takes_back().collect();
        open.extend(all.iter().filter(|a| ids.contains(&a.application)));
    }
    loads
}

fn loads_of<'a>(
    all: &'a [Application],
    by: &'a Application,
    among: &BTreeSet<&String>,
) -> Vec<&'a String> {
    let loads = loads(all, by).into_iter();
    loads.filter(|load| among.contains(*load)).collect()
}
