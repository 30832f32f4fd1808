//! The transaction of an apply: the locks that it holds, its commit, and who stands in its way.

use super::Report;
use super::effects::cascades;
use super::everywhere::is_seen_everywhere;
use super::staged::Staged;
use crate::error::{Error, ErrorKind, Remedy, Result, sqlstate};
use crate::pg::ledger;
use crate::pg::own::Own;
use crate::pg::{Backend, Session};
use crate::plan::Header;
use crate::sql::{Statement, Values, list};
use crate::table::target::Guard;

/// A transaction that has done everything but its commit. Dropping it rolls back.
pub struct Prepared {
    pub(super) locked: Locked,
    pub(super) loader_schema: String,
    /// Whether it wrote to other servers.
    pub(super) in_shards: bool,
    /// What it did.
    pub report: Report,
}

/// How a commit ended.
pub enum Committed {
    /// It happened, and the ledger says so.
    Yes,
    /// It happened on this server, and the standbys that the server has to wait for did not confirm it.
    Unreplicated,
    /// It did not happen.
    No(Error),
    /// It happened, and is not to be seen everywhere yet.
    Unseen,
    /// Its answer did not come; the ledger has to be asked.
    Unanswered(Error),
}

impl Prepared {
    /// The server process that commits.
    pub fn backend(&self) -> &Backend {
        &self.locked.session.backend
    }

    /// Commits, and looks into the ledger: the server answers ROLLBACK as readily as COMMIT.
    pub async fn commit(self) -> (Report, Committed) {
        // Until the commit is sent, it is known that nothing was written.
        if let Err(e) = self.locked.hear().await {
            return (self.report, Committed::No(e));
        }
        let in_shards = self.in_shards;
        let session = match self.locked.commit().await {
            Ok(session) => session,
            Err(e) => return (self.report, Committed::Unanswered(e)),
        };
        let application = &self.report.application;
        let committed = match ledger::committed(&session, &self.loader_schema, application).await {
            Ok(true) => match is_seen_everywhere(&session, &session.backend, in_shards).await {
                Err(e) => Committed::Unanswered(e),
                Ok(false) => Committed::Unseen,
                Ok(true) if session.is_unreplicated() => Committed::Unreplicated,
                Ok(true) => Committed::Yes,
            },
            Ok(false) => Committed::No(
                Error::database("committing: the server rolled the transaction back").transient(),
            ),
            Err(e) => Committed::Unanswered(e),
        };
        (self.report, committed)
    }
}

/// A transaction that holds the plan's lock and the database's. Dropping it rolls back with the
/// connection.
pub(super) struct Locked {
    pub(super) session: Session,
}

const BEGIN: &str = "\
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SELECT pg_catalog.set_config('synchronous_commit', \
      (SELECT CASE reset_val WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END \
       FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'), true)";

