//! A pooler that hands out server processes by the transaction is refused before anything of ours
//! is left in them; one that does so by the session is as good as none.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::World;
use crate::support::server::shared;

/// pgbouncer on a port of its own; ends with the value.
struct Pooler {
    port: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pgbouncer(mode: &str, more: &str) -> Pooler {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|l| l.local_addr())
        .unwrap()
        .port();
    let config = folder.path().join("pgbouncer.ini");
    std::fs::write(
        &config,
        format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\nunix_socket_dir =\npool_mode = {mode}\n{more}\n",
            shared().host(),
            shared().port()
        )
        .replace("* = host", "* = user=loader host"),
    )
    .unwrap();
    let program = [
        "/usr/sbin/pgbouncer",
        "/usr/bin/pgbouncer",
        "/usr/local/bin/pgbouncer",
    ]
    .into_iter()
    .find(|p| Path::new(p).exists())
    .expect("these tests need pgbouncer: scripts/needs pgbouncer");
    let mut command = Command::new(program);
    // It does not run as root.
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if is_root {
        command.args(["-u", "nobody"]);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
    }
    let child = command
        .arg("-q")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pooler = Pooler {
        port,
        child,
        _folder: folder,
    };
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "pgbouncer does not listen"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    pooler
}

fn world() -> World {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old')",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1, "v": "new"}, {"id": 2}]"#);
    world
}

/// From now on the loader connects to this port.
fn through(world: &World, port: u16) {
    world.set(
        "DATABASE_URL",
        &format!("postgresql://loader@127.0.0.1:{port}/{}", world.database),
    );
}

#[test]
fn a_pooler_by_transaction_is_refused_at_once_and_nothing_is_left_in_it() {
    for (mode, more) in [
        ("transaction", ""),
        ("transaction", "default_pool_size = 1"),
        ("transaction", "ignore_startup_parameters = options"),
        (
            "transaction",
            "ignore_startup_parameters = options\nserver_round_robin = 1\nmin_pool_size = 3",
        ),
        ("statement", ""),
    ] {
        let world = world();
        let plan = world.plan("b");
        let pooler = pgbouncer(mode, more);
        through(&world, pooler.port);
        let what = format!("{mode} {more}");
        for args in [
            &["plan", "--batch-id", "b"][..],
            &["apply", plan.name(), "--force"],
            &["migrate"],
        ] {
            let started = Instant::now();
            let run = world.writes_nothing(|| world.loader(args));
            assert_eq!(run.code, Some(1), "{what}: {args:?}: {run:?}");
            assert!(
                run.stderr.contains("pool_mode"),
                "{what}: {args:?}: {run:?}"
            );
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{what}: {args:?} took {:?}",
                started.elapsed()
            );
        }
        // Who gets these processes next finds nothing of ours.
        let mut next = postgres::Client::connect(
            &format!(
                "postgresql://loader@127.0.0.1:{}/{}",
                pooler.port, world.database
            ),
            postgres::NoTls,
        )
        .unwrap();
        for question in [
            "SELECT current_setting('row_security') <> 'on' OR current_setting('jit') <> 'on' \
                   OR current_setting('search_path') <> '\"$user\", public' OR current_setting('extra_float_digits') <> '1'",
            "SELECT count(*) > 0 FROM pg_class WHERE relpersistence = 't'",
            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ] {
            let answer = next.simple_query(question).unwrap();
            let left = answer.iter().any(
                |m| matches!(m, postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
            );
            assert!(!left, "{what}: {question}");
        }
    }
}

#[test]
fn a_pooler_by_session_is_as_good_as_none() {
    for more in ["", "ignore_startup_parameters = options"] {
        let world = world();
        let pooler = pgbouncer("session", more);
        through(&world, pooler.port);
        let plan = world.plan("b");
        world.apply(&plan).ok();
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(world.rows("SELECT id, v FROM t"), ["1|old"]);
    }
}

#[test]
fn a_pooler_whose_processes_take_turns_is_refused_too() {
    // Of two processes each connection gets both; of many, none that another has had.
    for processes in [2, 8] {
        let world = world();
        let plan = world.plan("b");
        let pooler = pgbouncer(
            "transaction",
            &format!(
                "ignore_startup_parameters = options\nserver_round_robin = 1\ndefault_pool_size = {processes}"
            ),
        );
        through(&world, pooler.port);
        // They are there already, and idle.
        let url = format!(
            "postgresql://loader@127.0.0.1:{}/{}",
            pooler.port, world.database
        );
        let open = |_| {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            client.batch_execute("BEGIN; SELECT 1").unwrap();
            client
        };
        let clients: Vec<_> = (0..processes).map(open).collect();
        for mut client in clients {
            client.batch_execute("COMMIT").unwrap();
        }
        for args in [
            &["plan", "--batch-id", "b"][..],
            &["apply", plan.name(), "--force"],
        ] {
            world.writes_nothing(|| world.loader(args).exits(1).says("pool_mode"));
        }
    }
}

#[test]
fn a_pool_by_session_with_one_process_is_enough() {
    let world = world();
    let pooler = pgbouncer(
        "session",
        "ignore_startup_parameters = options\ndefault_pool_size = 1\nquery_wait_timeout = 1",
    );
    through(&world, pooler.port);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY 1"),
        ["1|new", "2|∅"]
    );
}
