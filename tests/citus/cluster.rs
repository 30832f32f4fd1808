//! A coordinator and two workers.

use std::sync::OnceLock;

use postgres::Client;
use table_loader::postgres_server::Postgres;

use crate::support::server::{connect, empty_database};
use crate::support::{World, shards};

pub struct Cluster {
    pub coordinator: Postgres,
    pub workers: [Postgres; 2],
}

/// The workers' own settings are none in which the loader would have values spelled.
const ELSEWHERE: [(&str, &str); 6] = [
    ("timezone", "Asia/Tokyo"),
    ("datestyle", "SQL, DMY"),
    ("intervalstyle", "sql_standard"),
    ("extra_float_digits", "-3"),
    ("bytea_output", "escape"),
    ("xmloption", "document"),
];

impl Cluster {
    pub fn start() -> Cluster {
        let worker = || shards::start(&ELSEWHERE);
        Cluster {
            coordinator: shards::start(&[("max_connections", "300")]),
            workers: [worker(), worker()],
        }
    }

    /// That of all tests that stop nothing.
    pub fn shared() -> &'static Cluster {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Cluster::start)
    }

    /// A database of this cluster with these tables; `workers` are reached at these ports.
    pub fn world_by(&self, ports: [u16; 2], schema: &str, tables: &str) -> World {
        let database = empty_database(&self.coordinator);
        let workers = self.workers.iter().zip(ports).map(|(worker, port)| {
            let mut client = connect(&worker.url("postgres"));
            client
                .batch_execute(&format!("CREATE DATABASE {database}"))
                .unwrap();
            (worker.url(&database), port)
        });
        let workers: Vec<(String, u16)> = workers.collect();
        shards::make(&self.coordinator.url(&database), &workers);
        World::of(&self.coordinator, database, schema, tables)
    }

    pub fn world(&self, schema: &str, tables: &str) -> World {
        let ports = [self.workers[0].port(), self.workers[1].port()];
        self.world_by(ports, schema, tables)
    }
}

/// All rows of tables, as the coordinator prints them.
pub fn rows(client: &mut Client, tables: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for table in tables {
        // What is printed where the shards are, is printed as it is there.
        let copy = format!(
            "DROP TABLE IF EXISTS printed; CREATE TEMPORARY TABLE printed AS SELECT * FROM {table}"
        );
        client.batch_execute(&copy).unwrap();
        let sql = format!("SELECT '{table} ' || to_json(t)::text FROM printed t ORDER BY 1");
        let found = client.query(&sql, &[]).unwrap();
        all.extend(found.iter().map(|row| row.get::<_, String>(0)));
    }
    all
}
