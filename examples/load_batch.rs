//! Loads a batch from another program, in one step and without a review, and prints its results
//! under the names that the original had for them:
//!
//!     export DATABASE_URL=postgresql://loader@localhost/idhub S3_BUCKET=idhub-curated-fragments
//!     cargo run --example load_batch -- batch_20240115_143022

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::error::Error;
use std::path::Path;

use table_loader::Database;
use table_loader::Location;
use table_loader::config::Config;
use table_loader::ops::{self, ApplyRequest, Event, LoadResults, PlanRequest};

/// What the original's `TableLoader` was made from.
pub struct TableLoader {
    /// Where rows go.
    pub database: Database,
    /// Where fragments come from.
    pub source: Location,
    /// `tables.yaml`.
    pub config: Config,
}

impl TableLoader {
    /// Loads a batch; `dry_run` does everything but the commit.
    pub async fn load_batch(
        &self,
        batch_id: &str,
        dry_run: bool,
    ) -> table_loader::Result<LoadResults> {
        let database = self.database.clone();
        let (source, config) = (self.source.clone(), self.config.clone());
        let batch = PlanRequest::new(batch_id, source, config, database.clone());
        let mut how = ApplyRequest::new(database, "load_batch");
        how.dry_run = dry_run;
        let stop = std::future::pending();
        ops::load(&batch, &how, stop, &|event| match event {
            Event::Reading { objects, of, .. } if objects == of => eprintln!("{of} objects read"),
            _ => {}
        })
        .await
    }
}

#[tokio::main]
#[allow(dead_code, reason = "the tests use the rest of this file")]
async fn main() -> Result<(), Box<dyn Error>> {
    let batch_id = std::env::args().nth(1).ok_or("name a batch")?;
    let loader = TableLoader {
        database: std::env::var("DATABASE_URL")?.parse()?,
        source: format!("s3://{}", std::env::var("S3_BUCKET")?).parse()?,
        config: Config::read(Path::new("tables.yaml"))?,
    };
    let results = loader.load_batch(&batch_id, false).await?;
    println!("Records loaded: {}", results.records_loaded);
    println!("Records updated: {}", results.records_updated);
    println!("Records skipped: {}", results.records_skipped);
    println!("Errors: {}", results.errors);
    Ok(())
}
