//! Planning: reads the batch and the current rows, writes nothing but the plan.

use std::collections::BTreeSet;
use std::io::Write;

use super::read::{Limits, Object, read_batch};
use super::{Event, OnProgress};
use crate::error::{Error, Result};
use crate::pg::plan::check;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::stage::{self, Stage};
use crate::pg::queue::{self, Matcher, QueueEntry};
use crate::pg::{Database, Session, Timeouts, catalog};
use crate::plan::masking::Mask;
use crate::plan::{
    Counts, Effect, Entry, Fragment, Header, Kind, TablePlan, Values, Violation, ViolationKind,
    What,
};
use crate::planfile::PlanWriter;
use crate::source::{Layout, Location, ObjectInfo, Source, layout};
use crate::sql::Qualified;
use crate::sql::ident::nearest;
use crate::table::config::{Config, Strategy, TableConfig};
use crate::table::graph::{self, Dependency};
use crate::table::limits::{self, Allowance};
use crate::table::schema::Table;

/// Whether the validation queue has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The batch must have entries, and none of them failed.
    Required,
    /// There is no validator.
    Off,
}

/// What is to be planned.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// The batch.
    pub batch_id: String,
    /// Where its fragments are.
    pub source: Location,
    /// Where below the source's root; `{batch_id}` is replaced.
    pub prefix: String,
    /// Names of objects that are no fragments.
    pub ignore: Vec<String>,
    /// `tables.yaml`.
    pub config: Config,
    /// Only these tables; all if empty.
    pub only: Vec<String>,
    /// In place of each table's own strategy.
    pub strategy: Option<Strategy>,
    /// In place of the tables' own limits.
    pub limits: Vec<Allowance>,
    /// The database.
    pub database: Database,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// Whether the validation queue has a say.
    pub queue: Queue,
    /// The most records that a batch may have.
    pub max_records: u64,
    /// The most records that are sent to the database at once, in no case more than make 1 MiB.
    pub batch_size: Option<u64>,
    /// Objects fetched at once.
    pub concurrency: usize,
}

impl PlanRequest {
    /// The plan of a batch as the command line makes it where nothing else is said: fragments are
    /// in `staging/{batch_id}/`, the validation queue has its say, and at most 10000 records.
    pub fn new(
        batch_id: impl Into<String>,
        source: Location,
        config: Config,
        database: Database,
    ) -> PlanRequest {
        PlanRequest {
            batch_id: batch_id.into(),
            source,
            prefix: "staging/{batch_id}/".into(),
            ignore: vec!["validation_report.json".into()],
            config,
            only: Vec::new(),
            strategy: None,
            limits: Vec::new(),
            database,
            timeouts: Timeouts::default(),
            loader_schema: "public".into(),
            queue: Queue::Required,
            max_records: 10_000,
            batch_size: None,
            concurrency: 32,
        }
    }

    /// Whether a text may be a batch's id: at most 200 letters, digits, `.`, `_` and `-`.
    pub fn is_batch_id(text: &str) -> bool {
        text.len() <= 200
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !text.contains("..")
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    }
}

