//! `loader demo`: a whole round on a throw-away server. It runs the real commands.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use tokio_postgres::NoTls;

use crate::error::{Error, Result};
use crate::postgres_server::{LaunchError, Postgres, Programs};

#[derive(clap::Args, Debug)]
pub struct Args {}

const TABLES: &str = include_str!("demo/tables.sql");
const CONFIG: &str = include_str!("demo/tables.yaml");

/// Fragments: object below the batch, content.
const FIRST: [(&str, &str); 4] = [
    (
        "subjects/frag_1.json",
        r#"{"fragment_id": "frag_1", "data": {"gsid": "GSID-003", "sex": "F", "birth_year": 1971}}"#,
    ),
    (
        "subjects/frag_2.json",
        r#"{"fragment_id": "frag_2", "data": {"gsid": "GSID-004", "sex": "M", "birth_year": 2001, "created_by": "lims"}}"#,
    ),
    (
        "subjects/frag_3.json",
        r#"{"fragment_id": "frag_3", "data": {"gsid": "GSID-002", "sex": "M", "created_by": "lims"}}"#,
    ),
    (
        "specimen/frag_4.json",
        r#"{"records": [{"sample_id": "SMP-1", "gsid": "GSID-001", "volume_ml": 1.50},
             {"sample_id": "SMP-2", "gsid": "GSID-002", "volume_ml": "0.75"},
             {"sample_id": "SMP-3", "gsid": "GSID-004", "volume_ml": 3.125, "freezer": "B/7"}]}"#,
    ),
];
const MENDED: (&str, &str) = (
    "subjects/frag_3.json",
    r#"{"fragment_id": "frag_3", "data": {"gsid": "GSID-002", "sex": "M"}}"#,
);
const SECOND: [(&str, &str); 1] = [(
    "specimen/frag_9.json",
    r#"{"records": [{"sample_id": "SMP-1", "gsid": "GSID-001", "freezer": "C/3"},
             {"sample_id": "SMP-2", "gsid": "GSID-002", "freezer": "C/4"}]}"#,
)];

pub async fn run(_args: Args) -> Result<u8> {
    let played = tokio::task::spawn_blocking(play)
        .await
        .map_err(|e| Error::local(format!("running the demonstration: {e}")))?;
    let seen_enough = |e: &Error| {
        let cause = e.cause::<std::io::Error>();
        cause.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    match played {
        // The server is gone then; there is nobody to show more to.
        Err(e) if seen_enough(&e) => Ok(0),
        played => played,
    }
}

fn play() -> Result<u8> {
    step("A private PostgreSQL is started. Nothing outside of it and of one folder is touched.")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let postgres = Programs::find(std::env::var_os("LOADER_PG_BIN"), &path)
        .and_then(|programs| Postgres::start(programs, &[]))
        .map_err(launch)?;
    let folder = tempfile::tempdir().map_err(|e| Error::io("making a temporary folder", e))?;
    let stage = Stage {
        postgres: &postgres,
        folder: folder.path(),
    };
    stage.write("tables.yaml", CONFIG)?;
    stage.sql(TABLES)?;
    say(&format!(
        "PostgreSQL {} is up, with two tables and five rows; specimen refers to subjects.",
        postgres.version()
    ))?;
    stage.loader(&["migrate"], 0)?;

    step(
        "A batch lies in a folder, as it would in S3: JSON fragments, and their entries in the validation queue.",
    )?;
    stage.deliver("batch_1", &FIRST)?;
    stage.loader(&["plan", "--batch-id", "batch_1", "--out", "plan.json"], 0)?;
    stage.loader(&["show", "plan.json"], 0)?;

    step(
        "One record wants to change created_by, which tables.yaml calls immutable. So this plan cannot be applied:",
    )?;
    stage.loader(&["apply", "plan.json", "--force"], 4)?;

    step(
        "The record is mended and delivered again. The new plan is reviewed, and approved by its hash:",
    )?;
    stage.write(&format!("staging/batch_1/{}", MENDED.0), MENDED.1)?;
    stage.loader(&["plan", "--batch-id", "batch_1", "--out", "plan.json"], 0)?;
    let hash = stage.plan_hash()?;
    stage.loader(&["apply", "plan.json", "--approve", &hash], 0)?;

    step("Applying it again does nothing, and a new plan of the same batch is empty:")?;
    stage.loader(&["apply", "plan.json", "--approve", &hash], 0)?;
    stage.loader(&["plan", "--batch-id", "batch_1", "--out", "again.json"], 0)?;

    step(
        "Another batch is planned. Then, before it is applied, somebody else changes one of its rows:",
    )?;
    stage.deliver("batch_2", &SECOND)?;
    stage.loader(&["plan", "--batch-id", "batch_2", "--out", "plan.json"], 0)?;
    let change = "UPDATE specimen SET freezer = 'somewhere else' WHERE sample_id = 'SMP-2'";
    say(&format!("somebody=> {change};"))?;
    stage.sql(change)?;
    stage.loader(&["apply", "plan.json", "--force"], 3)?;

    step("That was a whole round. The server and all its data are gone now.")?;
    postgres.stop().map_err(launch)?;
    Ok(0)
}

fn launch(e: LaunchError) -> Error {
    Error::config(e.to_string())
}

/// Where the demonstration plays.
struct Stage<'a> {
    postgres: &'a Postgres,
    folder: &'a Path,
}

