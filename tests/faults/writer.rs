//! Another program writes all the while plans are made, applied and taken back.
//!
//! A trigger keeps every change of a row with the value before it and who made it. So what was
//! written without having been reviewed, and what was overwritten unseen, would be found there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Stage, number_from};
use crate::support::random::Random;

const ROWS: usize = 60;
const TABLES: &str = "\
CREATE TABLE t (k int PRIMARY KEY, v text, n int NOT NULL DEFAULT 0);
CREATE TABLE seen (id bigserial PRIMARY KEY, who text, k int, was text, became text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO seen (who, k, was, became) VALUES
    (current_setting('application_name'), coalesce(NEW.k, OLD.k), OLD.v, NEW.v);
  RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION see();
INSERT INTO t SELECT i, 'old' FROM generate_series(1, 60) i;";
const CONFIG: &str =
    "t: {natural_key: [k], conflict_resolution: replace, allow_side_effects: [seen]}";

/// Updates, deletes and inserts rows at random until told to stop; between two changes it waits
/// for as many microseconds as `pause` says. Returns how often it counted each row up.
fn write(stage: &Stage, seed: u64, pause: &AtomicU64, stop: &AtomicBool) -> BTreeMap<i32, i32> {
    let mut client = stage.connect();
    client
        .batch_execute("SET application_name = 'writer'")
        .unwrap();
    let mut r = Random::new(seed);
    let mut counted = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let k = 1 + i32::try_from(r.below(ROWS)).unwrap();
        match r.below(10) {
            // Rows from 51 on come and go.
            0 if k > 50 => drop(client.execute("DELETE FROM t WHERE k = $1", &[&k]).unwrap()),
            1 if k > 50 => drop(
                client
                    .execute(
                        "INSERT INTO t VALUES ($1, 'theirs') ON CONFLICT DO NOTHING",
                        &[&k],
                    )
                    .unwrap(),
            ),
            2..5 => drop(
                client
                    .execute(
                        "UPDATE t SET v = 'theirs ' || $2 WHERE k = $1",
                        &[&k, &r.next().to_string()],
                    )
                    .unwrap(),
            ),
            _ => {
                let n = client
                    .execute("UPDATE t SET n = n + 1 WHERE k = $1 AND k <= 50", &[&k])
                    .unwrap();
                if n > 0 {
                    *counted.entry(k).or_insert(0) += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_micros(pause.load(Ordering::Relaxed)));
    }
    counted
}

/// What the plan says that it changes: the key, the value it saw, and the value it writes.
fn planned(stage: &Stage, plan: &str) -> Vec<String> {
    let plan: Value =
        serde_json::from_str(&std::fs::read_to_string(stage.path(plan)).unwrap()).unwrap();
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let changes = plan["changes"].as_array().unwrap().iter();
    let mut lines: Vec<String> = changes
        .filter_map(|c| {
            let k = text(&c["key"]["k"]);
            match c["action"].as_str().unwrap() {
                "insert" => Some(format!("{k} - {}", text(&c["values"]["v"]))),
                "update" => Some(format!(
                    "{k} {} {}",
                    text(&c["set"]["v"][0]),
                    text(&c["set"]["v"][1])
                )),
                "delete" => Some(format!("{k} {} -", text(&c["values"]["v"]))),
                _ => None,
            }
        })
        .collect();
    lines.sort();
    lines
}

/// What the loader changed since, as the trigger saw it.
fn written(stage: &Stage, since: &str) -> Vec<String> {
    let lines = stage.one(&format!(
        "SELECT string_agg(concat_ws(' ', k, coalesce(was, '-'), coalesce(became, '-')), E'\\n') FROM seen \
         WHERE who = 'table-loader' AND id > {since}"
    ));
    let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn another_program_writes_all_the_while() {
    let stage = Stage::new(TABLES, CONFIG);
    let (pause, stop) = (AtomicU64::new(60_000), AtomicBool::new(false));
    // How often an apply and a rollback were done, and refused.
    let mut ends: BTreeMap<(&str, bool), u64> = BTreeMap::new();
    let counted = std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=2)
            .map(|seed| {
                let (stage, pause, stop) = (&stage, &pause, &stop);
                scope.spawn(move || write(stage, seed, pause, stop))
            })
            .collect();
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let enough = number_from("TEST_ROUNDS", 2);
            let mut round = 0;
            // Until each has happened often enough.
            while ["apply", "rollback"].iter().any(|w| {
                [true, false]
                    .iter()
                    .any(|d| ends.get(&(*w, *d)).copied().unwrap_or(0) < enough)
            }) {
                round += 1;
                assert!(round < 100 * enough, "{ends:?}");
                let batch = format!("b{round}");
                let records: Vec<String> = (0..15)
                    .map(|i| format!(r#"{{"k": {}, "v": "load {round}"}}"#, i * 4 + 1))
                    .collect();
                stage.deliver(&batch, &[("t/1.ndjson", &records.join("\n"))]);
                let plan = stage.plan(&batch);
                let mut step = |what: &'static str, plan: &str| {
                    let since = stage.one("SELECT coalesce(max(id), 0) FROM seen");
                    let run = stage.loader(&["apply", plan, "--force"]);
                    let done = match run.code {
                        Some(0) => true,
                        Some(3) => false,
                        _ => panic!("{what}: {run}"),
                    };
                    let expected = if done {
                        planned(&stage, plan)
                    } else {
                        Vec::new()
                    };
                    assert_eq!(written(&stage, &since), expected, "{what}: {run}");
                    *ends.entry((what, done)).or_default() += 1;
                    // About half of them are to be refused.
                    let now = pause.load(Ordering::Relaxed);
                    pause.store(
                        if done { now * 3 / 4 + 100 } else { now * 2 }.min(500_000),
                        Ordering::Relaxed,
                    );
                    done
                };
                if !step("apply", &plan) {
                    continue;
                }
                let run = stage.loader(&["rollback", "--batch-id", &batch, "--out", "undo.json"]);
                match run.code {
                    Some(0) => drop(step("rollback", "undo.json")),
                    Some(3) => *ends.entry(("rollback", false)).or_default() += 1,
                    _ => panic!("{run}"),
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let mut counted: BTreeMap<i32, i32> = BTreeMap::new();
        for writer in writers {
            for (k, n) in writer.join().unwrap() {
                *counted.entry(k).or_default() += n;
            }
        }
        if let Err(failure) = finished {
            std::panic::resume_unwind(failure);
        }
        counted
    });
    println!("{ends:?}, {} counts", counted.values().sum::<i32>());
    // Every count of the others is there, and each row's history is one unbroken chain.
    for (k, n) in counted {
        assert_eq!(
            stage.one(&format!("SELECT n FROM t WHERE k = {k}")),
            n.to_string(),
            "row {k}"
        );
    }
    let broken = stage.one(
        "SELECT string_agg(k::text, ' ') FROM (SELECT k, was, lag(became) OVER (PARTITION BY k ORDER BY id) AS left_as, \
           row_number() OVER (PARTITION BY k ORDER BY id) AS nth FROM seen) x WHERE nth > 1 AND was IS DISTINCT FROM left_as",
    );
    assert_eq!(broken, "");
    stage.is_free();
}
