//! The commands around plan and apply.

use super::world::with_batch;
use crate::support::World;

const BIOBANK: &str = include_str!("../../docs/biobank.sql");

pub fn biobank() -> World {
    let world = World::empty();
    world.sql(BIOBANK);
    std::fs::copy("tables.yaml", world.path("tables.yaml")).unwrap();
    world.call(&["migrate"]).run().exits(0);
    world
}

#[test]
fn graph_is_in_load_order() {
    let world = biobank();
    let text = world.call(&["graph"]).run().exits(0).stdout;
    assert!(text.starts_with("  1. subjects\n"), "{text}");
    assert!(
        text.contains("needs subjects (lcl_global_subject_id_fkey)"),
        "{text}"
    );
    let mermaid = world
        .call(&["graph", "--format", "mermaid"])
        .run()
        .exits(0)
        .stdout;
    assert!(
        mermaid.starts_with("flowchart LR\n  t0[\"subjects\"]"),
        "{mermaid}"
    );
    let dot = world
        .call(&["graph", "--format", "dot"])
        .run()
        .exits(0)
        .stdout;
    assert!(dot.contains("\"subjects\" -> \"dna\""), "{dot}");
    let json = world.call(&["graph", "--json"]).run().exits(0).json();
    assert_eq!(json["tables"][0], "subjects");
    world.write(
        "tables.yaml",
        "dna: {natural_key: [global_subject_id, sample_id]}\n",
    );
    world
        .call(&["graph"])
        .run()
        .exits(0)
        .says("needs subjects (dna_global_subject_id_fkey), which is not configured");
}

#[test]
fn graph_shows_a_cycle_and_says_so() {
    let world = World::empty();
    world.sql(
        "CREATE TABLE a (id text PRIMARY KEY, b text); CREATE TABLE b (id text PRIMARY KEY, a text REFERENCES a);
         ALTER TABLE a ADD CONSTRAINT back FOREIGN KEY (b) REFERENCES b",
    );
    world.write(
        "tables.yaml",
        "a: {natural_key: [id]}\nb: {natural_key: [id]}\n",
    );
    let ran = world.call(&["graph"]).run().exits(1);
    assert!(ran.stdout.contains("needs b (back)"), "{}", ran.stdout);
    ran.says("make one of these foreign keys DEFERRABLE");
}

