//! Random schemas, batches, strategies and resolutions: what is loaded and taken back leaves every
//! column as it was.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::{Run, Stage, number_from};
use crate::random::{SETUP, Scene, Table, ident, literal};
use crate::support::random::Random;
use crate::support::types;

/// What all cases together did.
#[derive(Debug, Default)]
struct Figures {
    cases: u64,
    inserted: u64,
    updated: u64,
    left_out: u64,
    /// Loads that left at least one row of each sort to take back.
    both: u64,
}

/// All rows of each table, and those that are not marked as deleted.
type State = Vec<(BTreeSet<String>, BTreeSet<String>)>;

/// One database in which case after case is played.
struct Play {
    stage: Stage,
    seed: u64,
}

impl Play {
    /// Every row of a table that fulfils `condition`, as PostgreSQL prints it, without some columns.
    fn rows(&self, table: &Table, without: &[String], condition: &str) -> BTreeSet<String> {
        let columns = table.columns.iter().filter(|c| !without.contains(c));
        let columns: Vec<String> = columns.map(|c| ident(c)).collect();
        let sql = format!(
            "SELECT string_agg(ROW({})::text, E'\\x01') FROM {} WHERE {condition}",
            columns.join(", "),
            table.sql_name
        );
        let all = self.stage.one(&sql);
        let rows = all.split('\u{1}').filter(|row| !row.is_empty());
        rows.map(str::to_owned).collect()
    }

    fn state(&self, scene: &Scene) -> State {
        let live = |t: &Table| {
            t.mark
                .map_or("true".into(), |m| format!("{} IS NULL", ident(m)))
        };
        let of = |t: &Table| (self.rows(t, &[], "true"), self.rows(t, &[], &live(t)));
        scene.tables.iter().map(of).collect()
    }

    /// The state without what differs from load to load.
    fn essence(&self, scene: &Scene) -> Vec<BTreeSet<String>> {
        let of = |t: &Table| self.rows(t, &t.volatile, "true");
        scene.tables.iter().map(of).collect()
    }

    fn queue(&self, batch: &str) -> String {
        self.stage.one(&format!(
            "SELECT string_agg(concat_ws('|', id, status, loaded_at, error_message, application), E'\\n' ORDER BY id) \
             FROM validation_queue WHERE batch_id = '{batch}'"
        ))
    }

    fn deliver(&self, batch: &str, fragments: &[(String, String)]) {
        let _ = std::fs::remove_dir_all(self.stage.path(&format!("source/staging/{batch}")));
        self.stage.sql(&format!(
            "DELETE FROM validation_queue WHERE batch_id = '{batch}'"
        ));
        for (name, content) in fragments {
            let key = format!("staging/{batch}/{name}");
            self.stage.write(&format!("source/{key}"), content);
            let (table, _) = name.split_once('/').unwrap();
            self.stage.sql(&format!(
                "INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES ('{batch}', {}, {})",
                literal(table),
                literal(&key)
            ));
        }
    }

    fn apply(&self, plan: &str) -> Run {
        let run = self.stage.loader(&["apply", plan, "--force", "--json"]);
        run.exits(0)
    }

    /// Takes an application back; returns the application that did.
    fn take_back(&self, application: &str) -> String {
        let args = [
            "rollback",
            "--force",
            "--json",
            "--application",
            application,
        ];
        let run = self.stage.loader(&args).exits(0);
        run.json()["application"].as_str().unwrap().to_owned()
    }

    /// Takes the loads of a batch back: at once, unless they took over unique values from each other.
    fn take_batch_back(&self, batch: &str) {
        let args = ["rollback", "--force", "--batch-id", batch];
        let run = self.stage.loader(&args);
        if !run.stderr.contains("one by one") {
            run.exits(0);
            return;
        }
        let history = self
            .stage
            .loader(&["history", "--batch-id", batch, "--json"])
            .exits(0)
            .json();
        for application in history["applications"].as_array().unwrap() {
            if application["kind"] == "load" && application["undone_by"].is_null() {
                self.take_back(application["application"].as_str().unwrap());
            }
        }
    }

    /// The newest application of a batch.
    fn newest(&self, batch: &str) -> String {
        self.stage.one(&format!(
            "SELECT application FROM loader_ledger WHERE batch_id = '{batch}' ORDER BY sequence DESC LIMIT 1"
        ))
    }

    /// Everything is as `before`, but for rows that are only marked as deleted.
    fn assert_back(&self, scene: &Scene, before: &State, what: &str) {
        for ((table, before), now) in scene.tables.iter().zip(before).zip(self.state(scene)) {
            let name = &table.name;
            assert_eq!(before.1, now.1, "{what}: live rows of {name}");
            let gone: Vec<_> = before.0.difference(&now.0).collect();
            assert!(gone.is_empty(), "{what}: {name}: {gone:#?}");
        }
    }