impl Locked {
    pub(super) async fn begin(session: Session, plan_hash: &str) -> Result<Locked> {
        let begin = Statement::new("beginning the transaction", BEGIN);
        session.run(&begin).await?;
        session.pin_everywhere().await?;
        session.stays("beginning the transaction").await?;
        for (what, key) in [
            ("this plan", ledger::plan_lock(plan_hash)),
            ("this database", ledger::DATABASE_LOCK.to_string()),
        ] {
            let lock = Statement::new(
                format!("waiting for the loader's lock on {what}"),
                format!("SELECT pg_catalog.pg_advisory_xact_lock({key})"),
            );
            match session.run(&lock).await {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Locked => {
                    return Err(waited(e.and(format_args!(
                        ": another apply is running{}",
                        holder(&session, &key).await
                    ))));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Locked { session })
    }

    /// Lets the server say as a warning that a commit is not replicated.
    async fn hear(&self) -> Result<()> {
        let hear = "SET LOCAL client_min_messages = warning";
        self.session.run(&Statement::new("committing", hear)).await
    }

    /// Commits, as a message of its own.
    async fn commit(self) -> Result<Session> {
        let commit = Statement::new("committing", "COMMIT");
        self.session.run(&commit).await?;
        Ok(self.session)
    }
}

/// Ends the failed transaction, so that something can be asked.
async fn rows_after_rollback(session: &Session, ask: &Statement) -> Result<Vec<String>> {
    session
        .run(&Statement::new(ask.doing(), "ROLLBACK"))
        .await?;
    session.column(ask).await
}

/// Who holds an advisory lock, as far as can be seen.
async fn holder(session: &Session, key: &str) -> String {
    let held = rows_after_rollback(session, &ask_holder(key)).await;
    let who = held.ok().and_then(|rows| rows.into_iter().next());
    who.map_or_else(String::new, |who| format!(" (process {who})"))
}

fn ask_holder(key: &str) -> Statement {
    let sql = format!(
        "SELECT a.pid::text || ', user ' || coalesce(a.usename, '?') || ', since ' || coalesce(a.xact_start::text, '?') \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         AND l.classid = (({key})::bigint >> 32)::bit(32)::bigint::oid AND l.objid = (({key})::bigint)::bit(32)::bigint::oid LIMIT 1"
    );
    Statement::new("asking who holds the lock", sql)
}

/// Locks the plan's tables against changes of their definition, and against all other writers where
/// nothing else would keep them from bringing a second row with a key that the plan writes.
pub(in crate::pg) fn lock_tables(header: &Header, tables: &[Staged]) -> Vec<Statement> {
    let (mut guarded, mut sharded, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for staged in tables {
        let planned = header.table(&staged.target.name);
        let counts = planned.map(|t| t.counts).unwrap_or_default();
        let names = match staged.target.guard() {
            _ if counts.changes() == 0 => &mut others,
            Guard::Index => &mut others,
            Guard::Lock => &mut guarded,
            Guard::Shards => {
                sharded.extend(cascades::followers(staged, &counts));
                &mut sharded
            }
        };
        names.push(staged.target.table.name.to_string());
    }
    let lock = |doing, mut names: Vec<String>, mode| {
        names.sort();
        names.dedup();
        let sql = format!("LOCK TABLE {} IN {mode} MODE", list(&names));
        (!names.is_empty()).then(|| Statement::new(doing, sql))
    };
    let locks = [
        lock(
            "locking the plan's tables whose natural key no index makes unique against all other writers (this needs \
             the privilege UPDATE, DELETE or TRUNCATE; with a unique index it would not)",
            guarded,
            "SHARE ROW EXCLUSIVE",
        ),
        lock(
            "locking the plan's tables whose rows are in shards, and those that change with them, against all other \
             writers (this needs the privilege UPDATE, DELETE or TRUNCATE)",
            sharded,
            "SHARE ROW EXCLUSIVE",
        ),
        lock(
            "locking the plan's tables against changes of their definition",
            others,
            "ROW EXCLUSIVE",
        ),
    ];
    locks.into_iter().flatten().collect()
}

/// The same error, with who else is at work on the tables. Ends the transaction.
pub(super) async fn name_others(
    session: &Session,
    (tables, loader_schema): (&[String], &str),
    e: Error,
) -> Error {
    if e.kind() != ErrorKind::Locked {
        return e;
    }
    let own = Own::WRITTEN.map(|table| table.within(loader_schema).to_string());
    let tables: Vec<String> = tables.iter().cloned().chain(own).collect();
    let others = rows_after_rollback(session, &ask_others(&tables)).await;
    let others: Vec<String> = others
        .iter()
        .flatten()
        .map(|who| crate::text::escape(who))
        .collect();
    if others.is_empty() {
        return waited(e);
    }
    waited(e.and(format_args!(
        ": also at work on the plan's tables or the loader's own: {}",
        others.join("; ")
    )))
}

/// With what to do about it, where it was the time to wait for a lock that ran out, and not that for all of it.
fn waited(e: Error) -> Error {
    match e.code() {
        Some(sqlstate::LOCK_NOT_AVAILABLE) => e.with_remedy(Remedy::WaitLonger),
        _ => e,
    }
}

pub(in crate::pg) fn ask_others(tables: &[String]) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "WITH l AS (SELECT l.pid, l.virtualtransaction FROM pg_catalog.pg_locks l WHERE l.granted AND l.locktype = 'relation' \
           AND l.mode <> 'AccessShareLock' AND l.database = (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database()) \
           AND coalesce(pg_catalog.pg_partition_root(l.relation), l.relation) IN (\
             SELECT pg_catalog.to_regclass(u.name) FROM pg_catalog.unnest({}) u(name))) \
         SELECT who FROM (\
           SELECT a.xact_start AS since, 'process ' || a.pid || ', user ' || coalesce(a.usename, '?') || \
             coalesce(', ' || nullif(a.application_name, ''), '') || coalesce(', since ' || a.xact_start::text, '') AS who \
           FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.pid IN (SELECT l.pid FROM l) \
           UNION ALL SELECT p.prepared, 'the prepared transaction ' || pg_catalog.quote_literal(p.gid) || ', user ' || p.owner || \
             ', since ' || p.prepared || ', which stays until COMMIT PREPARED or ROLLBACK PREPARED' \
           FROM pg_catalog.pg_prepared_xacts p WHERE '-1/' || p.transaction IN (SELECT l.virtualtransaction FROM l)) x \
         ORDER BY since LIMIT 3",
        values.texts(tables)
    );
    Statement::with("asking who else is at work", sql, values)
}
