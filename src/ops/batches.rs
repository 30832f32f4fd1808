//! The batches that are there, and how far each has come.

use std::collections::BTreeMap;

use serde::Serialize;

use super::plan::{PREFIX, Queue, REPORT};
use super::{PlanRequest, history};
use crate::error::{Error, Result};
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
    /// How far it has come: `waiting`, `loaded`, `rolled back`, `failed validation`,
    /// `not in the queue`, `no fragments` or `unreadable objects`.
    pub state: &'static str,
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
    /// Applications of its plans that are in effect.
    pub applications: u64,
    /// Applications of its plans that were taken back.
    pub undone: u64,
}

/// The batches in the source, in the queue and in the ledger, by id.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where the prefix does not say where the batch's id stands;
/// [`Source`](crate::ErrorKind::Source), [`Database`](crate::ErrorKind::Database).
pub async fn batches(request: &BatchesRequest) -> Result<Vec<Batch>> {
    let mut found: BTreeMap<String, Batch> = BTreeMap::new();
    list(request, &mut found).await?;
    let session = Session::open(&request.database, request.timeouts).await?;
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
    for application in applications.await?.iter().filter(|a| a.kind == "load") {
        let batch = found.entry(application.batch_id.clone()).or_default();
        match application.undone_by {
            None => batch.applications += 1,
            Some(_) => batch.undone += 1,
        }
    }
    Ok(found
        .into_iter()
        .map(|(id, batch)| Batch {
            state: state(&batch, request.queue),
            batch_id: id,
            ..batch
        })
        .collect())
}

fn state(batch: &Batch, queue: Queue) -> &'static str {
    let entries = |status: &str| {
        let of_status = batch.queue_status.iter().filter(|q| q.status == status);
        of_status.map(|q| q.count).sum::<u64>()
    };
    if batch.applications > 0 {
        "loaded"
    } else if batch.total_fragments == 0 && batch.unknown_objects == 0 {
        "no fragments"
    } else if batch.unknown_objects > 0 {
        "unreadable objects"
    } else if entries("failed") > 0 {
        "failed validation"
    } else if queue == Queue::Required && batch.queue_status.is_empty() {
        "not in the queue"
    } else if batch.undone > 0 {
        "rolled back"
    } else {
        "waiting"
    }
}

async fn list(request: &BatchesRequest, found: &mut BTreeMap<String, Batch>) -> Result<()> {
    let (head, tail) = request.prefix.split_once("{batch_id}").ok_or_else(|| {
        Error::config(format!(
            "the prefix \"{}\" does not say where the batch's id stands; write {{batch_id}} there",
            request.prefix
        ))
    })?;
    let source = Source::open(&request.source).await?;
    let below = match &request.batch_id {
        Some(id) => request.prefix.replace("{batch_id}", id),
        None => head.to_owned(),
    };
    let objects = source.list(&below).await?;
    for object in objects {
        // What does not lie where batches lie is not ours.
        let Some(rest) = object.key.strip_prefix(head) else {
            continue;
        };
        let end = if tail.is_empty() {
            rest.find('/')
        } else {
            rest.find(tail)
        };
        let Some(id) = end
            .map(|e| &rest[..e])
            .filter(|id| PlanRequest::is_batch_id(id))
        else {
            continue;
        };
        if request.batch_id.as_deref().is_some_and(|only| only != id) {
            continue;
        }
        let prefix = request.prefix.replace("{batch_id}", id);
        let extensions = |table: &str| match &request.config {
            Some(config) => config.extensions(table),
            None => &[],
        };
        let batch = found.entry(id.to_owned()).or_default();
        match layout(&prefix, &object.key, &request.ignore, extensions) {
            Layout::Fragment { table, .. } => {
                *batch.tables.entry(table).or_default() += 1;
                batch.total_fragments += 1;
                batch.bytes += object.size;
            }
            Layout::Ignored => {}
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
        batch.queue_status.push(QueueCount {
            table_name: count.table,
            status: count.status,
            count: count.count,
        });
    }
    Ok(())
}
