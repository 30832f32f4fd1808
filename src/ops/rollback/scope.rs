//! Which rows of which applications a rollback takes back.

use std::collections::{BTreeMap, BTreeSet};

use super::chosen::{seen_of_triggers, set_by_triggers, written_columns};
use super::tables::{merge, order, triggered};
use super::{Key, RollbackRequest};
use crate::error::{Error, Remedy, Result};
use crate::ops::{Event, OnProgress};
use crate::pg::ledger::{self, Application, UndoneRows, later_loads};
use crate::pg::undo::{Dependent, Selected, Undo, Written};
use crate::pg::{Session, catalog, referred};
use crate::plan::LedgerTable;
use crate::sql::Qualified;
use crate::sql::ident::did_you_mean;
use crate::table::config::Config;
use crate::table::target::{Target, allowed};
use crate::text::escape;

/// Which rows of which applications a rollback takes back.
pub(super) struct Scope<'a> {
    loader_schema: &'a str,
    all: &'a [Application],
    /// What `tables.yaml` says now, where there is one.
    now: Option<&'a Config>,
    /// Those that are asked for, newest first.
    chosen: Vec<&'a Application>,
    /// Only rows of these tables; of all where none is named.
    tables: &'a [String],
    /// Only those with these keys; all where none is named.
    keys: &'a [Key],
    /// Further applications, by what later loads did.
    further: BTreeSet<&'a str>,
    /// Further rows, by table.
    rows: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Scope<'a> {
    /// What `request` asks for.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where it asks for what cannot be.
    pub(super) fn new(
        request: &'a RollbackRequest,
        all: &'a [Application],
        chosen: Vec<&'a Application>,
    ) -> Result<Scope<'a>> {
        let scope = Scope {
            loader_schema: &request.loader_schema,
            all,
            now: request.config.as_ref(),
            chosen,
            tables: &request.tables,
            keys: &request.keys,
            further: BTreeSet::new(),
            rows: BTreeMap::new(),
        };
        let in_part = request.is_in_part();
        if let Some(rollback) = scope.chosen.iter().find(|a| in_part && !a.is_load()) {
            return Err(Error::config(format!(
                "the application {} is a rollback, and a rollback is taken back as a whole: without --table, --key, \
                 --keep-edited and --with-dependents",
                rollback.application
            )));
        }
        if !scope.keys.is_empty() && scope.tables.len() != 1 {
            return Err(Error::config(
                "with --key, name the one --table of these rows",
            ));
        }
        let tables = scope.chosen.iter().flat_map(|a| &a.tables);
        let known: BTreeSet<&str> = tables
            .filter(|t| t.counts.changes() > 0)
            .map(|t| t.table.as_str())
            .collect();
        match scope.tables.iter().find(|t| !known.contains(t.as_str())) {
            None => Ok(scope),
            Some(table) => Err(Error::config(format!(
                "table {} was changed by none of the loads that are to be undone{}",
                escape(table),
                did_you_mean(table, known)
            ))),
        }
    }

    /// Whether everything is taken back that is still to be.
    pub(super) fn is_whole(&self) -> bool {
        self.tables.is_empty() && self.further.is_empty()
    }

    /// Whether loads are taken back, which can be in part.
    pub(super) fn is_of_loads(&self) -> bool {
        self.chosen.iter().all(|a| a.is_load())
    }

    /// Whether what is taken back are rollbacks, so that what they had taken back comes again.
    pub(super) fn brings_back(&self) -> bool {
        (self.chosen.iter()).all(|a| ledger::brings_back(self.all, a))
    }

    /// What stands against the rollback, with what helps where loads are taken back, which can be in part.
    pub(super) fn stands_against(&self, error: Error, remedy: Remedy) -> Error {
        if self.is_of_loads() {
            error.with_remedy(remedy)
        } else {
            error
        }
    }

    /// The batch of what is asked for.
    pub(super) fn batch_id(&self) -> String {
        self.chosen
            .first()
            .map_or_else(String::new, |a| a.batch_id.clone())
    }

    /// What a reviewer should know of a table.
    pub(super) fn notes(&self, table: &str) -> Vec<String> {
        let [brought_back, dependents] = [self.brought_back(table), self.dependent(table)];
        brought_back.into_iter().chain(dependents).collect()
    }

    /// Loads of other batches that are in effect again, as a rollback is taken back that took back theirs, too.
    fn brought_back(&self, table: &str) -> Option<String> {
        let again: BTreeSet<&String> = self.chosen.iter().flat_map(|a| a.takes_back()).collect();
        let batch = self.batch_id();
        let others = self.applications_among(|a| {
            again.contains(&a.application) && a.batch_id != batch && changed(a, table)
        });
        let others = named(others)?;
        Some(format!(
            "the rollback took back loads of other batches, too, which come back with it: {others}"
        ))
    }

    /// Rows that are taken back because of others.
    fn dependent(&self, table: &str) -> Option<String> {
        let rows = match self.rows.get(table)?.len() {
            1 => "1 row is taken back".to_owned(),
            n => format!("{n} rows are taken back"),
        };
        let further = self.applications_among(|a| self.further.contains(a.application.as_str()));
        let of = match named(further) {
            None => String::new(),
            Some(further) => format!("; later loads of which rows are taken back: {further}"),
        };
        Some(format!(
            "{rows} that later loads changed, or that refer to rows which would be deleted{of}"
        ))
    }

    fn applications_among(
        &self,
        is_meant: impl Fn(&Application) -> bool,
    ) -> impl Iterator<Item = &'a Application> {
        self.all.iter().filter(move |a| is_meant(a))
    }

    /// All applications of which rows are taken back, newest first.
    fn all_chosen(&self) -> Vec<&'a Application> {
        let chosen = |a: &Application| self.chosen.iter().any(|c| c.application == a.application);
        self.applications_among(|a| chosen(a) || self.further.contains(a.application.as_str()))
            .collect()
    }

    /// Their ids.
    pub(super) fn applications(&self) -> Vec<String> {
        let all = self.all_chosen().into_iter();
        all.map(|a| a.application.clone()).collect()
    }

    /// The tables of which rows are taken back, in dependency order, each with what was done to it.
    pub(super) async fn targets(
        &self,
        session: &Session,
        undone: &UndoneRows,
    ) -> Result<Vec<(Target, Written)>> {
        let chosen = self.all_chosen();
        let is_meant = |table: &str| {
            self.rows.contains_key(table)
                || self.tables.iter().any(|t| t == table)
                || self.tables.is_empty() && self.chosen.iter().any(|a| changed(a, table))
        };
        let mut ledgered = merge(&chosen, is_meant)?;
        for ledger in &mut ledgered {
            ledger.by_trigger = set_by_triggers(self.all, &chosen, &ledger.table);
            // What a trigger that came since may change, is to be said since.
            let now = self.now.and_then(|now| now.tables.get(&ledger.table));
            let side_effects = &mut ledger.config.allow_side_effects;
            for other in now.iter().flat_map(|now| &now.allow_side_effects) {
                if !side_effects.contains(other) {
                    side_effects.push(other.clone());
                }
            }
            let table = (&*ledger.table, &*ledger.by_trigger);
            ledger.columns = written_columns(self.all, &chosen, table);
        }
        let by = undone.of(&self.applications());
        let by: BTreeSet<&String> = by.by().iter().collect();
        let by: Vec<&Application> = self
            .applications_among(|a| by.contains(&a.application))
            .collect();
        let undone = |table: &str| {
            let tables = by.iter().flat_map(|a| &a.tables);
            let tables = tables.filter(|t| t.table == table);
            tables.map(|t| t.counts.changes()).sum()
        };
        let all = self.all.iter().flat_map(|a| &a.tables);
        let now = self.now.iter().flat_map(|now| now.tables.values());
        let allowed = allowed(all.map(|t| &t.config).chain(now));
        order(session, self.loader_schema, ledgered, undone, &allowed).await
    }

    /// What the applications changed in these tables, as far as it is to be taken back.
    pub(super) async fn collect<'t>(
        &'t self,
        session: &Session,
        targets: &'t [(Target, Written)],
        (applications, undone): (&'t [String], &UndoneRows),
        events: OnProgress<'_>,
    ) -> Result<Vec<Undo<'t>>> {
        let mut undos = Vec::with_capacity(targets.len());
        let ours = |a: &Application| applications.contains(&a.application);
        let first = self.all.iter().rposition(ours);
        let since = first.map_or(self.all, |first| &self.all[..=first]);
        for (target, written) in targets {
            events(Event::phase_of("read the audit log", &target.name));
            // How a row is now, triggers may have had a part in by any load.
            let seen = seen_of_triggers(self.all, &target.name);
            let triggered = triggered(target, written, &seen);
            let later: Vec<&Application> = later_loads(self.all, applications).collect();
            let selected = if self.is_whole() {
                None
            } else {
                Some(self.selected(target)?)
            };
            let undo = Undo::collect(
                session,
                self.loader_schema,
                target,
                written,
                (applications, undone, &later),
                selected.as_ref(),
                (&triggered, since),
            );
            undos.push(undo.await?);
        }
        Ok(undos)
    }

    /// Which rows of a table are taken back.
    fn selected(&self, target: &Target) -> Result<Selected> {
        let asked = self.tables.is_empty() || self.tables.contains(&target.name);
        let keys = self.keys.iter().map(|key| {
            let wrong = |what: String| {
                let (name, numbers) = (escape(&target.name), numbers_in_key(target));
                Error::config(format!("--key of table {name}: {what}{}", escape(&numbers)))
            };
            let texts = key.read(target).map_err(wrong)?.into_iter();
            texts
                .map(|text| text.ok_or_else(|| wrong("null is in no key".into())))
                .collect()
        });
        let keys: Vec<Vec<String>> = if asked {
            keys.collect::<Result<_>>()?
        } else {
            Vec::new()
        };
        let none = Vec::new();
        let chosen = if asked { &self.chosen } else { &none };
        Ok(Selected {
            applications: chosen.iter().map(|a| a.application.clone()).collect(),
            keys: (!keys.is_empty()).then_some(keys),
            further: self.rows.get(&target.name).cloned().unwrap_or_default(),
        })
    }

    /// Adds what later loads did to the rows, and to rows that refer to those which would be deleted, and so
    /// on, until there is no more of it.
    pub(super) async fn include_dependents(
        &mut self,
        session: &Session,
        undone: &UndoneRows,
    ) -> Result<()> {
        loop {
            let applications = self.applications();
            let targets = self.targets(session, undone).await?;
            let collected = self.collect(session, &targets, (&applications, undone), &|_| ());
            let undos = collected.await?;
            let found = self.dependents(session, &undos, undone).await?;
            for undo in &undos {
                undo.forget(session).await?;
            }
            let mut more = false;
            for (table, dependent) in found {
                let all = self.all.iter();
                let mut by = all.filter(|a| a.application == dependent.application);
                let asked =
                    |a: &Application| self.chosen.iter().any(|c| c.application == a.application);
                if let Some(by) = by.next().filter(|a| !asked(a)) {
                    more |= self.further.insert(&by.application);
                }
                let rows = self.rows.entry(table).or_default();
                more |= rows.insert(dependent.record_id);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// What depends on the rows that are taken back, by table.
    async fn dependents(
        &self,
        session: &Session,
        undos: &[Undo<'_>],
        undone: &UndoneRows,
    ) -> Result<Vec<(String, Dependent)>> {
        let loads: Vec<&Application> = self
            .applications_among(|a| a.is_load() && a.undone_by.is_none())
            .collect();
        let naming = |target: &Target| -> Vec<String> {
            let loads = loads.iter().filter(|a| a.names_as(target));
            loads.map(|a| a.application.clone()).collect()
        };
        let mut found = Vec::new();
        for undo in undos {
            let name = &undo.target.name;
            let ids = naming(undo.target);
            // What is asked for is taken back anyway.
            let mut others = ids.clone();
            others.retain(|id| self.chosen.iter().all(|c| c.application != *id));
            let later = undo.changed_later(session, (&others, undone)).await?;
            found.extend(later.into_iter().map(|later| (name.clone(), later)));
            for key in undo.kept_from() {
                let Some(child) = described(session, &loads, &key.child).await? else {
                    continue; // no load brought its rows: they stand in the way
                };
                let ids = naming(&child);
                let referring = undo.referring_later(session, key, &child, undos, (&ids, undone));
                let referring = referring.await?.into_iter();
                found.extend(referring.map(|d| (child.name.clone(), d)));
            }
        }
        Ok(found)
    }
}

/// What to give in a key that names rows of other tables, which reviewers see by their own keys.
fn numbers_in_key(target: &Target) -> String {
    let meant = target.lookups.answers().filter_map(|lookup| {
        let column = &target.table.columns[lookup.of].name;
        let (number, table) = (&lookup.target.name, &lookup.table);
        let is_key = target.config.natural_key.contains(column);
        is_key.then(|| {
            format!("; {column} is the {number} of a row of {table}, as `loader audit` shows it")
        })
    });
    meant.collect()
}

/// Applications by batch and id, where there are any.
fn named<'a>(applications: impl Iterator<Item = &'a Application>) -> Option<String> {
    let named = applications.map(|a| format!("batch {} ({})", escape(&a.batch_id), a.application));
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn changed(application: &Application, table: &str) -> bool {
    let mut tables = application.tables.iter();
    tables.any(|t| t.table == table && t.counts.changes() > 0)
}

/// A table into which one of these applications, which are newest first, loaded audited rows.
async fn described(
    session: &Session,
    loads: &[&Application],
    relation: &Qualified,
) -> Result<Option<Target>> {
    let mut tables = loads.iter().flat_map(|a| &a.tables);
    let known = |t: &&LedgerTable| {
        t.relation == *relation && t.config.audit_changes && t.counts.changes() > 0
    };
    let Some(ledger) = tables.find(known) else {
        return Ok(None);
    };
    let table = catalog::relation(session, relation).await?;
    let lookups = referred::lookups(session, &ledger.config, &table).await;
    let (name, config) = (ledger.table.clone(), ledger.config.clone());
    Ok(Some(Target::new(name, table, config, lookups, 0)))
}
