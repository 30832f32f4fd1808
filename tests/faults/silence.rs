//! A server that stops answering, a pipe to which nobody writes, a device without end, a standby that is
//! away, a full disk: every command ends in a bounded time, with a true last word.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Run, Stage, finish, shared, signal};
use crate::proxy::{Cut, Place, Proxy, Way};
use crate::support::server;

const TABLE: &str =
    "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'old'), ('b', 'old')";
const CONFIG: &str = "t: {natural_key: [k]}";
const BATCH: &str = r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "new"}]"#;

/// With one batch that is loaded, and the plan of another.
fn loaded() -> Stage {
    let stage = Stage::new(TABLE, CONFIG);
    stage.deliver("one", &[("t/1.json", BATCH)]);
    stage.load("one");
    stage.deliver("two", &[("t/1.json", r#"{"k": "b", "v": "new"}"#)]);
    stage.plan("two");
    std::fs::create_dir(stage.path("plans")).unwrap();
    std::fs::copy(stage.path("two.json"), stage.path("plans/two.json")).unwrap();
    stage
}

/// Every command that talks to a server, as none of them changes anything.
const COMMANDS: [&[&str]; 14] = [
    &["plan", "--batch-id", "two", "--out", "made.json"],
    &[
        "plan",
        "--batch-id",
        "two",
        "--rehearse",
        "--out",
        "made.json",
    ],
    &["check", "two.json"],
    &["apply", "two.json", "--force", "--dry-run"],
    &["load", "--batch-id", "two", "--force", "--dry-run"],
    &["rollback", "--batch-id", "one", "--out", "undo.json"],
    &["rollback", "--batch-id", "one", "--force", "--dry-run"],
    &["history"],
    &["audit"],
    &["batches"],
    &["pending"],
    &["graph"],
    &["init"],
    &["config", "check"],
];

fn timed(stage: &Stage, args: &[&str], url: &str) -> (Run, Duration) {
    let mut command = stage.command(args);
    let child = command
        .env("DATABASE_URL", url)
        .env("TRANSACTION_TIMEOUT", "1")
        .env("PGCONNECT_TIMEOUT", "2")
        .env("MAX_RETRIES", "0")
        .spawn()
        .unwrap();
    let started = Instant::now();
    let run = finish(&args.join(" "), child);
    (run, started.elapsed())
}

#[test]
fn every_command_gives_a_silent_server_up() {
    let stage = loaded();
    let before = stage.state();
    let stage = &stage;
    // Each waits for seconds, and none changes anything.
    std::thread::scope(|scope| {
        for commands in COMMANDS.chunks(4) {
            scope.spawn(move || {
                let proxy = Proxy::start(shared().port());
                commands
                    .iter()
                    .for_each(|args| is_given_up(stage, &proxy, args));
            });
        }
    });
    assert_eq!(stage.state(), before);
}

/// Where it begins, in the middle, and at its last question.
fn is_given_up(stage: &Stage, proxy: &Proxy, args: &[&str]) {
    let url = proxy.url(&stage.url);
    proxy.set(None);
    timed(stage, args, &url).0.exits(0);
    let seen = proxy.seen();
    let answered: Vec<usize> = (0..seen.len()).filter(|i| seen[*i].is_answered()).collect();
    for at in [0, answered.len() / 2, answered.len() - 1] {
        proxy.set(Some(Cut {
            at: answered[at],
            place: Place::ReplySwallowed,
            way: Way::Silence,
            stays_down: true,
        }));
        let (run, taken) = timed(stage, args, &url);
        // Three seconds for an answer, two for a connection; an apply leaves its reason behind.
        let bound = Duration::from_secs(12);
        assert!(taken < bound, "{args:?} took {taken:?}: {run}");
        let said = [
            "did not answer within",
            "no answer within",
            "not done within",
        ];
        let given_up = said.iter().any(|s| run.stderr.contains(s));
        // The last message may be one whose answer no longer matters.
        assert!(
            given_up || run.code == Some(0),
            "{args:?} at {at} of {}: {run}",
            answered.len()
        );
        if given_up {
            assert!([1, 7].contains(&run.code.unwrap()), "{args:?}: {run}");
        }
    }
}

#[test]
fn a_server_that_is_stopped_is_given_up() {
    let server = server::start(&[]);
    let stage = Stage::on(&server, TABLE, CONFIG);
    stage.deliver("one", &[("t/1.json", BATCH)]);
    stage.load("one");
    stage.deliver("two", &[("t/1.json", r#"{"k": "b", "v": "new"}"#)]);
    stage.plan("two");
    std::fs::create_dir(stage.path("plans")).unwrap();
    let process: u32 = stage.one("SELECT pg_backend_pid()").parse().unwrap();
    let postmaster = parent(process);
    signal(postmaster, "STOP");
    let ended: Vec<(Run, Duration)> = COMMANDS
        .iter()
        .map(|args| timed(&stage, args, &stage.url))
        .collect();
    signal(postmaster, "CONT");
    for (run, taken) in ended {
        assert!(taken < Duration::from_secs(8), "{taken:?}: {run}");
        let run = run.exits(1);
        assert!(
            run.stderr.contains("within 2 s") || run.stderr.contains("timed out"),
            "{run}"
        );
    }
}

/// The parent of a process.
fn parent(process: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("PPid:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_is_no_file_is_read_within_bounds() {
    let stage = loaded();
    for pipe in ["pipe", "held"] {
        assert!(
            Command::new("mkfifo")
                .arg(stage.path(pipe))
                .status()
                .unwrap()
                .success()
        );
    }
    // One that somebody holds open without a word.
    let held = stage.path("held");
    let _writer = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&held)
        .unwrap();
    for (plan, code, says) in [
        (
            "pipe",
            7,
            "pipe: cannot read the plan: nobody wrote to it for 3 s",
        ),
        (
            "held",
            7,
            "held: cannot read the plan: nobody wrote to it for 3 s",
        ),
        ("/dev/zero", 6, "/dev/zero: not a plan"),
    ] {
        for args in [
            &["show", plan][..],
            &["show", plan, "--json"],
            &["check", plan],
            &["apply", plan, "--force"],
            &["show", "two.json", plan],
        ] {
            let (run, taken) = timed(&stage, args, &stage.url);
            assert!(taken < Duration::from_secs(6), "{args:?}: {taken:?}");
            run.exits(code).says_all(&[says]);
        }
    }
    for file in ["pipe", "/dev/zero"] {
        let args = ["plan", "--batch-id", "two", "--config", file];
        let (run, taken) = timed(&stage, &args, &stage.url);
        assert!(taken < Duration::from_secs(6), "{file}: {taken:?}");
        let run = run.says_all(&[&format!("{file}: cannot read the table configuration")]);
        assert_ne!(run.code, Some(0));
        let args = [
            "plan",
            "--batch-id",
            "two",
            "--recipients-file",
            "/dev/zero",
        ];
        timed(&stage, &args, &stage.url)
            .0
            .exits(1)
            .says_all(&["/dev/zero: cannot read the recipients"]);
    }
    for (file, says) in [
        (
            "held",
            "cannot read the root certificates: nobody wrote to it for 3 s",
        ),
        (
            "/dev/zero",
            "cannot read the root certificates: it has more than 67108864 bytes",
        ),
    ] {
        let url = format!(
            "postgresql://x@127.0.0.1:1/x?sslmode=verify-full&sslrootcert={file}&connect_timeout=3"
        );
        let (run, taken) = timed(&stage, &["check", "two.json"], &url);
        assert!(taken < Duration::from_secs(6), "{file}: {taken:?}");
        let run = run.says_all(&[&format!("DB_SSLROOTCERT: {file}: {says}")]);
        assert_ne!(run.code, Some(0));
    }
    // Nor is it written where nobody reads.
    for args in [
        &["plan", "--batch-id", "two", "--out", "pipe"][..],
        &["load", "--batch-id", "two", "--out", "pipe", "--force"],
        &["rollback", "--batch-id", "one", "--out", "pipe"],
        &["init", "--out", "pipe", "--force"],
    ] {
        let (run, taken) = timed(&stage, args, &stage.url);
        assert!(taken < Duration::from_secs(8), "{args:?}: {taken:?}");
        run.exits(7).says_all(&["pipe: nobody read it for 3 s"]);
    }
    // A plan that comes through a pipe is one.
    let plan = std::fs::read(stage.path("two.json")).unwrap();
    let pipe = stage.path("pipe");
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        std::fs::write(pipe, plan).unwrap();
    });
    let (run, _) = timed(&stage, &["check", "pipe"], &stage.url);
    run.exits(0).says_all(&["it would apply now"]);
    writer.join().unwrap();
}

#[test]
fn a_standby_that_is_away_holds_up_nothing_and_is_named() {
    let server = server::start(&[]);
    let stage = Stage::on(&server, TABLE, CONFIG);
    stage.deliver("one", &[("t/1.json", BATCH)]);
    stage.load("one");
    stage.deliver("two", &[("t/1.json", r#"{"k": "b", "v": "new"}"#)]);
    stage.sql("ALTER SYSTEM SET synchronous_standby_names = 'away'");
    stage.sql("SELECT pg_reload_conf()");
    stage.wait_for("SELECT 1 WHERE current_setting('synchronous_standby_names') = 'away'");
    std::fs::create_dir(stage.path("plans")).unwrap();
    // What commits nothing for good does not wait for it.
    let plan = ["plan", "--batch-id", "two", "--out", "two.json"];
    for args in std::iter::once(&plan[..]).chain(COMMANDS) {
        let (run, taken) = timed(&stage, args, &stage.url);
        run.exits(0);
        assert!(taken < Duration::from_secs(5), "{args:?}: {taken:?}");
    }
    let apply = ["apply", "two.json", "--force"];
    let (run, taken) = timed(&stage, &apply, &stage.url);
    assert!(taken < Duration::from_secs(12), "{taken:?}");
    run.exits(9).says_all(&[
        "Applied, not replicated: 0 inserted, 1 updated, 0 deleted",
        "Application ",
    ]);
    assert_eq!(stage.one("SELECT v FROM t WHERE k = 'b'"), "new");
    timed(&stage, &apply, &stage.url)
        .0
        .exits(0)
        .says_all(&["Applied already"]);
    let rollback = ["rollback", "--batch-id", "two", "--force", "--json"];
    let run = timed(&stage, &rollback, &stage.url).0.exits(9);
    assert_eq!(run.json()["status"], "applied_not_replicated");
    assert_eq!(stage.one("SELECT v FROM t WHERE k = 'b'"), "old");
    // Where somebody else ends the wait, the server says so in its answer.
    stage.plan("two");
    let waiting =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    let hash = stage.apply_again_args("two.json");
    let hash: Vec<&str> = hash.iter().map(String::as_str).collect();
    let child = stage.command(&hash).spawn().unwrap();
    stage.wait_for(waiting);
    stage.rows(&format!("SELECT pg_cancel_backend(pid) FROM ({waiting}) w"));
    finish("apply", child)
        .exits(9)
        .says_all(&["Applied, not replicated"]);
    assert_eq!(stage.one("SELECT v FROM t WHERE k = 'b'"), "new");
    // Whose process is ended meanwhile gets no answer.
    let child = stage.command(&rollback).spawn().unwrap();
    stage.wait_for(waiting);
    stage.rows(&format!(
        "SELECT pg_terminate_backend(pid) FROM ({waiting}) w"
    ));
    finish("rollback", child)
        .exits(9)
        .says_all(&["applied_not_replicated"]);
    assert_eq!(stage.one("SELECT v FROM t WHERE k = 'b'"), "old");
}

#[test]
fn a_full_server_and_a_lost_connection_are_tried_again() {
    let server = server::start(&[
        ("max_connections", "5"),
        ("superuser_reserved_connections", "0"),
    ]);
    let stage = Stage::on(&server, TABLE, CONFIG);
    stage.deliver("two", &[("t/1.json", r#"{"k": "b", "v": "new"}"#)]);
    let mut others: Vec<_> = (0..4).map(|_| stage.connect()).collect();
    let plan = ["plan", "--batch-id", "two", "--out", "two.json"];
    let once = stage.loader_with(&plan, &[("MAX_RETRIES", "0")]);
    once.exits(1).says_all(&["53300"]);
    let child = stage.command(&plan).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    others.truncate(2);
    let run = finish("plan", child).exits(0);
    run.says_all(&["attempt 2", "53300", "Plan: 0 to insert, 1 to update"]);
    drop(others);
    // In the middle of planning.
    let proxy = Proxy::start(server.port());
    let url = proxy.url(&stage.url);
    let env = [("DATABASE_URL", url.as_str())];
    stage.loader_with(&plan, &env).exits(0);
    let seen = proxy.seen().len();
    for at in [1, seen / 3, seen / 2] {
        proxy.set(Some(Cut {
            at,
            place: Place::After,
            way: Way::Reset,
            stays_down: false,
        }));
        let run = stage.loader_with(&plan, &env).exits(0);
        assert!(
            !proxy.has_cut() || run.stderr.contains("attempt 2"),
            "{at}: {run}"
        );
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let stage = loaded();
    let before = stage.state();
    let run = stage.loader(&["plan", "--batch-id", "two", "--out", "/dev/full"]);
    run.exits(1)
        .says_all(&["writing the plan to /dev/full", "No space left", "TMPDIR"]);
    for args in [
        &["plan", "--batch-id", "two"][..],
        &["show", "two.json"],
        &["show", "two.json", "--format", "html"],
        &["history"],
        &["batches", "--json"],
        &["graph"],
        &["audit"],
        &["pending"],
        &["check", "two.json", "--json"],
    ] {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = stage.command(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("No space left"), "{args:?}: {said}");
    }
    assert_eq!(stage.state(), before);
}

/// The program is one thread, which waits for who reads the plan: that a session is over is said before.
#[test]
fn nothing_is_locked_while_nobody_reads_what_was_refused() {
    let stage = loaded();
    // An effect that nobody planned refuses the rehearsal in the middle of its transaction.
    stage.sql(
        "CREATE TABLE side (n int); \
         CREATE FUNCTION elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO side VALUES (1); RETURN NEW; END $$; \
         CREATE TRIGGER elsewhere BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION elsewhere()",
    );
    let pipe = Command::new("mkfifo").arg(stage.path("pipe")).status();
    assert!(pipe.unwrap().success());
    let plan = ["plan", "--batch-id", "two", "--rehearse", "--out", "pipe"];
    let mut command = stage.command(&plan);
    let child = command.env("TRANSACTION_TIMEOUT", "30").spawn().unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'table-loader' \
                    AND datname = current_database() AND pid <> pg_backend_pid()";
    let since = Instant::now();
    let waits = || since.elapsed() < Duration::from_secs(20);
    while stage.one(sessions) == "0" && waits() {
        std::thread::sleep(Duration::from_millis(5));
    }
    while stage.one(sessions) != "0" && waits() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(waits(), "a session is open still");
    let written = std::fs::read_to_string(stage.path("pipe")).unwrap();
    let run = finish("plan", child).exits(0);
    assert!(written.contains("\"refused\""), "{run}");
}
