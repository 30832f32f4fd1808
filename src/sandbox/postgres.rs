//! A private PostgreSQL server on a free port of 127.0.0.1.
//!
//! A watchdog shell leads the process group of all that is started here, and reads a pipe whose
//! other end only this process holds. However this process ends, the pipe closes, and the watchdog
//! stops the group and removes the folder. `Drop` takes the same way.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::TempDir;

use super::SandboxError;

const OLDEST_VERSION: u32 = 14;
const SUPERUSER: &str = "loader";
const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Below the ports that Linux, macOS and the BSDs hand out to outgoing connections: such a
/// connection can neither take the port while the server is down, nor connect to itself on it.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
const PORT_ATTEMPTS: u32 = 10;
/// Covers crash recovery on a busy machine; a start takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
const LOG_TAIL_LINES: usize = 100;
/// A socket's path may have 103 bytes (macOS) or 107 (Linux), its file name included.
const LONGEST_SOCKET_FOLDER: usize = 85;

/// Folders that hold one folder a version, and how the names of those begin.
const INSTALLATIONS: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/usr/local", "pgsql"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Runs a program without the files that our caller left open for us: an inherited lock or pipe
/// would be held for as long as the server runs. (What Rust opens is closed on exec anyway.)
const EXEC: &str = r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$0" "$@""#;

/// Reads the folder's path, then waits for the end of its input. `kill 0` reaches the whole
/// process group; the watchdog itself ignores it.
const WATCHDOG: &str = r#"
trap '' HUP INT QUIT TERM
IFS= read -r folder
read -r _
kill -s QUIT 0
tries=0
while [ -e "$folder" ] && [ "$tries" -lt 500 ]; do
    [ -e "$folder/data/postmaster.pid" ] || rm -rf "$folder"
    [ ! -e "$folder" ] || sleep 0.02
    tries=$((tries + 1))
