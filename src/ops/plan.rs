//! Planning: reads the batch and the current rows, writes nothing but the plan.

mod decided;
mod leave_out;
mod notes;
mod objects;
mod order;
mod queued;
mod report;
mod request;

use std::collections::BTreeSet;
use std::io::{Seek, Write};

use super::read::{Bounds, Object, Read, read_batch};
use super::retry::retry;
use super::targets::{parents, rows};
use super::{Event, OnProgress};
use crate::error::{Error, Result};
use crate::pg::plan::check;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::stage::{self, Stage};
use crate::pg::{Session, catalog, queue};
use crate::plan::masking::Mask;
use crate::plan::{Header, Kind, TablePlan, limits_of};
use crate::planfile::PlanWriter;
use crate::source::{Pattern, Source};
use crate::sql::Qualified;
use crate::table::config::OnOlder;
use crate::table::limits;
use crate::table::target::Target;

pub(super) use decided::{Decided, LeftOutAt, Place};
use decided::{keep_decided, leave_out_decided, note_decided};
use leave_out::{leave_out, note};
use notes::{complete, notes, of_table, replaced, seem_utf8, undated};
pub(super) use objects::list;
use objects::{not_read, sort_objects};
use order::{marks, order};
use queued::match_queue;
use request::check_batch_id;

pub(crate) use crate::source::REPORT;
pub use leave_out::{Key, LeftOut};
pub(crate) use request::PREFIX;
pub use request::{PlanRequest, Queue, ReportUse};

/// Where the records come from that name rows which a complete delivery does not bring.
pub(super) const NOT_DELIVERED: &str = "not delivered";

/// Makes a plan and writes it to `out`, which must not be opened for appending: its hash stands near the beginning and
/// is known last. Returns its header and hash.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config), [`Source`](crate::ErrorKind::Source), [`Database`](crate::ErrorKind::Database); [`Blocked`](crate::ErrorKind::Blocked) where the queue or
/// a limit forbids planning. Violations are no error: they are in the plan.
pub async fn plan(
    request: &PlanRequest,
    out: impl Write + Seek,
    events: OnProgress<'_>,
) -> Result<(Header, String)> {
    check_batch_id(&request.batch_id)?;
    let (writer, header) = retry(request.max_retries, events, async || {
        draft(request, events).await
    })
    .await?;
    writer.noted(request.made.clone()).finish(header, out)
}

/// Where batches lie, as `prefix` says.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config).
pub(super) fn pattern(prefix: &str) -> Result<Pattern> {
    Pattern::parse(prefix).map_err(|why| Error::config(format!("the prefix \"{prefix}\": {why}")))
}

/// That the same would be planned for another batch, where that is so.
fn of_any_batch(pattern: &Pattern) -> Option<String> {
    (!pattern.names_batches()).then(|| {
        format!("the prefix \"{pattern}\" has no {{batch_id}}: whatever batch is named, the same objects are read")
    })
}