#[test]
fn batches_tells_how_far_each_has_come() {
    let world = with_batch();
    world.write("source/staging/b2/subjects.csv", "gsid\nG7\n");
    world.write("source/staging/b2/validation_report.json", "{}");
    world.write(
        "source/staging/b3/subjects/a.json",
        r#"{"data": {"gsid": "G8"}}"#,
    );
    world.write("source/staging/b4/notes.txt", "?");
    world.write("source/staging/stray.json", "?");
    world.write("source/staging/b6 of März/subjects.csv", "gsid\nG7\n");
    world.write("source/staging/.git/subjects.csv", "gsid\nG7\n");
    world.sql(
        "INSERT INTO validation_queue (batch_id, table_name, s3_key, status) VALUES
           ('b1', 'subjects', 'staging/b1/subjects/frag_1.json', 'pending'),
           ('b2', 'subjects', 'staging/b2/subjects.csv', 'failed'),
           ('b5', 'subjects', 'staging/b5/subjects.csv', 'pending')",
    );
    let states = || {
        let run = world
            .call(&["batches", "--json"])
            .env("LOADER_QUEUE", "required");
        let json = run.run().exits(0).json();
        let batches = json["batches"].as_array().unwrap().clone();
        batches
            .iter()
            .map(|b| {
                format!(
                    "{} {}",
                    b["batch_id"].as_str().unwrap(),
                    b["state"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(
        states(),
        "b1 waiting, b2 failed validation, b3 not in the queue, b4 unreadable objects, b5 no fragments, \
         b6 of März no possible id"
    );
    let run = world
        .call(&["load", "--batch-id", "b1", "--force"])
        .env("LOADER_QUEUE", "required");
    run.run().exits(0);
    assert!(states().starts_with("b1 loaded, "), "{}", states());
    world
        .call(&["rollback", "--batch-id", "b1", "--force"])
        .run()
        .exits(0);
    assert!(states().starts_with("b1 rolled back, "), "{}", states());
    let one = world
        .call(&["batches", "--batch-id", "b2", "--json"])
        .env("LOADER_QUEUE", "required");
    let json = one.run().exits(0).json();
    assert_eq!(json["batches"].as_array().unwrap().len(), 1);
    assert_eq!(json["batches"][0]["tables"]["subjects"], 1);
    assert_eq!(json["batches"][0]["total_fragments"], 1);
    assert_eq!(json["batches"][0]["queue_status"][0]["count"], 1);
    let text = world
        .call(&["batches"])
        .env("LOADER_QUEUE", "required")
        .run()
        .exits(0)
        .stdout;
    assert!(text.contains("1 failed"), "{text}");
    a_half_loaded_batch_is_no_loaded_one(&world);
    let run = world.call(&["batches", "--prefix", "staging/"]);
    run.run()
        .exits(1)
        .says("does not say where the batch's id stands");
}

#[test]
fn what_is_delivered_after_a_load_is_seen_without_a_queue() {
    let world = with_batch();
    let state = || {
        let found = world.call(&["batches", "--json"]).run().exits(0).json();
        found["batches"][0]["state"].as_str().unwrap().to_owned()
    };
    let load = || {
        drop(
            world
                .call(&["load", "--batch-id", "b1", "--force"])
                .run()
                .exits(0),
        )
    };
    load();
    assert_eq!(state(), "loaded");
    world.write("source/staging/b1/subjects/late.json", r#"{"gsid": "G77"}"#);
    assert_eq!(state(), "partly loaded");
    load();
    assert_eq!(state(), "loaded");
}

/// What a batch is, its tables are.
fn a_half_loaded_batch_is_no_loaded_one(world: &World) {
    world.sql("CREATE TABLE other (id text PRIMARY KEY)");
    let tables =
        "subjects: {natural_key: [gsid], on_invalid: reject}\nother: {natural_key: [id]}\n";
    world.write("tables.yaml", tables);
    world.write("source/staging/b6/subjects/a.json", r#"{"gsid": "G20"}"#);
    world.write("source/staging/b6/other/a.json", r#"{"id": "x"}"#);
    let required = |args: &[&str]| {
        world
            .call(args)
            .env("LOADER_QUEUE", "required")
            .run()
            .exits(0)
    };
    world.sql(
        "INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES
           ('b6', 'subjects', 'staging/b6/subjects/a.json'), ('b6', 'other', 'staging/b6/other/a.json')",
    );
    let states = || {
        let found = required(&["batches", "--batch-id", "b6", "--json"]).json();
        let batch = &found["batches"][0];
        let of = |table: &str| batch["table_states"][table].as_str().unwrap().to_owned();
        (
            batch["state"].as_str().unwrap().to_owned(),
            of("subjects"),
            of("other"),
        )
    };
    let are = |batch: &str, subjects: &str, other: &str| {
        assert_eq!(
            states(),
            (batch.to_owned(), subjects.to_owned(), other.to_owned())
        );
    };
    are("waiting", "waiting", "waiting");
    required(&[
        "load",
        "--batch-id",
        "b6",
        "--table-name",
        "other",
        "--force",
    ]);
    are("partly loaded", "waiting", "loaded");
    let text = required(&["batches", "--batch-id", "b6"]).stdout;
    assert!(
        text.contains("partly loaded") && text.contains("subjects 1 (waiting)"),
        "{text}"
    );
    // A record that is left out is not loaded.
    world.write(
        "source/staging/b6/subjects/a.json",
        r#"[{"gsid": "G20"}, {"gsid": "G21", "age": 1}]"#,
    );
    required(&["load", "--batch-id", "b6", "--force"]);
    are("partly loaded", "partly loaded", "loaded");
    let logged = "SELECT table_name || ' ' || status FROM batch_load_log WHERE batch_id = 'b6' ORDER BY id DESC LIMIT 2";
    assert_eq!(world.rows(logged), ["subjects partial", "other success"]);
    world.write(
        "source/staging/b6/subjects/a.json",
        r#"[{"gsid": "G20"}, {"gsid": "G21"}]"#,
    );
    required(&["load", "--batch-id", "b6", "--force"]);
    are("loaded", "loaded", "loaded");
    // Nor is what was delivered since.
    world.write("source/staging/b6/other/b.json", r#"{"id": "y"}"#);
    world.sql("INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES ('b6', 'other', 'staging/b6/other/b.json')");
    are("partly loaded", "loaded", "partly loaded");
}

#[test]
fn load_is_plan_show_and_apply_in_one_step() {
    let world = with_batch();
    let load = || world.call(&["load", "--batch-id", "b1"]);
    load()
        .run()
        .exits(5)
        .says("nobody approved this plan")
        .says("loader load --batch-id b1 --approve sha256:");
    load()
        .args(&["--dry-run"])
        .run()
        .exits(0)
        .says("Nothing was written");
    assert_eq!(world.rows("SELECT count(*) FROM subjects"), ["1"]);
    load()
        .args(&["--out", "kept.json"])
        .run()
        .exits(5)
        .says("loader load --batch-id b1 --out kept.json --approve sha256:");
    let ran = load().args(&["--force"]).run().exits(0);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    ran.says("2 to insert, 1 to update")
        .says("Applied: 2 inserted, 1 updated");
    load().run().exits(0).says("0 to insert, 0 to update");
    assert_eq!(
        world.rows("SELECT gsid, sex FROM subjects ORDER BY 1"),
        ["G1|M", "G2|F", "G3|∅"]
    );
}

#[test]
fn load_of_a_batch_with_violations_is_refused() {
    let world = with_batch();
    world.write(
        "source/staging/b1/subjects/bad.json",
        r#"{"data": {"gsid": "G4", "age": 3}}"#,
    );
    let ran = world
        .call(&["load", "--batch-id", "b1", "--force"])
        .run()
        .exits(4);
    ran.says("not a column")
        .says("1 violation stands against applying it; nothing was written");
    assert_eq!(world.rows("SELECT count(*) FROM subjects"), ["1"]);
}

#[test]
fn the_json_result_of_load_has_the_originals_fields() {
    let world = with_batch();
    let json = world
        .call(&["load", "--batch-id", "b1", "--force", "--json"])
        .run()
        .exits(0)
        .json();
    for (field, value) in [
        ("batch_id", serde_json::json!("b1")),
        ("total_records", 3.into()),
        ("records_loaded", 2.into()),
        ("records_updated", 1.into()),
        ("records_skipped", 0.into()),
        ("errors", 0.into()),
    ] {
        assert_eq!(json[field], value, "{field}: {json}");
    }
    assert_eq!(json["tables"]["subjects"]["records_loaded"], 2);
    assert!(json["duration_seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn load_takes_the_originals_options() {
    let world = with_batch();
    world.sql("CREATE TABLE other (id text PRIMARY KEY)");
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid]}\nother: {natural_key: [id]}\n",
    );
    world.write("source/staging/b1/other/a.json", r#"{"data": {"id": "x"}}"#);
    let args = [
        "load",
        "--batch-id",
        "b1",
        "--table-name",
        "subjects",
        "--strategy",
        "insert_only",
    ];
    let ran = world
        .call(&args)
        .args(&["--batch-size", "500", "--force"])
        .run()
        .exits(0);
    ran.says("Applied: 2 inserted, 0 updated");
    assert_eq!(
        world.rows("SELECT gsid, sex FROM subjects ORDER BY 1"),
        ["G1|F", "G2|F", "G3|∅"]
    );
    assert_eq!(world.rows("SELECT count(*) FROM other"), ["0"]);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = world.bare(&["completions", shell]).run().exits(0).stdout;
        assert!(text.contains("rollback"), "{shell}");
    }
    world
        .bare(&["completions", "tcsh"])
        .run()
        .exits(1)
        .says("none of");
    world.bare(&["man"]).run().exits(0).says(".TH loader 1");
    world.bare(&["man", "pages"]).run().exits(0);
    for page in ["loader.1", "loader-plan.1", "loader-init.1"] {
        assert!(world.path("pages").join(page).exists(), "{page}");
    }
}

#[test]
fn the_demonstration_plays_to_its_end_whatever_is_set_around_it() {
    let world = World::empty();
    let run = world
        .bare(&["demo"])
        .env("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
        .env("REQUIRE_APPROVAL", "false")
        .env("DRY_RUN", "true");
    run.run()
        .exits(0)
        .says("immutable_field")
        .says("Applied already")
        .says("(exit code 3)")
        .says("The server and all its data are gone now.");
}
