//! Guards that matter only at one moment: while a lock is waited for, at the commit, after the last
//! statement.

use std::process::Child;
use std::time::Duration;

use crate::harness::{Run, Stage, connect, eventually, finish, one, shared, signal};
use crate::proxy::{Cut, Message, Place, Proxy, Way};

const TABLE: &str = "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'old'), ('b', 'old'), ('c', 'old')";
const CONFIG: &str = "t: {natural_key: [k]}";
/// Updates a and b, inserts n, finds c unchanged.
const BATCH: &str = r#"[{"k": "a", "v": "new"}, {"k": "b", "v": "new"}, {"k": "n", "v": "new"}, {"k": "c", "v": "old"}]"#;

/// A stage with what `more` makes, and the batch `b` of [`BATCH`].
fn delivered(more: &str) -> Stage {
    let stage = Stage::new(&format!("{TABLE}; {more}"), CONFIG);
    stage.deliver("b", &[("t/1.json", BATCH)]);
    stage
}

/// Another program does `first` in a transaction; the loader starts and waits for it; it commits.
/// How the loader ended.
fn meets(stage: &Stage, first: &str, args: &[&str]) -> Run {
    let mut other = stage.connect();
    other.batch_execute(&format!("BEGIN; {first}")).unwrap();
    let child: Child = stage.command(args).spawn().unwrap();
    eventually("the loader waits for a lock", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND application_name = 'table-loader' AND wait_event_type = 'Lock'";
        stage.one(waiting) == "1"
    });
    other.batch_execute("COMMIT").unwrap();
    finish("loader", child)
}

const APPLY: [&str; 3] = ["apply", "b.json", "--force"];
const PLAN: [&str; 5] = ["plan", "--batch-id", "b", "--out", "b.json"];

#[test]
fn a_definition_that_changes_while_its_lock_is_waited_for_is_seen_by_apply() {
    // The last one does not keep anybody from reading, so that it is waited for with the lock only.
    for change in [
        "ALTER TABLE t ADD COLUMN w int",
        "ALTER TABLE t ADD CONSTRAINT short CHECK (length(v) < 9)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    ] {
        let stage = delivered("");
        stage.plan("b");
        let run = meets(&stage, change, &APPLY);
        run.exits(6)
            .says_all(&["the definition of table t", "make a new plan"]);
        assert_eq!(
            stage.one("SELECT string_agg(v, ' ' ORDER BY k) FROM t"),
            "old old old"
        );
        assert_eq!(stage.state().ledger, 0);
    }
}

#[test]
fn a_definition_that_changes_while_a_plan_is_made_is_seen() {
    let stage = delivered("");
    let change = |to: &str| format!("ALTER TABLE t ALTER v TYPE {to}");
    let once = [&PLAN[..], &["--max-retries", "0"]].concat();
    let run = meets(&stage, &change("varchar(9)"), &once);
    run.exits(1)
        .says_all(&["the definition of table t changed while the plan was being made"]);
    // A plan may be made again.
    let run = meets(&stage, &change("varchar(99)"), &PLAN);
    run.exits(0)
        .says_all(&["attempt 2", "1 to insert, 2 to update"]);
}

#[test]
fn rows_that_are_written_anew_while_a_plan_is_made_are_there() {
    let stage = delivered("");
    let proxy = Proxy::start(shared().port());
    let url = proxy.url(&stage.url);
    let plan = |cut| {
        proxy.set(cut);
        stage.loader_with(&PLAN, &[("DATABASE_URL", url.as_str())])
    };
    plan(None).exits(0);
    let snapshot = |m: &Message| m.text.starts_with("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let begins = proxy.seen().iter().position(snapshot).unwrap();
    // All rows are written anew just when the snapshot begins. One from before the commit would find
    // the table empty, whenever it looks.
    let direct = stage.url.clone();
    proxy.meanwhile(move || {
        let mut other = connect(&direct);
        let anew =
            "BEGIN; CREATE TEMPORARY TABLE kept AS TABLE t; TRUNCATE t; INSERT INTO t TABLE kept";
        other.batch_execute(anew).unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            other.batch_execute("COMMIT").unwrap();
        });
    });
    let run = plan(Some(Cut {
        at: begins + 1,
        place: Place::Before,
        way: Way::Meanwhile,
        stays_down: false,
    }));
    assert!(proxy.has_cut());
    run.exits(0)
        .says_all(&["1 to insert, 2 to update", "1 unchanged"]);
}

#[test]
fn a_commit_is_on_the_disk_whatever_the_role_has_set() {
    let stage = delivered(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN \
             RAISE 'the commit would not be waited for'; \
           END IF; RETURN NEW; END $$; \
         CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    );
    stage.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
    );
    stage.plan("b");
    stage.loader(&APPLY).exits(0);
    assert_eq!(stage.state().ledger, 1);
}

