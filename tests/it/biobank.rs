//! The whole life of batches in a biobank: plan, review, apply, plan again, apply again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::biobank::{SCHEMA, TABLES};
use crate::support::model::{Model, Outcome, Row, Rules, json, record};
use crate::support::{World, gzip, snapshot};

const BATCH: &str = "batch_20240115_143022";

/// The batch, the tables as they are, and what must become of them.
struct Delivery {
    world: World,
    tables: BTreeMap<&'static str, (Rules, Row, Model)>,
    outcomes: BTreeMap<(&'static str, Outcome), u64>,
}

fn rules(key: &[&'static str], immutable: &[&'static str], resolution: &'static str) -> Rules {
    Rules {
        key: key.to_vec(),
        immutable: immutable.to_vec(),
        strategy: "upsert",
        resolution,
        on_immutable: "block",
    }
}

impl Delivery {
    fn new() -> Delivery {
        let own = ["created_at", "created_by"];
        let text = |v: &'static str| Some(v);
        let born = ("created_at", text("2024-01-01 00:00:00+00"));
        let by = ("created_by", None);
        let tables = BTreeMap::from([
            (
                "subjects",
                (
                    rules(&["global_subject_id"], &own, "merge"),
                    record(&[("sex", None), ("consent", text("t")), born, by]),
                    Model::default(),
                ),
            ),
            (
                "local_subject_ids",
                (
                    rules(
                        &["center", "local_subject_id", "identifier_type"],
                        &[],
                        "merge",
                    ),
                    record(&[]),
                    Model::default(),
                ),
            ),
            (
                "lcl",
                (
                    rules(&["global_subject_id", "niddk_no"], &own, "merge"),
                    record(&[("passage_number", None), ("freezer", None), born, by]),
                    Model::default(),
                ),
            ),
            (
                "dna",
                (
                    rules(&["global_subject_id", "sample_id"], &own, "merge"),
                    record(&[("concentration", None), born, by]),
                    Model::default(),
                ),
            ),
            (
                "specimen",
                (
                    rules(&["sample_id"], &["created_at"], "replace"),
                    record(&[("volume", None), ("freezer", None), born]),
                    Model::default(),
                ),
            ),
        ]);
        Delivery {
            world: World::new(SCHEMA, TABLES),
            tables,
            outcomes: BTreeMap::new(),
        }
    }

    /// A row that is there before the batch comes.
    fn exists(&mut self, table: &'static str, fields: &[(&str, Option<&str>)]) {
        let (rules, defaults, model) = self.tables.get_mut(table).unwrap();
        let row = record(fields);
        assert_eq!(model.take(rules, &row, defaults), Outcome::Insert);
    }

    /// A record of the batch; returns it.
    fn record(&mut self, table: &'static str, fields: &[(&str, Option<&str>)]) -> Row {
        let (rules, defaults, model) = self.tables.get_mut(table).unwrap();
        let row = record(fields);
        let outcome = model.take(rules, &row, defaults);
        *self.outcomes.entry((table, outcome)).or_default() += 1;
        row
    }

    /// Writes the rows of the models into the database.
    fn fill(&self) {
        for table in ["subjects", "local_subject_ids", "lcl", "dna", "specimen"] {
            let rows: Vec<&Row> = self.tables[table].2.rows.values().collect();
            let Some(first) = rows.first() else { continue };
            let columns: Vec<&str> = first.keys().map(String::as_str).collect();
            let columns = columns.join(", ");
            self.world.sql(&format!(
                "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $j${}$j$)",
                json!(rows)
            ));
        }
    }

    #[track_caller]
    fn tables_hold_what_the_records_say(&self) {
        for (table, (_, _, model)) in &self.tables {
            let first = model.rows.values().next();
            let columns: Vec<&str> = first
                .into_iter()
                .flat_map(Row::keys)
                .map(String::as_str)
                .collect();
            let mut found = self
                .world
                .rows(&format!("SELECT {} FROM {table}", columns.join(", ")));
            found.sort();
            assert_eq!(found, model.lines(&columns), "{table}");
        }
    }

