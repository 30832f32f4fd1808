//! Rollback: a plan made from the audit log instead of a batch, applied like any other.

mod chosen;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use self::chosen::{choose, loaded_columns};
use super::retry::retry;
use super::targets::{Needs, check_limits, dependencies, parents, rows, unguarded};
use super::{Event, OnProgress};
use crate::error::{Error, Remedy, Result};
use crate::pg::ledger::{self, Application};
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::referred::{self, Referred};
use crate::pg::undo::{Undo, Written};
use crate::pg::{Database, Session, Timeouts, catalog};
use crate::plan::masking::Mask;
use crate::plan::{
    Counts, DriftReport, DriftRow, Entry, Header, Kind, LedgerTable, ReferrerReport, Skips,
    TablePlan,
};
use crate::planfile::{Made, PlanWriter};
use crate::sql::Qualified;
use crate::table::graph;
use crate::table::limits::{self, Allowance};
use crate::table::target::Target;

/// What is to be taken back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RollbackRequest {
    /// Which applications.
    pub of: TakenBack,
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

impl TakenBack {
    fn batch_id(&self) -> Option<&str> {
        match self {
            TakenBack::Batch(id) => Some(id),
            TakenBack::Application(_) => None,
        }
    }
}

impl RollbackRequest {
    /// With the usual settings.
    pub fn new(database: Database, of: TakenBack) -> RollbackRequest {
        RollbackRequest {
            of,
            database,
            timeouts: Timeouts::default(),
            limits: Vec::new(),
            max_retries: 3,
            loader_schema: "public".into(),
            made: None,
        }
    }
}