    fn case(&self, figures: &Mutex<Figures>) {
        let mut r = Random::new(self.seed);
        let scene = Scene::new(&mut r, &format!("{} ", self.seed));
        let batch = format!("b{}", self.seed);
        let twice = r.chance(30);
        let deliveries: Vec<_> = (0..if twice { 2 } else { 1 })
            .map(|_| scene.batch(&mut r))
            .collect();
        if deliveries.iter().any(Vec::is_empty) {
            return;
        }
        let played = catch_unwind(AssertUnwindSafe(|| {
            self.play(&scene, &batch, &deliveries, figures)
        }));
        if let Err(failure) = played {
            let mut told = format!("{}\n{}\n", scene.sql(), scene.config());
            for (name, content) in deliveries.iter().flatten() {
                told += &format!("-- {name}\n{content}\n");
            }
            println!(
                "{told}\nplay it again with TEST_SEED={} TEST_ROUND_TRIPS=1",
                self.seed
            );
            resume_unwind(failure);
        }
        self.stage.sql(&scene.drop_sql());
    }

    fn play(
        &self,
        scene: &Scene,
        batch: &str,
        deliveries: &[Vec<(String, String)>],
        figures: &Mutex<Figures>,
    ) {
        self.stage.sql(&scene.sql());
        self.stage.write("tables.yaml", scene.config());
        let before = self.state(scene);
        self.deliver(batch, &deliveries[0]);
        let queue_before = self.queue(batch);

        let mut plan = self.stage.plan(batch);
        let mut loaded = self.apply(&plan).json();
        for delivery in &deliveries[1..] {
            self.deliver(batch, delivery);
            plan = self.stage.plan(batch);
            loaded = self.apply(&plan).json();
        }
        let after = self.state(scene);
        let essence = self.essence(scene);
        let n = |name: &str| loaded[name].as_u64().unwrap();
        {
            let mut figures = figures.lock().unwrap();
            figures.cases += 1;
            figures.inserted += n("records_loaded");
            figures.updated += n("records_updated");
            figures.left_out += n("errors");
            figures.both += u64::from(n("records_loaded") > 0 && n("records_updated") > 0);
        }
        // Nothing is left to do, unless something was left out.
        if n("errors") == 0 {
            let again = self.stage.loader(&[
                "plan",
                "--batch-id",
                batch,
                "--out",
                "again.json",
                "--detailed-exitcode",
            ]);
            again.exits(0);
        }

        self.take_batch_back(batch);
        self.assert_back(scene, &before, "rollback");
        if deliveries.len() == 1 {
            assert_eq!(self.queue(batch), queue_before);
            self.take_back(&self.newest(batch));
            assert_eq!(self.state(scene), after, "rollback of the rollback");
            // What was redone is taken back by its batch, or by itself.
            match self.seed % 2 {
                0 => self.take_batch_back(batch),
                _ => drop(self.take_back(&self.newest(batch))),
            }
            self.assert_back(scene, &before, "and back again");
        }

        // The batch can be planned and applied again.
        for delivery in deliveries {
            if deliveries.len() > 1 {
                self.deliver(batch, delivery);
            }
            plan = self.stage.plan(batch);
            self.stage.apply_again(&plan).exits(0);
        }
        if scene.tables.iter().all(|t| t.mark.is_none()) {
            assert_eq!(self.essence(scene), essence, "planned and applied again");
        }
        self.take_batch_back(batch);
        self.assert_back(scene, &before, "taken back again");
    }
}

#[test]
fn what_is_loaded_and_taken_back_leaves_every_column_as_it_was() {
    let (first, cases) = (
        number_from("TEST_SEED", 1),
        number_from("TEST_ROUND_TRIPS", 15),
    );
    let next = AtomicU64::new(0);
    let figures = Mutex::new(Figures::default());
    let workers = cases.clamp(1, 3);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let stage = Stage::new(&format!("{}{SETUP}", types::SETUP), "{}");
                let mut play = Play { stage, seed: 0 };
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= cases {
                        return;
                    }
                    play.seed = first + n;
                    play.case(&figures);
                }
            });
        }
    });
    let figures = figures.into_inner().unwrap();
    println!("seeds {first} to {}: {figures:?}", first + cases - 1);
    if cases >= 20 {
        assert!(
            figures.inserted > cases && figures.updated > cases && figures.both > cases / 4,
            "{figures:?}"
        );
    }
}
