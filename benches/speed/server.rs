//! One server, a database for each run, and the loader as a process that is measured.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use postgres::{Client, NoTls};
use table_loader::postgres_server::{Postgres, Programs};

use crate::cost::Cost;
use crate::{data, program};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TABLE: &str = "CREATE TABLE specimen (
  sample_id text NOT NULL UNIQUE,
  global_subject_id text NOT NULL,
  sample_type text,
  collected_at timestamptz,
  volume_ml numeric(10,3),
  barcode text,
  site_id int,
  freezer text,
  notes text,
  meta jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text,
  updated_at timestamptz DEFAULT now(),
  id bigserial PRIMARY KEY
)";

/// The floors leave `created_at` alone: so does the loader, and the same rows change.
const TABLES_YAML: &str = "specimen:\n  natural_key: [sample_id]\n  immutable_fields: [created_at]\n  \
                           on_immutable: keep\n  conflict_resolution: replace\n";

/// A server made for measuring: no checkpoint and no vacuum comes in between by itself.
pub struct Server {
    pub postgres: Postgres,
    folder: tempfile::TempDir,
}

/// A database, removed at its end.
pub struct Run<'s> {
    server: &'s Server,
    name: String,
}

/// What a run of the loader took.
pub struct Took {
    pub cost: Cost,
    /// The most memory it had, in bytes; 0 where the system does not tell.
    pub memory: u64,
    /// Its `--json` result.
    pub json: serde_json::Value,
}

impl Server {
    pub fn start() -> Result<Server> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = Programs::find(std::env::var_os("LOADER_PG_BIN"), &path)?;
        let settings = [
            ("shared_buffers", "1GB"),
            ("max_wal_size", "64GB"),
            ("checkpoint_timeout", "1d"),
            ("autovacuum", "off"),
            ("full_page_writes", "on"),
        ];
        let postgres = Postgres::start(programs, &settings)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("tables.yaml"), TABLES_YAML)?;
        Ok(Server { postgres, folder })
    }

    pub fn connect(&self, database: &str) -> Result<Client> {
        Ok(Client::connect(&self.postgres.url(database), NoTls)?)
    }

    /// Writes out what is still to be written, so that it falls into nobody's time.
    pub fn rest(&self) -> Result<()> {
        self.admin("CHECKPOINT")?;
        // Without fsync the server leaves that to the system, which would do it any time.
        let synced = Command::new("sync").status()?;
        match synced.success() {
            true => Ok(()),
            false => Err(format!("sync: {synced}").into()),
        }
    }

    fn admin(&self, sql: &str) -> Result<()> {
        self.connect("postgres")?.batch_execute(sql)?;
        Ok(())
    }

    /// The template with a table of `rows` rows, made once.
    pub fn template(&self, rows: u64) -> Result<String> {
        let name = format!("table_{rows}");
        let known = "SELECT FROM pg_database WHERE datname = $1";
        if self
            .connect("postgres")?
            .query_opt(known, &[&name])?
            .is_some()
        {
            return Ok(name);
        }
        self.admin(&format!("CREATE DATABASE {name}"))?;
        let mut client = self.connect(&name)?;
        client.batch_execute(TABLE)?;
        let into = format!(
            "COPY specimen ({}) FROM STDIN (FORMAT csv)",
            data::FIELDS.join(", ")
        );
        let mut out = client.copy_in(&into)?;
        data::table_csv(
            rows,
            &mut std::io::BufWriter::with_capacity(1 << 16, &mut out),
        )?;
        out.finish()?;
        client.batch_execute(
            "CREATE TABLE specimen_c (LIKE specimen INCLUDING DEFAULTS INCLUDING INDEXES)",
        )?;
        client.batch_execute("VACUUM ANALYZE")?;
        drop(client);
        self.loader(&name, &self.postgres.url(&name), &["migrate"])?;
        self.admin("CHECKPOINT")?;
        Ok(name)
    }

    /// A copy of a template, at rest.
    pub fn copy(&self, template: &str) -> Result<Run<'_>> {
        let how = match self.postgres.version() {
            14 => "",
            _ => "STRATEGY = file_copy", // else all of it would go through the log
        };
        let name = "measured".to_owned();
        self.admin(&format!("DROP DATABASE IF EXISTS {name} (FORCE)"))?;
        self.admin(&format!("CREATE DATABASE {name} TEMPLATE {template} {how}"))?;
        self.rest()?;
        Ok(Run { server: self, name })
    }

    /// Runs the loader on a folder or bucket; its result must be a success.
    pub fn loader(&self, database: &str, source: &str, arguments: &[&str]) -> Result<Took> {
        self.loader_with(database, source, arguments, &[])
    }

    /// As [`Server::loader`], with more variables.
    pub fn loader_with(
        &self,
        database: &str,
        source: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Took> {
        let run = || {
            // Into a file: a pipe that nobody reads would stop the program that fills it.
            let mut told = tempfile::tempfile()?;
            let mut child = program::loader(self.folder.path())
                .env("AWS_EC2_METADATA_DISABLED", "true")
                .env("DATABASE_URL", self.postgres.url(database))
                .env("LOADER_SOURCE", source)
                .env("LOADER_QUEUE", "off")
                .env("LOADER_ACTOR", "benchmark")
                .env("MAX_RECORDS_PER_BATCH", "1000000000")
                .env("TRANSACTION_TIMEOUT", "0")
                .envs(variables.iter().copied())
                .args(arguments)
                .stdout(told.try_clone()?)
                .spawn()?;
            let status = format!("/proc/{}/status", child.id());
            let mut memory = 0;
            // The high-water mark only grows: the last look before the end is the one that counts.
            while child.try_wait()?.is_none() {
                memory = peak(Path::new(&status)).unwrap_or(memory);
                std::thread::sleep(Duration::from_millis(1));
            }
            let output = child.wait_with_output()?;
            let mut said = Vec::new();
            told.rewind()?;
            told.read_to_end(&mut said)?;
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                let said = String::from_utf8_lossy(&said);
                return Err(format!("loader {arguments:?}: {}: {why}{said}", output.status).into());
            }
            Ok((memory, serde_json::from_slice(&said).unwrap_or_default()))
        };
        let (cost, (memory, json)) = self.cost(run)?;
        Ok(Took { cost, memory, json })
    }

    /// Where the loader's files are.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// `VmHWM` in bytes.
