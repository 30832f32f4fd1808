//! Rollback: a plan made from the audit log instead of a batch, applied like any other.

mod chosen;
mod parts;
mod scope;
mod tables;

use std::collections::BTreeMap;
use std::io::{Seek, Write};

use self::chosen::{choose, redone_by};
use self::parts::Parts;
use self::scope::Scope;
use self::tables::{is_ours, left_to_triggers, triggered, warnings};
use super::plan::Key;
use super::retry::retry;
use super::targets::{check_limits, parents, rows};
use super::{Event, OnProgress};
use crate::error::{Error, Remedy, Result};
use crate::pg::ledger::{self, UndoneRows};
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::referred::{self, Referred};
use crate::pg::{Database, Session, Timeouts};
use crate::plan::masking::Mask;
use crate::plan::{
    Action, Counts, DriftReport, DriftRow, Entry, Header, Kind, ReferrerReport, Skip, Skips,
    TablePlan, What,
};
use crate::planfile::{Made, PlanWriter};
use crate::sql::Qualified;
use crate::table::limits::{self, Allowance};
use crate::table::schema::{Column, Identity};
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
    // There is no plan yet whose entries could be the key.
    let key = uuid::Uuid::new_v4();
    let sensitive = all.iter().flat_map(|a| &a.tables);
    let sensitive = sensitive.map(|l| (l.table.as_str(), &l.config));
    let mut mask = Mask::new(key.as_bytes(), sensitive);
    session.hide(mask.clone());
    if request.with_dependents {
        events(Event::phase("look for dependents"));
        scope.include_dependents(&session, &undone_rows).await?;
    }
    let applications = scope.applications();
    let mut undone = scope.targets(&session, &undone_rows).await?;
    let names: Vec<String> = undone.iter().map(|(t, _)| t.name.clone()).collect();
    check_limits(&request.limits, &names)?;
    let mut replaced = Vec::with_capacity(undone.len());
    for (target, _) in &mut undone {
        let own = target.config.limits;
        let now = limits::in_effect(own, &target.name, &request.limits);
        replaced.push(limits::replaced(&own, &now));
        target.config.limits = now;
    }
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
    let mut writer = PlanWriter::new()?;
    let mut drift = DriftReport {
        kind: Kind::Rollback,
        ..DriftReport::default()
    };
    let mut referrers = ReferrerReport::default();
    let unaudited = all.iter().filter(|a| a.has_unaudited());
    let unaudited = unaudited.map(|a| a.application.clone()).collect();
    let schema = &request.loader_schema;
    let mut parts = Parts::new(&session, schema, &undone_rows, &undos, unaudited);
    if request.keep_edited {
        events(Event::phase("look for what changed since"));
        parts.keep(&snapshot).await?;
    }
    let is_whole = parts.kept == 0 && (scope.is_whole() || parts.is_all(&applications).await?);
    let mut changes = 0;
    let taken_back = if is_whole {
        applications.clone()
    } else {
        parts.listed(&applications).await?
    };
    let from: Vec<String> = taken_back
        .iter()
        .map(|id| format!("application {id}"))
        .collect();
    let of: u64 = undos.iter().map(|u| u.written.counts.changes()).sum();
    let mut read = 0;
    for undo in undos.iter().rev() {
        events(Event::phase_of("compare", &undo.target.name));
        let told = |changes: u64| {
            events(Event::Undoing {
                table: undo.target.name.clone(),
                changes: changes.min(of),
                of,
            });
        };
        told(read);
        let mut rows = 0;
        let mut unchanged = Vec::new();
        let soft = undo.target.mark().is_some();
        let is_key = |c: &str| undo.target.config.natural_key.iter().any(|k| k == c);
        // What the table's own triggers set, they will set again.
        // What others may change unnoticed, is theirs.
        let writes = |c: &str, whole: bool| {
            let ignored = undo.target.config.ignore_drift.iter().any(|i| i == c);
            let free = !undo.target.may_be_set() && !ignored;
            undo.target
                .table
                .column(c)
                .is_some_and(|column| !column.generated)
                && (whole || free || is_ours(undo.target, undo.written, c))
        };
        let left = undo
            .stream(&snapshot, &mut |undone| {
                rows += 1;
                if rows % 1_000 == 0 {
                    told((read + rows).min(of.saturating_sub(1)));
                }
                let group = undo.target.config.group_by.as_ref();
                let row = undone
                    .applied
                    .after
                    .as_ref()
                    .or(undone.applied.before.as_ref());
                let group = group.and_then(|c| row?.get(c)?.clone());
                let inverse = undone.applied.invert();
                let whole = inverse.before.is_none() || undone.renewed;
                let what = inverse.what(undone.digest, is_key, |c| writes(c, whole), soft);
                let Some(what) = what else { return Ok(()) };
                if let Some(column) = numbered_anew(undo.target, &what) {
                    return Err(Error::blocked(format!(
                        "{}: the row {} was deleted and inserted again by these loads, and its {} is numbered by the \
                         database alone (GENERATED ALWAYS), so that it cannot get its number of before",
                        undo.target.name,
                        session.name_row(&undo.target.name, &undone.record_id),
                        crate::text::escape(column),
                    ))
                    .with_remedy(Remedy::OneByOne));
                }
                if matches!(what, What::Skip(Skip::Unchanged(_))) {
                    unchanged.push(undone.record_id);
                }
                changes += u64::from(what.action() != Action::Skip);
                let order = undo.order(&undone.key);
                let entry = Entry {
                    table: undo.target.name.clone(),
                    key: undone.key,
                    what,
                    extracted: None,
                    group,
                    from: from.clone(),
                };
                writer.unordered(&order, entry)
            })
            .await?;
        drift.rows.extend(left.rows);
        drift.more += left.more;
        if request.keep_edited {
            undo.each_kept(&session, &mut |key, skip| {
                let order = undo.order(&key);
                let entry = Entry {
                    table: undo.target.name.clone(),
                    what: What::Skip(skip),
                    extracted: None,
                    group: None,
                    from: from.clone(),
                    key,
                };
                writer.unordered(&order, entry)
            })
            .await?;
        }
        writer.go_on();
        parts.unchanged.insert(undo.target.place, unchanged);
        let referring = undo.referrers(&session, &undos, &mut mask).await?;
        referrers.rows.extend(referring.rows);
        referrers.more += referring.more;
        read += undo.written.counts.changes();
        told(read);
    }
    let mut tables = Vec::with_capacity(undone.len());
    for ((target, written), replaced) in undone.iter().zip(replaced) {
        let Target {
            name,
            table,
            config,
            ..
        } = target;
        let left = left_to_triggers(target, written, !scope.is_of_loads());
        let warnings = warnings(target, &left);
        tables.push(TablePlan {
            table: name.clone(),
            relation: table.name.clone(),
            table_kind: table.kind.clone(),
            config: config.clone(),
            schema: table.fingerprint.clone(),
            parents: parents(target, undone.iter().map(|(t, _)| t)),
            width: table.columns.len() as u64,
            rows: rows(&snapshot, target).await?,
            columns: table.columns.iter().map(|c| c.name.clone()).collect(),
            numbers: Vec::new(),
            counts: Counts::default(),
            marks: 0,
            skips: Skips::default(),
            rejected: 0,
            triggered: triggered(target, written),
            left_to_triggers: left,
            passed_over: Default::default(),
            warnings: [replaced, warnings, scope.notes(&target.name)].concat(),
        });
    }
    if drift.count() == 0 && referrers.count() == 0 {
        for undo in &undos {
            undo.parents(&session, &undos).await?;
            undo.taken(&session).await?;
        }
    }
    events(Event::phase("write the plan"));
    let (undoes, undoes_in_part) = if is_whole {
        (applications.clone(), Vec::new())
    } else {
        parts.split(taken_back).await?
    };
    snapshot.end().await?;
    if drift.count() > 0 {
        for (target, _) in &undone {
            name_rows(&session, target, &mut drift).await;
        }
        mask.drift(&mut drift);
        let drifted = Error::from(drift);
        return Err(if scope.is_of_loads() {
            drifted.with_remedy(Remedy::KeepEdited)
        } else {
            drifted
        });
    }
    if referrers.count() > 0 {
        mask.referrers(&mut referrers);
        let referred = Error::from(referrers);
        return Err(if scope.is_of_loads() {
            referred.with_remedy(Remedy::Dependents)
        } else {
            referred
        });
    }
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
        kind: Kind::Rollback,
        batch_id: scope.batch_id(),
        redone_by: redone_by(&all, undoes.iter().chain(&undoes_in_part)),
        of_rollbacks: !scope.is_of_loads(),
        undoes,
        undoes_in_part,
        target,
        records: 0,
        blocking: 0,
        rejected: 0,
        summary: Counts::default(),
        salt: None,
        tables,
    };
    Ok((writer, header))
}

/// The column that an update would write and the database alone may, where there is one.
fn numbered_anew<'t>(target: &'t Target, what: &What) -> Option<&'t str> {
    let What::Update { set, .. } = what else {
        return None;
    };
    let mut columns = target.table.columns.iter();
    let is_numbered = |c: &&Column| c.identity == Identity::Always && set.contains_key(&c.name);
    columns.find(is_numbered).map(|c| c.name.as_str())
}

/// Names the rows to which the keys of a table's rows refer.
async fn name_rows(session: &Session, target: &Target, drift: &mut DriftReport) {
    let Target { table, lookups, .. } = target;
    let mut numbers = BTreeMap::new();
    let is_here = |row: &&mut DriftRow| row.table == target.name;
    for row in drift.rows.iter_mut().filter(is_here) {
        referred::collect(table, lookups, &row.key, &mut numbers);
    }
    if numbers.is_empty() {
        return;
    }
    let found = Referred::find(session, table, lookups, &numbers).await;
    for row in drift.rows.iter_mut().filter(is_here) {
        found.put(&mut row.key);
    }
}
