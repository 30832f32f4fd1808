//! A pinned session: the settings under which each value has one spelling; errors by SQLSTATE.

use std::sync::OnceLock;
use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::connect::Database;
use super::migrate;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::TargetDatabase;
use crate::plan::masking::Mask;
use crate::sql::ident::Literal;

/// How long sessions wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a lock that somebody else holds.
    pub lock: Duration,
    /// For one statement, and for the whole of an apply.
    pub transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            lock: Duration::from_secs(30),
            transaction: Duration::from_secs(300),
        }
    }
}

/// What an apply is doing, and what is counted meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The plan is put into temporary tables; its entries.
    Staging,
    /// Its rows are locked and compared; tables.
    Locking,
    /// Rows are written; changes.
    Writing,
    /// What was written is read back; tables.
    Verifying,
    /// The commit was sent; nothing.
    Committing,
}

/// What an apply tells about its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// What begins, in few words, and for which table.
    Begins(&'static str, Option<&'a str>),
    /// How much of something is done, and how much there is.
    Done(Phase, u64, u64),
}

/// Takes the steps of an apply.
pub type Told<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// A connection whose settings are pinned, so that every value has one spelling in it.
pub struct Session {
    /// The connection.
    pub client: Client,
    /// The server process behind it.
    pub backend: Backend,
    /// How long an answer is waited for.
    patience: Duration,
    /// What hides sensitive values in what is said about this session's work.
    mask: OnceLock<Mask>,
}

/// One process of the server; its start tells it from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its number.
    pub process: i32,
    /// When it started.
    pub started: String,
}

/// How much longer than the server is the client patient: whoever is asked first says more.
const GRACE: Duration = Duration::from_secs(2);

impl Timeouts {
    /// How long the whole of an attempt, or the answer to one statement, is waited for, whatever
    /// the server says: a stopped server process, or a network that swallows everything, ends
    /// nothing by itself.
    pub fn patience(&self) -> Duration {
        match self.transaction {
            Duration::ZERO => Duration::MAX, // as for the server: no limit
            limit => limit.saturating_add(GRACE),
        }
    }
}

/// What decides about the spelling of a value or the meaning of a statement. `search_path` stays
/// the role's own: extension types and triggers need it.
const PINNED: &str = "\
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET lc_monetary = 'C';
SET xmloption = 'content';
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET transform_null_equals = off;
SET array_nulls = on;
SET quote_all_identifiers = off;
SET row_security = off;
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
SET client_min_messages = error;
SET idle_in_transaction_session_timeout = 0;
SET jit = off;
SET default_statistics_target = 10;
SELECT pg_catalog.set_config('work_mem', '64MB', false)
  WHERE pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')) < 67108864;
";

impl Session {
    /// A pinned session with the database.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) naming host, port and database; never the password.
    pub async fn open(database: &Database, timeouts: Timeouts) -> Result<Session> {
        let mut config = database.config().clone();
        config
            .application_name("table-loader")
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        let patience = *config
            .get_connect_timeout()
            .unwrap_or(&Duration::from_secs(15));
        config.connect_timeout(patience);
        let place = database.place();
        // The driver's own limit ends where the server has accepted the connection.
        let client = match tokio::time::timeout(patience, database.connect(&config)).await {
            Ok(connected) => connected?,
            Err(_) => {
                return Err(Error::database(format!(
                    "connecting to {place}: no answer within {} s",
                    patience.as_secs()
                ))
                .transient());
            }
        };
        let session = Session {
            client,
            backend: Backend {
                process: 0,
                started: String::new(),
            },
            patience: timeouts.patience(),
            mask: OnceLock::new(),
        };
        session.run("preparing the session", PINNED).await?;
        let limits = format!(
            "SET lock_timeout = {}; SET statement_timeout = {};",
            timeouts.lock.as_millis(),
            timeouts.transaction.as_millis()
        );
        session.run("preparing the session", &limits).await?;
        let row = session
            .answer(
                "asking for the server's version",
                session.client.query_one(
                    "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num')::int, \
                     pg_catalog.current_setting('server_encoding'), (SELECT a.backend_start::text \
                     FROM pg_catalog.pg_stat_activity a WHERE a.pid = pg_catalog.pg_backend_pid())",
                    &[],
                ),
            )
            .await?;
        let (version, encoding): (i32, String) = (row.get(1), row.get(2));
        if version < 140_000 {
            return Err(Error::config(format!(
                "{place}: the server is PostgreSQL {}; 14 or newer is needed",
                version / 10_000
            )));
        }
        if encoding != "UTF8" {
            return Err(Error::config(format!(
                "{place}: the database's encoding is {encoding}; UTF8 is needed"
            )));
        }
        // A dead client must not hold its locks until the server happens to write to it.
        // Not every platform can check; then keepalives have to do.
        let check = "SET client_connection_check_interval = '1s'";
        let _ = session.run("preparing the session", check).await;
        Ok(Session {
            backend: Backend {
                process: row.get(0),
                started: row.get::<_, Option<String>>(3).unwrap_or_default(),
            },
            ..session
        })
    }