fn peak(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

impl Run<'_> {
    /// What work in this database costs.
    pub fn cost<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
        self.server.cost(work)
    }

    pub fn client(&self) -> Result<Client> {
        self.server.connect(&self.name)
    }

    /// The seconds of a whole `psql` that asks for nothing.
    pub fn select_one(&self) -> Result<f64> {
        let mut psql = Command::new("psql");
        psql.args(["-c", "select 1", &self.server.postgres.url(&self.name)]);
        let (cost, output) = self.cost(|| Ok(psql.output()?))?;
        match output.status.success() {
            true => Ok(cost.seconds),
            false => Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    pub fn loader(&self, source: &Path, arguments: &[&str]) -> Result<Took> {
        let source = source.to_string_lossy();
        self.server.loader(&self.name, &source, arguments)
    }

    pub fn loader_s3(
        &self,
        source: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Took> {
        self.server
            .loader_with(&self.name, source, arguments, variables)
    }

    /// What a load leaves in the table, as one number: the same work has the same.
    pub fn content(&self) -> Result<String> {
        let sql = format!(
            "SELECT count(*) || '/' || coalesce(sum(hashtextextended(ROW({})::text, 0)), 0) FROM specimen",
            data::FIELDS.join(", ")
        );
        Ok(self.client()?.query_one(&sql, &[])?.get(0))
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let _ = self
            .server
            .admin(&format!("DROP DATABASE {} (FORCE)", self.name));
    }
}

/// Sums of an object's numbers, for comparing what was found.
pub fn counts(value: &serde_json::Value) -> BTreeMap<String, u64> {
    let object = value.as_object().into_iter().flatten();
    object
        .filter_map(|(k, v)| Some((k.clone(), v.as_u64()?)))
        .collect()
}

/// Writes a line of progress.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