    fn outcome(&self, table: &'static str, outcome: Outcome) -> u64 {
        self.outcomes
            .get(&(table, outcome))
            .copied()
            .unwrap_or_default()
    }
}

#[test]
fn a_batch_of_two_thousand_fragments_and_large_files_is_loaded_exactly() {
    let mut d = Delivery::new();
    for i in 0..500 {
        let id = format!("GSID-{i:04}");
        let by = Some("redcap");
        d.exists(
            "subjects",
            &[
                ("global_subject_id", Some(&id)),
                ("center", Some("Boston")),
                ("sex", None),
                ("created_by", by),
            ],
        );
        if i < 100 {
            d.exists(
                "lcl",
                &[
                    ("global_subject_id", Some(&id)),
                    ("niddk_no", Some("7")),
                    ("passage_number", Some("5")),
                    ("created_by", by),
                ],
            );
            let sample = format!("DNA-{i}");
            d.exists(
                "dna",
                &[
                    ("global_subject_id", Some(&id)),
                    ("sample_id", Some(&sample)),
                    ("concentration", Some("1.500")),
                ],
            );
            let sample = format!("SMP-{i}");
            d.exists(
                "specimen",
                &[
                    ("sample_id", Some(&sample)),
                    ("global_subject_id", Some(&id)),
                    ("volume", Some("2.000")),
                    ("freezer", Some("A")),
                ],
            );
        }
    }
    d.fill();
    d.tables_hold_what_the_records_say();

    // 2,000 fragments of one record each.
    for i in 0..1200 {
        let id = format!("GSID-{i:04}");
        let sex = (i % 5 != 0).then_some("F");
        let by = if i < 500 { "redcap" } else { "lims" };
        let r = d.record(
            "subjects",
            &[
                ("global_subject_id", Some(&id)),
                ("center", Some("Boston")),
                ("sex", sex),
                ("created_by", Some(by)),
            ],
        );
        let fragment = json!({"fragment_id": format!("s{i}"), "table_name": "subjects", "batch_id": BATCH, "source_system": "redcap", "data": json(&r)});
        d.world.deliver(
            BATCH,
            &format!("subjects/frag_{i}.json"),
            fragment.to_string(),
        );
    }
    for i in 0..800 {
        let id = format!("GSID-{i:04}");
        let passage = if i % 2 == 0 { "5" } else { "6" };
        let r = d.record(
            "lcl",
            &[
                ("global_subject_id", Some(&id)),
                ("niddk_no", Some("7")),
                ("passage_number", Some(passage)),
                ("created_by", None),
            ],
        );
        d.world.deliver(
            BATCH,
            &format!("lcl/frag_{i}.json"),
            json!({"data": json(&r)}).to_string(),
        );
    }
    // A compressed CSV file, where an empty cell is null.
    let mut csv = "local_subject_id,center,identifier_type,global_subject_id\n".to_owned();
    for i in 0..1200 {
        let (id, local) = (format!("GSID-{i:04}"), format!("L\"{i}, \n"));
        d.record(
            "local_subject_ids",
            &[
                ("global_subject_id", Some(&id)),
                ("center", Some("Boston")),
                ("local_subject_id", Some(&local)),
                ("identifier_type", Some("mrn")),
            ],
        );
        csv += &format!("\"{}\",Boston,mrn,{id}\r\n", local.replace('"', "\"\""));
    }
    d.world
        .deliver(BATCH, "local_subject_ids.csv.gz", gzip(csv));
    // An array, and an envelope that repeats some of its records.
    let dna = |d: &mut Delivery, i: i32, concentration: &str| {
        let (id, sample) = (format!("GSID-{i:04}"), format!("DNA-{i}"));
        d.record(
            "dna",
            &[
                ("global_subject_id", Some(&id)),
                ("sample_id", Some(&sample)),
                ("concentration", Some(concentration)),
            ],
        )
    };
    let array: Vec<_> = (0..300).map(|i| json(&dna(&mut d, i, "1.500"))).collect();
    d.world
        .deliver(BATCH, "dna/part-1.json", json!(array).to_string());
    let mut records: Vec<_> = (300..600).map(|i| json(&dna(&mut d, i, "0.125"))).collect();
    records.extend(array[..20].iter().cloned());
    d.world.deliver(
        BATCH,
        "dna/part-2.json",
        json!({"records": records}).to_string(),
    );
    // NDJSON, plain and compressed; `replace` takes null.
    for (part, range) in [("part-1.ndjson", 0..700), ("part-2.jsonl.gz", 700..1000)] {
        let mut lines = String::new();
        for i in range {
            let (sample, id) = (format!("SMP-{i}"), format!("GSID-{i:04}"));
            let mut fields = vec![
                ("sample_id", Some(sample.as_str())),
                ("global_subject_id", Some(&id)),
                ("volume", Some("2.000")),
            ];
            if i % 3 == 0 {
                fields.push(("freezer", None));
            }
            lines += &format!("{}\n", json(&d.record("specimen", &fields)));
        }
        let content = if part.ends_with("gz") {
            gzip(lines)
        } else {
            lines.into_bytes()
        };
        d.world.deliver(BATCH, &format!("specimen/{part}"), content);
    }
    d.world.put(
        BATCH,
        "validation_report.json",
        r#"{"status": "VALIDATED"}"#,
    );
    let world = &d.world;

    let plan = world.writes_nothing(|| world.plan(BATCH));
    assert_eq!(
        world.writes_nothing(|| world.plan(BATCH)).text,
        plan.text,
        "the same inputs give the same bytes"
    );
    let pages = world.s3().count(crate::support::s3::fault::Operation::List);
    assert_eq!(pages, 2 * 3, "2,006 objects are three pages");

    // The plan says of every record what the model says.
    let tables = plan.tables();
    assert_eq!(tables[0], "subjects", "the others refer to it: {tables:?}");
    let json = plan.json();
    assert_eq!(json["fragments"].as_array().unwrap().len(), 2005);
    let header = &json["header"];
    assert_eq!(header["records"], 1200 + 800 + 1200 + 620 + 1000);
    for table in header["tables"].as_array().unwrap() {
        let name = ["subjects", "local_subject_ids", "lcl", "dna", "specimen"]
            .into_iter()
            .find(|t| table["table"] == **t)
            .unwrap();
        let copies = if name == "dna" { 20 } else { 0 };
        let expected = json!({
            "insert": d.outcome(name, Outcome::Insert), "update": d.outcome(name, Outcome::Update), "delete": 0,
            "skip": d.outcome(name, Outcome::Skip("unchanged")) + copies, "violation": 0,
        });
        assert_eq!(table["counts"], expected, "{name}");
    }
    let total = |outcome: Outcome| {
        d.tables
            .keys()
            .map(|t| d.outcome(t, outcome.clone()))
            .sum::<u64>()
    };
    let (inserts, updates, unchanged) = (
        total(Outcome::Insert),
        total(Outcome::Update),
        total(Outcome::Skip("unchanged")),
    );
    assert_eq!(
        plan.lines()
            .iter()
            .filter(|l| l.ends_with(": duplicate"))
            .count(),
        20
    );
    assert!(plan.stderr.contains(&format!(
        "Plan: {inserts} to insert, {updates} to update, 0 to delete, {unchanged} unchanged, 20 skipped, 0 violations."
    )), "{}", plan.stderr);

    // It does exactly that.
    let applied = world
        .apply_with(&plan, &["--json", "--approve", &plan.hash()])
        .ok()
        .json();
    let application = applied["application"].as_str().unwrap().to_owned();
    let dna_skips = d.outcome("dna", Outcome::Skip("unchanged")) + 20;
    assert_eq!(
        applied["tables"]["dna"],
        json!({
            "table_name": "dna", "records_loaded": d.outcome("dna", Outcome::Insert), "records_updated": 0, "records_deleted": 0,
            "records_skipped": dna_skips, "errors": 0,
        })
    );
    let mut totals = applied.clone();
    assert!(totals["duration_seconds"].as_f64().is_some_and(|s| s > 0.0));
    (totals["tables"], totals["duration_seconds"]) = (json!(null), json!(0));
    assert_eq!(
        totals,
        json!({
            "status": "applied", "application": application, "batch_id": BATCH, "tables": null, "duration_seconds": 0, "total_records": 4820,
            "records_loaded": inserts, "records_updated": updates, "records_deleted": 0,
            "records_skipped": unchanged + 20, "errors": 0,
        })
    );
    d.tables_hold_what_the_records_say();
    let stamped = world.value("SELECT count(*) FROM lcl WHERE updated_at IS NOT NULL");
    let lcl = d.outcome("lcl", Outcome::Insert) + d.outcome("lcl", Outcome::Update);
    assert_eq!(
        stamped,
        lcl.to_string(),
        "updated_at stamps what was written, and nothing else"
    );

    // The traces: queue, log, audit, ledger.
    let queue = "SELECT status, loaded_at IS NULL, error_message, application, count(*) FROM validation_queue GROUP BY 1, 2, 3, 4";
    assert_eq!(
        world.rows(queue),
        [format!("loaded|f|∅|{application}|2005")]
    );
    let log = "SELECT batch_id, operation, status, error_message, application, sum(records_affected), count(*) FROM batch_load_log GROUP BY 1, 2, 3, 4, 5";
    assert_eq!(
        world.rows(log),
        [format!(
            "{BATCH}|load|success|∅|{application}|{}|5",
            inserts + updates
        )]
    );
    for name in d.tables.keys() {
        let written = d.outcome(name, Outcome::Insert) + d.outcome(name, Outcome::Update);
        let logged = world.value(&format!(
            "SELECT records_affected FROM batch_load_log WHERE table_name = '{name}'"
        ));
        assert_eq!(logged, written.to_string(), "{name}");
        let audited = world.rows(&format!(
            "SELECT operation, count(*), count(old_values), count(new_values) FROM audit_log WHERE table_name = '{name}' \
             AND batch_id = '{BATCH}' AND changed_by = 'curator' AND application = '{application}' GROUP BY 1 ORDER BY 1"
        ));
        let (i, u) = (
            d.outcome(name, Outcome::Insert),
            d.outcome(name, Outcome::Update),
        );
        let mut expected = vec![format!("INSERT|{i}|0|{i}")];
        if u > 0 {
            expected.push(format!("UPDATE|{u}|{u}|{u}"));
        }
        assert_eq!(audited, expected, "{name}");
    }
    assert_eq!(
        world.rows("SELECT record_id, old_values ->> 'passage_number', new_values ->> 'passage_number', origin FROM audit_log \
                    WHERE table_name = 'lcl' AND record_id LIKE '%GSID-0001%'"),
        [format!("[\"GSID-0001\",\"7\"]|5|6|staging/{BATCH}/lcl/frag_1.json#1")]
    );
    assert_eq!(
        world.rows("SELECT plan_hash, kind, batch_id, actor, records, rejected FROM loader_ledger"),
        [format!("{}|load|{BATCH}|curator|4820|0", plan.hash())]
    );

    // And then there is nothing left to do.
    world.writes_nothing(|| {
        world
            .apply(&plan)
            .ok()
            .says("Applied already")
            .says("Nothing was written")
    });
    let again = world.apply_with(&plan, &["--json", "--force"]).ok().json();
    assert_eq!(
        (
            &again["status"],
            &again["application"],
            &again["records_loaded"]
        ),
        (&json!("applied_already"), &json!(application), &json!(0))
    );
    world.check(&plan).ok().says("was applied at");
    let second = world.plan(BATCH);
    assert_eq!(
        second.news(),
        plan.lines()
            .into_iter()
            .filter(|l| l.ends_with(": duplicate"))
            .collect::<Vec<_>>()
    );
    assert!(
        second.stderr.contains("There is nothing to apply."),
        "{}",
        second.stderr
    );
}

/// The curator's own choices, under which everything else that can become of a record does.
const CHOICES: &str = "
subjects:
  natural_key: [global_subject_id]
  immutable_fields: [created_by]
  on_immutable: keep
  on_duplicate: last
local_subject_ids:
  natural_key: [center, local_subject_id, identifier_type]
  update_strategy: insert_only
lcl:
  natural_key: [global_subject_id, niddk_no]
  immutable_fields: [created_by]
  on_immutable: reject
dna:
  natural_key: [global_subject_id, sample_id]
  update_strategy: update_only
  conflict_resolution: skip
specimen:
  natural_key: [sample_id]
  conflict_resolution: replace
  on_invalid: reject
  on_duplicate: reject
";

const ROWS: &str = "
INSERT INTO subjects (global_subject_id, center, sex, created_by) VALUES
  ('G1', 'Boston', 'F', 'redcap'), ('G2', 'Boston', NULL, 'redcap'), ('G3', 'Boston', 'M', 'redcap');
INSERT INTO local_subject_ids (global_subject_id, center, local_subject_id) VALUES ('G1', 'Boston', 'L1');
INSERT INTO lcl (global_subject_id, niddk_no, passage_number, created_by) VALUES ('G1', '7', 5, 'redcap'), ('G2', '8', 5, 'redcap');
INSERT INTO dna (global_subject_id, sample_id, concentration) VALUES ('G1', 'D1', 1.5);
INSERT INTO specimen (sample_id, global_subject_id, volume, freezer) VALUES ('S1', 'G1', 2, 'A'), ('S2', 'G1', 2, 'A');
";

/// A world in which a batch `b` shows every skip and every effect of a violation.
pub fn everything() -> World {
    let world = World::new(&format!("{SCHEMA}{ROWS}"), CHOICES);
    world.deliver(
        "b",
        "subjects/1.json",
        r#"[
        {"global_subject_id": "G1", "sex": "M", "created_by": "lims"},
        {"global_subject_id": "G2", "sex": null, "created_by": "lims"},
        {"global_subject_id": "G3", "sex": "M"},
        {"global_subject_id": "G4", "center": "Lyon", "sex": "F"},
        {"global_subject_id": "G4", "center": "Paris"}]"#,
    );
    world.deliver("b", "local_subject_ids/1.json", r#"{"records": [
        {"global_subject_id": "G2", "center": "Boston", "local_subject_id": "L1", "identifier_type": "primary"},
        {"global_subject_id": "G4", "center": "Lyon", "local_subject_id": "L1", "identifier_type": "primary"},
        {"global_subject_id": "G4", "center": "Lyon", "local_subject_id": "L1", "identifier_type": "primary"}]}"#);
    world.deliver(
        "b",
        "lcl/1.json",
        r#"{"data": {"global_subject_id": "G1", "niddk_no": "7", "passage_number": 8}}"#,
    );
    world.deliver("b", "lcl/2.json", r#"{"data": {"global_subject_id": "G2", "niddk_no": "8", "passage_number": 9, "created_by": "lims"}}"#);
    world.deliver(
        "b",
        "dna/1.json",
        r#"[{"global_subject_id": "G1", "sample_id": "D1", "concentration": 9},
        {"global_subject_id": "G1", "sample_id": "D9", "concentration": 9}]"#,
    );
    world.deliver(
        "b",
        "specimen/1.json",
        r#"[
        {"sample_id": "S1", "global_subject_id": "G1", "volume": "much"},
        {"sample_id": "S2", "global_subject_id": "G1", "volume": 2.00051, "freezer": null},
        {"global_subject_id": "G1"},
        {"sample_id": "S3", "global_subject_id": null},
        {"sample_id": "S4", "global_subject_id": "G1", "colour": "red"},
        {"sample_id": "S5", "global_subject_id": "G1", "volume": 1},
        {"sample_id": "S5", "global_subject_id": "G1", "volume": 2}]"#,
    );
    world
}