/// Makes a plan and writes it to `out`. Returns its header and hash.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config), [`Source`](crate::ErrorKind::Source), [`Database`](crate::ErrorKind::Database); [`Blocked`](crate::ErrorKind::Blocked) where the queue or
/// a limit forbids planning. Violations are no error: they are in the plan.
pub async fn plan(
    request: &PlanRequest,
    out: impl Write,
    events: OnProgress<'_>,
) -> Result<(Header, String)> {
    check_batch_id(&request.batch_id)?;
    events(Event::phase("list"));
    let source = Source::open(&request.source).await?;
    let prefix = request.prefix.replace("{batch_id}", &request.batch_id);
    let prefix = format!("{}/", prefix.trim_end_matches('/'));
    let listed = source
        .list_telling(&prefix, &|found| events(Event::Listing { objects: found }))
        .await?;
    events(Event::Listed {
        objects: listed.len() as u64,
    });
    let mut found = sort_objects(request, &source, &prefix, listed)?;
    events(Event::phase("connect"));
    let session = Session::open(&request.database, request.timeouts).await?;
    let tables = request.config.tables.iter();
    let key = uuid::Uuid::new_v4();
    session.hide(Mask::new(
        key.as_bytes(),
        tables.map(|(name, config)| (name.as_str(), config)),
    ));
    let target = session.target(&request.loader_schema).await?;
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
    let names: BTreeSet<String> = found.iter().map(|(t, ..)| t.clone()).collect();
    let (names, tables, configs) = order(request, &session, &names).await?;
    // What is not asked for is not read.
    found.retain(|(table, ..)| names.contains(table));

    stage::prepare(&session).await?;
    let mut stages = Vec::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        stages.push(Stage::new(&session, i, name, &tables[i], &configs[i]).await?);
    }
    let (mut objects, mut infos) = (Vec::new(), Vec::new());
    for (table, format, info) in found {
        let known = names.iter().position(|n| *n == table);
        let number = known
            .ok_or_else(|| Error::local(format!("{}: no table {table} is planned", info.key)))?;
        objects.push(Object {
            table: number,
            format,
            key: info.key.clone(),
        });
        infos.push(info);
    }
    // Large objects are in memory while they wait: fewer of them at once.
    let largest = infos.iter().map(|i| i.size).max().unwrap_or(0).max(1);
    let fitting = usize::try_from((24 << 20) / largest).unwrap_or(usize::MAX);
    let concurrency = fitting.clamp(2, request.concurrency.max(2));
    events(Event::phase("read and stage"));
    let fetched = source.fetch_all(infos, concurrency);
    let mut read = read_batch(
        &session,
        &request.batch_id,
        objects,
        fetched,
        &mut stages,
        Limits {
            records: request.max_records,
            at_once: request.batch_size.unwrap_or(u64::MAX),
        },
        events,
    )
    .await?;
    let of: u64 = stages.iter().map(|s| s.rows).sum();
    events(Event::Checking { records: of });
    for stage in &mut stages {
        events(Event::phase_of("look for duplicates", stage.name));
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
            &names,
        )?,
        None => Vec::new(),
    };
    read.fragments.iter().try_for_each(|f| writer.fragment(f))?;
    let mut checked = check::prepare(&session, &stages).await?;
    let mut locked: Vec<&Qualified> = tables.iter().map(|t| &t.name).collect();
    locked.extend(check::parents(&tables));
    let snapshot = Snapshot::begin(&session, &locked).await?;
    let again = catalog::tables(&session, &request.config, &names).await?;
    if let Some((name, _)) = names
        .iter()
        .zip(tables.iter().zip(&again))
        .find(|(_, (a, b))| a != b)
    {
        return Err(Error::database(format!(
            "the definition of table {name} changed while the plan was being made; run plan again"
        ))
        .transient());
    }
    let found = check::run(&snapshot, &mut checked).await?;
    drop(checked);
    for number in found {
        stages[number].findings = true;
    }
    let mut problems = problems.into_iter().peekable();
    let mut compared = 0;
    for stage in &stages {
        while let Some(entry) = problems.next_if(|e| e.table == stage.name) {
            writer.entry(entry)?;
        }
        events(Event::phase_of("compare", stage.name));
        let told = |records: u64| {
            events(Event::Comparing {
                table: stage.name.to_owned(),
                records: compared + records,
                of,
            });
        };
        let mut entries = 0;
        if stage.rows > 0 {
            told(0);
        }
        let origin = |object: usize, position: u64| {
            let key = read.fragments.get(object).map_or("?", |f| f.key.as_str());
            format!("{key}#{position}")
        };
        snapshot
            .compare(stage, &origin, &mut |key, entry| {
                entries += 1;
                if entries % 1_000 == 0 && entries < stage.rows {
                    told(entries);
                }
                writer.unordered(key, entry)
            })
            .await?;
        events(Event::phase_of("put in order", stage.name));
        writer.put_in_order()?;
        told(stage.rows);
        compared += stage.rows;
    }
    let mut counted = Vec::with_capacity(tables.len());
    for (table, config) in tables.iter().zip(&configs) {
        counted.push(rows(&snapshot, table, config).await?);
    }
    events(Event::phase("write the plan"));
    snapshot.end().await?;
    // What is said of limits that flags replaced, by table.
    let mut replaced = std::collections::BTreeMap::new();
    for (name, (table, config)) in names.iter().zip(tables.iter().zip(&configs)) {
        let own = request.config.resolve(name, table)?;
        replaced.insert(name.clone(), limits::replaced(&own.limits, &config.limits));
    }
    let header = Header {
        kind: Kind::Load,
        batch_id: request.batch_id.clone(),
        undoes: Vec::new(),
        target,
        records: read.records,
        blocking: 0,
        rejected: 0,
        summary: Counts::default(),
        tables: names
            .iter()
            .zip(tables.iter().zip(&configs))
            .zip(counted)
            .map(|((name, (table, config)), rows)| TablePlan {
                table: name.clone(),
                config: config.clone(),
                schema: table.fingerprint.clone(),
                parents: parents(table, &names, &tables),
                width: table.columns.len() as u64,
                rows,
                columns: Vec::new(),
                counts: Counts::default(),
                stamps: config.stamps.clone().unwrap_or_default(),
                triggered: Vec::new(),
                warnings: [
                    replaced.get(name).cloned().unwrap_or_default(),
                    warnings(table, config),
                    kept_by_marks(table, config, &names, &tables, &configs),
                    without_records(name, &read.fragments),
                ]
                .concat(),
            })
            .collect(),
    };
    writer.finish(header, out)
}