#[test]
fn a_commit_that_the_server_turns_into_a_rollback_is_none() {
    let stage = delivered("");
    stage.plan("b");
    let proxy = Proxy::start(shared().port());
    let url = proxy.url(&stage.url);
    let env = [("DATABASE_URL", url.as_str()), ("MAX_RETRIES", "0")];
    let apply = |plan: &str, cut| {
        proxy.set(cut);
        stage.loader_with(&["apply", plan, "--force"], &env)
    };
    apply("b.json", None).exits(0);
    let at = proxy.seen().iter().position(Message::is_commit).unwrap();
    let next = BATCH.replace("new", "next").replace("\"n\"", "\"m\"");
    stage.deliver("c", &[("t/1.json", &next)]);
    let next = stage.plan("c");
    let before = stage.state();
    let cut = Some(Cut {
        at,
        place: Place::Before,
        way: Way::RollsBack,
        stays_down: false,
    });
    let run = apply(&next, cut);
    assert!(proxy.seen()[at].is_commit());
    run.exits(1)
        .says_all(&["rolled the transaction back", "nothing was written"]);
    let after = stage.state();
    assert_eq!((after.data, after.ledger), (before.data, before.ledger));
    apply(&next, None).exits(0);
}

#[test]
fn what_a_deferred_trigger_does_at_the_end_is_seen() {
    let stage = delivered(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           UPDATE t SET v = 'theirs' WHERE k = NEW.k AND v IS DISTINCT FROM 'theirs'; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER f AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION f()",
    );
    stage.plan("b");
    let before = stage.state();
    stage
        .loader(&APPLY)
        .exits(4)
        .says_all(&["not stored as planned", "nothing was written"]);
    let after = stage.state();
    assert_eq!((after.data, after.ledger), (before.data, before.ledger));
}

