//! Table Loader: loads reviewed batches of records into PostgreSQL.
//!
//! A plan is made from a batch and the current rows ([`ops::plan`]), reviewed, and applied exactly
//! as it is, or refused ([`ops::apply`]). All that the program `loader` does can be done from other
//! programs; no function prints or asks:
//!
//! ```no_run
//! use std::fs::File;
//! use std::future::pending;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use table_loader::ops::{self, Applied, ApplyRequest, Event, PlanRequest, RollbackRequest, TakenBack};
//! use table_loader::planfile::PlanFile;
//! use table_loader::config::Config;
//! use table_loader::{Database, Timeouts};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database: Database = "postgresql://loader@db.example.org/idhub?sslmode=verify-full".parse()?;
//! let progress = |event: Event| eprintln!("{event:?}");
//!
//! // Reads the batch and the current rows, and writes nothing but the plan.
//! let batch = PlanRequest::new(
//!     "batch_20240115_143022",
//!     "s3://idhub-curated-fragments".parse()?,
//!     Config::read(Path::new("tables.yaml"))?,
//!     database.clone(),
//! );
//! let (header, hash) = ops::plan(&batch, File::create("plan.json")?, &progress).await?;
//! println!("{}\n{hash}", header.summary_line());
//!
//! // After its review: exactly that, or nothing.
//! let plan = Arc::new(PlanFile::open(Path::new("plan.json"))?.executable()?);
//! assert_eq!(plan.plan().hash, hash);
//! let how = ApplyRequest::new(database.clone(), "curator");
//! match ops::apply(&plan, &how, pending(), &progress).await? {
//!     Applied::Done(report) => println!("applied as {}", report.application),
//!     Applied::Already(before) => println!("applied at {}", before.applied_at),
//!     Applied::Rehearsed(_) => println!("a dry run"),
//!     Applied::Unreplicated(_) => println!("applied; the standby has not confirmed it"),
//!     Applied::Nothing => println!("no row would change"),
//! }
//!
//! // Who did what, and the way back, which is a plan too.
//! for application in ops::history(&database, Timeouts::default(), "public", None).await? {
//!     println!("{} {}", application.applied_at, application.batch_id);
//! }
//! let undo = RollbackRequest::new(database, TakenBack::Batch("batch_20240115_143022".into()));
//! ops::rollback(&undo, File::create("undo.json")?, &progress).await?;
//! let undo = Arc::new(PlanFile::open(Path::new("undo.json"))?.executable()?);
//! ops::apply(&undo, &how, pending(), &progress).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`ops::load`] does the whole in one step; `examples/load_batch.rs` shows it.
//!
//! What is here: the operations ([`ops`]), what a plan says ([`plan`]), plan files ([`planfile`]) and
//! how they are shown to people ([`render`]). All else is the crate's own.

// In reading order: values first, effects last.
mod action;
mod error;
mod strict;
mod text;

mod sql;

mod types;

mod table;

mod record;

pub mod plan;

pub mod planfile;

mod source;

mod pg;
pub mod render;

pub mod ops;

mod cli;

#[cfg(unix)]
#[doc(hidden)]
pub mod postgres_server;

pub use error::{Error, ErrorKind, Remedy, Result};
pub use pg::{Database, Roots, SslMode, Timeouts};
pub use source::Location;

/// `tables.yaml`: as it is read, and as a plan keeps it.
pub mod config {
    pub use crate::table::config::{
        Config, GivenNumbers, OnDuplicate, OnImmutable, OnInvalid, OnOlder, OnUnknown, Resolution,
        SoftDelete, Stamp, Strategy, TableConfig, json_schema,
    };
    pub use crate::table::delivery::{Csv, Empty, Encoding, Envelope, Excel, Quote, Records, Sign};
    pub use crate::table::limits::{Allowance, Exceeded, Limit, Limits};
    pub use crate::types::spelling::{Encoding as Bytes, Epoch, Spelling};
}

#[doc(hidden)]
pub use cli::run as command_line;

/// What the project's own tests, benchmarks and fuzz targets look at; no part of the interface.
#[doc(hidden)]
pub mod internal {
    pub use crate::pg::ledger::DATABASE_LOCK;
    pub use crate::planfile::{Item, PlanWriter};
    pub use crate::record::value::column_text;
    pub use crate::record::{
        Delivery, Format, ReadError, Record, read_records, read_records_slice,
    };
    pub use crate::table::schema::Shape;
}
