//! The operations: plan, apply, check, migrate. Straight-line; what happens is told as events.

mod apply;
mod batches;
mod graph;
mod history;
mod init;
mod plan;
mod read;
mod rollback;

use std::time::Duration;

pub use apply::{Applied, ApplyRequest, Checked, apply, check};
pub use batches::{Batch, BatchesRequest, QueueCount, batches};
pub use graph::{TableGraph, graph};
pub use history::{AuditFilter, Change, audit, history};
pub use init::{InitRequest, init};
pub use plan::{PlanRequest, Queue, plan};
pub use rollback::{RollbackRequest, rollback};

use crate::error::Result;
use crate::pg::{Database, Session, Timeouts, migrate as migrations};

/// What an operation tells about its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The phase before has ended, and this one begins.
    Phase {
        /// Which, in few words.
        name: &'static str,
        /// For which table, where it is one.
        table: Option<String>,
    },
    /// Objects of the batch were listed.
    Listed {
        /// How many.
        objects: usize,
    },
    /// So much was read so far.
    Reading {
        /// Objects read.
        objects: usize,
        /// Objects in all.
        of: usize,
        /// Records read.
        records: u64,
    },
    /// A table is being compared.
    Comparing {
        /// Which.
        table: String,
        /// With how many records.
        records: u64,
    },
    /// The plan is being applied.
    Applying {
        /// Rows to write.
        changes: u64,
    },
    /// An attempt failed and is repeated.
    Retrying {
        /// Which attempt comes next, from 2.
        attempt: u32,
        /// After how long.
        wait: Duration,
        /// Why the last one failed.
        reason: String,
    },
}

/// Takes events; `Sync`, because reading has a thread of its own.
pub type Events<'a> = &'a (dyn Fn(Event) + Sync);

/// A phase that concerns no table, or all.
fn phase(events: Events<'_>, name: &'static str) {
    events(Event::Phase { name, table: None });
}

/// A phase of one table.
fn phase_of(events: Events<'_>, name: &'static str, table: &str) {
    events(Event::Phase {
        name,
        table: Some(table.to_owned()),
    });
}

/// Makes or completes the loader's tables and returns what was run.
///
/// # Errors
/// As [`crate::pg::migrate::migrate`].
pub async fn migrate(
    database: &Database,
    timeouts: Timeouts,
    schema: &str,
    new_lineage: bool,
) -> Result<Vec<String>> {
    let mut session = Session::open(database, timeouts).await?;
    let ran = migrations::migrate(&mut session, schema).await?;
    if new_lineage {
        migrations::new_lineage(&session, schema).await?;
    }
    Ok(ran)
}