#[test]
fn every_skip_and_every_effect_of_a_violation_occurs() {
    let world = everything();
    let plan = world.plan("b");
    let expected = [
        r#"~ subjects global_subject_id=G1: sex="F"→"M""#,
        "! subjects global_subject_id=G1: immutable_field created_by keep",
        "= subjects global_subject_id=G2: unchanged",
        "! subjects global_subject_id=G2: immutable_field created_by keep",
        "= subjects global_subject_id=G3: unchanged",
        "= subjects global_subject_id=G4: superseded",
        r#"+ subjects global_subject_id=G4: center="Paris""#,
        "! specimen sample_id=S1: invalid_value volume reject",
        r#"~ specimen sample_id=S2: freezer="A"→null volume="2.000"→"2.001""#,
        "! specimen sample_id=S3: null_value global_subject_id reject",
        "! specimen sample_id=S4: unknown_field colour reject",
        "! specimen sample_id=S5: duplicate_key reject",
        "! specimen sample_id=S5: duplicate_key reject",
        "! specimen: missing_key sample_id reject",
        "= local_subject_ids center=Boston identifier_type=primary local_subject_id=L1: exists",
        r#"+ local_subject_ids center=Lyon identifier_type=primary local_subject_id=L1: global_subject_id="G4""#,
        "= local_subject_ids center=Lyon identifier_type=primary local_subject_id=L1: duplicate",
        r#"~ lcl global_subject_id=G1 niddk_no=7: passage_number="5"→"8""#,
        "! lcl global_subject_id=G2 niddk_no=8: immutable_field created_by reject",
        "= dna global_subject_id=G1 sample_id=D1: conflict",
        "= dna global_subject_id=G1 sample_id=D9: missing",
    ];
    assert_eq!(plan.lines(), expected);
    let entries = plan.entries();
    let rounded = entries
        .iter()
        .filter(|e| e.to_string().contains("\"stored\""));
    let rounded: Vec<_> = rounded.map(|e| &e["set"]["volume"]).collect();
    assert_eq!(
        rounded,
        [&json!(["2.000", {"stored": "2.001", "given": "2.00051"}])]
    );
    snapshot(
        "everything_shown",
        &world.show(&plan, &["--all"]),
        &world,
        &plan,
    );
    let skips = world.show(&plan, &["--action", "skip", "--table", "dna"]);
    snapshot("skips_shown", &skips, &world, &plan);

    let done = world
        .apply_with(&plan, &["--json", "--approve", &plan.hash()])
        .ok()
        .json();
    assert_eq!(done["errors"], 7, "records left out");
    assert_eq!(
        world.rows("SELECT global_subject_id, center, sex, created_by FROM subjects ORDER BY 1"),
        [
            "G1|Boston|M|redcap",
            "G2|Boston|∅|redcap",
            "G3|Boston|M|redcap",
            "G4|Paris|∅|∅"
        ]
    );
    assert_eq!(
        world.rows("SELECT global_subject_id, center FROM local_subject_ids ORDER BY 1"),
        ["G1|Boston", "G4|Lyon"]
    );
    assert_eq!(
        world.rows("SELECT global_subject_id, passage_number FROM lcl ORDER BY 1"),
        ["G1|8", "G2|5"]
    );
    assert_eq!(
        world.rows("SELECT sample_id, concentration FROM dna"),
        ["D1|1.500"]
    );
    assert_eq!(
        world.rows("SELECT sample_id, volume, freezer FROM specimen ORDER BY 1"),
        ["S1|2.000|A", "S2|2.001|∅"]
    );
    let log = "SELECT table_name, records_affected, status FROM batch_load_log ORDER BY id";
    assert_eq!(
        world.rows(log),
        [
            "subjects|2|success",
            "specimen|1|partial",
            "local_subject_ids|1|success",
            "lcl|1|partial",
            "dna|0|success"
        ]
    );
    let queue = "SELECT substr(s3_key, 11), status, loaded_at IS NULL, error_message FROM validation_queue ORDER BY s3_key";
    assert_eq!(
        world.rows(queue),
        [
            "dna/1.json|loaded|f|∅",
            "lcl/1.json|loaded|f|∅",
            "lcl/2.json|failed|t|immutable_field: created_by: the column may be set on insert and never changed (staging/b/lcl/2.json#1)",
            "local_subject_ids/1.json|loaded|f|∅",
            "specimen/1.json|failed|t|duplicate_key: different records of the batch have this key; keep one of them, or set on_duplicate (staging/b/specimen/1.json#6) and 5 more",
            "subjects/1.json|loaded|f|∅",
        ]
    );
    let again = world.plan("b");
    let changes = |l: &String| l.starts_with(['+', '~', '-']);
    assert_eq!(
        again
            .lines()
            .into_iter()
            .filter(changes)
            .collect::<Vec<_>>(),
        [""; 0]
    );
}

