//! Settings: flags beat the environment, the environment beats `.env`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice};

use super::environment::Environment;
use super::log::{Format, Level};
use super::timings::Clock;
use crate::error::{Error, Result};
use crate::pg::{Database, Timeouts};
use crate::source::Location;
use crate::table::config::Config;

/// The most milliseconds that PostgreSQL takes for a time, in seconds.
const MOST_SECONDS: u64 = 2_147_483;

/// What all commands share.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// The table configuration
    #[arg(
        long,
        global = true,
        env = "LOADER_CONFIG",
        default_value = "tables.yaml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// Where batches are: s3://bucket, or a folder [default: s3://$S3_BUCKET]
    #[arg(long, global = true, env = "LOADER_SOURCE", value_name = "PLACE")]
    source: Option<String>,
    /// The database, as postgresql://user@host:port/name [default: from DB_*, then PG*, as psql does]
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<Secret>,
    /// The schema of the loader's own tables
    #[arg(
        long,
        global = true,
        env = "LOADER_SCHEMA",
        default_value = "public",
        value_name = "NAME"
    )]
    pub loader_schema: String,
    /// Who is acting, for the audit log [default: the CI's actor, or the user]
    #[arg(long, global = true, env = "LOADER_ACTOR", value_name = "NAME")]
    actor: Option<String>,
    /// Seconds to wait for a lock held by somebody else
    #[arg(
        long,
        global = true,
        env = "LOADER_LOCK_TIMEOUT",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(..=MOST_SECONDS),
        value_name = "SECONDS"
    )]
    lock_timeout: u64,
    /// Seconds after which a transaction is given up; 0 for no limit
    #[arg(
        long,
        global = true,
        env = "TRANSACTION_TIMEOUT",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(..=MOST_SECONDS),
        value_name = "SECONDS"
    )]
    transaction_timeout: u64,
    /// How often to retry after a transient failure
    #[arg(
        long,
        global = true,
        env = "MAX_RETRIES",
        default_value_t = 3,
        value_name = "N"
    )]
    pub max_retries: u32,
    /// The most records that a batch may have
    #[arg(
        long,
        global = true,
        env = "MAX_RECORDS_PER_BATCH",
        default_value_t = 10_000,
        value_name = "N"
    )]
    pub max_records: u64,
    /// The most records to send to the database at once [default: as many as fit in 1 MiB]
    #[arg(long, global = true, env = "BATCH_SIZE", value_parser = clap::value_parser!(u64).range(1..=1_000_000), value_name = "N")]
    pub batch_size: Option<u64>,
    /// How much to report on stderr
    #[arg(
        long,
        global = true,
        env = "LOG_LEVEL",
        value_enum,
        ignore_case = true,
        default_value_t = Level::Info,
        value_name = "LEVEL"
    )]
    pub log_level: Level,
    /// The format of stderr: text for people, or one JSON object per line
    #[arg(
        long,
        global = true,
        env = "LOADER_LOG_FORMAT",
        value_enum,
        ignore_case = true,
        default_value_t = Format::Text,
        value_name = "FORMAT"
    )]
    pub log_format: Format,
    /// When text is coloured; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
    /// Print results and refusals as JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Report how long each phase took: on stderr, or with --json in the result
    #[arg(long, global = true)]
    timings: bool,
    /// When each phase began.
    #[arg(skip)]
    pub clock: Clock,
    /// The variables that have no flag.
    #[arg(skip)]
    pub environment: Environment,
}

/// A text that may hold a password, and is not shown.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl Settings {
    /// `tables.yaml`.
    pub fn tables(&self) -> Result<Config> {
        if !self.config.exists() {
            return Config::read(&self.config);
        }
        let patience = self.timeouts().patience();
        let text = super::input::text(&self.config, "the table configuration", patience)?;
        Config::parse(&self.config.display().to_string(), &text)
    }

    /// The same, where there is one: it says what is sensitive now.
    pub fn tables_if_there(&self) -> Result<Option<Config>> {
        self.config.exists().then(|| self.tables()).transpose()
    }

    /// Where batches are.
    pub fn location(&self) -> Result<Location> {
        let (name, place) = match (&self.source, self.environment.text("S3_BUCKET")?) {
            (Some(source), _) => ("the source (--source, LOADER_SOURCE)", source.clone()),
            (None, Some(bucket)) => ("S3_BUCKET", format!("s3://{bucket}")),
            (None, None) => {
                return Err(Error::config(
                    "no source is given: set --source or LOADER_SOURCE (s3://bucket, or a folder), or S3_BUCKET",
                ));
            }
        };
        place
            .parse()
            .map_err(|e: Error| Error::config(name).caused_by(e))
    }

    /// The database: `--database-url`, then the `DB_*` variables, then what psql would use.
    pub fn database(&self) -> Result<Database> {
        let url = self.database_url.as_ref().map(|s| s.0.as_str());
        super::connection::database(url, &self.environment)
    }

    /// How long to wait.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            lock: Duration::from_secs(self.lock_timeout),
            transaction: Duration::from_secs(self.transaction_timeout),
        }
    }

    /// The clock, where timings are asked for.
    pub fn timed(&self) -> Option<&Clock> {
        self.timings.then_some(&self.clock)
    }

    /// Who is acting.
    pub fn actor(&self) -> String {
        let env = |name| self.environment.text(name).ok().flatten();
        self.actor
            .clone()
            .or_else(|| {
                [
                    "GITHUB_ACTOR",
                    "GITLAB_USER_LOGIN",
                    "BUILD_REQUESTEDFOR",
                    "USER",
                    "LOGNAME",
                    "USERNAME",
                ]
                .into_iter()
                .find_map(env)
            })
            // Where no variable names one: in containers and under cron.
            .or_else(|| whoami::username().ok())
            .unwrap_or_else(|| "unknown".into())
    }
}
