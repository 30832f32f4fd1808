//! Something happens at a random moment of a large apply (TEST_ROWS): the program is killed, its
//! server process is, or the whole server goes down. Everything is written or nothing, nothing is
//! left held, what was said is true, and applying again ends well.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use postgres::Client;

use crate::harness::{Run, Stage, State, finish, number_from, one, shared, signal};
use crate::support::random::Random;

const CONFIG: &str =
    "site: {natural_key: [k]}\nbig: {natural_key: [k], conflict_resolution: replace}";
const TABLES: &str = "\
CREATE TABLE site (k text PRIMARY KEY, v text);
CREATE TABLE big (k int PRIMARY KEY, site text REFERENCES site, v text, doc jsonb, n numeric(12,3) DEFAULT 1);
CREATE SCHEMA saved;
CREATE TABLE saved.site AS SELECT 's' || i AS k, 'old' AS v FROM generate_series(1, 20) i;
CREATE TABLE saved.big AS SELECT i AS k, 's' || i % 20 + 1 AS site, 'old ' || i AS v, '{\"a\": 1}'::jsonb AS doc, 1.5 AS n
  FROM generate_series(1, {ROWS}, 2) i;";
const RESET: &str = "\
TRUNCATE site, big, loader_ledger, audit_log, batch_load_log;
INSERT INTO site SELECT * FROM saved.site; INSERT INTO big SELECT * FROM saved.big;
UPDATE validation_queue SET status = 'pending', loaded_at = NULL, error_message = NULL, application = NULL;";

/// A database, a plan that updates half of its rows and inserts as many, and how long that takes.
struct Target {
    stage: Stage,
    plan: String,
    before: State,
    after: State,
    takes: Duration,
}

impl Target {
    fn new(server: &table_loader::postgres_server::Postgres) -> Target {
        let rows = number_from("TEST_ROWS", 1_000);
        let stage = Stage::on(server, &TABLES.replace("{ROWS}", &rows.to_string()), CONFIG);
        stage.sql(RESET);
        stage.write(".env", format!("MAX_RECORDS_PER_BATCH={}\n", rows + 1));
        let mut records = String::new();
        for k in 1..=rows {
            let _ = writeln!(
                records,
                r#"{{"k": {k}, "site": "s{}", "v": "new {k}", "doc": {{"a": [{k}, "text"]}}}}"#,
                k % 21 + 1
            );
        }
        stage.deliver(
            "b",
            &[
                ("site/1.json", r#"{"k": "s21", "v": "new"}"#),
                ("big/1.ndjson", &records),
            ],
        );
        let plan = stage.plan("b");
        let before = stage.state();
        let started = Instant::now();
        let written = format!("{} inserted, {} updated", rows / 2 + 1, rows / 2);
        stage
            .loader(&["apply", &plan, "--force"])
            .exits(0)
            .says_all(&[&written]);
        let takes = started.elapsed();
        let after = stage.state();
        stage.sql(RESET);
        assert_eq!(stage.state(), before);
        Target {
            stage,
            plan,
            before,
            after,
            takes,
        }
    }

    /// Starts an apply, waits, says what the server is doing for it, and does `harm`. How it ended,
    /// and the phase.
    fn harmed(
        &self,
        wait: Duration,
        retries: &str,
        harm: impl FnOnce(&mut Client, u32),
    ) -> (Run, &'static str) {
        let mut command = self.stage.command(&["apply", &self.plan, "--force"]);
        let mut watcher = self.stage.connect();
        let child = command.env("MAX_RETRIES", retries).spawn().unwrap();
        std::thread::sleep(wait);
        let query = one(&mut watcher, &format!("SELECT query FROM {LOADER}"));
        harm(&mut watcher, child.id());
        let run = finish("apply", child);
        (run, phase(&query))
    }

    /// Does harm at `n` moments, spread evenly over an apply and a little beyond, and goes on until
    /// all the ends that are `wanted` were seen: how long an apply takes is never known for sure, as
    /// other tests run beside this one. Counts how the applies ended, by phase.
    fn harm(
        &self,
        what: &str,
        n: u64,
        retries: &[&str],
        wanted: &[&str],
        mut harm: impl FnMut(&mut Client, u32),
    ) {
        let mut r = Random::new(number_from("TEST_SEED", 1));
        let part = self.takes.mul_f64(1.05 / n as f64);
        let mut figures = Figures::new();
        let all_seen = |figures: &Figures| wanted.iter().all(|how| ended(figures, how) > 0);
        for i in 0..20 * n {
            if i >= n && all_seen(&figures) {
                break;
            }
            let wait = part.mul_f64((i % n) as f64 + r.below(1000) as f64 / 1000.0);
            let retries = retries[r.below(retries.len())];
            let (run, phase) = self.harmed(wait, retries, &mut harm);
            let what = format!("{what} after {wait:?} ({phase}), MAX_RETRIES={retries}");
            let applied = self.check(&run, &what);
            let ended = match (run.code, applied) {
                (None, true) => "no word, applied",
                (None, false) => "no word, nothing written",
                (Some(_), true) if run.stderr.contains("attempt 2") => "applied at another try",
                (_, true) => "applied",
                (_, false) => "not applied",
            };
            *figures.entry((phase, ended)).or_default() += 1;
        }
        println!("{what}, an apply takes {:?}: {figures:?}", self.takes);
        assert!(all_seen(&figures), "{what}: {wanted:?} in {figures:?}");
    }

    /// All or nothing, and if the program had the last word, it was true. Afterwards everything is
    /// as it was before.
    fn check(&self, run: &Run, what: &str) -> bool {
        self.stage.reconnect();
        let what = format!("{what}: {run}");
        let (plan, before, after) = (&self.plan, &self.before, &self.after);
        let applied = self.stage.all_or_nothing(plan, before, after, &what);
        match run.code {
            None => {}
            Some(0) => assert!(applied && run.stderr.contains("Applied"), "{what}"),
            Some(1 | 7) => assert!(!applied && run.stderr.contains("not applied"), "{what}"),
            _ => panic!("{what}"),
        }
        self.stage.sql(RESET);
        applied
    }
}

/// What an apply is doing, by the statement that it runs or ran last.
fn phase(query: &str) -> &'static str {
    let phases = [
        ("COMMIT", "committing"),
        ("INSERT INTO \"public\".audit_log", "auditing"),
        ("loader_ledger (", "recording"),
        ("batch_load_log", "recording"),
        ("validation_queue", "recording"),
        ("SET CONSTRAINTS ALL IMMEDIATE", "checking constraints"),
        ("INSERT INTO pg_temp.loader_before", "locking"),
        ("UPDATE \"public\"", "updating"),
        ("INSERT INTO \"public\".\"", "inserting"),
        ("COPY ", "staging"),
        ("CREATE TEMPORARY", "staging"),
        ("ANALYZE", "staging"),
        ("pg_advisory", "taking the lock"),
        ("FROM pg_catalog.", "reading catalogs"),
    ];
    let found = phases.iter().find(|(words, _)| query.contains(words));
    match found {
        _ if query.is_empty() => "no session",
        Some((_, phase)) => phase,
        None => "between",
    }
}

