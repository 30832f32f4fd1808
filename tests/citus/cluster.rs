//! A coordinator and its workers: three servers that are started (`LOADER_CITUS_BIN`), or a cluster that runs
//! (`LOADER_CITUS_URL`, the URL of its coordinator), in which each test makes databases of its own.

use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::Client;
use table_loader::postgres_server::Postgres;

use crate::support::server::{cells, connect};
use crate::support::{World, shards};

/// One server of a cluster.
pub struct Node {
    /// What stands in its URLs before and behind host and port.
    before: String,
    behind: String,
    pub host: String,
    pub port: u16,
}

impl Node {
    fn of(server: &Postgres) -> Node {
        Node::parse(&server.url("postgres"))
    }

    /// From `postgresql://user:password@host:port/database?options`.
    fn parse(url: &str) -> Node {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "5432"));
        let options = path
            .split_once('?')
            .map(|(_, options)| format!("?{options}"));
        Node {
            before: format!("{scheme}://{user}@"),
            behind: options.unwrap_or_default(),
            host: host.to_owned(),
            port: port.parse().unwrap(),
        }
    }

    /// The same, at another place.
    fn at(&self, host: &str, port: u16) -> Node {
        Node {
            before: self.before.clone(),
            behind: self.behind.clone(),
            host: host.to_owned(),
            port,
        }
    }

    pub fn url(&self, database: &str) -> String {
        let Node {
            before,
            behind,
            host,
            port,
        } = self;
        format!("{before}{host}:{port}/{database}{behind}")
    }

    /// That of somebody else than its own user.
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgresql://{user}@{}:{}/{database}", self.host, self.port)
    }
}

pub struct Cluster {
    pub coordinator: Node,
    pub workers: Vec<Node>,
    /// The servers that were started for it: coordinator and workers.
    pub own: Vec<Postgres>,
}

/// How the names of the tests' databases begin.
const DATABASE: &str = "loader_test_";

/// The workers' own settings are none in which the loader would have values spelled.
const ELSEWHERE: [(&str, &str); 7] = [
    ("array_nulls", "off"),
    ("timezone", "Asia/Tokyo"),
    ("datestyle", "SQL, DMY"),
    ("intervalstyle", "sql_standard"),
    ("extra_float_digits", "-3"),
    ("bytea_output", "escape"),
    ("xmloption", "document"),
];

impl Cluster {
    /// A cluster of its own.
    pub fn start() -> Cluster {
        let worker = || shards::start(&ELSEWHERE);
        let coordinator = shards::start(&[("max_connections", "300")]);
        let own = vec![coordinator, worker(), worker()];
        Cluster {
            coordinator: Node::of(&own[0]),
            workers: own[1..].iter().map(Node::of).collect(),
            own,
        }
    }

    fn running(url: &str) -> Cluster {
        let coordinator = Node::parse(url);
        let workers = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0 AND noderole = 'primary' ORDER BY 2, 1";
        let workers = cells(&mut connect(url), workers).into_iter().map(|row| {
            let mut row = row.into_iter().flatten();
            let (host, port) = (row.next().unwrap(), row.next().unwrap());
            coordinator.at(&host, port.parse().unwrap())
        });
        let cluster = Cluster {
            workers: workers.collect(),
            coordinator,
            own: Vec::new(),
        };
        cluster.forget();
        cluster
    }

    /// Drops what an earlier run has left.
    fn forget(&self) {
        let left = format!("SELECT datname FROM pg_database WHERE datname LIKE '{DATABASE}%'");
        for node in [&self.coordinator].into_iter().chain(&self.workers) {
            let mut client = connect(&node.url("postgres"));
            for name in cells(&mut client, &left).into_iter().flatten().flatten() {
                let drop = format!("DROP DATABASE {name} WITH (FORCE)");
                client.batch_execute(&drop).unwrap();
            }
        }
    }

    /// That of all tests that stop nothing.
    pub fn shared() -> &'static Cluster {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| match env::var("LOADER_CITUS_URL") {
            Ok(url) if !url.is_empty() => Cluster::running(&url),
            _ => Cluster::start(),
        })
    }

    /// A database of this cluster with these tables; the workers know each other by these ports.
    pub fn world_by(&self, ports: &[u16], schema: &str, tables: &str) -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = format!("{DATABASE}{}_{number}", std::process::id());
        for node in self.workers.iter().chain([&self.coordinator]) {
            let create = format!("CREATE DATABASE {database}");
            connect(&node.url("postgres"))
                .batch_execute(&create)
                .unwrap();
        }
        let workers = self.workers.iter().zip(ports);
        let workers: Vec<shards::Worker> = workers
            .map(|(node, port)| shards::Worker {
                url: node.url(&database),
                host: node.host.clone(),
                port: *port,
            })
            .collect();
        let url = self.coordinator.url(&database);
        let Node { host, port, .. } = &self.coordinator;
        shards::make(&url, (host, *port), &workers);
        World::at(url, database, schema, tables)
    }

    pub fn world(&self, schema: &str, tables: &str) -> World {
        let ports: Vec<u16> = self.workers.iter().map(|node| node.port).collect();
        self.world_by(&ports, schema, tables)
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
