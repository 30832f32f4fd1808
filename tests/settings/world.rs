//! A folder and a fresh database for each test, and the program run in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls, SimpleQueryMessage};
use table_loader::postgres_server::Postgres;
use tempfile::TempDir;

/// The server that tests share: started once, stopped with this process.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| crate::support::server::start(&[]))
}

pub struct World {
    pub folder: TempDir,
    pub url: String,
    pub database: String,
}

/// What a run of the program came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.out, self.err
        );
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        let both = format!("{}{}", self.out, self.err);
        assert!(both.contains(text), "no \"{text}\" in: {both}");
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e} in {} {}", self.out, self.err))
    }
}

impl World {
    pub fn new() -> World {
        World::on(server())
    }

    pub fn on(server: &Postgres) -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let database = format!("w{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut client = Client::connect(&server.url("postgres"), NoTls).unwrap();
        client
            .batch_execute(&format!("CREATE DATABASE {database}"))
            .unwrap();
        World {
            folder: tempfile::tempdir().unwrap(),
            url: server.url(&database),
            database,
        }
    }

    /// With the loader's tables, a table of subjects, its configuration, and a batch `b1`.
    pub fn with_batch() -> World {
        let world = World::new();
        world.sql(
            "CREATE TABLE subjects (gsid text PRIMARY KEY, sex text, created_by text);
             INSERT INTO subjects VALUES ('G1', 'F', 'redcap')",
        );
        world.write("tables.yaml", "subjects: {natural_key: [gsid]}\n");
        world.write(
            "source/staging/b1/subjects/frag_1.json",
            r#"[{"gsid": "G1", "sex": "M"}, {"gsid": "G2", "sex": "F"}, {"gsid": "G3"}]"#,
        );
        world.loader(&["migrate"]).run().expect(0);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    pub fn sql(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap();
    }

    /// The rows of a query, columns joined by `|`.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let messages = self.client().simple_query(sql).unwrap();
        messages
            .iter()
            .filter_map(|m| match m {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|i| row.get(i).unwrap_or("(null)"))
                        .collect::<Vec<_>>()
                        .join("|"),
                ),
                _ => None,
            })
            .collect()
    }

    /// The program in this world, with nothing of our own environment but what programs need.
    pub fn loader(&self, args: &[&str]) -> Run {
        self.bare(args)
            .env("DATABASE_URL", &self.url)
            .env("LOADER_SOURCE", self.path("source"))
            .env("LOADER_QUEUE", "off")
    }

    /// The program in this world without a single setting.
    pub fn bare(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loader"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(std::process::Stdio::null());
        Run(command)
    }

    /// Plans `b1` into `plan.json`.
    pub fn plan(&self) -> &Self {
        self.loader(&["plan", "--batch-id", "b1", "--out", "plan.json"])
            .run()
            .expect(0);
        self
    }
}

pub struct Run(Command);

impl Run {
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Run {
        self.0.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Run {
        self.0.env_remove(name);
        self
    }

    pub fn args(mut self, args: &[&str]) -> Run {
        self.0.args(args);
        self
    }

    pub fn run(mut self) -> Ran {
        let output = self.0.output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Makes a file readable by its owner only, who becomes `like`'s owner.
pub fn private(path: &Path, like: &Path) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(like).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}
