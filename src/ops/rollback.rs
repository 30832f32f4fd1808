//! Rollback: a plan made from the audit log instead of a batch, applied like any other.

mod chosen;
mod compared;
mod inverse;
mod parts;
mod scope;
mod tables;

use std::io::{Seek, Write};

use self::chosen::{choose, redone_by};
use self::compared::Compared;
use self::parts::Parts;
use self::scope::Scope;
use self::tables::{left_to_triggers, planned, warnings};
use super::plan::Key;
use super::retry::retry;
use super::targets::{check_limits, parents, rows};
use super::{Event, OnProgress};
use crate::error::{Error, Remedy, Result};
use crate::pg::ledger::{self, UndoneRows};
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::undo::Written;
use crate::pg::{Database, Session, Timeouts};
use crate::plan::{Header, Kind, TablePlan};
use crate::planfile::{Made, PlanWriter};
use crate::sql::Qualified;
use crate::table::config::Config;
use crate::table::limits::{self, Allowance, Limits};
use crate::table::target::Target;

/// What is to be taken back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RollbackRequest {
    /// Which applications.
    pub of: TakenBack,
    /// Only rows of these tables; of all where none is named.
    pub tables: Vec<String>,
    /// Of the one table, only the rows with these natural keys; all where none is named.
    pub keys: Vec<Key>,
    /// Whether rows that changed since are kept as they are, instead of standing against it.
    pub keep_edited: bool,
    /// Whether what later loads did to these rows, and to rows that refer to them, is taken back too.
    pub with_dependents: bool,
    /// The database.
    pub database: Database,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// What is called sensitive now, and which side effects are allowed, beside what was when the loads were applied.
    pub config: Option<Config>,
    /// In place of the limits that the loads had.
    pub limits: Vec<Allowance>,
    /// How often to try again after a failure that may pass.
    pub max_retries: u32,
    /// What the plan's notes say of how it came about.
    pub made: Option<Made>,
}

/// Which applications are taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenBack {
    /// All loads of this batch that are in effect.
    Batch(String),
    /// This one.
    Application(String),
}

impl RollbackRequest {
    /// Whether it may come to some of the rows, or to rows of other loads.
    fn is_in_part(&self) -> bool {
        !self.tables.is_empty() || !self.keys.is_empty() || self.keep_edited || self.with_dependents
    }

    /// What helps against rows in the way: not what was asked for already.
    fn helps(&self, remedy: Remedy) -> Remedy {
        if self.with_dependents {
            Remedy::KeepOrEarlier
        } else {
            remedy
        }
    }

    /// With the usual settings.
    pub fn new(database: Database, of: TakenBack) -> RollbackRequest {
        RollbackRequest {
            of,
            tables: Vec::new(),
            keys: Vec::new(),
            keep_edited: false,
            with_dependents: false,
            database,
            timeouts: Timeouts::default(),
            config: None,
            limits: Vec::new(),
            max_retries: 3,
            loader_schema: "public".into(),
            made: None,
        }
    }
}

/// Writes the plan that takes applications back to `out`, as [`super::plan`] does. Returns its header and hash.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where there is nothing to take back; [`Drift`](crate::ErrorKind::Drift) naming rows that changed
/// since, and who changed them; [`Blocked`](crate::ErrorKind::Blocked) naming rows that refer to what would be deleted,
/// or tables without an audit log; [`Database`](crate::ErrorKind::Database).
pub async fn rollback(
    request: &RollbackRequest,
    out: impl Write + Seek,
    events: OnProgress<'_>,
) -> Result<(Header, String)> {
    let (writer, header) = retry(request.max_retries, events, async || {
        draft(request, events).await
    })
    .await?;
    writer.noted(request.made.clone()).finish(header, out)
}