/// Phase and end, and how often.
type Figures = BTreeMap<(&'static str, &'static str), u32>;

/// The loader's sessions.
const LOADER: &str =
    "pg_stat_activity WHERE datname = current_database() AND application_name = 'table-loader'";

fn ended(figures: &Figures, how: &str) -> u32 {
    let found = figures.iter().filter(|((_, ended), _)| *ended == how);
    found.map(|(_, n)| n).sum()
}

#[test]
fn the_program_is_killed() {
    let target = Target::new(shared());
    let kill = |_: &mut Client, process| signal(process, "KILL");
    let n = number_from("TEST_KILLS", 10);
    target.harm("killed", n, &["0"], &["no word, nothing written"], kill);
}

#[test]
fn its_server_process_is_ended_or_told_to_give_up() {
    let target = Target::new(shared());
    let n = number_from("TEST_ENDS", 6);
    let both = ["not applied", "applied at another try"];
    target.harm(
        "server process ended",
        n,
        &["0", "3"],
        &both,
        |client, _| {
            one(
                client,
                &format!("SELECT pg_terminate_backend(pid) FROM {LOADER}"),
            );
        },
    );
    target.harm(
        "query cancelled",
        n / 2,
        &["0"],
        &["not applied"],
        |client, _| {
            one(
                client,
                &format!("SELECT pg_cancel_backend(pid) FROM {LOADER}"),
            );
        },
    );
}

#[test]
fn the_server_goes_down_at_once() {
    let mut server = crate::support::server::start(&[]);
    let target = Target::new(&server);
    let n = number_from("TEST_CRASHES", 5);
    let wanted = ["applied at another try"];
    target.harm("server down and up", n, &["0", "5"], &wanted, |_, _| {
        server.stop_immediate().unwrap();
        server.restart().unwrap();
    });
}