/// A batch id becomes part of a path and of the queue's look-up: letters, digits, `.`, `_`, `-`.
fn check_batch_id(batch_id: &str) -> Result<()> {
    if PlanRequest::is_batch_id(batch_id) {
        return Ok(());
    }
    Err(Error::config(format!(
        "\"{}\" is not a batch id: it must begin with a letter or digit and consist of letters, digits, '.', '_' \
         and '-', at most 200, without \"..\"",
        crate::text::escape(batch_id)
    )))
}

type Found = (String, crate::record::Format, ObjectInfo);

/// The fragments among the objects listed, by table.
fn sort_objects(
    request: &PlanRequest,
    source: &Source,
    prefix: &str,
    listed: Vec<ObjectInfo>,
) -> Result<Vec<Found>> {
    let (mut found, mut strange) = (Vec::new(), Vec::new());
    for info in listed {
        match layout(prefix, &info.key, &request.ignore) {
            Layout::Fragment { table, format, .. } => found.push((table, format, info)),
            Layout::Ignored => {}
            Layout::Unknown(reason) => strange.push(format!("{}: {reason}", info.key)),
        }
    }
    if !strange.is_empty() {
        return Err(Error::unreadable(format!(
            "{} object{} of batch {} cannot be told to be fragments; take them away or name them with --ignore:\n  {}",
            strange.len(),
            if strange.len() == 1 { "" } else { "s" },
            request.batch_id,
            strange.join("\n  ")
        )));
    }
    if found.is_empty() {
        return Err(Error::unreadable(format!(
            "there are no fragments of batch {} at {}; check the batch id, --source and --prefix",
            request.batch_id,
            source.display(prefix)
        )));
    }
    let tables: BTreeSet<&String> = found.iter().map(|(t, ..)| t).collect();
    let unknown: Vec<String> = tables
        .iter()
        .filter(|t| !request.config.tables.contains_key(**t))
        .map(|t| request.config.unknown(t).to_string())
        .collect();
    if !unknown.is_empty() {
        return Err(Error::config(unknown.join("\n")));
    }
    for only in &request.only {
        if !tables.contains(only) {
            let near = nearest(only, tables.iter().map(|t| t.as_str()))
                .map(|n| format!("; did you mean {n}?"))
                .unwrap_or_default();
            return Err(Error::config(format!(
                "table {only} is not in batch {}{near}",
                request.batch_id
            )));
        }
    }
    Ok(found)
}

/// What the foreign keys between these tables and `depends_on` ask for.
pub(super) fn dependencies(names: &[String], tables: &[Table], config: &Config) -> Vec<Dependency> {
    let mut dependencies = Vec::new();
    for (name, table) in names.iter().zip(tables) {
        for key in &table.foreign_keys {
            let parent = tables.iter().position(|t| t.name == key.parent);
            dependencies.extend(parent.map(|p| Dependency {
                parent: names[p].clone(),
                child: name.clone(),
                because: key.name.clone(),
                deferrable: key.deferrable,
            }));
        }
        for parent in &config.tables[name].depends_on {
            dependencies.push(Dependency {
                parent: parent.clone(),
                child: name.clone(),
                because: "depends_on".into(),
                deferrable: false,
            });
        }
    }
    dependencies
}

