//! Where batches come from, and all that can be wrong with them.

use std::time::Duration;

use crate::support::s3::fault::{Fault, Operation, Refusal};
use crate::support::world::BUCKET;
use crate::support::{World, gzip};

fn world() -> World {
    let world = World::new(
        "CREATE TABLE subjects (id int PRIMARY KEY, v text)",
        "subjects: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world
}

/// Plans a batch with one object, which must be refused with exit code 1 and these words.
#[track_caller]
fn refused(name: &str, content: impl Into<Vec<u8>>, words: &[&str]) {
    let world = world();
    world.put("b", "subjects/good.json", r#"{"id": 1}"#);
    world.put("b", name, content);
    let run = world.try_plan("b", &[]).exits(1);
    assert_eq!(run.stdout, "", "no plan comes of it");
    words.iter().fold(run, |run, word| run.says(word));
}

#[test]
fn a_folder_is_as_good_as_a_bucket() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"data": {"id": 1, "v": "x"}}"#);
    world.put("b", "subjects.csv.gz", gzip("id,v\n2,y\n"));
    let from_bucket = world.plan("b").lines();
    world.write(
        "in/staging/b/subjects/1.json",
        r#"{"data": {"id": 1, "v": "x"}}"#,
    );
    world.write("in/staging/b/subjects.csv.gz", gzip("id,v\n2,y\n"));
    world.write("in/staging/b/.hidden", "");
    let plan = world.plan_with("b", &["--source", "in"]);
    assert_eq!(plan.lines(), from_bucket);
    assert_eq!(plan.lines().len(), 2);
    assert!(plan.json()["fragments"][0].get("etag").is_none());
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, v FROM subjects ORDER BY 1"),
        ["1|x", "2|y"]
    );
    world
        .try_plan("b", &["--source", "nowhere"])
        .exits(1)
        .says("nowhere");
    // Another place below the root.
    world.write("in/ready/c/subjects/1.json", r#"{"id": 3}"#);
    let plan = world.plan_with("c", &["--source", "in", "--prefix", "ready/{batch_id}"]);
    assert_eq!(plan.lines(), ["+ subjects id=3"]);
    assert!(!plan.text.contains("has no {batch_id}"));
    // What does not depend on the batch's id says so.
    let plan = world.plan_with("other", &["--source", "in", "--prefix", "ready/c"]);
    assert_eq!(plan.lines(), ["+ subjects id=3"]);
    assert!(
        plan.text
            .contains(r#"the prefix \"ready/c\" has no {batch_id}"#)
    );
}

/// A key may have any character, also those that XML, in which a store lists them, has no way to write.
#[test]
fn objects_have_any_name() {
    let world = world();
    let names = ["a b", "a+b", "a%2Bb", "ä&<", "\u{1}\u{7f}", "=?#"];
    for (id, name) in names.iter().enumerate() {
        let record = format!(r#"{{"id": {id}}}"#);
        world.put("b", &format!("subjects/{name}.json"), record.clone());
        world.put(&format!("b{id}"), &format!("subjects/{name}.json"), record);
    }
    let plan = world.plan("b");
    assert_eq!(plan.lines().len(), names.len());
    let read = plan.json();
    let read = read["fragments"].as_array().unwrap().iter();
    let mut read: Vec<&str> = read.map(|f| f["key"].as_str().unwrap()).collect();
    let mut keys = names.map(|name| format!("staging/b/subjects/{name}.json"));
    read.sort_unstable();
    keys.sort();
    assert_eq!(read, keys);
    let batches = world.loader(&["batches", "--json"]).ok();
    for id in 0..names.len() {
        assert!(batches.stdout.contains(&format!("\"b{id}\"")));
    }
}

#[test]
fn a_bucket_may_be_named_as_the_original_did() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    world.unset("LOADER_SOURCE");
    world.try_plan("b", &[]).exits(1).says("S3_BUCKET");
    world.set("S3_BUCKET", BUCKET);
    assert_eq!(world.plan("b").lines(), ["+ subjects id=1"]);
}

#[test]
fn a_batch_that_is_not_there_is_an_error_that_says_where_it_was_looked_for() {
    let world = world();
    world.put("b10", "subjects/1.json", r#"{"id": 1}"#);
    let run = world.try_plan("b1", &[]).exits(1);
    run.says("no fragments of batch b1 at s3://fragments/staging/b1/");
}

#[test]
fn batch_ids_that_lead_elsewhere_are_refused() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    world.s3().put(BUCKET, "x/subjects/1.json", r#"{"id": 1}"#);
    for id in [
        "../x",
        "..",
        ".",
        "",
        "a/../../x",
        "b/",
        "/b",
        "a b",
        "b\n",
        "%2e%2e",
        "b'",
        "{batch_id}",
        "-b",
        "b..c",
        &"b".repeat(201),
    ] {
        world
            .loader(&["plan", &format!("--batch-id={id}")])
            .exits(1)
            .says("is not a batch id");
    }
    world.put("B-1.x_2", "subjects/1.json", r#"{"id": 1}"#);
    assert_eq!(world.plan("B-1.x_2").lines().len(), 1);
}

#[test]
fn a_table_that_is_not_configured_is_named_with_the_nearest_that_is() {
    refused(
        "subject/1.json",
        "{}",
        &[
            "table subject is not configured; did you mean subjects?",
            "tables.yaml",
        ],
    );
}

#[test]
fn objects_that_are_no_fragments_are_named_and_not_passed_over() {
    refused(
        "subjects/readme.txt",
        "x",
        &["staging/b/subjects/readme.txt", "--ignore"],
    );
    refused("_SUCCESS", "", &["staging/b/_SUCCESS"]);
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    world.put("b", "_SUCCESS", "");
    world.put("b", "validation_report.json", "no JSON at all");
    world.put("b", "subjects/.x.json", "{");
    world.put("b", "subjects/", "");
    assert_eq!(
        world
            .plan_with(
                "b",
                &[
                    "--ignore",
                    "_SUCCESS,validation_report.json",
                    "--validation-report",
                    "off"
                ]
            )
            .lines(),
        ["+ subjects id=1"]
    );
}

#[test]
fn objects_that_cannot_be_read_are_named_with_the_place() {
    let key = "staging/b/subjects/bad.json";
    refused("subjects/bad.json", "<xml/>", &[key, "line 1"]);
    refused(
        "subjects/bad.json",
        r#"{"data": {"id": 2"#,
        &[key, "the text ends too early"],
    );
    refused(
        "subjects/bad.json",
        r#"{"data": {"id": 2, "v": "a", "id": 3}}"#,
        &[key, "\"id\""],
    );
    refused("subjects/bad.json", r#"[{"id": 2}, 7]"#, &[key, "record 2"]);
    refused("subjects/bad.json", "\"text\"", &[key]);
    refused("subjects/bad.json", r#"{"id": 01}"#, &[key]);
    refused("subjects/bad.json", r#"{"id": 2} trailing"#, &[key]);
    refused(
        "subjects/bad.json",
        b"{\"id\": 2, \"v\": \"\xff\"}".as_slice(),
        &[key, "UTF-8"],
    );
    refused(
        "subjects/bad.csv",
        "id,v\n1,x,y\n",
        &["staging/b/subjects/bad.csv", "line 2"],
    );
    refused(
        "subjects/bad.csv",
        "id,id\n1,2\n",
        &["staging/b/subjects/bad.csv", "columns 1 and 2"],
    );
    refused(
        "subjects/bad.json.gz",
        "not compressed",
        &["staging/b/subjects/bad.json.gz", "decompress"],
    );
    let whole = gzip(r#"{"id": 2, "v": "some more text"}"#);
    refused(
        "subjects/bad.json.gz",
        &whole[..whole.len() - 9],
        &["staging/b/subjects/bad.json.gz"],
    );
}

#[test]
fn all_unreadable_objects_are_named_in_one_run() {
    let world = world();
    for i in 0..3 {
        world.put("b", &format!("subjects/{i}.json"), "{");
    }
    world.put("b", "subjects/9.json", r#"{"id": 1}"#);
    let run = world.try_plan("b", &["--json"]).exits(1);
    let message = run.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(run.json()["reason"], "source");
    for i in 0..3 {
        assert!(
            message.contains(&format!("staging/b/subjects/{i}.json")),
            "{message}"
        );
    }
    assert!(message.contains("3 of 4 objects"), "{message}");
}

#[test]
fn a_fragment_that_names_another_table_or_batch_than_its_path_is_refused() {
    refused(
        "subjects/bad.json",
        r#"{"table_name": "specimen", "data": {"id": 2}}"#,
        &["staging/b/subjects/bad.json", "specimen"],
    );
    refused(
        "subjects/bad.json",
        r#"{"data": {"id": 2}, "batch_id": "batch_7"}"#,
        &["staging/b/subjects/bad.json", "batch_7"],
    );
    refused(
        "subjects/bad.ndjson",
        "{\"data\": {\"id\": 2}, \"batch_id\": \"b\"}\n{\"data\": {\"id\": 3}, \"batch_id\": \"b2\"}\n",
        &["record 2", "b2"],
    );
}

#[test]
fn an_object_without_records_is_no_error() {
    let world = world();
    world.put("b", "subjects/1.json", "[]");
    world.put("b", "subjects/2.csv", "id,v\n");
    world.put("b", "subjects/3.json", "");
    let plan = world.plan("b");
    assert_eq!(plan.lines(), [""; 0]);
    assert_eq!(plan.json()["fragments"].as_array().unwrap().len(), 3);
}

#[test]
fn a_store_that_is_busy_is_asked_again() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    for operation in [Operation::List, Operation::Get] {
        for refusal in [Refusal::SlowDown, Refusal::InternalError] {
            world.s3().forget_requests();
            world.s3().inject(Fault::Refuse {
                operation,
                refusal,
                times: 2,
            });
            assert_eq!(world.plan("b").lines(), ["+ subjects id=1"]);
            assert_eq!(world.s3().count(operation), 3, "{operation:?}");
        }
    }
}

#[test]
fn a_store_that_refuses_is_named() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    let deny = |operation| Fault::Refuse {
        operation,
        refusal: Refusal::AccessDenied,
        times: u32::MAX,
    };
    world.s3().inject(deny(Operation::List));
    world
        .try_plan("b", &[])
        .exits(1)
        .says("AccessDenied")
        .says("s3://fragments");
    world.s3().heal();
    world.s3().inject(deny(Operation::Get));
    world
        .try_plan("b", &[])
        .exits(1)
        .says("AccessDenied")
        .says("s3://fragments/staging/b/subjects/1.json");
    world.s3().heal();
    world
        .try_plan("b", &["--source", "s3://no-such-bucket"])
        .exits(1)
        .says("NoSuchBucket")
        .says("no-such-bucket");
    world.set("AWS_SECRET_ACCESS_KEY", "wrong");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("SignatureDoesNotMatch");
    world.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    world.try_plan("b", &[]).exits(1).says("fragments");
}

#[test]
fn a_body_that_is_cut_is_read_again() {
    let world = world();
    world.put(
        "b",
        "subjects/1.json",
        format!(r#"{{"id": 1, "v": "{}"}}"#, "x".repeat(500_000)),
    );
    world.s3().inject(Fault::CutBody {
        bucket: BUCKET.into(),
        key: "staging/b/subjects/1.json".into(),
    });
    let plan = world.plan("b");
    assert_eq!(plan.count("insert"), 1);
    assert!(world.s3().count(Operation::Get) > 1);
    world.apply(&plan).ok();
    assert_eq!(world.value("SELECT length(v) FROM subjects"), "500000");
}

#[test]
fn an_object_that_changes_or_goes_after_it_was_listed_is_noticed() {
    for content in [Some(r#"{"id": 2}"#.into()), None] {
        let world = world();
        world.put("b", "subjects/1.json", r#"{"id": 1}"#);
        world.s3().inject(Fault::ChangeAfterListing {
            bucket: BUCKET.into(),
            key: "staging/b/subjects/1.json".into(),
            content,
        });
        world
            .try_plan("b", &[])
            .exits(1)
            .says("staging/b/subjects/1.json")
            .says("changed between listing and reading");
    }
}

#[test]
fn a_slow_store_is_waited_for() {
    let world = world();
    for i in 0..40 {
        world.put(
            "b",
            &format!("subjects/{i}.json"),
            format!("{{\"id\": {i}}}"),
        );
    }
    world.s3().inject(Fault::Delay(Duration::from_millis(300)));
    let started = std::time::Instant::now();
    assert_eq!(world.plan("b").count("insert"), 40);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "40 objects are not read one after the other"
    );
}

#[test]
fn apply_needs_neither_the_store_nor_the_configuration() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    std::fs::remove_file(world.path("tables.yaml")).unwrap();
    world.set("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    world.unset("LOADER_SOURCE");
    world.apply(&plan).ok();
}

#[test]
fn configuration_errors_name_file_line_and_what_was_meant() {
    let world = world();
    world.put("b", "subjects/1.json", r#"{"id": 1}"#);
    for (yaml, words) in [
        (
            "subjects:\n  natural_key: [id]\n  update_stratgy: upsert\n",
            ["tables.yaml", "line 3", "update_strategy"],
        ),
        (
            "subjects:\n  natural_key: [ident]\n",
            ["tables.yaml: 2:17", "ident", "id"],
        ),
        (
            "subjects:\n  natural_key: [id]\n  update_strategy: upset\n",
            ["tables.yaml", "line 3", "upsert"],
        ),
        (
            "subjects: {natural_key: []}",
            ["tables.yaml", "subjects", "natural_key"],
        ),
        (
            "subjects: {natural_key: [id]}\nsubjects: {natural_key: [v]}",
            ["tables.yaml", "subjects", "twice"],
        ),
        (
            "subjects: {natural_key: [id]",
            ["tables.yaml", "line", "column"],
        ),
    ] {
        world.configure(yaml);
        let run = world.try_plan("b", &[]).exits(1);
        words.iter().fold(run, |run, word| run.says(word));
    }
}
