//! A pinned session: the settings under which each value has one spelling; errors by SQLSTATE.

mod ask;
mod failure;
mod patience;
mod rows;
mod settings;
#[cfg(test)]
mod statements;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio_postgres::Client;

use super::connect::{Database, Driver};
use super::pooler;
use crate::error::{Error, Result};
use crate::plan::masking::Mask;
use crate::sql::list;

use failure::discreet;
pub use failure::{failed, must_be, must_write};
pub(super) use rows::parsed;
pub use rows::{CopyLines, TextRow};
pub(in crate::pg) use settings::SCHEMAS;

/// How long sessions wait.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
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

/// A connection whose settings are pinned, so that every value has one spelling in it.
pub struct Session {
    /// Dropped before what drives its connection.
    pub(super) client: Client,
    _driver: Driver,
    /// Whether the server said that a commit was not confirmed by the standbys that it has to wait for.
    unreplicated: Arc<AtomicBool>,
    /// The server process behind it.
    pub backend: Backend,
    /// Whether the database has Citus.
    pub(super) has_citus: bool,
    /// The time zone that role and database give to everybody.
    pub(super) zone: String,
    /// What role and database give to everybody of all that decides about spelling, as the clauses of a function.
    pub(super) styles: String,
    /// Whether role and database let nobody write who does not insist.
    is_frozen: bool,
    /// Whether what it writes is taken for what was checked elsewhere: foreign keys and triggers do not run.
    is_replica: bool,
    /// What was parsed already, by its text.
    prepared: Mutex<HashMap<&'static str, tokio_postgres::Statement>>,
    /// How long an answer is waited for.
    pub(super) patience: Duration,
    /// How long a lock is waited for.
    lock: Duration,
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

/// How long standbys are waited for after an answer was lost.
const STANDBYS: Duration = Duration::from_secs(10);

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

impl Session {
    /// A pinned session with the database, which is no standby: nothing can be written there, and
    /// what it says of applications may be out of date.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) naming host, port and database; never the password.
    pub async fn open(database: &Database, timeouts: Timeouts) -> Result<Session> {
        match Session::begin(database, timeouts).await? {
            (session, false) => {
                if session.has_citus && session.holds(&settings::is_worker()).await? {
                    return Err(Error::config(format!(
                        "connecting to {}: a worker of Citus answered, where no load can be made; connect to the coordinator",
                        database.place()
                    )));
                }
                Ok(session)
            }
            (_, true) => Err(Error::config(format!(
                "connecting to {}: a standby in recovery answered, where nothing can be written; connect to the primary \
                 (among several hosts, target_session_attrs=read-write in the database URL finds it)",
                database.place()
            ))),
        }
    }

    /// A pinned session with the database, or with a standby's copy of it.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_to_read(database: &Database, timeouts: Timeouts) -> Result<Session> {
        Ok(Session::begin(database, timeouts).await?.0)
    }

    /// A pinned session, and whether the server is a standby.
    async fn begin(database: &Database, timeouts: Timeouts) -> Result<(Session, bool)> {
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
        let connected = pooler::dedicated(database, &config, patience, timeouts.patience()).await?;
        let session = Session {
            client: connected.client,
            _driver: connected.driver,
            unreplicated: connected.unreplicated,
            backend: Backend {
                process: 0,
                started: String::new(),
            },
            has_citus: false,
            zone: String::new(),
            styles: String::new(),
            is_frozen: false,
            is_replica: false,
            prepared: Mutex::default(),
            patience: timeouts.patience(),
            lock: timeouts.lock,
            mask: OnceLock::new(),
        };
        session.run(&settings::pinned()).await?;
        session.run(&settings::limits(timeouts)).await?;
        let server = session.row(&settings::server()).await?;
        let (version, encoding): (i32, &str) = (server.parsed(1)?, server.text(2)?);
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
        let _ = session.run(&settings::watched()).await;
        let backend = Backend {
            process: server.parsed(0)?,
            started: server.get(3).unwrap_or("not shown").to_owned(),
        };
        let standby = server.is(5);
        let session = Session {
            backend,
            has_citus: server.is(4),
            zone: server.get(6).unwrap_or("UTC").to_owned(),
            styles: server.get(9).unwrap_or_default().to_owned(),
            is_frozen: server.is(7),
            is_replica: server.is(8),
            ..session
        };
        Ok((session, standby))
    }

    /// Whether a commit of this session was not confirmed by the standbys that the server has to wait for.
    pub fn is_unreplicated(&self) -> bool {
        self.unreplicated.load(Ordering::SeqCst)
    }

