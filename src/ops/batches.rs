//! The batches that are there, and how far each has come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::plan::{PREFIX, Queue, REPORT, pattern};
use super::{PlanRequest, history};
use crate::error::{Error, Result};
use crate::pg::ledger::Application;
use crate::pg::{Database, Session, Timeouts, queue};
use crate::source::{Layout, Location, Source, layout};
use crate::table::config::Config;

/// Which batches are looked for, and where.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BatchesRequest {
    /// Only this one.
    pub batch_id: Option<String>,
    /// Where fragments are.
    pub source: Location,
    /// Where below the source's root; `{batch_id}` stands for the batch.
    pub prefix: String,
    /// Names of objects that are no fragments.
    pub ignore: Vec<String>,
    /// `tables.yaml`, where there is one: it says which endings files of delimited values have.
    pub config: Option<Config>,
    /// The database.
    pub database: Database,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The schema of the loader's tables.
    pub loader_schema: String,
    /// Whether the validation queue has a say.
    pub queue: Queue,
}

impl BatchesRequest {
    /// All batches at a source as the command line lists them where nothing else is said.
    pub fn new(source: Location, database: Database) -> BatchesRequest {
        BatchesRequest {
            batch_id: None,
            source,
            prefix: PREFIX.into(),
            ignore: vec![REPORT.into()],
            config: None,
            database,
            timeouts: Timeouts::default(),
            loader_schema: "public".into(),
            queue: Queue::Required,
        }
    }
}

/// How far a batch, or a table of one, has come. Of a batch of whose tables none is loaded, the first of these that one
/// of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum BatchState {
    /// The validator marked entries as failed.
    FailedValidation,
    /// The validation queue has no entries for it.
    NotInQueue,
    /// The source has none of its fragments.
    #[default]
    NoFragments,
    /// It was loaded, and taken back.
    RolledBack,
    /// It is still to be loaded.
    Waiting,
    /// All of it is loaded.
    Loaded,
    /// Some of it is.
    PartlyLoaded,
    /// Some of the rows that it changed were taken back.
    UndoneInPart,
    /// Planning refuses objects of it, of which nothing is known.
    UnreadableObjects,
    /// Planning refuses its id, and says what one is.
    NoPossibleId,
}

impl BatchState {
    /// The words for people and programs.
    pub fn words(self) -> &'static str {
        match self {
            BatchState::FailedValidation => "failed validation",
            BatchState::NotInQueue => "not in the queue",
            BatchState::NoFragments => "no fragments",
            BatchState::RolledBack => "rolled back",
            BatchState::Waiting => "waiting",
            BatchState::Loaded => "loaded",
            BatchState::PartlyLoaded => "partly loaded",
            BatchState::UndoneInPart => "undone in part",
            BatchState::UnreadableObjects => "unreadable objects",
            BatchState::NoPossibleId => "no possible id",
        }
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl Serialize for BatchState {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(self.words())
    }
}

/// A number of entries in the validation queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueCount {
    /// The table.
    pub table_name: String,
    /// `pending`, `loaded`, `failed` or `skipped`.
    pub status: String,
    /// How many.
    pub count: u64,
}

/// One batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Its id.
    pub batch_id: String,
    /// How far it has come.
    pub state: BatchState,
    /// How far each of its tables has come.
    pub table_states: BTreeMap<String, BatchState>,
    /// Fragments by table.
    pub tables: BTreeMap<String, u64>,
    /// Fragments in all.
    pub total_fragments: u64,
    /// Their size together.
    pub bytes: u64,
    /// Objects of which nothing is known; planning refuses them.
    pub unknown_objects: u64,
    /// Entries of the validation queue, by table and status.
    pub queue_status: Vec<QueueCount>,
    /// Tables of which somebody else than a load said that fragments failed.
    #[serde(skip)]
    refused: BTreeSet<String>,
    /// Applications of its plans that are in effect.
    pub applications: u64,
    /// Applications of its plans that were taken back.
    pub undone: u64,
    /// Rows that the applications in effect changed.
    pub rows: u64,
    /// How many of these were undone since.
    pub undone_rows: u64,
}