#[test]
fn a_plan_with_blocking_violations_is_refused_until_they_are_mended() {
    let world = everything();
    world.configure(&CHOICES.replace("on_immutable: reject", "on_immutable: block"));
    let plan = world.plan("b");
    assert_eq!(plan.json()["header"]["blocking"], 1);
    assert!(
        plan.stderr.contains("This plan cannot be applied."),
        "{}",
        plan.stderr
    );
    let shown = world.show(&plan, &["--action", "violation", "--table", "lcl"]);
    snapshot("blocked_shown", &shown, &world, &plan);
    let refused = world.writes_nothing(|| world.apply_with(&plan, &["--force"]).exits(4));
    snapshot("blocked", &refused.stderr, &world, &plan);
    let refused = world
        .apply_with(&plan, &["--json", "--approve", &plan.hash()])
        .exits(4);
    assert_eq!(refused.json()["reason"], "blocked");

    world.deliver(
        "b",
        "lcl/2.json",
        r#"{"data": {"global_subject_id": "G2", "niddk_no": "8", "passage_number": 9}}"#,
    );
    let mended = world
        .try_plan(
            "b",
            &["--detailed-exitcode", "--out", "mended.json", "--json"],
        )
        .exits(2)
        .json();
    let header = world
        .loader(&["show", "mended.json", "--format", "json"])
        .ok()
        .json();
    assert_eq!(
        (&mended["plan_hash"], &mended["summary"]),
        (&header["plan_hash"], &header["header"]["summary"])
    );
    let expected = json!({
        "status": "planned", "batch_id": "b", "plan_hash": header["plan_hash"], "plan": "mended.json", "records": 19,
        "summary": {"insert": 2, "update": 4, "delete": 0, "skip": 7, "violation": 8}, "blocking": 0, "rejected": 6,
    });
    assert_eq!(mended, expected);
    let mended = world.plan("b");
    assert_ne!(mended.hash(), plan.hash());
    world
        .apply(&mended)
        .ok()
        .says("2 inserted, 4 updated, 0 deleted");
    assert_eq!(
        world.rows("SELECT passage_number FROM lcl ORDER BY 1"),
        ["8", "9"]
    );
}
