//! What a session is told and asked about itself.

use std::time::Duration;

use super::{Backend, Timeouts};
use crate::sql::{Ident, Literal, Statement, Values, list};

/// What decides about the spelling of a value.
const SPELLING: [(&str, &str); 7] = [
    ("TimeZone", "'UTC'"),
    ("DateStyle", "'ISO, YMD'"),
    ("IntervalStyle", "'postgres'"),
    ("extra_float_digits", "1"),
    ("bytea_output", "'hex'"),
    ("lc_monetary", "'C'"),
    ("xmloption", "'content'"),
];

/// What also differs where others write: defaults, checks and triggers may read what row security lets them see.
const OF_WRITES: [(&str, &str); 1] = [("row_security", "off")];

/// What decides about the meaning of a statement, on whichever server.
const MEANING: [(&str, &str); 4] = [
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("quote_all_identifiers", "off"),
];

/// What else decides about this session's statements. `search_path` stays
/// the role's own: extension types and triggers need it. No standby is waited for, but where rows are
/// written for good: making a temporary table is a commit too.
const PINNED: &str = "\
SET client_encoding = 'UTF8';
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
SET client_min_messages = error;
SET idle_in_transaction_session_timeout = 0;
SET idle_session_timeout = 0;
SET synchronous_commit = local;
SET jit = off;
SET default_statistics_target = 10;
SELECT pg_catalog.set_config('work_mem', '64MB', false)
  WHERE pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')) < 67108864;
SELECT pg_catalog.set_config('transaction_timeout', '0', false)
  WHERE pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL;
";

const PREPARING: &str = "preparing the session";

pub(super) fn pinned() -> Statement {
    Statement::new(PREPARING, of_values("SET") + PINNED)
}

/// What values mean and how they are spelled.
fn of_values(set: &str) -> String {
    let all = SPELLING.iter().chain(&MEANING).chain(&OF_WRITES);
    let all = all.map(|(name, value)| format!("{set} {name} = {value};\n"));
    all.collect()
}

/// For the rest of the transaction, or until it is `pinned` again, defaults, checks and triggers see the settings that
/// role and database give to everybody: what they make of a row is then what they make of anybody's.
pub(super) fn as_anybody(pinned: bool) -> Statement {
    let all = SPELLING.iter().chain(&OF_WRITES);
    let all = all.map(|(name, value)| {
        let value = if pinned { value } else { "DEFAULT" };
        format!("SET LOCAL {name} TO {value};\n")
    });
    Statement::new("preparing the session for writes", all.collect::<String>())
}

/// In a transaction with Citus: the same on all servers, which are told only what is set there. What is
/// written to a table to which others refer is not written to several shards at once: those refer to it by
/// connections that do not see each other's rows.
pub(super) fn pinned_everywhere(lock: Duration) -> Statement {
    let sql = format!(
        "SET LOCAL citus.propagate_set_commands = 'local';\n{}SET LOCAL lock_timeout = {};\n\
         SET LOCAL citus.multi_shard_modify_mode = 'sequential';\n",
        of_values("SET LOCAL"),
        lock.as_millis()
    );
    Statement::new(PREPARING, sql)
}

/// How long the server waits for locks, and works on one statement.
pub(super) fn limits(timeouts: Timeouts) -> Statement {
    let sql = format!(
        "SET lock_timeout = {}; SET statement_timeout = {};",
        timeouts.lock.as_millis(),
        timeouts.transaction.as_millis()
    );
    Statement::new(PREPARING, sql)
}

/// Whether the server is a worker of Citus, which makes no temporary tables.
pub(super) fn is_worker() -> Statement {
    let sql = "SELECT groupid <> 0 FROM pg_catalog.pg_dist_local_group";
    Statement::new("asking whether the server is the coordinator", sql)
}

