//! A fresh database and a folder of batches for each test, the binary, and the invariant.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use table_loader::postgres_server::Postgres;
use tempfile::TempDir;

/// The server that most tests share. A test that stops its server starts one of its own.
pub fn shared() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| crate::support::server::start(&[("max_connections", "200")]))
}

/// A setting of these tests from the environment, such as how many random cases to play.
pub fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |v| {
        v.parse()
            .unwrap_or_else(|e| panic!("{variable} is {v:?}: {e}"))
    })
}

/// A name that no database has yet.
fn fresh() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("faults_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// One database with the loader's tables and the test's own, and a folder with batches.
pub struct Stage {
    /// How tests reach the database.
    pub url: String,
    folder: TempDir,
    client: Mutex<Option<Client>>,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn of(output: Output) -> Run {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// All of `words` are in what was said.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Run {
        for word in words {
            assert!(
                self.stderr.contains(word) || self.stdout.contains(word),
                "{word:?} is not in {self}"
            );
        }
        self
    }

    /// `word` is not in what was said.
    #[track_caller]
    pub fn omits(self, word: &str) -> Run {
        assert!(!self.stderr.contains(word), "{word:?} is in {self}");
        self
    }

    /// Ended with this exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Run {
            code,
            stdout,
            stderr,
        } = self;
        write!(f, "exit code {code:?}\n{stderr}\n{stdout}")
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
        static MIGRATED: OnceLock<()> = OnceLock::new();
        MIGRATED.get_or_init(|| drop(Stage::make(shared(), "migrated", "template1")));
        let stage = Stage::make(shared(), &fresh(), "migrated");
        stage.prepare(tables, config)
    }

    /// On a server of its own.
    pub fn on(server: &Postgres, tables: &str, config: &str) -> Stage {
        Stage::make(server, &fresh(), "template1").prepare(tables, config)
    }

    fn make(server: &Postgres, name: &str, template: &str) -> Stage {
        let mut admin = connect(&server.url("postgres"));
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .unwrap();
        let stage = Stage {
            url: server.url(name),
            folder: TempDir::new().unwrap(),
            client: Mutex::new(None),
        };
        std::fs::create_dir(stage.path("source")).unwrap();
        if template == "template1" {
            stage.loader(&["migrate"]).ends(0);
        }
        stage
    }

    fn prepare(self, tables: &str, config: &str) -> Stage {
        self.write("tables.yaml", config);
        self.sql(tables);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A session of its own.
    pub fn client(&self) -> Client {
        connect(&self.url)
    }

    /// Lets go of the stage's own session: its server may have gone down.
    pub fn reconnect(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Works in the stage's own session.
    fn with<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Some(client) if !client.is_closed() => work(client),
            none => work(none.insert(self.client())),
        }
    }

    pub fn sql(&self, sql: &str) {
        let done = self.with(|client| client.batch_execute(sql));
        done.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The one value of a query, as text; empty for null.
    pub fn one(&self, sql: &str) -> String {
        self.with(|client| one(client, sql))
    }

    /// Delivers fragments (`table/name` and content) with their entries in the queue.
    pub fn deliver(&self, batch: &str, fragments: &[(&str, &str)]) {
        for (name, content) in fragments {
            let key = format!("staging/{batch}/{name}");
            self.write(&format!("source/{key}"), content);
            let table = name.split(['/', '.']).next().unwrap();
            self.sql(&format!(
                "INSERT INTO validation_queue (batch_id, table_name, s3_key) SELECT '{batch}', '{table}', '{key}' \
                 WHERE NOT EXISTS (SELECT FROM validation_queue WHERE s3_key = '{key}')"
            ));
        }
    }

    /// The binary with a clean environment, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        // TEST_LOADER is another build, such as one that is not replaced while a long run goes on.
        let built = env!("CARGO_BIN_EXE_loader").into();
        let mut command = Command::new(std::env::var_os("TEST_LOADER").unwrap_or(built));
        command.env_clear();
        for kept in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(kept).map(|v| (kept, v)));
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("DATABASE_URL", &self.url)
            .env("LOADER_SOURCE", self.path("source"))
            .env("LOADER_ACTOR", "curator")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn loader(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    /// The binary with more environment.
    pub fn loader_with(&self, args: &[&str], env: &[(&str, &str)]) -> Run {
        Run::of(
            self.command(args)
                .envs(env.iter().copied())
                .output()
                .unwrap(),
        )
    }

    /// Plans a batch into `<batch>.json` and returns that name.
    pub fn plan(&self, batch: &str) -> String {
        let name = format!("{batch}.json");
        self.loader(&["plan", "--batch-id", batch, "--out", &name])
            .ends(0);
        name
    }

    /// Plans and applies a batch; returns the application's id.
    pub fn load(&self, batch: &str) -> String {
        let plan = self.plan(batch);
        let run = self.loader(&["apply", &plan, "--force", "--json"]).ends(0);
        run.json()["application"].as_str().unwrap().to_owned()
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
        let again = self.loader(&["apply", plan, "--force"]).ends(0);
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

pub fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap_or_else(|e| panic!("{url}: {e}"))
}

pub fn one(client: &mut Client, sql: &str) -> String {
    let rows = client
        .simple_query(sql)
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    rows.iter()
        .find_map(|m| match m {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default()
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

/// Waits until `found` is true, for up to 20 s.
#[track_caller]
pub fn eventually(what: &str, mut found: impl FnMut() -> bool) {
    let started = Instant::now();
    while !found() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "not within 20 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a started run, and ends it where it hangs.
#[track_caller]
pub fn finish(what: &str, mut child: Child, patience: Duration) -> Run {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > patience {
            child.kill().unwrap();
            let run = Run::of(child.wait_with_output().unwrap());
            panic!("{what}: still running after {patience:?}: {run}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Run::of(child.wait_with_output().unwrap())
}

/// Sends a signal by its name.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}