/// All of the plan, not yet written.
async fn draft(request: &PlanRequest, events: OnProgress<'_>) -> Result<(PlanWriter, Header)> {
    events(Event::phase("list"));
    let source = Source::open(&request.source).await?;
    let pattern = pattern(&request.prefix)?;
    let place = pattern.of_batch(&request.batch_id);
    let listed = list(&source, &place, &request.config, events).await?;
    events(Event::Listed {
        objects: listed.len() as u64,
    });
    let reports = report::among(&listed);
    let (mut found, hidden) = sort_objects(request, &source, &place, listed)?;
    let names: BTreeSet<String> = found.iter().map(|(t, ..)| t.clone()).collect();
    let reports = report::read(request, &source, reports, names.iter()).await?;
    events(Event::phase("connect"));
    let session = Session::open(&request.database, request.timeouts).await?;
    let tables = request.config.tables.iter();
    let key = uuid::Uuid::new_v4();
    session.hide(Mask::new(
        key.as_bytes(),
        tables.map(|(name, config)| (name.as_str(), config)),
    ));
    let database = session.target(&request.loader_schema).await?;
    let entries = match request.queue {
        Queue::Off => None,
        Queue::Required => {
            let mut all =
                queue::entries(&session, &request.loader_schema, &request.batch_id).await?;
            if !request.only.is_empty() {
                all.retain(|e| request.only.contains(&e.table));
            }
            Some(all)
        }
    };
    // Before the tables are looked at: the first temporary table of a database makes the server plan anew
    // what it has planned.
    stage::prepare(&session).await?;
    let mut targets = order(request, &session, &names).await?;
    reports.exclude(&mut targets)?;
    let place = |name: &String| targets.iter().position(|t| t.name == *name);
    // What is not asked for is not read.
    found.retain(|(table, ..)| place(table).is_some());

    let mut stages = Vec::with_capacity(targets.len());
    for target in &targets {
        stages.push(Stage::new(&session, target, &request.batch_id).await?);
    }
    let (mut objects, mut infos) = (Vec::new(), Vec::new());
    for (table, format, deletes, info) in found {
        let table = place(&table)
            .ok_or_else(|| Error::local(format!("{}: no table {table} is planned", info.key)))?;
        objects.push(Object {
            table,
            format,
            deletes,
            key: info.key.clone(),
            size: info.size,
        });
        infos.push(info);
    }
    // Large objects are in memory while they wait: fewer of them at once.
    let largest = infos.iter().map(|i| i.size).max().unwrap_or(0).max(1);
    let fitting = usize::try_from((24 << 20) / largest).unwrap_or(usize::MAX);
    let concurrency = fitting.clamp(2, request.concurrency.max(2));
    events(Event::phase("read and stage"));
    let fetched = source.fetch_all(infos, concurrency, request.object_bounds());
    let mut read = read_batch(
        &session,
        &request.batch_id,
        objects,
        fetched,
        &mut stages,
        Bounds {
            records: request.max_records,
            at_once: request.batch_size.unwrap_or(u64::MAX),
            most: request.most(),
        },
        events,
    )
    .await?;
    refuse_undated(&targets, &read)?;
    reports.count(&read.fragments, &request.only)?;
    leave_out(&session, &request.leave_out, &request.only, &mut stages).await?;
    leave_out_decided(&session, &request.decided, &read.fragments, &mut stages).await?;
    let of: u64 = stages.iter().map(|s| s.rows).sum();
    events(Event::Checking { records: of });
    for stage in &mut stages {
        events(Event::phase_of("look for duplicates", &stage.target.name));
        stage.finish(&session).await?;
    }

    events(Event::phase("check constraints"));
    let mut writer = PlanWriter::new()?;
    let problems = match entries {
        Some(entries) => match_queue(
            &source,
            entries,
            &mut read.fragments,
            &read.fragment_ids,
            &targets,
        )?,
        None => Vec::new(),
    };
    read.fragments.iter().try_for_each(|f| writer.fragment(f))?;
    check::prepare(&session, &stages).await?;
    let mut locked: Vec<&Qualified> = targets.iter().map(|t| &t.table.name).collect();
    locked.extend(check::parents(&targets));
    let snapshot = Snapshot::begin(&session, &locked).await?;
    for Target { name, table, .. } in &targets {
        if catalog::table(&session, name).await? != *table {
            return Err(Error::database(format!(
                "the definition of table {name} changed while the plan was being made; run plan again"
            ))
            .transient());
        }
    }
    let mut missing = Vec::with_capacity(stages.len());
    for i in 0..stages.len() {
        snapshot.look_up(&mut stages, i).await?;
        let stage = &mut stages[i];
        // What rows go, is to be known when those that may refer to them are looked up.
        let behind = read.fragments.len();
        missing.push(snapshot.complete(stage, behind).await?);
        keep_decided(&session, &request.decided, stage, behind).await?;
        if stage.deletes {
            snapshot.deletes_of(stage.target).await?;
        }
    }
    let mut checked = check::needed(&stages);
    let older = check::older(&snapshot, &request.loader_schema, &stages).await?;
    let mut found = check::run(&snapshot, &mut checked).await?;
    found.extend(older.tables);
    let marks = marks(request, &session, &targets).await?;
    let marked = check::to_marked_rows(&session, &checked, &marks).await?;
    let behind = check::behind(&session, &stages).await?;
    drop(checked);
    for number in found {
        stages[number].findings = true;
    }
    // Behind the objects come the rows that a complete delivery does not bring.
    let origin = |object: usize, position: u64| match read.fragments.get(object) {
        Some(fragment) => format!("{}#{position}", fragment.key),
        None => NOT_DELIVERED.to_owned(),
    };
    let mut problems = problems.into_iter().peekable();
    let mut compared = 0;
    let mut passed_over = Vec::with_capacity(stages.len());
    for stage in &stages {
        while let Some(entry) = problems.next_if(|e| e.table == stage.target.name) {
            writer.entry(entry)?;
        }
        events(Event::phase_of("compare", &stage.target.name));
        let told = |records: u64| {
            events(Event::Comparing {
                table: stage.target.name.clone(),
                records: compared + records,
                of,
            });
        };
        let mut entries = 0;
        if stage.rows > 0 {
            told(0);
        }
        let passed = snapshot
            .compare(stage, &origin, &mut |key, entry| {
                entries += 1;
                if entries % 1_000 == 0 && entries < stage.rows {
                    told(entries);
                }
                writer.unordered(key, entry)
            })
            .await?;
        passed_over.push(passed);
        writer.go_on();
        told(stage.rows);
        compared += stage.rows;
    }
    let mut tables = Vec::with_capacity(targets.len());
    for (number, stage) in stages.iter().enumerate() {
        let (words, unreadable) = (&read.words[number], read.unreadable[number].as_ref());
        let named = |object: usize| {
            read.fragments
                .get(object)
                .map_or("?".into(), |f| f.key.clone())
        };
        let target = stage.target;
        let Target {
            name,
            table,
            config,
            ..
        } = target;
        let own = request.config.resolve(name, table)?;
        let rows = rows(&snapshot, target).await?;
        tables.push(TablePlan {
            numbers: numbers(stage),
            alive: snapshot.alive(stage).await?,
            own_limits: (own.limits != config.limits).then_some(own.limits),
            passed_over: passed_over[number].clone(),
            warnings: [
                limits::replaced(&limits_of(Kind::Load, own.limits), &config.limits),
                replaced(own.on_older, config.on_older),
                notes(target, &stage.used, &targets, &read.fragments),
                of_table(&marked, target),
                of_table(&behind, target),
                of_table(&older.notes, target),
                complete(target, missing[number]),
                request.config.no_columns(name, table),
                not_read(&hidden, name),
                of_any_batch(&pattern).into_iter().collect(),
                seem_utf8(target, &read),
                reports.notes(name),
                note(&session, &request.leave_out, target)
                    .into_iter()
                    .collect(),
                note_decided(&request.decided, name).into_iter().collect(),
                read.ignored[number].notes(&named),
                undated(unreadable, &|(object, position)| origin(object, position)),
                words.notes(table, &|(object, position)| origin(object, position)),
            ]
            .concat(),
            ..TablePlan::of(target, parents(target, &targets), rows)
        });
    }
    events(Event::phase("write the plan"));
    snapshot.end().await?;
    let header = Header {
        records: read.records,
        tables,
        ..Header::new(Kind::Load, &request.batch_id, database)
    };
    Ok((writer, header))
}