/// Its process, version, encoding, when the process began, whether it has Citus and is a standby; and what role and
/// database say of the time zone and of writes, whether foreign keys and triggers are silent for this role, and what role
/// and database give to everybody of what the loader sets otherwise, as the clauses of a function.
pub(super) fn server() -> Statement {
    let styles = SPELLING.iter().map(|(name, _)| Literal(name).to_string());
    let sql = format!(
        "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num'), \
         pg_catalog.current_setting('server_encoding'), (SELECT a.backend_start \
         FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a), \
         pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL, pg_catalog.pg_is_in_recovery(), \
         own.zone, own.frozen = 'on', pg_catalog.current_setting('session_replication_role') = 'replica', own.styles \
         FROM (SELECT pg_catalog.string_agg(pg_catalog.format('SET %I TO %L', s.name, s.reset_val), ' ' ORDER BY s.name) \
           FILTER (WHERE s.name IN ({styles})) AS styles,  pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'TimeZone') AS zone, \
           pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'default_transaction_read_only') AS frozen \
           FROM pg_catalog.pg_settings s) own",
        styles = list(styles)
    );
    Statement::new("asking for the server's version", sql)
}

/// From now on a prepared query is planned once, whatever values it gets.
pub(super) fn plan_once() -> Statement {
    Statement::new(PREPARING, "SET plan_cache_mode = force_generic_plan")
}

/// Queries are planned as the role has them planned.
pub(super) fn plan_as_usual() -> Statement {
    Statement::new(PREPARING, "RESET plan_cache_mode")
}

/// From now on tables are joined as a whole, where they can be, and by all that they have in common: a merge compares
/// each row with all others of one application.
pub(super) fn join_at_once() -> Statement {
    let hashed = "SET enable_nestloop = off; SET enable_mergejoin = off";
    Statement::new(PREPARING, hashed)
}

/// Tables are joined as the role has them joined.
pub(super) fn join_as_usual() -> Statement {
    Statement::new(PREPARING, "RESET enable_nestloop; RESET enable_mergejoin")
}

/// The server looks whether the client is still there.
pub(super) fn watched() -> Statement {
    Statement::new(PREPARING, "SET client_connection_check_interval = '1s'")
}

/// Whether another process has committed and waits for a standby.
pub(super) fn waits_for_standby(backend: &Backend) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE {} AND wait_event = 'SyncRep')",
        is(backend, &mut values)
    );
    Statement::with("asking what the lost attempt waits for", sql, values)
}

/// Commits something as role and database have it confirmed: after that, whatever was committed before is confirmed.
pub(super) fn confirmed() -> Statement {
    Statement::new(
        "waiting for the standbys",
        "SET LOCAL synchronous_commit TO DEFAULT; CREATE TEMPORARY TABLE loader_confirmed ()",
    )
}

/// Ends another process of the same role.
pub(super) fn terminate(backend: &Backend) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE {} AND usename = current_user",
        is(backend, &mut values)
    );
    Statement::with("ending the lost attempt", sql, values)
}

/// The condition that a process is this one, and no later one with its number.
fn is(backend: &Backend, values: &mut Values) -> String {
    format!(
        "pid = {} AND backend_start::text = {}",
        backend.process,
        values.text(&backend.started)
    )
}

const SEARCH_PATH: &str = "setting the search path";

pub(super) fn search_path(schemas: &[String]) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_catalog.set_config('search_path', {}, false)",
        values.text(list(schemas.iter().map(|s| Ident(s))))
    );
    Statement::with(SEARCH_PATH, sql, values)
}

/// The schemas of the search path, without the session's own for temporary tables, which is another one in each session.
pub(in crate::pg) const SCHEMAS: &str = "ARRAY(SELECT u.s FROM pg_catalog.unnest(pg_catalog.current_schemas(false)::text[]) \
     WITH ORDINALITY u(s, n) WHERE u.s !~ '^pg_temp_[0-9]+$' ORDER BY u.n)";

/// Whether the search path is these schemas, all of which can be used.
pub(super) fn has_search_path(schemas: &[String]) -> Statement {
    let mut values = Values::default();
    let sql = format!("SELECT {SCHEMAS} = {}", values.texts(schemas));
    Statement::with(SEARCH_PATH, sql, values)
}

/// Whether this process is the one that answers.
pub(super) fn is_served_by(backend: &Backend, doing: &str) -> Statement {
    let sql = format!("SELECT pg_catalog.pg_backend_pid() = {}", backend.process);
    Statement::new(doing, sql)
}
