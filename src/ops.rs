//! The operations: what each command of the program does, as a function with typed results.
//!
//! They are straight-line, print nothing and ask nobody; what happens is told as [`Event`]s. They
//! need a multi-threaded tokio runtime.

mod apply;
mod batches;
mod graph;
mod history;
mod init;
mod load;
mod plan;
mod read;
mod rehearse;
mod rollback;

use std::time::Duration;

pub use apply::{Applied, ApplyRequest, Checked, apply, check};
pub use batches::{Batch, BatchesRequest, QueueCount, batches};
pub use graph::{TableGraph, graph};
pub use history::{AuditFilter, Change, audit, history};
pub use init::{InitRequest, init};
pub use load::{LoadResults, TableResults, load};
pub use plan::{PlanRequest, Queue, plan};
pub use rehearse::{plan_rehearsed, rehearse};
pub use rollback::{RollbackRequest, rollback};

use crate::error::Result;
pub use crate::pg::Phase;
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
    /// Objects of the batch are being listed.
    Listing {
        /// How many were found so far.
        objects: u64,
    },
    /// All objects of the batch were listed.
    Listed {
        /// How many.
        objects: u64,
    },
    /// So much was read so far.
    Reading {
        /// Objects read.
        objects: u64,
        /// Objects in all.
        of: u64,
        /// Records read.
        records: u64,
    },
    /// Values and constraints are being checked.
    Checking {
        /// Of how many records.
        records: u64,
    },
    /// Records are being compared with the current rows.
    Comparing {
        /// Of which table.
        table: String,
        /// Records compared, those of the tables before included.
        records: u64,
        /// Records in all.
        of: u64,
    },
    /// What was applied is being read back from the audit log, for a rollback.
    Undoing {
        /// Of which table.
        table: String,
        /// Changes read, those of the tables before included.
        changes: u64,
        /// Changes in all.
        of: u64,
    },
    /// The plan is being applied.
    Applying {
        /// What is being done.
        phase: Phase,
        /// How much of it, as [`Phase`] says.
        done: u64,
        /// How much there is.
        of: u64,
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
