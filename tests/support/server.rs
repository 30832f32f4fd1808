//! PostgreSQL servers from the programs that are installed (`LOADER_PG_BIN`, else `PATH`).

use std::env;

use table_loader::postgres_server::{Postgres, Programs};

/// Starts a server with these settings of `postgresql.conf`.
pub fn start(settings: &[(&str, &str)]) -> Postgres {
    let path = env::var_os("PATH").unwrap_or_default();
    Programs::find(env::var_os("LOADER_PG_BIN"), &path)
        .and_then(|programs| Postgres::start(programs, settings))
        .unwrap_or_else(|e| panic!("the tests need a PostgreSQL server: {e}"))
}
