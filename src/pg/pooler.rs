//! Whether a pooler that hands out server processes by the transaction stands before the server.
//!
//! Behind one, settings, temporary tables and locks of a session end up in processes that other
//! programs get. It is told by what a session says of itself when it starts: a server keeps that,
//! poolers refuse or drop it. Only then two connections tell how processes are handed out.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::connect::{Connected, Database};
use crate::error::{Error, Result};
use crate::pg::failed;

/// A setting that only we set, and only when a session starts.
const MARK: &str = "table_loader.session";

/// A connection to a server process that stays ours until it is closed. Connecting may take
/// `patience`, and each `answer` its own time.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind) where a pooler hands out processes by the
/// transaction; what the server or the connection said.
pub(super) async fn dedicated(
    database: &Database,
    config: &Config,
    patience: Duration,
    answer: Duration,
) -> Result<Connected> {
    let doing = format!("connecting to {}", database.place());
    let first = async |client: &Client, sql: &str| {
        let asked = tokio::time::timeout(answer, client.simple_query(sql)).await;
        let messages = asked
            .map_err(|_| Error::unanswered(&doing, answer))?
            .map_err(|e| failed(&doing, &e))?;
        let found = messages.into_iter().find_map(|m| match m {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        Ok::<String, Error>(found.unwrap_or_default())
    };
    let mark = uuid::Uuid::new_v4().to_string();
    let mut marked = config.clone();
    let options = config.get_options().unwrap_or_default();
    marked.options(format!("{options} -c {MARK}={mark}").trim());
    let connected = match open(database, &marked, patience).await {
        Ok(connected) => {
            let sql = format!("SELECT pg_catalog.current_setting('{MARK}', true)");
            if first(&connected.client, &sql).await? == mark {
                return Ok(connected);
            }
            connected
        }
        Err(e) if refuses_options(&e) => open(database, config, patience).await?,
        Err(e) => return Err(e),
    };
    // Of several processes in turn, one connection gets another each time; of one, both get the same.
    let mut mine = BTreeSet::new();
    for _ in 0..ASKED {
        mine.insert(first(&connected.client, PROCESS).await?);
    }
    // A pool by the session that has no process left does not answer, or refuses: that tells nothing.
    let others = tokio::time::timeout(BRIEFLY, async {
        let other = open(database, config, patience).await?;
        let mut others = BTreeSet::new();
        for _ in 0..ASKED {
            others.insert(first(&other.client, PROCESS).await?);
        }
        Ok::<_, Error>(others)
    });
    let others = others.await.ok().and_then(Result::ok).unwrap_or_default();
    if mine.len() > 1 || others.len() > 1 || !mine.is_disjoint(&others) {
        return Err(refused(&database.place()));
    }
    Ok(connected)
}

/// The error for a pooler by the transaction; `what` says where, or what was being done.
pub(super) fn refused(what: &str) -> Error {
    Error::config(format!(
        "{what}: a connection pooler that hands out server processes by the transaction (pgbouncer with pool_mode = \
         transaction or statement) stands before the server; the loader's locks, settings and temporary tables \
         need a process of their own: connect to the server itself, or through a pool with pool_mode = session"
    ))
}

const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";

/// How often each connection asks which process it has.
const ASKED: usize = 3;

/// How long a second connection is waited for.
const BRIEFLY: Duration = Duration::from_secs(2);

/// pgbouncer calls what it does not know a protocol violation; others, a feature that is missing.
fn refuses_options(e: &Error) -> bool {
    [
        SqlState::PROTOCOL_VIOLATION,
        SqlState::FEATURE_NOT_SUPPORTED,
    ]
    .iter()
    .any(|c| e.code() == Some(c.code()))
}

/// The driver's own limit ends where the server has accepted the connection.
async fn open(database: &Database, config: &Config, patience: Duration) -> Result<Connected> {
    match tokio::time::timeout(patience, database.connect(config)).await {
        Ok(connected) => connected,
        Err(_) => Err(Error::database(format!(
            "connecting to {}: no answer within {} s",
            database.place(),
            patience.as_secs()
        ))
        .transient()),
    }
}
