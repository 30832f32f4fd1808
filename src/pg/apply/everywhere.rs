//! A commit with Citus has happened when this server has written it, and is to be seen on another one only when that has
//! been told: ours is waited for before it is said, and those of others before anything is compared.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::pg::{Backend, Session};
use crate::sql::Statement;

/// How often it is asked, a second between.
const TRIES: u32 = 20;

const DOING: &str = "asking whether what was committed is to be seen on all servers";

/// Waits until what `backend` committed, to tables in shards or to none, is to be seen on all servers. Returns whether
/// it is.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database) where that cannot be asked.
pub async fn is_seen_everywhere(
    session: &Session,
    backend: &Backend,
    in_shards: bool,
) -> Result<bool> {
    if !in_shards {
        return Ok(true);
    }
    for attempt in 0..TRIES {
        if session.holds(&is_settled(backend)).await? {
            return Ok(true);
        }
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Citus does so by itself once a minute; not every role may ask for it.
        let _ = session.run(&recover()).await;
    }
    Ok(false)
}

/// Tells servers of commits that they have not heard of, as far as that can be done.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database) where they cannot be asked.
pub async fn settle_others(session: &Session) -> Result<()> {
    if !session.column(&unsettled()).await?.is_empty() {
        let _ = session.run(&recover()).await;
    }
    Ok(())
}

/// Waits until what others had committed, when the locks on all writers were there, is to be seen on all servers: what
/// it changed would be compared as it was before, and overwritten.
///
/// # Errors
/// [`Locked`](crate::ErrorKind::Locked) where it is not to be seen; [`Database`](crate::ErrorKind::Database).
pub async fn await_others(session: &Session) -> Result<()> {
    let others = session.column(&unsettled()).await?;
    let mut waiting = others.clone();
    for _ in 0..TRIES {
        waiting.retain(|name| others.contains(name));
        if waiting.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        waiting = session.column(&unsettled()).await?;
    }
    Err(Error::new(
        ErrorKind::Locked,
        format!(
            "what another transaction committed is not to be seen on all servers yet (prepared: {}), so that rows cannot be \
             compared; nothing was written; Citus tells the servers once a minute, when they can be reached, and SELECT \
             recover_prepared_transactions() does so at once",
            crate::text::escape(&waiting.join(", "))
        ),
    ))
}

/// The names of all transactions of Citus that are prepared on some server and not ended.
pub(in crate::pg) fn unsettled() -> Statement {
    let sql = format!(
        "SELECT DISTINCT n.name FROM {}, pg_catalog.regexp_split_to_table(r.result, ' ') n(name) \
         WHERE r.success AND n.name <> '' ORDER BY 1",
        prepared("'citus_'")
    );
    Statement::new(DOING, sql)
}

/// For `FROM`: of each server, as `r`, the names of transactions that are prepared and begin so.
fn prepared(begins: &str) -> String {
    format!(
        "pg_catalog.run_command_on_all_nodes(pg_catalog.format('SELECT pg_catalog.string_agg(gid, '' '') \
           FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() \
           AND pg_catalog.starts_with(gid, %L)', {begins})) r"
    )
}

/// The error for a commit that has happened and is not to be seen everywhere.
pub fn unseen() -> Error {
    Error::new(
        ErrorKind::Unknown,
        "the plan is applied: its commit has happened and will not be undone. But some servers cannot be reached or have not \
         made it visible yet, so that its rows may seem to be missing. Make no plan until they have: Citus tells them once a \
         minute, when they can be reached, and SELECT recover_prepared_transactions() does so at once",
    )
}

/// Whether no server has a transaction of this process that is prepared and not ended. Their names are
/// `citus_<group>_<process>_<transaction>_<connection>` (`Assign2PCIdentifier` in Citus).
pub(in crate::pg) fn is_settled(backend: &Backend) -> Statement {
    let ours = format!(
        "'citus_' || (SELECT groupid FROM pg_catalog.pg_dist_local_group) || '_{}_'",
        backend.process
    );
    let sql = format!(
        "SELECT coalesce(pg_catalog.bool_and(r.success AND coalesce(r.result, '') = ''), true) FROM {}",
        prepared(&ours)
    );
    Statement::new(DOING, sql)
}

fn recover() -> Statement {
    Statement::new(DOING, "SELECT pg_catalog.recover_prepared_transactions()")
}
