//! A world for each test: a database and a bucket of its own, and the real `loader` in between.

pub mod biobank;
pub mod model;
pub mod s3;
pub mod server;
pub mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use postgres::{Client, NoTls, SimpleQueryMessage};
use serde_json::Value;
use table_loader::postgres_server::Postgres;

use s3::S3;

/// A database in which `loader migrate` was run; the others are copies of it.
const TEMPLATE: &str = "migrated";

/// The one server of this process, with the template in it.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = server::start(&[]);
        let mut client = connect(&server, "postgres");
        client
            .batch_execute(&format!("CREATE DATABASE {TEMPLATE}"))
            .unwrap();
        let migrate = loader(&std::env::temp_dir())
            .env("DATABASE_URL", server.url(TEMPLATE))
            .arg("migrate")
            .output()
            .unwrap();
        assert!(migrate.status.success(), "{migrate:?}");
        server
    })
}

fn connect(server: &Postgres, database: &str) -> Client {
    Client::connect(&server.url(database), NoTls).unwrap()
}

/// Makes a database and returns its name.
pub fn create_database(template: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // Two copies of one template at once refuse each other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let server = server();
    let name = format!("world_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    connect(server, "postgres")
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
        .unwrap();
    name
}

/// The real binary, without the settings of whoever runs the tests.
fn loader(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loader"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("TMPDIR", std::env::temp_dir())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// A database, a bucket, a folder with `tables.yaml`, and the loader.
pub struct World {
    pub s3: S3,
    pub bucket: String,
    pub database: String,
    folder: tempfile::TempDir,
    client: RefCell<Client>,
    settings: RefCell<BTreeMap<String, String>>,
}

impl World {
    /// A world with the tables that `schema` (SQL) makes, configured by `tables` (YAML).
    pub fn new(schema: &str, tables: &str) -> World {
        let database = create_database(TEMPLATE);
        let s3 = S3::start().expect("the tests need an S3 server");
        let bucket = "fragments".to_owned();
        s3.create_bucket(&bucket);
        let client = connect(server(), &database);
        let world = World {
            settings: RefCell::default(),
            client: RefCell::new(client),
            folder: tempfile::tempdir().unwrap(),
            s3,
            bucket,
            database,
        };
        for (name, value) in [
            ("DATABASE_URL", world.url()),
            ("LOADER_SOURCE", format!("s3://{}", world.bucket)),
            ("LOADER_ACTOR", "curator".into()),
            ("AWS_ENDPOINT_URL", world.s3.endpoint()),
            ("AWS_ACCESS_KEY_ID", world.s3.access_key().into()),
            ("AWS_SECRET_ACCESS_KEY", world.s3.secret_key().into()),
            ("AWS_REGION", "us-east-1".into()),
        ] {
            world.set(name, &value);
        }
        world.sql(schema);
        world.configure(tables);
        world
    }

    /// Sets a setting in the loader's environment.
    pub fn set(&self, name: &str, value: &str) {
        self.settings
            .borrow_mut()
            .insert(name.to_owned(), value.to_owned());
    }

    /// Takes a setting away.
    pub fn unset(&self, name: &str) {
        self.settings.borrow_mut().remove(name);
    }

    /// The connection URL of the world's database.
    pub fn url(&self) -> String {
        server().url(&self.database)
    }

    /// Writes `tables.yaml`.
    pub fn configure(&self, tables: &str) {
        self.write("tables.yaml", tables);
    }

    /// The path of a file in the folder where the loader runs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder where the loader runs.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Puts an object into the bucket, below the batch, without an entry in the queue.
    pub fn put(&self, batch: &str, name: &str, content: impl Into<Vec<u8>>) {
        self.s3.put(
            &self.bucket,
            &format!("staging/{batch}/{name}"),
            content.into(),
        );
    }

    /// Puts an object into the bucket, and its entry into the validation queue where there is none.
    pub fn deliver(&self, batch: &str, name: &str, content: impl Into<Vec<u8>>) {
        self.put(batch, name, content);
        let table = name.split(['/', '.']).next().unwrap();
        let key = format!("staging/{batch}/{name}");
        self.client
            .borrow_mut()
            .execute(
                "INSERT INTO validation_queue (batch_id, table_name, s3_key) SELECT $1, $2, $3 \
                 WHERE NOT EXISTS (SELECT FROM validation_queue WHERE batch_id = $1 AND s3_key = $3)",
                &[&batch, &table, &key],
            )
            .unwrap();
    }

    /// The command with these arguments, to be run or spawned.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = loader(self.folder.path());
        command.args(args).envs(self.settings.borrow().iter());
        command
    }

    /// Runs the loader.
    pub fn loader(&self, args: &[&str]) -> Run {
        Run::new(&args.join(" "), self.command(args).output().unwrap())
    }

    /// Starts the loader and does not wait for it.
    pub fn spawn(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running {
            child: command.spawn().unwrap(),
            what: args.join(" "),
        }
    }

    /// A connection of somebody else's.
    pub fn connect(&self) -> Client {
        connect(server(), &self.database)
    }

    /// Waits until a query has a row, half a minute at most.
    #[track_caller]
    pub fn wait_for(&self, query: &str) {
        for _ in 0..3_000 {
            if !self.rows(query).is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("never true: {query}");
    }

    /// Runs `loader plan` for a batch, with further arguments.
    pub fn try_plan(&self, batch: &str, more: &[&str]) -> Run {
        let mut args = vec!["plan", "--batch-id", batch];
        args.extend(more);
        self.loader(&args)
    }

    /// Makes a plan of a batch, which must succeed.
    pub fn plan(&self, batch: &str) -> Plan {
        self.plan_with(batch, &[])
    }

    /// Makes a plan of a batch with further arguments, which must succeed.
    pub fn plan_with(&self, batch: &str, more: &[&str]) -> Plan {
        let run = self.try_plan(batch, more).ok();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("plan_{}.json", NUMBER.fetch_add(1, Ordering::Relaxed));
        Plan {
            path: self.write(&name, &run.stdout),
            text: run.stdout,
            stderr: run.stderr,
        }
    }

    /// Applies a plan as approved by its hash.
    pub fn apply(&self, plan: &Plan) -> Run {
        self.apply_with(plan, &["--approve", &plan.hash()])
    }

    /// Applies a plan with these arguments.
    pub fn apply_with(&self, plan: &Plan, more: &[&str]) -> Run {
        let mut args = vec!["apply", plan.name()];
        args.extend(more);
        self.loader(&args)
    }

    /// Asks whether a plan would apply now.
    pub fn check(&self, plan: &Plan) -> Run {
        self.loader(&["check", plan.name()])
    }

    /// Shows a plan to people; returns what is on stdout.
    pub fn show(&self, plan: &Plan, more: &[&str]) -> String {
        let mut args = vec!["show", plan.name()];
        args.extend(more);
        self.loader(&args).ok().stdout
    }

    /// Runs SQL as somebody else.
    pub fn sql(&self, sql: &str) {
        if let Err(e) = self.client.borrow_mut().batch_execute(sql) {
            panic!("{e:?}: {sql}");
        }
    }

    /// The rows of a query: the values as PostgreSQL prints them, `∅` for null, joined by `|`.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let cells = self.cells(query);
        let line = |row: Vec<Option<String>>| {
            let cells: Vec<String> = row
                .into_iter()
                .map(|c| c.unwrap_or_else(|| "∅".into()))
                .collect();
            cells.join("|")
        };
        cells.into_iter().map(line).collect()
    }

    /// The one value of a query.
    pub fn value(&self, query: &str) -> String {
        let rows = self.rows(query);
        assert_eq!(rows.len(), 1, "{query}: {rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// The rows of a query, value by value.
    pub fn cells(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let answer = self.client.borrow_mut().simple_query(query);
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

    /// Every row of every table, the loader's own included.
    pub fn state(&self) -> BTreeMap<String, Vec<String>> {
        let tables = self.rows(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND NOT schemaname LIKE 'pg\\_temp%'",
        );
        let content = |name: String| {
            let rows = self.rows(&format!("SELECT t::text FROM {name} t ORDER BY 1"));
            (name, rows)
        };
        tables.into_iter().map(content).collect()
    }

    /// [`World::state`] without one table.
    pub fn state_without(&self, table: &str) -> BTreeMap<String, Vec<String>> {
        let mut state = self.state();
        assert!(state.remove(table).is_some(), "there is no {table}");
        state
    }

    /// Runs `work`, after which every table must be as before.
    #[track_caller]
    pub fn writes_nothing<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.state();
        let done = work();
        assert!(before == self.state(), "something was written");
        done
    }

    /// Runs `work`, which must leave one `failed` row in `batch_load_log` and nothing else.
    #[track_caller]
    pub fn writes_only_a_failure<T>(&self, work: impl FnOnce() -> T) -> T {
        const LOG: &str = "public.batch_load_log";
        let (before, logged) = (self.state_without(LOG), self.rows(FAILURES).len());
        let total = self.value("SELECT count(*) FROM batch_load_log");
        let done = work();
        assert!(
            before == self.state_without(LOG),
            "something was written beside batch_load_log"
        );
        assert_eq!(self.rows(FAILURES).len(), logged + 1, "one failed row");
        let added = total.parse::<usize>().unwrap() + 1;
        assert_eq!(
            self.value("SELECT count(*) FROM batch_load_log"),
            added.to_string()
        );
        done
    }
}

const FAILURES: &str = "SELECT id FROM batch_load_log WHERE status = 'failed'";

/// What one run of the loader said and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    what: String,
}

/// A loader that runs.
pub struct Running {
    pub child: Child,
    what: String,
}

impl Running {
    /// Waits for its end.
    pub fn finish(self) -> Run {
        Run::new(&self.what, self.child.wait_with_output().unwrap())
    }
}

impl Run {
    fn new(what: &str, output: Output) -> Run {
        Run {
            code: output
                .status
                .code()
                .unwrap_or_else(|| panic!("loader {what}: {output:?}")),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            what: what.to_owned(),
        }
    }

    /// It must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.exits(0)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Run {
        let Run { stdout, stderr, .. } = &self;
        assert_eq!(self.code, code, "loader {}\n{stdout}\n{stderr}", self.what);
        self
    }

    /// It must have said this, on either stream.
    #[track_caller]
    pub fn says(self, text: &str) -> Run {
        let Run { stdout, stderr, .. } = &self;
        assert!(
            stdout.contains(text) || stderr.contains(text),
            "loader {} does not say {text:?}:\n{stdout}\n{stderr}",
            self.what
        );
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// A plan file.
pub struct Plan {
    pub path: PathBuf,
    pub text: String,
    pub stderr: String,
}

impl Plan {
    /// Its name in the folder where the loader runs.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    /// All of it.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Its hash as it states it.
    pub fn hash(&self) -> String {
        let hash = self.json()["plan_hash"].clone();
        hash.as_str().unwrap().to_owned()
    }

    /// Its changes, skips and violations.
    pub fn entries(&self) -> Vec<Value> {
        self.json()["changes"].as_array().unwrap().clone()
    }

    /// How many of `action` its summary counts.
    pub fn count(&self, action: &str) -> u64 {
        self.json()["header"]["summary"][action].as_u64().unwrap()
    }

    /// Its tables in order.
    pub fn tables(&self) -> Vec<String> {
        let tables = self.json()["header"]["tables"].clone();
        let tables = tables.as_array().unwrap().iter();
        tables
            .map(|t| t["table"].as_str().unwrap().to_owned())
            .collect()
    }

    /// One line for each entry: `+ t id=1: a="x"`, `~ t id=1: a="x"→null`, `= t id=1: unchanged`,
    /// `! t id=1: invalid_value age block`.
    pub fn lines(&self) -> Vec<String> {
        self.entries().iter().map(line).collect()
    }

    /// [`Plan::lines`] without the skips as `unchanged`.
    pub fn news(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|l| !l.ends_with(": unchanged"));
        lines
    }
}

fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let pairs = |name: &str| {
        let map = entry[name].as_object().unwrap();
        let stored = |value: &Value| value.get("stored").unwrap_or(value).clone();
        let pair = |(column, value): (&String, &Value)| match value.as_array() {
            Some(both) => format!("{column}={}→{}", both[0], stored(&both[1])),
            None => format!("{column}={}", stored(value)),
        };
        map.iter().map(pair).collect::<Vec<_>>().join(" ")
    };
    let keys = entry["key"].as_object().unwrap().iter();
    let key = keys.fold(String::new(), |mut key, (column, value)| {
        let value = value.as_str().unwrap_or("null");
        let _ = write!(key, " {column}={value}");
        key
    });
    let (glyph, rest) = match text("action") {
        "insert" => ('+', pairs("values")),
        "update" => ('~', pairs("set")),
        "delete" => ('-', pairs("values")),
        "skip" => ('=', text("reason").to_owned()),
        _ => {
            let words = [text("kind"), text("field"), text("effect")];
            let words = words.into_iter().filter(|w| !w.is_empty());
            ('!', words.collect::<Vec<_>>().join(" "))
        }
    };
    format!("{glyph} {}{key}: {rest}", text("table"))
        .trim_end_matches([':', ' '])
        .to_owned()
}

/// `content` compressed.
pub fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// Compares a text for people with `snapshots/<name>.snap`; the database's name and the plan's
/// hash, which differ from run to run, are masked.
#[track_caller]
pub fn snapshot(name: &str, text: &str, world: &World, plan: &Plan) {
    let text = text
        .replace(&plan.hash(), "sha256:…")
        .replace(&world.database, "biobank")
        .replace(plan.name(), "plan.json");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