    /// From now on says nothing that may name a value of these sensitive columns.
    pub fn hide(&self, mask: Mask) {
        let _ = self.mask.set(mask);
    }

    /// The natural key of a row of `table` as the audit log writes it, for people.
    pub fn name_row(&self, table: &str, record_id: &str) -> String {
        match self.mask.get() {
            Some(mask) => crate::text::escape(&mask.record_id(table, record_id)),
            None => crate::text::escape(record_id),
        }
    }

    /// The error for what the server or the connection said while `doing` something.
    pub fn failed(&self, doing: &str, e: &tokio_postgres::Error) -> Error {
        match self.mask.get() {
            Some(mask) if !mask.is_idle() => discreet(doing, e),
            _ => failed(doing, e),
        }
    }

    /// What the server answers, if it does in time.
    async fn answer<T>(
        &self,
        doing: &str,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.patience, work).await {
            Ok(done) => done.map_err(|e| self.failed(doing, &e)),
            Err(_) => Err(Error::locked(format!(
                "{doing}: the server did not answer within {} s (TRANSACTION_TIMEOUT, and a little more)",
                self.patience.as_secs()
            ))),
        }
    }

    /// Runs statements without results.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) saying what was being done.
    pub async fn run(&self, doing: &str, sql: &str) -> Result<()> {
        self.answer(doing, self.client.batch_execute(sql)).await
    }

    /// Runs one statement and returns how many rows it touched.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) saying what was being done.
    pub async fn execute(&self, doing: &str, sql: &str) -> Result<u64> {
        self.answer(doing, self.client.execute(sql, &[])).await
    }

    /// The rows of one query, as text.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) saying what was being done.
    pub async fn texts(&self, doing: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let messages = self.answer(doing, self.client.simple_query(sql)).await?;
        let rows = messages.into_iter().filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|i| row.get(i).map(str::to_owned));
                Some(cells.collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The one number that a query returns; 0 where it returns null.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) saying what was being done.
    pub async fn number(&self, doing: &str, sql: &str) -> Result<i64> {
        let row = self.answer(doing, self.client.query_one(sql, &[])).await?;
        let value: Option<i64> = row.try_get(0).map_err(|e| self.failed(doing, &e))?;
        Ok(value.unwrap_or(0))
    }

    /// Ends a server process of the same role, if it is still the one that is meant.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn terminate(&self, backend: &Backend) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE pid = {} AND backend_start::text = {} AND usename = current_user",
            backend.process,
            Literal(&backend.started)
        );
        self.texts("ending the lost attempt", &sql).await.map(drop)
    }

    /// What identifies this database, for a plan.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where `loader migrate` was not run; [`Database`](crate::ErrorKind::Database).
    pub async fn target(&self, loader_schema: &str) -> Result<TargetDatabase> {
        let lineage = migrate::lineage(self, loader_schema).await?;
        let sql = "SELECT pg_catalog.current_database()::text, \
             (SELECT system_identifier FROM pg_catalog.pg_control_system())::text || '/' || \
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())::text, \
             pg_catalog.current_setting('search_path')";
        let doing = "asking which database this is";
        let row = self.answer(doing, self.client.query_one(sql, &[])).await?;
        Ok(TargetDatabase {
            database: row.get(0),
            identity: row.get(1),
            lineage,
            loader_schema: loader_schema.to_owned(),
            search_path: row.get(2),
        })
    }

    /// Sets the search path under which a plan was made.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn set_search_path(&self, path: &str) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.set_config('search_path', {}, false)",
            Literal(path)
        );
        self.texts("setting the search path", &sql).await.map(drop)
    }
}