/// All of the plan, not yet written.
async fn draft(request: &RollbackRequest, events: OnProgress<'_>) -> Result<(PlanWriter, Header)> {
    events(Event::phase("connect"));
    let session = Session::open(&request.database, request.timeouts).await?;
    let target = session.target(&request.loader_schema).await?;
    // What other batches did later is not taken back unseen.
    let all = ledger::applications(&session, &request.loader_schema, None).await?;
    let undone_rows = UndoneRows::new(&all);
    let mut scope = Scope::new(
        request,
        &all,
        choose(&all, &request.of, request.is_in_part())?,
    )?;
    let mut mask = super::history::mask(&session, &all, request.config.as_ref()).await;
    session.hide(mask.clone());
    if request.with_dependents {
        events(Event::phase("look for dependents"));
        scope.include_dependents(&session, &undone_rows).await?;
    }
    let applications = scope.applications();
    let mut undone = scope.targets(&session, &undone_rows).await?;
    for (target, written) in &mut undone {
        // Also what only became so since, and what the table has no more: the audit log has it, and so has the plan.
        let names = mask.columns(&target.name).cloned();
        let known = |c: &String| target.table.column(c).is_some() || written.types.contains_key(c);
        target.config.sensitive = names.filter(known).collect();
    }
    let replaced = limit(&mut undone, &request.limits)?;
    let undos = scope
        .collect(&session, &undone, (&applications, &undone_rows), events)
        .await?;
    for undo in &undos {
        undo.check_continuity(&session).await?;
    }
    if request.keep_edited {
        for undo in &undos {
            undo.prepare_kept(&session).await?;
        }
    }
    let references: Vec<&Qualified> = undone.iter().map(|(t, _)| &t.table.name).collect();
    let snapshot = Snapshot::begin(&session, &references).await?;
    let unaudited = all.iter().filter(|a| a.has_unaudited());
    let unaudited = unaudited.map(|a| a.application.clone()).collect();
    let schema = &request.loader_schema;
    let mut parts = Parts::new(&session, schema, &undone_rows, &undos, unaudited);
    if request.keep_edited {
        events(Event::phase("look for what changed since"));
        parts.keep(&snapshot).await?;
    }
    let is_whole = parts.kept == 0 && (scope.is_whole() || parts.is_all(&applications).await?);
    let taken_back = if is_whole {
        applications.clone()
    } else {
        parts.listed(&applications).await?
    };
    let from: Vec<String> = taken_back
        .iter()
        .map(|id| format!("application {id}"))
        .collect();
    let mut compared = Compared::new(&session, &undos, events)?;
    for undo in undos.iter().rev() {
        let how = (request.keep_edited, &mut mask);
        let unchanged = compared.compare(undo, &snapshot, &from, how).await?;
        parts.unchanged.insert(undo.target.place, unchanged);
    }
    let mut tables = Vec::with_capacity(undone.len());
    for (of_table, (own_limits, replaced)) in undone.iter().zip(replaced) {
        let (target, written) = of_table;
        let left = left_to_triggers(target, written, scope.brings_back());
        let notes = [
            replaced,
            warnings(of_table, &left),
            scope.notes(&target.name),
        ]
        .concat();
        let parents = parents(target, undone.iter().map(|(t, _)| t));
        let rows = rows(&snapshot, target).await?;
        tables.push(TablePlan {
            own_limits,
            ..planned(of_table, parents, rows, left, notes)
        });
    }
    if !compared.is_refused() {
        for undo in &undos {
            undo.parents(&session, &undos).await?;
            undo.taken(&session).await?;
            undo.forbidden(&session).await?;
        }
    }
    events(Event::phase("write the plan"));
    let (undoes, undoes_in_part) = if is_whole {
        (applications.clone(), Vec::new())
    } else {
        parts.split(taken_back).await?
    };
    snapshot.end().await?;
    compared.refuse(request, &scope, &mask).await?;
    let Compared {
        writer, changes, ..
    } = compared;
    if request.with_dependents && !is_whole && changes > 0 {
        parts.none_cancels_out().await?;
    }
    if changes == 0 && !is_whole {
        return Err(Error::blocked(match parts.kept {
            0 => {
                "nothing is to be undone: the rows hold what they held before the loads, or were undone already"
            }
            _ => {
                "nothing can be undone: all rows that are to be undone changed since, or rows that did refer to them"
            }
        }));
    }
    let header = Header {
        redone_by: redone_by(&all, undoes.iter().chain(&undoes_in_part)),
        of_rollbacks: scope.brings_back(),
        undoes,
        undoes_in_part,
        tables,
        ..Header::new(Kind::Rollback, &scope.batch_id(), target)
    };
    Ok((writer, header))
}

/// Puts the limits that hold now in place of those that the loads had, and returns for each table what to say of it.
fn limit(
    undone: &mut [(Target, Written)],
    allowed: &[Allowance],
) -> Result<Vec<(Option<Limits>, Vec<String>)>> {
    let names: Vec<String> = undone.iter().map(|(t, _)| t.name.clone()).collect();
    check_limits(allowed, &names)?;
    let replaced = undone.iter_mut().map(|(target, _)| {
        let had = target.config.limits;
        target.config.limits = limits::in_effect(had, &target.name, allowed);
        let now = target.config.limits;
        ((had != now).then_some(had), limits::replaced(&had, &now))
    });
    Ok(replaced.collect())
}