/// Writes the plan that takes applications back to `out`. Returns its header and hash.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where there is nothing to take back; [`Drift`](crate::ErrorKind::Drift) naming rows that changed
/// since, and who changed them; [`Blocked`](crate::ErrorKind::Blocked) naming rows that refer to what would be deleted,
/// or tables without an audit log; [`Database`](crate::ErrorKind::Database).
pub async fn rollback(
    request: &RollbackRequest,
    out: impl Write,
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
    let all = ledger::applications(&session, &request.loader_schema, request.of.batch_id()).await?;
    let chosen = choose(&all, &request.of)?;
    let mut ledgered = merge(&chosen)?;
    for ledger in &mut ledgered {
        ledger.columns = loaded_columns(&all, &chosen, &ledger.table);
    }
    // There is no plan yet whose entries could be the key.
    let key = uuid::Uuid::new_v4();
    let sensitive = ledgered.iter().map(|l| (l.table.as_str(), &l.config));
    let mut mask = Mask::new(key.as_bytes(), sensitive);
    session.hide(mask.clone());
    let applications: Vec<String> = chosen.iter().map(|a| a.application.clone()).collect();
    let mut undone = order(&session, ledgered).await?;
    let names: Vec<String> = undone.iter().map(|(t, _)| t.name.clone()).collect();
    check_limits(&request.limits, &names)?;
    let mut replaced = Vec::with_capacity(undone.len());
    for (target, _) in &mut undone {
        let own = target.config.limits;
        let now = limits::in_effect(own, &target.name, &request.limits);
        replaced.push(limits::replaced(&own, &now));
        target.config.limits = now;
    }
    let mut undos = Vec::with_capacity(undone.len());
    for (target, written) in &undone {
        events(Event::phase_of("read the audit log", &target.name));
        let schema = &request.loader_schema;
        let triggered = triggered(target, written);
        let undo = Undo::collect(&session, schema, target, written, &applications, &triggered);
        undos.push(undo.await?);
    }
    let references: Vec<&Qualified> = undone.iter().map(|(t, _)| &t.table.name).collect();
    let snapshot = Snapshot::begin(&session, &references).await?;
    let mut writer = PlanWriter::new()?;
    let mut drift = DriftReport {
        kind: Kind::Rollback,
        ..DriftReport::default()
    };
    let mut referrers = ReferrerReport::default();
    let from: Vec<String> = chosen
        .iter()
        .map(|a| format!("application {}", a.application))
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
        let soft = undo.target.mark().is_some();
        let is_key = |c: &str| undo.target.config.natural_key.iter().any(|k| k == c);
        // What the table's own triggers set, they will set again.
        // What others may change unnoticed, is theirs.
        let writes = |c: &str, inserts: bool| {
            let ignored = undo.target.config.ignore_drift.iter().any(|i| i == c);
            let free = undo.target.table.triggers.is_empty() && !ignored;
            undo.target
                .table
                .column(c)
                .is_some_and(|column| !column.generated)
                && (inserts || free || is_ours(undo.target, undo.written, c))
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
                let inserts = inverse.before.is_none();
                let what = inverse.what(undone.digest, is_key, |c| writes(c, inserts), soft);
                let Some(what) = what else { return Ok(()) };
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
        writer.put_in_order()?;
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
        tables.push(TablePlan {
            table: name.clone(),
            relation: table.name.clone(),
            config: config.clone(),
            schema: table.fingerprint.clone(),
            parents: parents(target, undone.iter().map(|(t, _)| t)),
            width: table.columns.len() as u64,
            rows: rows(&snapshot, target).await?,
            columns: table.columns.iter().map(|c| c.name.clone()).collect(),
            numbers: Vec::new(),
            counts: Counts::default(),
            skips: Skips::default(),
            rejected: 0,
            triggered: triggered(target, written),
            passed_over: Default::default(),
            warnings: [replaced, warnings(target)].concat(),
        });
    }
    events(Event::phase("write the plan"));
    snapshot.end().await?;
    if drift.count() > 0 {
        for (target, _) in &undone {
            name_rows(&session, target, &mut drift).await;
        }
        mask.drift(&mut drift);
        return Err(drift.into());
    }
    if referrers.count() > 0 {
        mask.referrers(&mut referrers);
        return Err(referrers.into());
    }
    let header = Header {
        kind: Kind::Rollback,
        batch_id: chosen[0].batch_id.clone(),
        undoes: applications.clone(),
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

/// The tables of all applications, each once, with what they wrote in sum.
fn merge(applications: &[&Application]) -> Result<Vec<LedgerTable>> {
    let mut tables: Vec<LedgerTable> = Vec::new();
    for application in applications {
        for table in &application.tables {
            if table.counts.changes() == 0 {
                continue;
            }
            if !table.config.audit_changes {
                return Err(Error::blocked(format!(
                    "table {} was loaded by application {} without audit_changes, so that its rows cannot be put back",
                    table.table, application.application
                )));
            }
            match tables.iter_mut().find(|t| t.table == table.table) {
                None => tables.push(table.clone()),
                Some(known) if known.config.natural_key != table.config.natural_key => {
                    return Err(Error::blocked(format!(
                        "the natural key of table {} was another one in application {}",
                        table.table, application.application
                    ))
                    .with_remedy(Remedy::OneByOne));
                }
                Some(known)
                    if known
                        .types
                        .iter()
                        .any(|(c, t)| table.types.get(c).is_some_and(|other| other != t)) =>
                {
                    return Err(Error::blocked(format!(
                        "the type of a column of table {} was another one in application {}",
                        table.table, application.application
                    ))
                    .with_remedy(Remedy::OneByOne));
                }
                Some(known) => {
                    let (sum, c) = (&mut known.counts, &table.counts);
                    sum.insert += c.insert;
                    sum.update += c.update;
                    sum.delete += c.delete;
                }
            }
        }
    }
    Ok(tables)
}

/// Whether loads write this column: as given, as a stamp, or as the mark of deleted rows.
fn is_ours(target: &Target, written: &Written, column: &str) -> bool {
    written.columns.iter().any(|c| c == column)
        || target.config.is_stamp(column)
        || target.mark() == Some(column)
}

/// The columns that the table's triggers may set again: stamps, and whatever no load wrote.
fn triggered(target: &Target, written: &Written) -> Vec<String> {
    let Target { table, config, .. } = target;
    if table.triggers.is_empty() {
        return Vec::new();
    }
    let names = table.columns.iter().map(|c| &c.name);
    names
        .filter(|c| !config.natural_key.contains(c))
        .filter(|c| config.is_stamp(c) || !is_ours(target, written, c))
        .cloned()
        .collect()
}

/// The tables as they are now, in dependency order, each with what was done to it.
async fn order(session: &Session, ledgered: Vec<LedgerTable>) -> Result<Vec<(Target, Written)>> {
    let mut found = Vec::with_capacity(ledgered.len());
    for ledger in ledgered {
        let table = catalog::relation(session, &ledger.relation).await?;
        found.push((ledger, table));
    }
    let needs: Vec<Needs<'_>> = found
        .iter()
        .map(|(l, table)| (l.table.as_str(), table, &l.config))
        .collect();
    let names: BTreeSet<String> = found.iter().map(|(l, _)| l.table.clone()).collect();
    let order = graph::order(&names, &dependencies(&needs))?;
    found.sort_by_key(|(l, _)| order.iter().position(|n| *n == l.table));
    let mut ordered = Vec::with_capacity(found.len());
    for (place, (ledger, table)) in found.into_iter().enumerate() {
        // Its rows have their numbers; but people know them by name.
        let lookups = referred::lookups(session, &ledger.config, &table).await;
        let target = Target {
            name: ledger.table,
            table,
            config: ledger.config,
            lookups,
            place,
        };
        let written = Written {
            columns: ledger.columns,
            types: ledger.types,
            counts: ledger.counts,
        };
        ordered.push((target, written));
    }
    Ok(ordered)
}

fn warnings(target: &Target) -> Vec<String> {
    let mut warnings: Vec<String> = unguarded(target).into_iter().collect();
    let triggers = &target.table.triggers;
    if !triggers.is_empty() {
        warnings.push(format!(
            "its triggers run when this is applied, and the columns that they set are not put back: {}",
            triggers.join(", ")
        ));
    }
    warnings
}