/// The batches in the source, in the queue and in the ledger, by id.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where the prefix does not say where the batch's id stands;
/// [`Source`](crate::ErrorKind::Source), [`Database`](crate::ErrorKind::Database).
pub async fn batches(request: &BatchesRequest) -> Result<Vec<Batch>> {
    let mut found: BTreeMap<String, Batch> = BTreeMap::new();
    list(request, &mut found).await?;
    let session = Session::open_to_read(&request.database, request.timeouts).await?;
    session.target(&request.loader_schema).await?;
    if request.queue == Queue::Required {
        count_queue(request, &session, &mut found).await?;
    }
    drop(session);
    let applications = history(
        &request.database,
        request.timeouts,
        &request.loader_schema,
        request.batch_id.as_deref(),
    );
    let mut loads: BTreeMap<(String, String), Load> = BTreeMap::new();
    // Newest first: of those in effect, the newest says what became of a table.
    let applications = applications.await?;
    let is_asked = |a: &Application| request.batch_id.as_ref().is_none_or(|id| *id == a.batch_id);
    for application in applications.iter().filter(|a| a.is_load() && is_asked(a)) {
        let id = &application.batch_id;
        let batch = found.entry(id.clone()).or_default();
        match application.undone_by {
            None => {
                batch.applications += 1;
                batch.rows += application.rows();
                batch.undone_rows += application.undone_rows.values().sum::<u64>();
            }
            Some(_) => batch.undone += 1,
        }
        for table in &application.tables {
            let load = match application.undone_by {
                None => Load::InEffect {
                    rejected: table.rejected + table.left_out,
                    fragments: table.fragments,
                    undone: application.undone_rows.get(&table.table).copied(),
                },
                Some(_) => Load::Undone,
            };
            let known = loads
                .entry((id.clone(), table.table.clone()))
                .or_insert(load);
            if *known == Load::Undone {
                *known = load;
            }
        }
    }
    let batches = found.into_iter().map(|(id, mut batch)| {
        let loaded = loads.iter().filter(|((of, _), _)| *of == id);
        let tables = batch
            .tables
            .keys()
            .chain(batch.queue_status.iter().map(|q| &q.table_name));
        let tables = tables.chain(loaded.map(|((_, table), _)| table));
        let tables: BTreeSet<String> = tables.cloned().collect();
        for table in tables {
            let load = loads.get(&(id.clone(), table.clone()));
            let state = of_table(&batch, &table, load.copied(), request.queue);
            batch.table_states.insert(table, state);
        }
        batch.state = match PlanRequest::is_batch_id(&id) {
            true => state(&batch),
            false => BatchState::NoPossibleId,
        };
        batch.batch_id = id;
        batch
    });
    Ok(batches.collect())
}

/// What the ledger says of one table of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// It was loaded from so many fragments, and so many records were left out.
    InEffect {
        rejected: u64,
        fragments: u64,
        /// How many of its rows were undone since.
        undone: Option<u64>,
    },
    /// It was loaded and rolled back.
    Undone,
}

/// How far one table of a batch has come.
fn of_table(batch: &Batch, table: &str, load: Option<Load>, queue: Queue) -> BatchState {
    let of_table = || batch.queue_status.iter().filter(|q| q.table_name == table);
    let entries = |status: &str| {
        let of_status = of_table().filter(|q| q.status == status);
        of_status.map(|q| q.count).sum::<u64>()
    };
    match load {
        Some(Load::InEffect {
            undone: Some(1..), ..
        }) => BatchState::UndoneInPart,
        // A plan would be refused for them.
        Some(Load::InEffect { .. }) if batch.refused.contains(table) => {
            BatchState::FailedValidation
        }
        Some(Load::InEffect {
            rejected,
            fragments,
            ..
        }) => {
            // Earlier versions did not count them.
            let late = fragments > 0 && batch.tables.get(table).is_some_and(|n| *n > fragments);
            let all = rejected == 0 && !late && entries("pending") == 0 && entries("failed") == 0;
            if all {
                BatchState::Loaded
            } else {
                BatchState::PartlyLoaded
            }
        }
        _ if !batch.tables.contains_key(table) => BatchState::NoFragments,
        _ if entries("failed") > 0 => BatchState::FailedValidation,
        _ if queue == Queue::Required && of_table().next().is_none() => BatchState::NotInQueue,
        Some(Load::Undone) => BatchState::RolledBack,
        None => BatchState::Waiting,
    }
}