done
rm -rf "$folder"
"#;

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
    /// Starts a server with the standard settings.
    ///
    /// # Errors
    /// No PostgreSQL 14 or later is installed, or it does not start.
    pub fn start() -> Result<Self, SandboxError> {
        Self::start_with(&[])
    }

    /// Starts a server with more settings of `postgresql.conf`, such as
    /// `&[("max_connections", "200")]`; they win over the standard ones.
    ///
    /// # Errors
    /// As [`Postgres::start`]; an unknown setting ends the server at once.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self, SandboxError> {
        let programs = Programs::find()?;
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
    pub fn stop_immediate(&mut self) -> Result<(), SandboxError> {
        self.end("QUIT")
    }

    /// Starts the server again on the same port, after an orderly stop where it still runs.
    ///
    /// # Errors
    /// The server does not stop, or does not start.
    pub fn restart(&mut self) -> Result<(), SandboxError> {
        self.end("INT")?;
        self.launch()
    }

    /// Stops the server in order and removes its folder, as dropping does at once and silently.
    ///
    /// # Errors
    /// The server does not stop, or its folder stays.
    pub fn stop(mut self) -> Result<(), SandboxError> {
        self.end("INT")?;
        let folder = self.folder.path().to_owned();
        drop(self);
        if folder.exists() {
            Err(SandboxError::LeftBehind { folder })
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

    fn initialise(&self, settings: &[(&str, &str)]) -> Result<(), SandboxError> {
        let output = self
            .command("initdb")
            .args(["--username", SUPERUSER, "--auth=trust"])
            .args(["--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(self.data_dir())
            .output()
            .map_err(SandboxError::system(format!(
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
            .map_err(SandboxError::system(format!("write {}", file.display())))
    }

    /// Starts the server on its port and waits until it takes connections.
    fn launch(&mut self) -> Result<(), SandboxError> {
        let doing =
            || SandboxError::system("start the postgres program of a throw-away PostgreSQL");
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
                return Err(SandboxError::NotReady {
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
    fn end(&mut self, signal: &str) -> Result<(), SandboxError> {
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
                .map_err(SandboxError::system("stop a throw-away PostgreSQL"))?;
        }
        server.wait().map(drop).map_err(SandboxError::system(
            "wait for a throw-away PostgreSQL to stop",
        ))
    }

    fn ended(&self, program: &'static str, status: ExitStatus, output: String) -> SandboxError {
        SandboxError::Ended {
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

/// The installed programs of the server.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    version: u32,
}

impl Programs {
    /// From `LOADER_PG_BIN`, else `PATH`, else the usual folders, highest version first.
    fn find() -> Result<Self, SandboxError> {
        if let Some(chosen) = env::var_os("LOADER_PG_BIN").filter(|folder| !folder.is_empty()) {
            let searched = format!("LOADER_PG_BIN ({})", chosen.display());
            return Self::first_in([PathBuf::from(chosen)], searched);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let usual = INSTALLATIONS
            .iter()
            .flat_map(|(parent, prefix)| installed(Path::new(parent), prefix));
        let parents = INSTALLATIONS.map(|(parent, prefix)| format!("{parent}/{prefix}*/bin"));
        Self::first_in(
            env::split_paths(&path).chain(usual),
            format!("PATH, {}", parents.join(", ")),
        )
    }

    fn first_in(
        folders: impl IntoIterator<Item = PathBuf>,
        searched: String,
    ) -> Result<Self, SandboxError> {
        let complete = |folder: &PathBuf| {
            ["initdb", "postgres"]
                .iter()
                .all(|program| folder.join(program).is_file())
        };
        let Some(folder) = folders.into_iter().find(complete) else {
            let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
            return Err(SandboxError::NotInstalled {
                searched,
                advice: advice(&system),
            });
        };
        let program = folder.join("postgres");
        let output =
            Command::new(&program)
                .arg("--version")
                .output()
                .map_err(SandboxError::system(format!(
                    "run {} --version",
                    program.display()
                )))?;
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match major_version(&found) {
            Some(version) if version >= OLDEST_VERSION => Ok(Self { folder, version }),
            _ => Err(SandboxError::TooOld {
                folder,
                found,
                needed: OLDEST_VERSION,
            }),
        }
    }
}

/// The `bin` folders of the versions under `parent`, highest first.
fn installed(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, path)| {
            (
                leading_number(name.trim_start_matches(|c: char| !c.is_ascii_digit())),
                path.join("bin"),
            )
        })
        .map(|(version, bin)| (version.unwrap_or(0), bin))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-1)`, and of `17devel`.
fn major_version(text: &str) -> Option<u32> {
    leading_number(text.split_once("(PostgreSQL) ")?.1)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// How to install PostgreSQL, given the text of `/etc/os-release`, empty where there is none.
fn advice(os_release: &str) -> &'static str {
    let is = |family: &str| {
        let mut lines = os_release
            .lines()
            .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
        lines.any(|line| line.contains(family))
    };
    if cfg!(target_os = "macos") {
        "install it by `brew install postgresql@17`"
    } else if is("debian") || is("ubuntu") {
        "install it by `sudo apt-get install postgresql`"
    } else if is("fedora") || is("rhel") {
        "install it by `sudo dnf install postgresql-server`"
    } else {
        "install PostgreSQL 14 or later, the server included"
    }
}

/// The user that the server runs as where we are root, which it refuses to run as.
#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// `None` unless we are root; else `postgres` or `nobody`, who is then given `folder`.
    fn for_server(folder: &Path) -> Result<Option<Self>, SandboxError> {
        let hand_over = || {
            SandboxError::system(format!(
                "give {} to another user than root",
                folder.display()
            ))
        };
        // We made the folder, so its owner is the user that we run as.
        if fs::metadata(folder).map_err(hand_over())?.uid() != 0 {
            return Ok(None);
        }
        let account = Self::named("postgres").or_else(|| Self::named("nobody"));
        let account = account.ok_or_else(|| {
            hand_over()(std::io::Error::other("no user postgres, no user nobody"))
        })?;
        chown(folder, Some(account.user), Some(account.group)).map_err(hand_over())?;
        Ok(Some(account))
    }

    fn named(name: &str) -> Option<Self> {
        let id = |option| {
            let output = Command::new("id").args([option, name]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Some(Self {
            user: id("-u")?,
            group: id("-g")?,
        })
    }
}

/// Starts the watchdog, and makes the folder that it removes once its standard input closes.
fn watched_folder() -> Result<(Child, TempDir), SandboxError> {
    let mut watchdog = Command::new("/bin/sh")
        .args(["-c", EXEC, "/bin/sh", "-c", WATCHDOG])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(SandboxError::system(
            "start the watchdog of a throw-away PostgreSQL",
        ))?;
    let folder = TempDir::with_prefix("loader-postgres-").and_then(|folder| {
        if let Some(input) = &mut watchdog.stdin {
            let path = folder.path().as_os_str().as_bytes();
            input.write_all(&[path, b"\n"].concat())?;
        }
        Ok(folder)
    });
    let doing = "make a temporary folder for a throw-away PostgreSQL";
    Ok((watchdog, folder.map_err(SandboxError::system(doing))?))
}

/// Lines to append to `postgresql.conf`; of two for the same setting the later one counts.
fn configuration(folder: &Path, settings: &[(&str, &str)]) -> String {
    let sockets = if folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        folder
    } else {
        Path::new("")
    };
    let host = HOST.to_string();
    let sockets = sockets.to_string_lossy();
    let standard = [
        ("listen_addresses", host.as_str()),
        ("unix_socket_directories", &sockets),
        ("max_connections", "100"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    let mut lines = String::new();
    for (name, value) in standard.iter().chain(settings) {
        let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
    }
    lines
}

/// A port that is free now; another program may take it before the server does.
fn free_port() -> Result<u16, SandboxError> {
    let mut attempt = 1;
    loop {
        let random = RandomState::new().hash_one(attempt);
        let port = PORTS.start + (random % u64::from(PORTS.end - PORTS.start)) as u16;
        match TcpListener::bind((HOST, port)) {
            Ok(_) => return Ok(port),
            Err(_) if attempt < PORT_ATTEMPTS => attempt += 1,
            Err(cause) => {
                return Err(SandboxError::system(format!("find a free port on {HOST}"))(
                    cause,
                ));
            }
        }
    }
}

/// Whether the server writes of itself that it is ready; its process id tells it from an earlier
/// one that crashed.
fn is_ready(data_dir: &Path, process: u32) -> bool {
    let status = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    let mut lines = status.lines();
    lines.next() == Some(&process.to_string())
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

#[cfg(test)]
mod tests {
    use ::postgres::{Client, NoTls};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// Names the file in which [`process_with_a_server`] reports; absent in an ordinary test run.
    const REPORT: &str = "LOADER_SANDBOX_TEST_REPORT";

    #[test]
    fn serves_a_superuser_with_the_settings_asked_for() -> Outcome {
        let server =
            Postgres::start_with(&[("max_connections", "17"), ("application_name", "it's")])?;
        let mut client = Client::connect(&server.url("postgres"), NoTls)?;
        let row = client.query_one(
            "SELECT current_setting('max_connections'), current_setting('application_name'),
                    current_setting('server_encoding'), current_setting('fsync'), usesuper,
                    current_setting('server_version_num')::int / 10000
             FROM pg_user WHERE usename = current_user",
            &[],
        )?;
        let text = |column: usize| row.get::<_, String>(column);
        assert_eq!(
            [text(0), text(1), text(2), text(3)],
            ["17", "it's", "UTF8", "off"]
        );
        assert!(row.get::<_, bool>(4));
        assert_eq!(row.get::<_, i32>(5), i32::try_from(server.version())?);
        assert_eq!(
            server.url("a"),
            format!("postgresql://loader@{}:{}/a", server.host(), server.port())
        );
        assert!(
            server.log().contains("ready to accept connections"),
            "{}",
            server.log()
        );
        Ok(())
    }

    #[test]
    fn recovers_what_was_committed_before_a_crash() -> Outcome {
        let mut server = Postgres::start()?;
        let mut client = Client::connect(&server.url("postgres"), NoTls)?;
        client.batch_execute("CREATE TABLE t AS SELECT 42 AS answer")?;
        server.stop_immediate()?;
        assert!(client.batch_execute("SELECT 1").is_err());
        assert!(Client::connect(&server.url("postgres"), NoTls).is_err());
        server.restart()?;
        assert!(
            server.log().contains("not properly shut down"),
            "{}",
            server.log()
        );
        let mut client = Client::connect(&server.url("postgres"), NoTls)?;
        assert_eq!(
            client
                .query_one("SELECT answer FROM t", &[])?
                .get::<_, i32>(0),
            42
        );
        Ok(())
    }

    #[test]
    fn leaves_nothing_behind_when_stopped_or_dropped() -> Outcome {
        let ends: [fn(Postgres) -> Result<(), SandboxError>; 2] = [Postgres::stop, |server| {
            drop(server);
            Ok(())
        }];
        for end in ends {
            let server = Postgres::start()?;
            let (process, folder) = (process_of(&server)?, server.folder.path().to_owned());
            end(server)?;
            assert!(!is_running(process)?);
            assert!(!folder.exists());
        }
        Ok(())
    }

    #[test]
    fn an_unknown_setting_is_reported_and_leaves_nothing_behind() -> Outcome {
        let Err(error) = Postgres::start_with(&[("no_such_setting", "on")]) else {
            return Err("started with an unknown setting".into());
        };
        assert!(error.to_string().contains("\"no_such_setting\""), "{error}");
        let SandboxError::Ended { folder, .. } = error else {
            return Err(error.into());
        };
        assert!(!folder.exists());
        Ok(())
    }

    #[test]
    fn tells_a_port_that_another_program_took() -> Outcome {
        let mut server = Postgres::start()?;
        server.end("INT")?;
        let taken = TcpListener::bind((HOST, 0))?;
        server.port = taken.local_addr()?.port();
        assert!(server.launch().is_err());
        assert!(server.lost_its_port(), "{}", server.log());
        Ok(())
    }

    #[test]
    fn leaves_nothing_behind_when_the_process_is_killed() -> Outcome {
        left_behind_when("kill -s KILL $0")
    }

    #[test]
    fn leaves_nothing_behind_when_the_process_group_is_ended() -> Outcome {
        left_behind_when("kill -s TERM -- -$0")
    }

    #[test]
    fn leaves_nothing_behind_when_the_process_exits_with_the_server_in_a_static() -> Outcome {
        left_behind_when("")
    }

    /// Runs [`process_with_a_server`] as a process of its own, ends it by `kill` (a shell command;
    /// empty: wait for its exit), and checks that its output closes and that all else is gone.
    fn left_behind_when(kill: &str) -> Outcome {
        let place = TempDir::new()?;
        let report = place.path().join("report");
        let (_, module) = module_path!().split_once("::").ok_or("no crate name")?;
        let child = Command::new(env::current_exe()?)
            .args([
                "--exact",
                "--nocapture",
                &format!("{module}::process_with_a_server"),
            ])
            .env(REPORT, &report)
            .env("STAY", if kill.is_empty() { "" } else { "yes" })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let lines = eventually(|| {
            let report = fs::read_to_string(&report).ok()?;
            report.ends_with("end\n").then_some(report)
        })?;
        let mut lines = lines.lines();
        let process = lines.next().ok_or("no process")?.parse()?;
        let folder = PathBuf::from(lines.next().ok_or("no folder")?);
        if !kill.is_empty() {
            assert!(is_running(process)? && folder.exists());
            Command::new("/bin/sh")
                .args(["-c", kill, &child.id().to_string()])
                .status()?;
        }
        let ended = Instant::now();
        child.wait_with_output()?;
        eventually(|| (!folder.exists() && !is_running(process).ok()?).then_some(()))?;
        assert!(
            ended.elapsed() < Duration::from_secs(10),
            "took {:?}",
            ended.elapsed()
        );
        Ok(())
    }

    /// Not a test of its own: what [`left_behind_when`] runs.
    #[test]
    fn process_with_a_server() -> Outcome {
        static SERVER: std::sync::OnceLock<Postgres> = std::sync::OnceLock::new();
        let Some(report) = env::var_os(REPORT) else {
            return Ok(());
        };
        let server = SERVER.get_or_init(|| Postgres::start().expect("a server"));
        fs::write(
            report,
            format!(
                "{}\n{}\nend\n",
                process_of(server)?,
                server.folder.path().display()
            ),
        )?;
        while env::var_os("STAY").is_some_and(|stay| !stay.is_empty()) {
            thread::sleep(Duration::from_secs(60));
        }
        std::process::exit(0)
    }

    fn process_of(server: &Postgres) -> Result<u32, Box<dyn std::error::Error>> {
        let file = fs::read_to_string(server.data_dir().join("postmaster.pid"))?;
        Ok(file
            .lines()
            .next()
            .ok_or("an empty postmaster.pid")?
            .parse()?)
    }

    /// Whether the process runs; one that only waits to be reaped does not.
    fn is_running(process: u32) -> Result<bool, std::io::Error> {
        let output = Command::new("ps")
            .args(["-o", "stat=", "-p", &process.to_string()])
            .output()?;
        let state = String::from_utf8_lossy(&output.stdout);
        Ok(!state.trim().is_empty() && !state.trim().starts_with('Z'))
    }

    fn eventually<T>(mut find: impl FnMut() -> Option<T>) -> Result<T, &'static str> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Some(found) = find() {
                return Ok(found);
            }
            thread::sleep(POLL);
        }
        Err("not within 30 s")
    }

    #[test]
    fn reads_major_versions() {
        let check =
            |text: &str, version: Option<u32>| assert_eq!(major_version(text), version, "{text}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-1)", Some(15));
        check("postgres (PostgreSQL) 18beta1", Some(18));
        check("postgres (PostgreSQL) 9.6.24", Some(9));
        check("sh: not found", None);
    }

    #[test]
    fn prefers_the_highest_installed_version() -> Outcome {
        let parent = TempDir::new()?;
        for name in [
            "postgresql@9.6",
            "postgresql@17",
            "postgresql",
            "postgresql@16",
            "other@99",
        ] {
            fs::create_dir(parent.path().join(name))?;
        }
        let found = installed(parent.path(), "postgresql");
        let expected = [
            "postgresql@17",
            "postgresql@16",
            "postgresql@9.6",
            "postgresql",
        ];
        assert_eq!(
            found,
            expected.map(|name| parent.path().join(name).join("bin"))
        );
        assert!(installed(Path::new("/no/such/folder"), "").is_empty());
        Ok(())
    }

    #[test]
    fn says_how_to_install_a_missing_server() -> Outcome {
        let folder = TempDir::new()?;
        let Err(error) =
            Programs::first_in([folder.path().to_owned()], "LOADER_PG_BIN (x)".to_owned())
        else {
            return Err("found a server in an empty folder".into());
        };
        let message = error.to_string();
        assert!(
            message.contains("in LOADER_PG_BIN (x); install"),
            "{message}"
        );
        if !cfg!(target_os = "macos") {
            assert!(
                advice("NAME=Mint\nID=linuxmint\nID_LIKE=\"ubuntu debian\"").contains("apt-get")
            );
            assert!(advice("ID=fedora").contains("dnf"));
            assert!(advice("").contains("14 or later"));
        }
        Ok(())
    }
}
