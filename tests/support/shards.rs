//! Servers with Citus (`LOADER_CITUS_BIN`, the folder of a PostgreSQL that has it), and tables in shards.

use std::env;
use std::sync::{Mutex, PoisonError};

use postgres::Client;
use table_loader::postgres_server::{Postgres, Programs};

use super::server::{cells, connect};

/// Whether worlds are to have tables in shards, as far as they can be (`TEST_SHARDS`).
pub fn are_asked_for() -> bool {
    env::var_os("TEST_SHARDS").is_some()
}

/// Starts a server with Citus and these settings.
pub fn start(settings: &[(&str, &str)]) -> Postgres {
    let folder = env::var_os("LOADER_CITUS_BIN");
    assert!(
        folder.is_some(),
        "LOADER_CITUS_BIN has to name the folder of a PostgreSQL with Citus"
    );
    let own = [
        ("shared_preload_libraries", "citus"),
        ("max_prepared_transactions", "200"),
        ("citus.shard_count", "4"),
        ("citus.enable_statistics_collection", "off"),
        ("citus.local_hostname", "127.0.0.1"),
        ("citus.node_conninfo", "sslmode=disable"),
    ];
    Programs::find(folder, &env::var_os("PATH").unwrap_or_default())
        .and_then(|programs| Postgres::start(programs, &[&own[..], settings].concat()))
        .unwrap_or_else(|e| panic!("a server with Citus: {e}"))
}

/// A worker's database, and how the others reach its server.
pub struct Worker {
    pub url: String,
    pub host: String,
    pub port: u16,
}

/// Makes the database at `url`, which is reached at this host and port, the coordinator of those of `workers`;
/// without any, it has shards itself.
pub fn make(url: &str, (host, port): (&str, u16), workers: &[Worker]) {
    // Two at once would be in each other's way.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for worker in workers {
        connect(&worker.url)
            .batch_execute("CREATE EXTENSION citus")
            .unwrap();
    }
    let mut client = connect(url);
    let mut sql = format!(
        "SET client_min_messages = error; CREATE EXTENSION citus; SELECT citus_set_coordinator_host('{host}', {port});"
    );
    for Worker { host, port, .. } in workers {
        sql += &format!("SELECT citus_add_node('{host}', {port});");
    }
    if workers.is_empty() {
        sql +=
            &format!("SELECT citus_set_node_property('{host}', {port}, 'shouldhaveshards', true);");
    }
    client.batch_execute(&sql).unwrap();
}

/// Puts all tables in shards that can be: those to which no other refers are distributed by a column of all
/// their unique keys, the others are reference tables.
pub fn distribute(client: &mut Client) {
    client
        .batch_execute("SET client_min_messages = error")
        .unwrap();
    let tables = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'citus', 'citus_internal', 'columnar_internal') \
         AND c.relname NOT IN ('audit_log', 'loader_ledger', 'batch_load_log', 'validation_queue', 'loader_identity', 'refinery_schema_history') \
         AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY c.oid";
    let column = |table: &str| {
        format!(
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0 AND a.attnotnull \
             AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum <> ALL (i.indkey)) \
             AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.confrelid = a.attrelid AND k.contype = 'f') \
             ORDER BY a.attnum LIMIT 1"
        )
    };
    for row in cells(client, tables) {
        let table = row.into_iter().flatten().next().unwrap();
        let by = cells(client, &column(&table)).into_iter().flatten().next();
        let quoted = table.replace('\'', "''");
        let mut tries = Vec::new();
        if let Some(Some(by)) = by {
            let by = by.replace('\'', "''");
            tries.push(format!(
                "SELECT create_distributed_table('{quoted}', '{by}')"
            ));
        }
        tries.push(format!("SELECT create_reference_table('{quoted}')"));
        // What fits neither stays as it is.
        let _ = tries.iter().any(|sql| client.batch_execute(sql).is_ok());
    }
}
