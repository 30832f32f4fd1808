//! PostgreSQL servers from the programs that are installed (`LOADER_PG_BIN`, else `PATH`), and
//! databases in them.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use postgres::{Client, NoTls, SimpleQueryMessage};
use table_loader::postgres_server::{Postgres, Programs};

use super::{program, shards};

/// Starts a server with these settings of `postgresql.conf`.
pub fn start(settings: &[(&str, &str)]) -> Postgres {
    let path = env::var_os("PATH").unwrap_or_default();
    Programs::find(env::var_os("LOADER_PG_BIN"), &path)
        .and_then(|programs| Postgres::start(programs, settings))
        .unwrap_or_else(|e| panic!("the tests need a PostgreSQL server: {e}"))
}

/// The server that the tests of this process share: started once, stopped with this process. A test
/// that stops its server starts one of its own.
pub fn shared() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    // A vacuum comes to each database in turn: to a hundred of them, twice a second.
    let settings = [("max_connections", "200"), ("autovacuum", "off")];
    SERVER.get_or_init(|| {
        if !shards::are_asked_for() {
            return start(&settings);
        }
        shards::start(&[&settings[..], &[("max_connections", "500")]].concat())
    })
}

/// Starts a server again as a standby, which has nobody to follow.
pub fn become_standby(server: &mut Postgres) {
    std::fs::write(server.data_dir().join("standby.signal"), "").unwrap();
    server.restart().unwrap();
}

pub fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap_or_else(|e| panic!("{url}: {e}"))
}

/// Makes a database of the shared server in which `loader migrate` was run; returns its name.
pub fn migrated_database() -> String {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let name = empty_database(shared());
        migrate(&shared().url(&name));
        name
    });
    copy(shared(), template)
}

/// Makes an empty database; returns its name.
pub fn empty_database(server: &Postgres) -> String {
    copy(server, "template1")
}

/// Makes a copy of a database of the shared server, to which nobody is connected; returns its name.
pub fn copy_of(database: &str) -> String {
    copy(shared(), database)
}

/// Runs `loader migrate`.
pub fn migrate(url: &str) {
    let mut command = program::loader(&env::temp_dir());
    let migrate = command.env("DATABASE_URL", url).arg("migrate");
    let migrate = migrate.output().unwrap();
    assert!(migrate.status.success(), "{migrate:?}");
}

fn copy(server: &Postgres, template: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // Two copies of one template at once refuse each other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let name = format!("world_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    connect(&server.url("postgres"))
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
        .unwrap();
    name
}

/// The rows of a query, value by value, as PostgreSQL prints them.
#[track_caller]
pub fn cells(client: &mut Client, query: &str) -> Vec<Vec<Option<String>>> {
    let answer = client.simple_query(query);
    let answer = answer.unwrap_or_else(|e| panic!("{e:?}: {query}"));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(
            (0..row.len())
                .map(|i| row.get(i).map(str::to_owned))
                .collect(),
        ),
        _ => None,
    };
    answer.into_iter().filter_map(row).collect()
}

/// The first value of a query, empty where it is null or there is none.
#[track_caller]
pub fn one(client: &mut Client, query: &str) -> String {
    let first = cells(client, query).into_iter().flatten().next();
    first.flatten().unwrap_or_default()
}