/// That it is known when records were extracted, where older ones must not be loaded and their envelopes say so.
fn refuse_undated(targets: &[Target], read: &Read) -> Result<()> {
    let undated = targets.iter().zip(&read.unreadable);
    let undated = undated.filter(|(t, _)| t.config.on_older != OnOlder::Note);
    let told: Vec<String> = undated
        .filter_map(|(_, unreadable)| unreadable.as_ref())
        .map(|unreadable| {
            let (object, position) = unreadable.first;
            let key = read.fragments.get(object).map_or("?", |f| f.key.as_str());
            format!(
                "{key}#{position}: the envelope's extracted_at is {} ({})",
                unreadable.why,
                crate::plan::records(unreadable.records)
            )
        })
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(Error::unreadable(format!(
        "on_older refuses older records, and when these were extracted cannot be read:\n  {}\nmend time_zone or formats in \
         tables.yaml, or have them delivered again",
        told.join("\n  ")
    )))
}

/// The columns whose numbers apply draws, because new rows of the batch refer to them.
fn numbers(stage: &Stage<'_>) -> Vec<String> {
    let columns = stage.referred.iter();
    let columns = columns.map(|i| stage.target.table.columns[*i].name.clone());
    let mut columns: Vec<String> = columns.collect();
    columns.sort();
    columns
}