/// Names, tables and configurations in dependency order. With a subset of the batch's tables, a
/// parent that is left out is refused.
async fn order(
    request: &PlanRequest,
    session: &Session,
    names: &BTreeSet<String>,
) -> Result<(Vec<String>, Vec<Table>, Vec<TableConfig>)> {
    let listed: Vec<String> = names.iter().cloned().collect();
    let tables = catalog::tables(session, &request.config, &listed).await?;
    let dependencies = dependencies(&listed, &tables, &request.config);
    if !request.only.is_empty()
        && let Some(d) = dependencies.iter().find(|d| {
            request.only.contains(&d.child)
                && !request.only.contains(&d.parent)
                && names.contains(&d.parent)
        })
    {
        return Err(Error::config(format!(
            "table {} depends on {} ({}), which the batch brings too; add --table-name {}",
            d.child, d.parent, d.because, d.parent
        )));
    }
    let wanted = names
        .iter()
        .filter(|n| request.only.is_empty() || request.only.contains(n))
        .cloned()
        .collect();
    let ordered = graph::order(&wanted, &dependencies)?;
    known(&request.limits, &ordered)?;
    let mut by_name: std::collections::BTreeMap<String, Table> =
        listed.into_iter().zip(tables).collect();
    let mut found = Vec::with_capacity(ordered.len());
    let mut configs = Vec::with_capacity(ordered.len());
    for name in &ordered {
        if let Some(table) = by_name.remove(name) {
            let mut config = request.config.resolve(name, &table)?;
            if let Some(strategy) = request.strategy {
                config.update_strategy = strategy;
            }
            config.limits = limits::in_effect(config.limits, name, &request.limits);
            found.push(table);
            configs.push(config);
        }
    }
    Ok((ordered, found, configs))
}

/// That each limit given for one table is for one of `tables`: a misspelt one would limit nothing.
pub(super) fn known(limits: &[Allowance], tables: &[String]) -> Result<()> {
    let mut named = limits
        .iter()
        .filter_map(|l| Some((l.action, l.table.as_ref()?)));
    match named.find(|(_, table)| !tables.contains(table)) {
        None => Ok(()),
        Some((action, table)) => {
            let near = nearest(table, tables.iter().map(String::as_str));
            Err(Error::config(format!(
                "--max-{action}s: table {table} is not in the plan{}",
                near.map(|n| format!("; did you mean {n}?"))
                    .unwrap_or_default()
            )))
        }
    }
}

/// How many rows `table` has in the snapshot, where a limit is a part of them.
pub(super) async fn rows(
    snapshot: &Snapshot<'_>,
    table: &Table,
    config: &TableConfig,
) -> Result<Option<u64>> {
    if !config.limits.needs_rows() {
        return Ok(None);
    }
    snapshot.rows(table).await.map(Some)
}

/// Which of the plan's tables `child` refers to.
pub(super) fn parents(child: &Table, names: &[String], tables: &[Table]) -> Vec<String> {
    let referred = |table: &Table| child.foreign_keys.iter().any(|k| k.parent == table.name);
    let parents: BTreeSet<&String> = names
        .iter()
        .zip(tables)
        .filter(|(_, table)| referred(table))
        .map(|(name, _)| name)
        .collect();
    parents.into_iter().cloned().collect()
}

