//! A world for each test: a database, a place for batches, a folder, and the loader.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use postgres::Client;
use table_loader::postgres_server::Postgres;
use tempfile::TempDir;

use super::plan::Plan;
use super::run::{Call, Run, Running};
use super::s3::S3;
use super::{program, server, shards};

/// The bucket of a world that has one.
pub const BUCKET: &str = "fragments";

pub struct World {
    pub database: String,
    /// How others than the loader reach the database.
    pub url: String,
    s3: Option<S3>,
    folder: TempDir,
    client: Mutex<Option<Client>>,
    settings: Mutex<BTreeMap<String, String>>,
}

impl World {
    /// With the loader's tables and those that `schema` (SQL) makes, configured by `tables` (YAML),
    /// and batches in a bucket.
    pub fn new(schema: &str, tables: &str) -> World {
        let mut world = World::make(server::shared(), server::migrated_database());
        let s3 = S3::start().expect("the tests need an S3 server");
        s3.create_bucket(BUCKET);
        for (name, value) in [
            ("LOADER_SOURCE", format!("s3://{BUCKET}")),
            ("AWS_ENDPOINT_URL", s3.endpoint()),
            ("AWS_ACCESS_KEY_ID", s3.access_key().into()),
            ("AWS_SECRET_ACCESS_KEY", s3.secret_key().into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ] {
            world.set(name, &value);
        }
        world.s3 = Some(s3);
        world.prepared(schema, tables)
    }

    /// As [`World::new`], with batches in the folder `source`.
    pub fn in_folder(schema: &str, tables: &str) -> World {
        World::make(server::shared(), server::migrated_database()).prepared(schema, tables)
    }

    /// As [`World::in_folder`], on a server of the test's own.
    pub fn on(server: &Postgres, schema: &str, tables: &str) -> World {
        let world = World::make(server, server::empty_database(server));
        server::migrate(&world.url);
        world.prepared(schema, tables)
    }

    /// Without any table, not even the loader's, without `tables.yaml` and queue, and with batches
    /// in the folder `source`.
    pub fn empty() -> World {
        World::empty_on(server::shared())
    }

    /// As [`World::empty`], on a server of the test's own.
    pub fn empty_on(server: &Postgres) -> World {
        let world = World::make(server, server::empty_database(server));
        world.set("LOADER_QUEUE", "off");
        world.unset("LOADER_ACTOR");
        world
    }

    fn make(server: &Postgres, database: String) -> World {
        World::make_at(server.url(&database), database)
    }

    fn make_at(url: String, database: String) -> World {
        let world = World {
            url,
            database,
            s3: None,
            folder: tempfile::tempdir().unwrap(),
            client: Mutex::default(),
            settings: Mutex::default(),
        };
        world.set("DATABASE_URL", &world.url);
        world.set("LOADER_SOURCE", &world.path("source").to_string_lossy());
        world.set("LOADER_ACTOR", "curator");
        std::fs::create_dir(world.path("source")).unwrap();
        world
    }

    fn prepared(self, schema: &str, tables: &str) -> World {
        if shards::are_asked_for() {
            let server = server::shared();
            shards::make(&self.url, (&server.host(), server.port()), &[]);
        }
        self.sql(schema);
        self.distribute();
        self.configure(tables);
        self
    }

    /// Puts tables in shards where tests are to have such ones.
    pub fn distribute(&self) {
        if shards::are_asked_for() {
            self.with(shards::distribute);
        }
    }

    /// A world in the database at `url`, with its tables and what `tables` (YAML) says of them, and batches in the
    /// folder `source`.
    pub fn at(url: String, database: String, schema: &str, tables: &str) -> World {
        let world = World::make_at(url, database);
        server::migrate(&world.url);
        world.set("LOADER_QUEUE", "off");
        // To put a table in shards is a transaction of its own.
        schema.split(";\n").for_each(|sql| world.sql(sql));
        world.configure(tables);
        world
    }

    /// The S3 server of a world that has a bucket.
    pub fn s3(&self) -> &S3 {
        self.s3.as_ref().expect("a world with a bucket")
    }

    /// Sets a setting in the loader's environment.
    pub fn set(&self, name: &str, value: &str) {
        self.settings().insert(name.to_owned(), value.to_owned());
    }

    /// Takes a setting away.
    pub fn unset(&self, name: &str) {
        self.settings().remove(name);
    }

    fn settings(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `tables.yaml`.
    pub fn configure(&self, tables: &str) {
        self.write("tables.yaml", tables);
    }

    /// The folder where the loader runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in [`World::folder`].
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in [`World::folder`].
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Puts an object of a batch where the loader looks for it, without an entry in the queue.
    pub fn put(&self, batch: &str, name: &str, content: impl Into<Vec<u8>>) {
        let key = format!("staging/{batch}/{name}");
        match &self.s3 {
            Some(s3) => s3.put(BUCKET, &key, content.into()),
            None => drop(self.write(&format!("source/{key}"), content.into())),
        }
    }

    /// [`World::put`], and an entry in the validation queue where there is none.
    pub fn deliver(&self, batch: &str, name: &str, content: impl Into<Vec<u8>>) {
        self.put(batch, name, content);
        let table = name.split(['/', '.']).next().unwrap();
        let key = format!("staging/{batch}/{name}");
        self.with(|client| {
            client
                .execute(
                    "INSERT INTO validation_queue (batch_id, table_name, s3_key) SELECT $1, $2, $3 \
                     WHERE NOT EXISTS (SELECT FROM validation_queue WHERE batch_id = $1 AND s3_key = $3)",
                    &[&batch, &table, &key],
                )
                .unwrap();
        });
    }

    /// The loader with these arguments, to be spawned.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program::loader(self.folder.path());
        command.args(args).envs(self.settings().iter());
        command
    }

    /// The loader with these arguments, to be told more and run.
    pub fn call(&self, args: &[&str]) -> Call {
        Call::new(self.command(args))
    }

    /// The loader without a single setting, to be told more and run.
    pub fn bare(&self, args: &[&str]) -> Call {
        Call::new(program::loader(self.folder.path())).args(args)
    }

    /// Runs the loader.
    pub fn loader(&self, args: &[&str]) -> Run {
        self.call(args).run()
    }

    /// Runs the loader with more settings.
    pub fn loader_with(&self, args: &[&str], settings: &[(&str, &str)]) -> Run {
        let call = self.call(args);
        settings.iter().fold(call, |c, (n, v)| c.env(n, v)).run()
    }

    /// Starts the loader and does not wait for it.
    pub fn spawn(&self, args: &[&str]) -> Running {
        self.call(args).spawn()
    }

    /// A session of somebody else's.
    pub fn connect(&self) -> Client {
        server::connect(&self.url)
    }

    /// Lets go of the world's own session: its server may have gone down.
    pub fn reconnect(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Works in the world's own session.
    pub fn with<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Some(client) if !client.is_closed() => work(client),
            none => work(none.insert(self.connect())),
        }
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
}
