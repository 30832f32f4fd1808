//! Something happens at a random moment of an apply of 20,000 rows: the program is killed, its
//! server process is, or the whole server goes down. Everything is written or nothing, nothing is
//! left held, what was said is true, and applying again ends well.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use table_loader::sandbox::Postgres;

use crate::harness::{Run, Stage, State, finish, number_from, one, signal};
use crate::random::Random;

const ROWS: usize = 20_000;
const TABLES: &str = "\
CREATE TABLE site (k text PRIMARY KEY, v text);
CREATE TABLE big (k int PRIMARY KEY, site text REFERENCES site, v text, doc jsonb, n numeric(12,3) DEFAULT 1);
CREATE SCHEMA saved;
CREATE TABLE saved.site AS SELECT 's' || i AS k, 'old' AS v FROM generate_series(1, 20) i;
CREATE TABLE saved.big AS SELECT i AS k, 's' || i % 20 + 1 AS site, 'old ' || i AS v, '{\"a\": 1}'::jsonb AS doc, 1.5 AS n
  FROM generate_series(1, 20000, 2) i;";
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
    fn new(stage: Stage) -> Target {
        stage.sql(RESET);
        stage.write(".env", &format!("MAX_RECORDS_PER_BATCH={}\n", ROWS + 1));
        let mut records = String::new();
        for k in 1..=ROWS {
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
        stage
            .loader(&["apply", &plan, "--force"])
            .ends(0)
            .says(&["10001 inserted, 10000 updated"]);
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
        harm: impl FnOnce(&mut postgres::Client, u32),
    ) -> (Run, &'static str) {
        let mut command = self.stage.command(&["apply", &self.plan, "--force"]);
        let mut watcher = self.stage.client();
        let child = command.env("MAX_RETRIES", retries).spawn().unwrap();
        std::thread::sleep(wait);
        let query = one(
            &mut watcher,
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'table-loader'",
        );
        harm(&mut watcher, child.id());
        (
            finish("apply", child, Duration::from_secs(120)),
            phase(&query),
        )
    }

    /// All or nothing, and if the program had the last word, it was true. Everything is as it was
    /// before, afterwards.
    fn check(&self, run: &Run, what: &str) -> bool {
        let what = format!("{what}: {run}");
        let applied = self
            .stage
            .all_or_nothing(&self.plan, &self.before, &self.after, &what);
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
        ("COPY ", "staging"),
        ("INSERT INTO pg_temp.loader_before", "locking"),
        ("UPDATE \"public\"", "updating"),
        ("INSERT INTO \"public\".\"big\"", "inserting"),
        ("INSERT INTO \"public\".audit_log", "auditing"),
        ("INSERT INTO \"public\".\"audit_log\"", "auditing"),
        ("COMMIT", "committing"),
    ];
    let found = phases
        .iter()
        .find(|(words, _)| query.trim_start().starts_with(words));
    match found {
        _ if query.is_empty() => "no session",
        Some((_, phase)) => phase,
        None => "between",
    }
}

/// As many moments as are asked for, spread evenly over an apply and a little beyond.
fn moments(target: &Target, variable: &str, default: u64) -> Vec<Duration> {
    let n = number_from(variable, default);
    let mut r = Random::new(number_from("TEST_SEED", 1));
    let part = target.takes.mul_f64(1.05 / n as f64);
    (0..n)
        .map(|i| part.mul_f64(i as f64 + r.below(1000) as f64 / 1000.0))
        .collect()
}

type Figures = BTreeMap<(&'static str, &'static str), u32>;

#[test]
fn the_program_is_killed() {
    let target = Target::new(Stage::new(TABLES, CONFIG));
    let mut figures = Figures::new();
    for wait in moments(&target, "TEST_KILLS", 8) {
        let (run, phase) = target.harmed(wait, "0", |_, process| signal(process, "KILL"));
        let applied = target.check(&run, &format!("killed after {wait:?}, {phase}"));
        let ended = match (run.code, applied) {
            (None, true) => "killed, applied",
            (None, false) => "killed, nothing written",
            _ => "had ended",
        };
        *figures.entry((phase, ended)).or_default() += 1;
    }
    println!("an apply took {:?}: {figures:?}", target.takes);
    assert!(
        figures
            .keys()
            .any(|(_, ended)| *ended == "killed, nothing written")
    );
}

const CONFIG: &str =
    "site: {natural_key: [k]}\nbig: {natural_key: [k], conflict_resolution: replace}";