/// The error for what the server or the connection said while `doing` something.
pub fn failed(doing: &str, e: &tokio_postgres::Error) -> Error {
    use std::error::Error as _;
    let Some(db) = e.as_db_error() else {
        let cause = e.source().map(|s| format!(": {s}")).unwrap_or_default();
        // A lost connection may come back; what cannot be read or authenticated stays so.
        let lost = e.is_closed() || e.source().is_some_and(|s| s.is::<std::io::Error>());
        let error = Error::database(format!("{doing}: {e}{cause}"));
        return if lost { error.transient() } else { error };
    };
    let mut message = format!("{doing}: {}", crate::text::escape(db.message()));
    for part in [db.detail(), db.hint(), db.where_()].into_iter().flatten() {
        message += &format!(" ({})", crate::text::escape(part));
    }
    by_code(message, db.code().code())
}

/// As [`failed`], without the words of the server where they may repeat a value: what it says in
/// fields of their own is told instead.
fn discreet(doing: &str, e: &tokio_postgres::Error) -> Error {
    let Some(db) = e.as_db_error() else {
        return failed(doing, e);
    };
    let code = db.code().code();
    let what = match code {
        "23502" => "a column that must have a value would have none",
        "23503" => "a foreign key would not hold",
        "23505" => "a unique key would hold a value twice",
        "23514" => "a check constraint would not hold",
        "23P01" => "an exclusion constraint would not hold",
        "40001" => "it came between another transaction and its rows",
        "40P01" => "it and another transaction waited for each other",
        "55P03" => "the lock was not granted in time",
        "57014" => "it was cancelled, for example by TRANSACTION_TIMEOUT",
        "P0001" => "a function or trigger refused it",
        // Of rights, names and the server itself; where a function speaks, it says where.
        _ if ["08", "28", "42", "53", "57", "58"]
            .iter()
            .any(|c| code.starts_with(c))
            && db.where_().is_none() =>
        {
            return failed(doing, e);
        }
        _ if code.starts_with("22") => "a value does not fit",
        _ => "the server refused it",
    };
    let named: Vec<String> = [
        ("table", db.table()),
        ("column", db.column()),
        ("constraint", db.constraint()),
        ("type", db.datatype()),
    ]
    .into_iter()
    .filter_map(|(kind, name)| Some(format!("{kind} {}", crate::text::escape(name?))))
    .collect();
    let named = match named.is_empty() {
        true => String::new(),
        false => format!(" ({})", named.join(", ")),
    };
    let message = format!(
        "{doing}: {what}{named}; the server's own words are not shown, because they may name a sensitive value"
    );
    by_code(message, code)
}

fn by_code(message: String, code: &str) -> Error {
    let kind = match code {
        "55P03" | "57014" | "25P03" => ErrorKind::Locked,
        _ => ErrorKind::Database,
    };
    let error = Error::new(kind, format!("{message} [SQLSTATE {code}]")).with_code(code);
    match code {
        "40001" | "40P01" | "57P01" | "57P02" | "57P03" => error.transient(),
        _ if code.starts_with("08") => error.transient(),
        _ => error,
    }
}
