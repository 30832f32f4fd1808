//! The launcher against the PostgreSQL that is installed.

use ::postgres::{Client, NoTls};

use std::env;
use std::net::TcpListener;

use super::*;

fn start(settings: &[(&str, &str)]) -> Result<Postgres, LaunchError> {
    let path = env::var_os("PATH").unwrap_or_default();
    Postgres::start(
        Programs::find(env::var_os("LOADER_PG_BIN"), &path)?,
        settings,
    )
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Names the file in which [`process_with_a_server`] reports; absent in an ordinary test run.
const REPORT: &str = "LOADER_SERVER_TEST_REPORT";

#[test]
fn serves_a_superuser_with_the_settings_asked_for() -> Outcome {
    let server = start(&[("max_connections", "17"), ("application_name", "it's")])?;
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
    let mut server = start(&[])?;
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
    let ends: [fn(Postgres) -> Result<(), LaunchError>; 2] = [Postgres::stop, |server| {
        drop(server);
        Ok(())
    }];
    for end in ends {
        let server = start(&[])?;
        let (process, folder) = (process_of(&server)?, server.folder.path().to_owned());
        end(server)?;
        assert!(!is_running(process)?);
        assert!(!folder.exists());
    }
    Ok(())
}

#[test]
fn an_unknown_setting_is_reported_and_leaves_nothing_behind() -> Outcome {
    let Err(error) = start(&[("no_such_setting", "on")]) else {
        return Err("started with an unknown setting".into());
    };
    assert!(error.to_string().contains("\"no_such_setting\""), "{error}");
    let LaunchError::Ended { folder, .. } = error else {
        return Err(error.into());
    };
    assert!(!folder.exists());
    Ok(())
}

#[test]
fn tells_a_port_that_another_program_took() -> Outcome {
    let mut server = start(&[])?;
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
    let server = SERVER.get_or_init(|| start(&[]).expect("a server"));
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