/// Joins queue entries with fragments; what has no counterpart is a violation, in table order.
fn match_queue(
    source: &Source,
    entries: Vec<QueueEntry>,
    fragments: &mut [Fragment],
    fragment_ids: &[Option<String>],
    names: &[String],
) -> Result<Vec<Entry>> {
    let mut matcher = Matcher::new(entries);
    let mut problems = Vec::new();
    let problem = |table: &str, kind, from: String, message: &str| Entry {
        table: table.to_owned(),
        key: Values::new(),
        what: What::Violation(Violation {
            kind,
            effect: Effect::Block,
            field: None,
            existing: None,
            given: None,
            message: message.to_owned(),
        }),
        from: vec![from],
    };
    for (fragment, id) in fragments.iter_mut().zip(fragment_ids) {
        let full = source.display(&fragment.key);
        // A validator may name the object from the bucket's root, where ours is a folder in it.
        let in_bucket = full.strip_prefix("s3://").and_then(|f| f.split_once('/'));
        let in_bucket = in_bucket.map_or(full.as_str(), |(_, key)| key);
        fragment.queue = matcher.take(&[&fragment.key, in_bucket, &full], id.as_deref());
        if fragment.queue.is_empty() {
            let message = "the object has no entry in the validation queue";
            problems.push(problem(
                &fragment.table,
                ViolationKind::NotQueued,
                fragment.key.clone(),
                message,
            ));
        }
    }
    let mut homeless = Vec::new();
    for entry in matcher.left() {
        let name = entry
            .s3_key
            .or(entry.fragment_id)
            .unwrap_or_else(|| format!("entry {}", entry.id));
        if names.contains(&entry.table) {
            let message = "the validation queue names this fragment, and there is no such object";
            problems.push(problem(
                &entry.table,
                ViolationKind::MissingObject,
                name,
                message,
            ));
        } else {
            homeless.push(format!("{} (table {})", name, entry.table));
        }
    }
    if !homeless.is_empty() {
        return Err(Error::blocked(format!(
            "the validation queue names fragments for which there is no object, and none of their table:\n  {}",
            homeless.join("\n  ")
        )));
    }
    problems.sort_by_key(|e| (names.iter().position(|n| *n == e.table), e.from.clone()));
    Ok(problems)
}

/// That new rows of other tables cannot be taken back, because rows that refer to them stay, marked.
fn kept_by_marks(
    table: &Table,
    config: &TableConfig,
    names: &[String],
    tables: &[Table],
    configs: &[TableConfig],
) -> Vec<String> {
    if config.soft_delete.column().is_none() {
        return Vec::new();
    }
    let parents = names.iter().zip(tables.iter().zip(configs));
    let parents = parents.filter(|(_, (parent, config))| {
        config.soft_delete.column().is_none()
            && table.foreign_keys.iter().any(|k| k.parent == parent.name)
    });
    parents
        .map(|(parent, _)| {
            format!(
                "a rollback only marks its rows, and cannot remove new rows of {parent} to which they refer; \
                 with soft_delete for both tables, or for neither, it could"
            )
        })
        .collect()
}

/// Fragments that hold nothing: perhaps a delivery that was cut off.
fn without_records(name: &str, fragments: &[Fragment]) -> Vec<String> {
    let empty = fragments
        .iter()
        .filter(|f| f.table == name && f.records == 0);
    let keys: Vec<&str> = empty.map(|f| f.key.as_str()).collect();
    match keys.as_slice() {
        [] => Vec::new(),
        [one] => vec![format!("there is no record in {one}")],
        [first, rest @ ..] => vec![format!(
            "there is no record in {first} and {} more fragments",
            rest.len()
        )],
    }
}

/// What a reviewer should know about a table beyond its entries.
fn warnings(table: &Table, config: &TableConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.audit_changes {
        warnings.push(
            "audit_changes is off: what is loaded into this table cannot be rolled back".into(),
        );
    }
    match table.key_index(&config.natural_key) {
        Some(index) if index.predicate.is_none() => {}
        Some(index) => {
            if config.soft_delete.column().is_none() {
                warnings.push(format!(
                    "the natural key is unique only where {} ({})",
                    index.predicate.as_deref().unwrap_or("true"),
                    index.name
                ));
            }
        }
        None => {
            let columns: Vec<String> = config
                .natural_key
                .iter()
                .map(|c| crate::sql::Ident(c).to_string())
                .collect();
            warnings.push(format!(
                "nothing in the database makes the natural key unique; this would: CREATE UNIQUE INDEX ON {} ({})",
                table.name,
                columns.join(", ")
            ));
        }
    }
    if !table.triggers.is_empty() {
        warnings.push(format!(
            "its triggers run when this is applied: {}",
            table.triggers.join(", ")
        ));
    }
    warnings
}