#[test]
fn a_part_of_a_table_is_not_taken_for_the_whole_of_it() {
    let stage = delivered(
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; \
         CREATE POLICY mine ON t USING (k <> 'a')",
    );
    let role = format!("rls_{}", std::process::id());
    stage.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    let url = stage.url.replacen("//", &format!("//{role}@"), 1);
    let url = match url
        .split_once('@')
        .and_then(|(_, rest)| rest.split_once('@'))
    {
        Some((_, rest)) => format!("postgresql://{role}@{rest}"),
        None => url,
    };
    let run = stage.loader_with(&PLAN, &[("DATABASE_URL", url.as_str())]);
    run.exits(1).says_all(&["row-level security"]);
    stage.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// Of tables beside the load whose rows the role may not all see, the foreign keys speak.
#[test]
fn a_rollback_does_not_look_where_row_security_hides_rows() {
    let stage = Stage::new(
        "CREATE TABLE p (k text PRIMARY KEY); INSERT INTO p VALUES ('P'), ('Q');
         CREATE TABLE c (k text PRIMARY KEY, p text REFERENCES p); INSERT INTO c VALUES ('a', 'P');
         CREATE TABLE g (k text PRIMARY KEY, c text REFERENCES c)",
        "c: {natural_key: [k], conflict_resolution: replace}",
    );
    stage.deliver(
        "b",
        &[(
            "c/1.json",
            r#"[{"k": "a", "p": "Q"}, {"k": "n", "p": "Q"}]"#,
        )],
    );
    let before = stage.data();
    stage.load("b");
    let role = format!("rls_rollback_{}", std::process::id());
    stage.sql(&format!(
        "ALTER TABLE p ENABLE ROW LEVEL SECURITY; ALTER TABLE g ENABLE ROW LEVEL SECURITY; CREATE ROLE {role} LOGIN; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    let (_, server) = stage.url.split_once("//").unwrap();
    let server = server.rsplit('@').next().unwrap();
    let url = format!("postgresql://{role}@{server}");
    stage
        .loader_with(
            &["rollback", "--batch-id", "b", "--force"],
            &[("DATABASE_URL", url.as_str())],
        )
        .exits(0);
    assert_eq!(stage.data(), before);
    stage.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The number of the message that has `text` when the plan `b.json` is applied through `proxy`; after
/// that everything is as before.
fn message(stage: &Stage, proxy: &Proxy, text: &str) -> usize {
    proxy.set(None);
    let url = proxy.url(&stage.url);
    stage
        .loader_with(&APPLY, &[("DATABASE_URL", &url)])
        .exits(0);
    stage.sql(
        "TRUNCATE t, loader_ledger, audit_log, batch_load_log; \
         INSERT INTO t VALUES ('a', 'old'), ('b', 'old'), ('c', 'old'); \
         UPDATE validation_queue SET status = 'pending', loaded_at = NULL, error_message = NULL, application = NULL",
    );
    let seen = proxy.seen();
    let found = seen.iter().rposition(|m| m.text.contains(text));
    found.unwrap_or_else(|| panic!("no message has {text:?}"))
}

/// Applies the plan `b.json` through `proxy`; before message `at` goes through, `work` is done.
fn apply_meanwhile(
    stage: &Stage,
    proxy: &Proxy,
    at: usize,
    work: impl Fn() + Send + Sync + 'static,
) -> Run {
    proxy.meanwhile(work);
    proxy.set(Some(Cut {
        at,
        place: Place::Before,
        way: Way::Meanwhile,
        stays_down: false,
    }));
    let mut command = stage.command(&APPLY);
    command
        .env("DATABASE_URL", proxy.url(&stage.url))
        .env("MAX_RETRIES", "0");
    let run = finish("apply", command.spawn().unwrap());
    assert!(proxy.has_cut(), "{run}");
    run
}

#[test]
fn another_row_in_the_place_of_one_that_was_compared_is_not_taken_for_it() {
    let stage = delivered("");
    stage.plan("b");
    let proxy = Proxy::start(shared().port());
    let at = message(&stage, &proxy, "FOR NO KEY UPDATE OF t");
    // It is older than the apply: then the place can be free while that goes on.
    let older = std::sync::Mutex::new(stage.connect());
    older
        .lock()
        .unwrap()
        .batch_execute("BEGIN; SELECT pg_current_xact_id()")
        .unwrap();
    let url = stage.url.clone();
    let run = apply_meanwhile(&stage, &proxy, at, move || {
        let mut older = older.lock().unwrap();
        let place = one(&mut older, "SELECT ctid FROM t WHERE k = 'b'");
        older
            .batch_execute("DELETE FROM t WHERE k = 'b'; COMMIT")
            .unwrap();
        let mut other = connect(&url);
        other.batch_execute("VACUUM t").unwrap();
        other
            .batch_execute("INSERT INTO t VALUES ('z', 'theirs')")
            .unwrap();
        assert_eq!(one(&mut other, "SELECT ctid FROM t WHERE k = 'z'"), place);
    });
    run.exits(3).says_all(&["k=b", "vanished"]);
    assert_eq!(stage.one("SELECT v FROM t WHERE k = 'z'"), "theirs");
}

/// A server process that is stopped when it is to commit, and goes on later: what is said in between
/// must be true in the end.
#[test]
fn an_attempt_that_has_not_ended_is_waited_for_before_the_ledger_is_asked() {
    for lock_timeout in ["1", "8"] {
        let stage = delivered("");
        stage.plan("b");
        let proxy = Proxy::start(shared().port());
        let at = message(&stage, &proxy, "COMMIT");
        stage.set("LOADER_LOCK_TIMEOUT", lock_timeout);
        stage.set("TRANSACTION_TIMEOUT", "1");
        let url = stage.url.clone();
        let run = apply_meanwhile(&stage, &proxy, at, move || {
            let process: u32 = one(
                &mut connect(&url),
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'table-loader' AND xact_start IS NOT NULL",
            )
            .parse()
            .unwrap();
            signal(process, "STOP");
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5500));
                signal(process, "CONT");
            });
        });
        std::thread::sleep(Duration::from_secs(6));
        stage.is_free();
        let applied = stage.one("SELECT count(*) FROM loader_ledger") == "1";
        let written = stage.one("SELECT v FROM t WHERE k = 'a'") == "new";
        assert_eq!(written, applied);
        match run.code {
            Some(0) => assert!(applied, "{run}"),
            Some(8) => {}
            _ => assert!(!applied, "{run}"),
        }
    }
}

#[test]
fn another_server_process_than_the_one_that_was_prepared_is_noticed() {
    // As behind a pooler that could not be told from a server when the session began.
    let stage = delivered("");
    stage.plan("b");
    let proxy = Proxy::start(shared().port());
    let url = proxy.url(&stage.url);
    for (args, begins) in [
        (&PLAN[..], "BEGIN ISOLATION LEVEL REPEATABLE READ"),
        (&APPLY, "BEGIN ISOLATION LEVEL READ COMMITTED"),
    ] {
        proxy.set(None);
        stage.loader_with(args, &[("DATABASE_URL", &url)]).exits(0);
        let seen = proxy.seen();
        let at = seen.iter().position(|m| m.text.contains(begins));
        stage.sql(
            "TRUNCATE t, loader_ledger, audit_log, batch_load_log; \
             INSERT INTO t VALUES ('a', 'old'), ('b', 'old'), ('c', 'old'); \
             UPDATE validation_queue SET status = 'pending', loaded_at = NULL, error_message = NULL, application = NULL",
        );
        stage.plan("b");
        let before = stage.state();
        proxy.set(Some(Cut {
            at: at.unwrap_or_else(|| panic!("{begins}: {seen:?}")),
            place: Place::Before,
            way: Way::Switches,
            stays_down: false,
        }));
        stage
            .loader_with(args, &[("DATABASE_URL", &url)])
            .exits(1)
            .says_all(&["pool_mode"]);
        assert!(proxy.has_cut());
        assert_eq!(stage.state(), before);
    }
}