impl Stage<'_> {
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.folder.join(name);
        let parent = path.parent().unwrap_or(self.folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, content))
            .map_err(|e| Error::io(format_args!("writing {name}"), e))
    }

    fn sql(&self, sql: &str) -> Result<()> {
        let url = self.postgres.url("postgres");
        let work = async {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute(sql).await
        };
        tokio::runtime::Handle::current()
            .block_on(work)
            .map_err(|e| crate::pg::failed("preparing the demonstration", &e))
    }

    /// Puts fragments into the folder and their entries into the validation queue.
    fn deliver(&self, batch: &str, fragments: &[(&str, &str)]) -> Result<()> {
        for (name, content) in fragments {
            let key = format!("staging/{batch}/{name}");
            self.write(&key, content)?;
            let table = name.split('/').next().unwrap_or_default();
            self.sql(&format!(
                "INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES ('{batch}', '{table}', '{key}')"
            ))?;
            say(&format!(
                "{key}  {}",
                content.split_whitespace().collect::<Vec<_>>().join(" ")
            ))?;
        }
        Ok(())
    }

    /// Runs one command of this program and shows it with its output.
    fn loader(&self, args: &[&str], expected: i32) -> Result<()> {
        say(&format!("\n$ loader {}", args.join(" ")))?;
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args)?;
        for output in [stdout, stderr] {
            for line in String::from_utf8_lossy(&output).lines() {
                say(&format!("  {line}"))?;
            }
        }
        match status.code() {
            Some(code) if code == expected => {
                if code != 0 {
                    say(&format!("  (exit code {code})"))?;
                }
                Ok(())
            }
            _ => Err(Error::local(format!(
                "the demonstration expected exit code {expected} from `loader {}` and got {status}",
                args.join(" ")
            ))),
        }
    }

    fn command(&self, args: &[&str]) -> Result<Output> {
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let mut command = Command::new(program);
        // The caller's own settings must not reach the demonstration.
        command.env_clear();
        for kept in ["PATH", "HOME", "TMPDIR"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command
            .args(args)
            .current_dir(self.folder)
            .env("DATABASE_URL", self.postgres.url("postgres"))
            .env("LOADER_SOURCE", self.folder)
            .env("LOADER_ACTOR", "curator")
            .env("LOG_LEVEL", "warning")
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|e| Error::io("running this program", e))
    }

    fn plan_hash(&self) -> Result<String> {
        let plan = crate::planfile::PlanFile::open(&self.folder.join("plan.json"))?;
        Ok(plan.hash)
    }
}

fn step(text: &str) -> Result<()> {
    say(&format!("\n── {text}"))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(|e| Error::io("writing", e))
}