    /// Whether a server process of the same role, if it is still the one that is meant, has committed and
    /// waits for a standby.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn waits_for_standby(&self, backend: &Backend) -> Result<bool> {
        self.holds(&settings::waits_for_standby(backend)).await
    }

    /// Whether the standbys that the server has to wait for have all that was committed so far, or have it soon.
    pub async fn is_confirmed(&self) -> bool {
        let confirmed = settings::confirmed();
        let answer = tokio::time::timeout(STANDBYS, self.run(&confirmed)).await;
        matches!(answer, Ok(Ok(()))) && !self.is_unreplicated()
    }

    /// From now on says nothing that may name a value of these sensitive columns.
    pub fn hide(&self, mask: Mask) {
        let _ = self.mask.set(mask);
    }

    /// The natural key of a row of `table` as the audit log writes it, for people.
    pub fn name_row(&self, table: &str, record_id: &str) -> String {
        crate::text::escape(&self.record_id(table, record_id))
    }

    /// The same in a note that is part of the plan.
    pub fn name_row_in_plan(&self, table: &str, record_id: &str) -> String {
        let mask = self.mask.get().map(Mask::hashed);
        let shown = mask.map(|mask| mask.record_id(table, record_id));
        crate::text::escape(shown.as_deref().unwrap_or(record_id))
    }

    /// A row's natural key as the audit log has it, with stand-ins for what is sensitive.
    pub fn record_id(&self, table: &str, record_id: &str) -> String {
        match self.mask.get() {
            Some(mask) => mask.record_id(table, record_id),
            None => record_id.to_owned(),
        }
    }

    /// The error for what the server or the connection said while `doing` something.
    pub fn failed(&self, doing: &str, e: &tokio_postgres::Error) -> Error {
        match self.mask.get() {
            Some(mask) if !mask.is_idle() => discreet(doing, e),
            _ => failed(doing, e),
        }
    }

    /// Ends a server process of the same role, if it is still the one that is meant.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn terminate(&self, backend: &Backend) -> Result<()> {
        self.run(&settings::terminate(backend)).await
    }

    /// That role and database let transactions write that do not insist on it, and have what is written checked.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config).
    pub fn may_write(&self) -> Result<()> {
        if self.is_replica {
            return Err(Error::config(
                "session_replication_role is replica for this role or database: foreign keys are not checked and triggers do \
                 not run for what it writes; let the loader's role have another (ALTER ROLE … SET session_replication_role = \
                 origin)",
            ));
        }
        if !self.is_frozen {
            return Ok(());
        }
        Err(Error::config(
            "transactions only read in this database, or for this role (default_transaction_read_only is on): whoever said so \
             does not want anything written now; when that is over, do this again; to write all the same, end the database URL \
             with ?options=-c%20default_transaction_read_only%3Doff",
        ))
    }

    /// From now on defaults, checks and triggers see the settings that they see when anybody else writes.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(super) async fn write_as_anybody(&self) -> Result<()> {
        self.run(&settings::as_anybody(false)).await
    }

    /// From now on each value has one spelling again.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(super) async fn write_no_more(&self) -> Result<()> {
        self.run(&settings::as_anybody(true)).await
    }

    /// In a transaction that has just begun: what is pinned in this session is pinned on all servers that have
    /// shards.
    pub(super) async fn pin_everywhere(&self) -> Result<()> {
        if self.has_citus {
            let everywhere = settings::pinned_everywhere(self.lock);
            self.run(&everywhere).await?;
        }
        Ok(())
    }

    /// Sets the search path under which a plan was made: these schemas, and no others.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where the role cannot use one of them, or one is gone;
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn set_search_path(&self, schemas: &[String]) -> Result<()> {
        self.run(&settings::search_path(schemas)).await?;
        if self.holds(&settings::has_search_path(schemas)).await? {
            return Ok(());
        }
        Err(Error::plan_refused(format!(
            "the plan was made with the search path {}, and not all of it can be used by this role: a schema is gone, or \
             the role has no USAGE on it; grant that, or make a new plan",
            list(schemas.iter().map(|s| crate::text::escape(s)))
        )))
    }

    /// That the server process is still the one with which the session began: locks, settings and
    /// temporary tables are in that one.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where it is another one.
    pub(super) async fn stays(&self, doing: &str) -> Result<()> {
        if self
            .holds(&settings::is_served_by(&self.backend, doing))
            .await?
        {
            return Ok(());
        }
        Err(pooler::refused(doing))
    }
}