/// How far a batch has come: what its tables are.
fn state(batch: &Batch) -> BatchState {
    let any = |state| batch.table_states.values().any(|s| *s == state);
    let others = || {
        batch
            .table_states
            .values()
            .any(|s| *s != BatchState::Loaded)
    };
    let has_unknown = batch.unknown_objects > 0;
    if any(BatchState::UndoneInPart) {
        BatchState::UndoneInPart
    } else if any(BatchState::Loaded) || any(BatchState::PartlyLoaded) {
        match others() || has_unknown {
            true => BatchState::PartlyLoaded,
            false => BatchState::Loaded,
        }
    } else if has_unknown {
        BatchState::UnreadableObjects
    } else {
        batch
            .table_states
            .values()
            .min()
            .copied()
            .unwrap_or_default()
    }
}

async fn list(request: &BatchesRequest, found: &mut BTreeMap<String, Batch>) -> Result<()> {
    let pattern = pattern(&request.prefix)?;
    if !pattern.names_batches() {
        return Err(Error::config(format!(
            "the prefix \"{pattern}\" does not say where the batch's id stands; write {{batch_id}} there"
        )));
    }
    let source = Source::open(&request.source).await?;
    let tables = request.config.iter().flat_map(|c| c.tables.keys());
    let folders = match &request.batch_id {
        Some(id) if request.config.is_some() => pattern.of_batch(id).folders(tables),
        _ => vec![pattern.folder().to_owned()],
    };
    let mut objects = Vec::new();
    for folder in folders {
        objects.extend(source.list(&folder).await?);
    }
    for object in objects {
        // What does not lie where batches lie is not ours, and what is hidden is meant to be.
        let id = pattern.batch_of(&object.key);
        let Some(id) = id.filter(|id| !id.starts_with('.')) else {
            continue;
        };
        if request.batch_id.as_deref().is_some_and(|only| only != id) {
            continue;
        }
        let extensions = |table: &str| match &request.config {
            Some(config) => config.extensions(table),
            None => &[],
        };
        let batch = found.entry(id.to_owned()).or_default();
        match layout(
            &pattern.of_batch(id),
            &object.key,
            &request.ignore,
            extensions,
        ) {
            Layout::Fragment { table, .. } => {
                *batch.tables.entry(table).or_default() += 1;
                batch.total_fragments += 1;
                batch.bytes += object.size;
            }
            Layout::Ignored | Layout::NotRead { .. } => {}
            Layout::Unknown(_) => batch.unknown_objects += 1,
        }
    }
    Ok(())
}

async fn count_queue(
    request: &BatchesRequest,
    session: &Session,
    found: &mut BTreeMap<String, Batch>,
) -> Result<()> {
    let batch_id = request.batch_id.as_deref();
    for count in queue::counts(session, &request.loader_schema, batch_id).await? {
        let batch = found.entry(count.batch_id).or_default();
        if count.refuses && count.status == "failed" {
            batch.refused.insert(count.table.clone());
        }
        let mut known = batch.queue_status.iter_mut();
        let known = known.find(|q| q.table_name == count.table && q.status == count.status);
        match known {
            Some(known) => known.count += count.count,
            None => batch.queue_status.push(QueueCount {
                table_name: count.table,
                status: count.status,
                count: count.count,
            }),
        }
    }
    Ok(())
}
