//! What is to be planned.

use super::decided::Decided;
use super::leave_out::LeftOut;
use crate::error::{Error, Result};
use crate::pg::{Database, Timeouts};
use crate::planfile::Made;
use crate::record::Most;
use crate::source::{self, Location, REPORT};
use crate::table::config::{Config, OnOlder, Strategy};
use crate::table::limits::Allowance;

/// Where fragments are below a source's root, where nothing else is said.
pub(crate) const PREFIX: &str = "staging/{batch_id}/";

/// Whether the validation queue has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The batch must have entries, and none of them failed.
    Required,
    /// There is no validator.
    Off,
}

/// Whether the validator's report has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportUse {
    /// There must be one.
    Required,
    /// Where there is one.
    IfPresent,
    /// It has none.
    Off,
}

/// What is to be planned.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlanRequest {
    /// The batch.
    pub batch_id: String,
    /// Where its fragments are.
    pub source: Location,
    /// Where below the source's root; `{batch_id}` stands for the batch, and `{table}` for the table where
    /// fragments do not lie as `<table>/<name>` or `<table>.<extension>` in the batch's folder.
    pub prefix: String,
    /// Names of objects that are no fragments.
    pub ignore: Vec<String>,
    /// `tables.yaml`.
    pub config: Config,
    /// Only these tables; all if empty.
    pub only: Vec<String>,
    /// In place of each table's own strategy.
    pub strategy: Option<Strategy>,
    /// In place of each table's own `on_older`.
    pub on_older: Option<OnOlder>,
    /// Records that are left out by name.
    pub leave_out: Vec<LeftOut>,
    /// Records that are left out as reviewers decided.
    pub(crate) decided: Decided,
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
    /// Whether the validator's report has a say.
    pub report: ReportUse,
    /// The statuses of a report with which a batch is loaded.
    pub report_status: Vec<String>,
    /// The most records that a batch may have.
    pub max_records: u64,
    /// The most records that are sent to the database at once, in no case more than make 1 MiB.
    pub batch_size: Option<u64>,
    /// The most bytes of an object, as delivered.
    pub max_object: u64,
    /// The most bytes of an object, unpacked.
    pub max_unpacked: u64,
    /// The most bytes of a record, and of each value in it.
    pub max_value: u64,
    /// How often to try again after a failure that may pass.
    pub max_retries: u32,
    /// Objects fetched at once.
    pub concurrency: usize,
    /// What the plan's notes say of how it came about.
    pub made: Option<Made>,
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
            prefix: PREFIX.into(),
            ignore: vec![REPORT.into()],
            config,
            only: Vec::new(),
            strategy: None,
            on_older: None,
            leave_out: Vec::new(),
            decided: Decided::default(),
            limits: Vec::new(),
            database,
            timeouts: Timeouts::default(),
            loader_schema: "public".into(),
            queue: Queue::Required,
            report: ReportUse::IfPresent,
            report_status: vec!["VALIDATED".into()],
            max_records: 10_000,
            batch_size: None,
            max_object: 1 << 30,
            max_unpacked: 4 << 30,
            max_value: 64 << 20,
            max_retries: 3,
            concurrency: 32,
            made: None,
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

    /// How large objects may be.
    pub(in crate::ops) fn object_bounds(&self) -> source::Bounds {
        source::Bounds {
            object: self.max_object,
            unpacked: self.max_unpacked,
        }
    }

    /// How large records may be.
    pub(in crate::ops) fn most(&self) -> Most {
        Most {
            record: self.max_value,
            unpacked: self.max_unpacked,
        }
    }
}

/// A batch id becomes part of a path and of the queue's look-up: letters, digits, `.`, `_`, `-`.
pub(super) fn check_batch_id(batch_id: &str) -> Result<()> {
    if PlanRequest::is_batch_id(batch_id) {
        return Ok(());
    }
    Err(Error::config(format!(
        "\"{}\" is not a batch id: it must begin with a letter or digit and consist of letters, digits, '.', '_' \
         and '-', at most 200, without \"..\"",
        crate::text::escape(batch_id)
    )))
}
