//! A private PostgreSQL server on a free port of 127.0.0.1.
//!
//! A watchdog shell leads the process group of all that is started here, and reads a pipe whose
//! other end only this process holds. However this process ends, the pipe closes, and the watchdog
//! stops the group and removes the folder. `Drop` takes the same way.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;

mod account;
mod error;
mod programs;
mod settings;
#[cfg(test)]
mod tests;
mod watchdog;

use account::Account;
use settings::{HOST, PORT_ATTEMPTS, configuration, free_port, is_ready};
use watchdog::{EXEC, watched_folder};

pub use error::LaunchError;
pub use programs::Programs;

const SUPERUSER: &str = "loader";
/// Covers crash recovery on a busy machine; a start takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
const LOG_TAIL_LINES: usize = 100;

/// A running PostgreSQL server with an empty data folder of its own and the superuser `loader`,
/// who needs no password. Stopped and removed when dropped, and also when this process ends in
/// any other way: killed, interrupted, by `exit`, or with the handle in a `static`.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    account: Option<Account>,
    port: u16,
    server: Option<Child>,
    watchdog: Child,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server. `settings` are those of `postgresql.conf`, such as
    /// `&[("max_connections", "200")]`; they win over the standard ones.
    ///
    /// # Errors
    /// The server does not start; an unknown setting ends it at once.
    pub fn start(programs: Programs, settings: &[(&str, &str)]) -> Result<Self, LaunchError> {
        let (watchdog, folder) = watched_folder()?;
        let account = Account::for_server(folder.path())?;
        let mut postgres = Self {
            programs,
            account,
            port: 0,
            server: None,
            watchdog,
            folder,
        };
        postgres.initialise(settings)?;
        let mut attempt = 1;
        loop {
            postgres.port = free_port()?;
            match postgres.launch() {
                Err(_) if postgres.lost_its_port() && attempt < PORT_ATTEMPTS => attempt += 1,
                outcome => return outcome.map(|()| postgres),
            }
        }
    }

    /// The connection URL of `database`, whose name is taken as it is (no escaping).
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{SUPERUSER}@{HOST}:{}/{database}", self.port)
    }

    /// The address that the server listens on.
    pub fn host(&self) -> String {
        HOST.to_string()
    }

    /// The port that the server listens on; a restart keeps it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The major version, such as 17.
    pub fn version(&self) -> u32 {
        self.programs.version
    }

    /// The server's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The last 100 lines of the server's log; empty when there is none.
    pub fn log(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(LOG_TAIL_LINES);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Stops the server as a crash would: no checkpoint, connections cut. What was committed is
    /// recovered by [`Postgres::restart`].
    ///
    /// # Errors
    /// The server cannot be waited for.
    pub fn stop_immediate(&mut self) -> Result<(), LaunchError> {
        self.end("QUIT")
    }

    /// Starts the server again on the same port, after an orderly stop where it still runs.
    ///
    /// # Errors
    /// The server does not stop, or does not start.
    pub fn restart(&mut self) -> Result<(), LaunchError> {
        self.end("INT")?;
        self.launch()
    }

    /// Stops the server in order and removes its folder, as dropping does at once and silently.
    ///
    /// # Errors
    /// The server does not stop, or its folder stays.
    pub fn stop(mut self) -> Result<(), LaunchError> {
        self.end("INT")?;
        let folder = self.folder.path().to_owned();
        drop(self);
        if folder.exists() {
            Err(LaunchError::LeftBehind { folder })
        } else {
            Ok(())
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// A program of the server: in the watchdog's group and, where we are root, as another user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", EXEC])
            .arg(self.programs.folder.join(program))
            .current_dir(self.folder.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(self.watchdog.id().cast_signed());
        if let Some(account) = self.account {
            command.uid(account.user).gid(account.group);
        }
        command
    }

    fn initialise(&self, settings: &[(&str, &str)]) -> Result<(), LaunchError> {
        let output = self
            .command("initdb")
            .args(["--username", SUPERUSER, "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(self.data_dir())
            .output()
            .map_err(LaunchError::system(format!(
                "run initdb in {} (its user may not enter? choose another place by TMPDIR)",
                self.folder.path().display()
            )))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(self.ended("initdb", output.status, words));
        }
        let file = self.data_dir().join("postgresql.conf");
        fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .and_then(|mut conf| {
                conf.write_all(configuration(self.folder.path(), settings).as_bytes())
            })
            .map_err(LaunchError::system(format!("write {}", file.display())))
    }

    /// Starts the server on its port and waits until it takes connections.
    fn launch(&mut self) -> Result<(), LaunchError> {
        let doing = || LaunchError::system("start the postgres program of a throw-away PostgreSQL");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .map_err(doing())?;
        let mut server = self
            .command("postgres")
            .arg("-D")
            .arg(self.data_dir())
            .args(["-p", &self.port.to_string()])
            .stdout(log.try_clone().map_err(doing())?)
            .stderr(log)
            .spawn()
            .map_err(doing())?;
        let started = Instant::now();
        while !is_ready(&self.data_dir(), server.id()) {
            if let Some(status) = server.try_wait().map_err(doing())? {
                return Err(self.ended("postgres", status, self.log()));
            }
            if started.elapsed() > PATIENCE {
                self.server = Some(server);
                return Err(LaunchError::NotReady {
                    seconds: PATIENCE.as_secs(),
                    log: self.log(),
                });
            }
            thread::sleep(POLL);
        }
        self.server = Some(server);
        Ok(())
    }

    /// Whether the last start found its port taken by another program.
    fn lost_its_port(&self) -> bool {
        self.server.is_none()
            && self
                .log()
                .contains(&format!("running on port {}?", self.port))
    }

    /// Sends the server a signal that ends it, and waits until it has.
    fn end(&mut self, signal: &str) -> Result<(), LaunchError> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let sent = Command::new("/bin/sh")
            .args(["-c", r#"kill -s "$0" "$1""#, signal])
            .arg(server.id().to_string())
            .stderr(Stdio::null())
            .status();
        if !sent.is_ok_and(|status| status.success()) {
            server
                .kill()
                .map_err(LaunchError::system("stop a throw-away PostgreSQL"))?;
        }
        server.wait().map(drop).map_err(LaunchError::system(
            "wait for a throw-away PostgreSQL to stop",
        ))
    }

    fn ended(&self, program: &'static str, status: ExitStatus, output: String) -> LaunchError {
        LaunchError::Ended {
            program,
            folder: self.folder.path().to_owned(),
            status,
            output,
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody can be told of a failure here. Waiting closes the watchdog's pipe first.
        let _ = self.watchdog.wait();
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
