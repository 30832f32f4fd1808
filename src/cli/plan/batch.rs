//! Which batch is planned, and how.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::input;
use crate::cli::limits::{LimitArgs, SizeArgs};
use crate::cli::settings::Settings;
use crate::error::Result;
use crate::ops::{self, LeftOut, PlanRequest, Queue, ReportUse};
use crate::table::config::{OnOlder, Strategy};

/// Which batch is planned, and how.
#[derive(clap::Args, Debug, Clone)]
pub struct BatchArgs {
    /// The batch
    #[arg(long, value_name = "ID")]
    pub batch_id: String,
    #[command(flatten)]
    place: Place,
    /// Only this table of the batch (repeatable)
    #[arg(long, value_name = "TABLE")]
    table_name: Vec<String>,
    /// Override the update_strategy of every table
    #[arg(long, value_enum)]
    strategy: Option<StrategyArg>,
    /// What becomes of records that were extracted before data which changed their rows already, in place of
    /// each table's on_older
    #[arg(long, env = "LOADER_ON_OLDER", value_enum)]
    on_older: Option<OnOlderArg>,
    /// Whether the validator's report beside the fragments, validation_report.json, has a say
    #[arg(long, env = "LOADER_VALIDATION_REPORT", value_enum, default_value_t = ReportArg::IfPresent)]
    validation_report: ReportArg,
    /// The statuses of a report with which a batch is loaded (repeatable)
    #[arg(
        long,
        env = "LOADER_VALIDATION_STATUS",
        value_delimiter = ',',
        default_value = "VALIDATED",
        value_name = "STATUS"
    )]
    validation_status: Vec<String>,
    /// Leave out the records in this file: a line each, as table and natural key, or as JSON with table, key, reason
    /// and by
    #[arg(long, value_name = "FILE")]
    leave_out: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    sizes: SizeArgs,
    /// How many objects to fetch at once
    #[arg(
        long,
        env = "LOADER_CONCURRENCY",
        default_value_t = 32,
        value_name = "N",
        hide = true
    )]
    concurrency: usize,
}

/// Where batches are, and whether the queue has a say.
#[derive(clap::Args, Debug, Clone)]
pub struct Place {
    /// Where batches lie below the source: a path with {batch_id}, and with {table} where a fragment's table is not
    /// the name of its folder or file in there
    #[arg(
        long,
        env = "LOADER_PREFIX",
        default_value = ops::PREFIX,
        value_name = "PATH"
    )]
    pub prefix: String,
    /// Names of other objects to ignore (repeatable), which the plan notes where they look like fragments; validation_report.json is never a fragment
    #[arg(
        long,
        env = "LOADER_IGNORE",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    ignore: Vec<String>,
    /// Whether the batch must be in the validation queue
    #[arg(long, env = "LOADER_QUEUE", value_enum, default_value_t = QueueArg::Required)]
    queue: QueueArg,
}

impl Place {
    /// Names of objects that are no fragments.
    pub fn ignore(&self) -> Vec<String> {
        let report = ops::REPORT.to_owned();
        [vec![report], self.ignore.clone()].concat()
    }

    /// Whether the validation queue has a say.
    pub fn queue(&self) -> Queue {
        match self.queue {
            QueueArg::Required => Queue::Required,
            QueueArg::Off => Queue::Off,
        }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum QueueArg {
    Required,
    Off,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
#[value(rename_all = "snake_case")]
enum StrategyArg {
    Upsert,
    InsertOnly,
    UpdateOnly,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum ReportArg {
    Required,
    IfPresent,
    Off,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum OnOlderArg {
    Note,
    Block,
    Reject,
}

impl BatchArgs {
    /// The request that these arguments and settings make.
    pub fn request(&self, settings: &Settings) -> Result<PlanRequest> {
        Ok(PlanRequest {
            batch_id: self.batch_id.clone(),
            source: settings.location()?,
            prefix: self.place.prefix.clone(),
            ignore: self.place.ignore(),
            config: settings.tables()?,
            only: self.table_name.clone(),
            strategy: self.strategy.map(|s| match s {
                StrategyArg::Upsert => Strategy::Upsert,
                StrategyArg::InsertOnly => Strategy::InsertOnly,
                StrategyArg::UpdateOnly => Strategy::UpdateOnly,
            }),
            on_older: self.on_older.map(|on_older| match on_older {
                OnOlderArg::Note => OnOlder::Note,
                OnOlderArg::Block => OnOlder::Block,
                OnOlderArg::Reject => OnOlder::Reject,
            }),
            report: match self.validation_report {
                ReportArg::Required => ReportUse::Required,
                ReportArg::IfPresent => ReportUse::IfPresent,
                ReportArg::Off => ReportUse::Off,
            },
            report_status: self.validation_status.clone(),
            leave_out: match &self.leave_out {
                None => Vec::new(),
                Some(path) => {
                    let patience = settings.timeouts().patience();
                    let text = input::text(path, "the records to leave out", patience)?;
                    LeftOut::parse(&path.display().to_string(), &text)?
                }
            },
            decided: Default::default(),
            limits: self.limits.allowances(),
            database: settings.database()?,
            timeouts: settings.timeouts(),
            loader_schema: settings.loader_schema.clone(),
            queue: self.place.queue(),
            max_records: settings.max_records,
            batch_size: settings.batch_size,
            max_object: self.sizes.max_object,
            max_unpacked: self.sizes.max_unpacked,
            max_value: self.sizes.max_value,
            max_retries: settings.max_retries,
            concurrency: self.concurrency.clamp(1, 256),
            made: None,
        })
    }
}
