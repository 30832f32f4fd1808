//! An apply that is told to stop, that takes too long, that is tried in vain, or that is only
//! rehearsed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::{Stage, eventually, finish, shared, signal};
use crate::proxy::{Cut, Message, Place, Proxy, Way};

const TABLE: &str =
    "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'old'), ('b', 'old')";
const CONFIG: &str = "t: {natural_key: [k]}";
const BATCH: &str = r#"[{"k": "a", "v": "new"}, {"k": "b", "v": "new"}, {"k": "n", "v": "new"}]"#;

fn planned() -> Stage {
    let stage = Stage::new(TABLE, CONFIG);
    stage.deliver("b", &[("t/1.json", BATCH)]);
    stage.plan("b");
    stage
}

fn failures(stage: &Stage) -> String {
    stage.one("SELECT string_agg(error_message, '; ') FROM batch_load_log WHERE status = 'failed'")
}

#[test]
fn a_signal_before_the_commit_rolls_back() {
    for name in ["INT", "TERM"] {
        let stage = planned();
        let before = stage.state();
        let mut other = stage.connect();
        other
            .batch_execute("BEGIN; UPDATE t SET v = v WHERE k = 'b'")
            .unwrap();
        let apply = stage
            .command(&["apply", "b.json", "--force"])
            .spawn()
            .unwrap();
        eventually("the loader waits for a lock", || {
            "1" == stage.one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'table-loader' AND wait_event_type = 'Lock'",
            )
        });
        signal(apply.id(), name);
        let run = finish("apply", apply).exits(1);
        run.says_all(&[
            "stopped by a signal",
            "rolled back",
            "not applied, nothing was written",
        ]);
        assert!(failures(&stage).contains("stopped by a signal"), "{name}");
        other.batch_execute("ROLLBACK").unwrap();
        stage.is_free();
        assert_eq!(stage.state(), before, "{name}");
        stage.loader(&["apply", "b.json", "--force"]).exits(0);
    }
}

/// A URL at which nobody listens.
fn nowhere(stage: &Stage) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    stage
        .url
        .replace(&format!(":{}/", shared().port()), &format!(":{port}/"))
}

#[test]
fn a_signal_ends_the_wait_for_another_try() {
    let stage = planned();
    let mut command = stage.command(&["apply", "b.json", "--force", "--max-retries", "20"]);
    let mut apply = command
        .env("DATABASE_URL", nowhere(&stage))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(apply.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(said.any(|line| line.contains("attempt 3")));
    signal(apply.id(), "TERM");
    let rest: Vec<String> = said.collect();
    let rest = rest.join("\n");
    assert!(
        rest.contains("stopped by a signal") && rest.contains("not applied"),
        "{rest}"
    );
    finish("apply", apply).exits(1);
}

#[test]
fn tries_are_counted() {
    let stage = planned();
    let url = nowhere(&stage);
    for (retries, tried) in [("0", None), ("2", Some("tried 3 times"))] {
        let args = ["apply", "b.json", "--force"];
        let run = stage.loader_with(&args, &[("DATABASE_URL", &url), ("MAX_RETRIES", retries)]);
        let run = run.exits(1).says_all(&["not applied, nothing was written"]);
        let attempts = run.stderr.matches("attempt ").count();
        assert_eq!(attempts, retries.parse::<usize>().unwrap(), "{run}");
        match tried {
            Some(tried) => drop(run.says_all(&[tried])),
            None => drop(run.omits("tried")),
        }
    }
}

#[test]
fn the_time_of_the_whole_is_bounded() {
    // One statement that takes too long, and many that take too long together.
    let names: Vec<String> = (0..8).map(|i| format!("t{i}")).collect();
    let tables: String = names
        .iter()
        .map(|t| {
            format!(
                "CREATE TABLE {t} (k int PRIMARY KEY); \
                 CREATE TRIGGER slow BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION slow(); "
            )
        })
        .collect();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.6); RETURN NEW; END $$; ";
    let config: Vec<String> = names
        .iter()
        .map(|t| format!("{t}: {{natural_key: [k]}}"))
        .collect();
    let stage = Stage::new(&format!("{slow}{tables}"), &config.join("\n"));
    let one = r#"{"k": 1}"#;
    let many: Vec<(String, &str)> = names.iter().map(|t| (format!("{t}/1.json"), one)).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, c)| (n.as_str(), *c)).collect();
    stage.deliver("many", &many);
    stage.deliver(
        "long",
        &[(
            "t0/1.json",
            r#"[{"k": 1}, {"k": 2}, {"k": 3}, {"k": 4}, {"k": 5}]"#,
        )],
    );
    for (batch, says) in [
        ("long", "statement timeout"),
        ("many", "not done within 1 s"),
    ] {
        let plan = stage.plan(batch);
        let before = stage.state();
        let run = stage.loader_with(
            &["apply", &plan, "--force"],
            &[("TRANSACTION_TIMEOUT", "1")],
        );
        run.exits(7)
            .says_all(&[says, "not applied, nothing was written"]);
        assert!(failures(&stage).contains(says));
        stage.is_free();
        assert_eq!(stage.state(), before);
    }
}

#[test]
fn a_server_that_says_nothing_more_does_not_hold_it_for_ever() {
    let stage = planned();
    let (before, proxy) = (stage.state(), Proxy::start(shared().port()));
    let url = proxy.url(&stage.url);
    let apply = |cut| {
        proxy.set(cut);
        let args = ["apply", "b.json", "--force", "--lock-timeout", "1"];
        let env = [
            ("DATABASE_URL", url.as_str()),
            ("TRANSACTION_TIMEOUT", "3"),
            ("MAX_RETRIES", "0"),
        ];
        stage.loader_with(&args, &env)
    };
    apply(None).exits(0);
    let after = stage.state();
    let commit = proxy.seen().iter().position(Message::is_commit).unwrap();
    for (at, place, code) in [
        (commit / 2, Place::ReplySwallowed, 7),
        (commit, Place::Before, 7),
        (commit, Place::After, 0),
        (commit, Place::ReplySwallowed, 0),
    ] {
        stage.sql(
            "TRUNCATE t, loader_ledger, audit_log, batch_load_log; INSERT INTO t VALUES ('a', 'old'), ('b', 'old'); \
             UPDATE validation_queue SET status = 'pending', loaded_at = NULL, application = NULL"
        );
        let cut = Cut {
            at,
            place,
            way: Way::Silence,
            stays_down: false,
        };
        let run = apply(Some(cut));
        let what = format!("{cut:?}: {run}");
        let applied = stage.all_or_nothing("b.json", &before, &after, &what);
        assert_eq!((run.code, applied), (Some(code), code == 0), "{what}");
        let word = if applied { "Applied" } else { "not applied" };
        assert!(run.stderr.contains(word), "{what}");
    }
}

#[test]
fn a_rollback_that_is_only_rehearsed_leaves_nothing() {
    let stage = planned();
    stage.load("b");
    let before = stage.state();
    let args = ["rollback", "--batch-id", "b", "--dry-run"];
    stage
        .loader(&args)
        .exits(0)
        .says_all(&["Rehearsed and rolled back", "2 updated, 1 deleted"]);
    stage
        .loader_with(&args[..3], &[("DRY_RUN", "true")])
        .exits(0)
        .says_all(&["Rehearsed"]);
    assert_eq!(stage.state(), before);
    assert_eq!(
        stage.one("SELECT count(*) FROM batch_load_log WHERE operation = 'rollback'"),
        "0"
    );
}
