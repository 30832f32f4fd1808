//! Table Loader: loads reviewed batches of records into PostgreSQL.
//!
//! A plan is made from a batch and the current rows ([`ops::plan`]), reviewed, and applied exactly
//! as it is, or refused ([`ops::apply`]). All that the program `loader` does can be done from other
//! programs, and nothing but [`cli`] prints or asks:
//!
//! ```no_run
//! use std::fs::File;
//! use std::future::pending;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use table_loader::table::config::Config;
//! use table_loader::ops::{self, Applied, ApplyRequest, Event, PlanRequest, RollbackRequest};
//! use table_loader::pg::{Database, Timeouts};
//! use table_loader::planfile::PlanFile;
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
//! }
//!
//! // Who did what, and the way back, which is a plan too.
//! for application in ops::history(&database, Timeouts::default(), "public", None).await? {
//!     println!("{} {}", application.applied_at, application.batch_id);
//! }
//! let undo = RollbackRequest::batch(database, "batch_20240115_143022");
//! ops::rollback(&undo, File::create("undo.json")?, &progress).await?;
//! let undo = Arc::new(PlanFile::open(Path::new("undo.json"))?.executable()?);
//! ops::apply(&undo, &how, pending(), &progress).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`ops::load`] does the whole in one step; `examples/load_batch.rs` shows it. The modules stand
//! here in reading order: values first, effects last.

pub mod action;
pub mod error;
pub mod strict;
pub mod text;

pub mod sql;

pub mod types;

pub mod table;

pub mod record;

pub mod plan;

pub mod planfile;

pub mod source;

pub mod pg;
pub mod render;

pub mod ops;

pub mod cli;

#[cfg(unix)]
pub mod postgres_server;

pub use error::{Error, ErrorKind, Result};
