//! A world with a folder of batches for each test, and the invariant.

use std::ops::Deref;
use std::time::{Duration, Instant};

use postgres::Client;
use table_loader::postgres_server::Postgres;

use crate::support::World;

pub use crate::support::number_from;
pub use crate::support::run::{Run, finish};
pub use crate::support::server::{connect, one, shared};
pub use crate::support::wait::{eventually, signal};

/// One database with the loader's tables and the test's own, and a folder with batches.
pub struct Stage {
    world: World,
}

impl Deref for Stage {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// The loader's own tables; all others are data.
const LOADERS: &str = "'validation_queue', 'audit_log', 'batch_load_log', 'loader_ledger', \
    'loader_identity', 'loader_migrations'";

/// Everything that a test compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Every row of every data table, as text, in order.
    pub data: String,
    /// The validation queue, without times and ids of applications.
    pub queue: String,
    /// Rows of the ledger, of the audit log (without those of the queue), and of `batch_load_log`
    /// that are no failures.
    pub ledger: i64,
    pub audit: i64,
    pub log: i64,
}

impl Stage {
    /// On the shared server.
    pub fn new(tables: &str, config: &str) -> Stage {
        Stage {
            world: World::in_folder(tables, config),
        }
    }

    /// On a server of its own.
    pub fn on(server: &Postgres, tables: &str, config: &str) -> Stage {
        Stage {
            world: World::on(server, tables, config),
        }
    }

    /// Delivers fragments (`table/name` and content) with their entries in the queue.
    pub fn deliver(&self, batch: &str, fragments: &[(&str, &str)]) {
        for (name, content) in fragments {
            self.world.deliver(batch, name, *content);
        }
    }

    /// Plans a batch into `<batch>.json` and returns that name.
    pub fn plan(&self, batch: &str) -> String {
        let name = format!("{batch}.json");
        self.loader(&["plan", "--batch-id", batch, "--out", &name])
            .ok();
        name
    }

    /// Plans and applies a batch; returns the application's id.
    pub fn load(&self, batch: &str) -> String {
        let plan = self.plan(batch);
        let run = self.loader(&["apply", &plan, "--force", "--json"]).ok();
        run.json()["application"].as_str().unwrap().to_owned()
    }

    /// Applies a plan that was applied and rolled back, which needs an approval that says so.
    pub fn apply_again(&self, plan: &str) -> Run {
        let args = self.apply_again_args(plan);
        self.loader(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The arguments of [`Stage::apply_again`].
    pub fn apply_again_args(&self, plan: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(plan)).unwrap();
        let plan_file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let hash = plan_file["plan_hash"].as_str().unwrap();
        let application = self.one(&format!(
            "SELECT application FROM loader_ledger WHERE plan_hash = '{hash}' ORDER BY sequence DESC LIMIT 1"
        ));
        let args = ["apply", plan, "--again", &application, "--approve", hash];
        let mut args = args.map(str::to_owned).to_vec();
        // Where rollbacks only mark rows, the batch is another plan now, which was never applied.
        if application.is_empty() {
            args.drain(2..4);
        }
        args
    }

    /// Takes a batch back.
    pub fn roll_back(&self, batch: &str) -> Run {
        self.loader(&["rollback", "--batch-id", batch, "--force"])
    }

    /// Every row of every data table, every column, as text, in order.
    pub fn data(&self) -> String {
        self.state().data
    }

    pub fn state(&self) -> State {
        self.with(state)
    }

    /// No lock, no transaction and no session of the loader is left; waits for up to a minute, since a
    /// server notices a dead client after a second.
    #[track_caller]
    pub fn is_free(&self) {
        let started = Instant::now();
        loop {
            let left = self.one(
                "SELECT string_agg(concat_ws(' ', a.pid, a.state, a.query, l.locktype), '; ') FROM pg_stat_activity a \
                 LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' \
                 WHERE a.datname = current_database() AND a.application_name = 'table-loader'",
            );
            if left.is_empty() {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "still there: {left}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The one question after each fault: everything is as `before` or as `after`, nothing is left
    /// held, and applying again ends well, with everything written exactly once. Returns whether
    /// the fault had left it applied.
    #[track_caller]
    pub fn all_or_nothing(&self, plan: &str, before: &State, after: &State, what: &str) -> bool {
        self.is_free();
        let now = self.state();
        let applied = now == *after;
        assert!(
            applied || now == *before,
            "{what}: neither before nor after: {now:#?}\nbefore: {before:#?}\nafter: {after:#?}"
        );
        let again = self.loader(&["apply", plan, "--force"]).exits(0);
        let word = if applied {
            "Applied already"
        } else {
            "Applied:"
        };
        assert!(again.stderr.contains(word), "{what}: {again}");
        assert_eq!(self.state(), *after, "{what}: after applying again");
        applied
    }
}

pub fn state(client: &mut Client) -> State {
    // One statement, so that it is one snapshot even while somebody writes.
    let tables = one(
        client,
        &format!(
            "SELECT string_agg(format('SELECT %L || t::text AS line FROM %I t', tablename || ' ', tablename), ' UNION ALL ') \
             FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ({LOADERS})"
        ),
    );
    let sql = format!(
        "SELECT (SELECT CASE WHEN count(*) > 1000 THEN count(*) || ' rows, ' || md5(string_agg(line, E'\\n' ORDER BY line COLLATE \"C\")) \
            ELSE string_agg(line, E'\\n' ORDER BY line COLLATE \"C\") END FROM ({tables}) l), \
         (SELECT string_agg(concat_ws(' ', id, status, s3_key, loaded_at IS NOT NULL, error_message, application IS NOT NULL), \
            E'\\n' ORDER BY id) FROM validation_queue), \
         (SELECT count(*) FROM loader_ledger), \
         (SELECT count(*) FROM audit_log WHERE operation <> 'QUEUE'), \
         (SELECT count(*) FROM batch_load_log WHERE status <> 'failed')"
    );
    client
        .batch_execute("SET TimeZone = 'UTC'; SET extra_float_digits = 1")
        .unwrap();
    let row = client
        .query_one(&sql, &[])
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    State {
        data: row.get::<_, Option<String>>(0).unwrap_or_default(),
        queue: row.get::<_, Option<String>>(1).unwrap_or_default(),
        ledger: row.get(2),
        audit: row.get(3),
        log: row.get(4),
    }
}
