//! Settings: flags beat the environment, the environment beats `.env`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::pg::{Database, Roots, SslMode, Timeouts};
use crate::source::Location;

/// What all commands share.
#[derive(Args, Debug, Clone)]
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
    #[arg(long, global = true, env = "S3_BUCKET", hide = true)]
    s3_bucket: Option<String>,
    /// The database, as postgresql://user@host:port/name
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,
    #[arg(long, global = true, env = "DB_HOST", hide = true)]
    db_host: Option<String>,
    #[arg(long, global = true, env = "DB_PORT", hide = true)]
    db_port: Option<u16>,
    #[arg(long, global = true, env = "DB_NAME", hide = true)]
    db_name: Option<String>,
    #[arg(long, global = true, env = "DB_USER", hide = true)]
    db_user: Option<String>,
    #[arg(
        long,
        global = true,
        env = "DB_PASSWORD",
        hide = true,
        hide_env_values = true
    )]
    db_password: Option<String>,
    /// The schema of the loader's own tables
    #[arg(
        long,
        global = true,
        env = "LOADER_SCHEMA",
        default_value = "public",
        value_name = "NAME"
    )]
    pub loader_schema: String,
    /// Who does it, for the audit log [default: the CI's actor, or the user]
    #[arg(long, global = true, env = "LOADER_ACTOR", value_name = "NAME")]
    actor: Option<String>,
    /// Seconds to wait for a lock that somebody else holds
    #[arg(
        long,
        global = true,
        env = "LOADER_LOCK_TIMEOUT",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    lock_timeout: u64,
    /// Seconds after which a statement is given up
    #[arg(
        long,
        global = true,
        env = "TRANSACTION_TIMEOUT",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    transaction_timeout: u64,
    /// How often to repeat after a failure that may pass
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
    /// Results and refusals as JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
}

impl Settings {
    /// `tables.yaml`.
    pub fn tables(&self) -> Result<Config> {
        Config::read(&self.config)
    }

    /// Where batches are.
    pub fn location(&self) -> Result<Location> {
        let place = match (&self.source, &self.s3_bucket) {
            (Some(source), _) => source.clone(),
            (None, Some(bucket)) => format!("s3://{bucket}"),
            (None, None) => {
                return Err(Error::Config(
                    "no source is given: say where batches are with --source or LOADER_SOURCE (s3://bucket, or a \
                     folder), or with S3_BUCKET"
                        .into(),
                ));
            }
        };
        place
            .parse()
            .map_err(|e: crate::source::SourceError| Error::Config(e.to_string()))
    }

    /// The database: `--database-url`, else the `DB_*` variables, else what psql would use.
    pub fn database(&self) -> Result<Database> {
        let env = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        if let Some(url) = &self.database_url {
            let config: tokio_postgres::Config =
                url.parse().map_err(|e: tokio_postgres::Error| {
                    let why = std::error::Error::source(&e)
                        .map(|s| format!(": {s}"))
                        .unwrap_or_default();
                    Error::Config(format!(
                        "the database URL (--database-url, DATABASE_URL) cannot be read{why}"
                    ))
                })?;
            return Database::new(config, SslMode::Prefer, &Roots::Default);
        }
        let mut config = tokio_postgres::Config::new();
        let host = self.db_host.clone().or_else(|| env("PGHOST"));
        let Some(host) = host else {
            return Err(Error::Config(
                "no database is given: name it with --database-url or DATABASE_URL \
                 (postgresql://user@host:5432/name), or with DB_HOST, DB_NAME and DB_USER"
                    .into(),
            ));
        };
        config.host(&host);
        let port = match (self.db_port, env("PGPORT")) {
            (Some(port), _) => Some(port),
            (None, Some(text)) => Some(text.parse().map_err(|_| {
                Error::Config(format!("PGPORT is \"{text}\", which is not a port number"))
            })?),
            (None, None) => None,
        };
        if let Some(port) = port {
            config.port(port);
        }
        let user = self
            .db_user
            .clone()
            .or_else(|| env("PGUSER"))
            .or_else(|| env("USER"));
        if let Some(user) = &user {
            config.user(user);
        }
        if let Some(name) = self.db_name.clone().or_else(|| env("PGDATABASE")) {
            config.dbname(&name);
        }
        if let Some(password) = self.db_password.clone().or_else(|| env("PGPASSWORD")) {
            config.password(&password);
        }
        Database::new(config, SslMode::Prefer, &Roots::Default)
    }

    /// How long to wait.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            lock: Duration::from_secs(self.lock_timeout),
            transaction: Duration::from_secs(self.transaction_timeout),
        }
    }

    /// Who does it.
    pub fn actor(&self) -> String {
        let env = |name| std::env::var(name).ok().filter(|v: &String| !v.is_empty());
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
            .unwrap_or_else(|| "unknown".into())
    }
}
