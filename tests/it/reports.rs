//! The validator's report beside the fragments is obeyed.

use crate::support::World;

fn world() -> World {
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY, v text, w text); CREATE TABLE u (id text PRIMARY KEY)",
        "t: {natural_key: [id]}\nu: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.csv", "id,v,w,x\na,1,2,3\nb,1,2,3\n");
    world.put("b", "u.csv", "id\na\n");
    world
}

fn report(world: &World, content: &str) {
    world.put("b", "validation_report.json", content);
}

#[test]
fn what_passes_is_loaded_without_what_is_excluded() {
    let world = world();
    report(
        &world,
        r#"{"status": "VALIDATED", "batch_id": "b", "table_name": "t", "row_count": 2, "exclude_from_load": ["x", "w"], "by": "him"}"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        ["+ t id=a: v=\"1\"", "+ t id=b: v=\"1\"", "+ u id=a"]
    );
    let note = "note: t: x, w are not loaded, as staging/b/validation_report.json says (exclude_from_load)";
    assert_eq!(plan.stderr.matches(note).count(), 1, "{}", plan.stderr);
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("exclude_from_load"), "{shown}");
    world.apply(&plan).ok();
    // Of other tables nothing is said.
    report(
        &world,
        r#"{"status": "VALIDATED", "table_name": "u", "row_count": 1, "exclude_from_load": []}"#,
    );
    assert!(world.plan("b").lines()[0].contains("unknown_field x"));
    world.plan_with("b", &["--table-name", "u"]);
}

#[test]
fn what_does_not_pass_is_refused() {
    let world = world();
    for (content, code, says) in [
        (
            r#"{"status": "FAILED"}"#,
            4,
            "the validator's report says \"FAILED\", and what passes is VALIDATED",
        ),
        (r#"{"status": "validated"}"#, 4, "says \"validated\""),
        ("{}", 4, "the validator's report has no status"),
        (
            r#"{"status": "VALIDATED", "table_name": "t", "row_count": 3}"#,
            4,
            "row_count is 3, and the fragments of t hold 2 records",
        ),
        (
            r#"{"status": "VALIDATED", "row_count": 2}"#,
            4,
            "row_count is 2, and the batch's fragments hold 3 records",
        ),
        (
            r#"{"status": "VALIDATED", "batch_id": "c"}"#,
            1,
            "it is the report of batch \"c\", and its path says b",
        ),
        (
            r#"{"status": "VALIDATED", "table_name": "z"}"#,
            1,
            "it is about table \"z\", of which the batch has no fragment",
        ),
        (
            r#"{"status": "VALIDATED", "exclude_from_load": ["id"]}"#,
            1,
            "exclude_from_load names id, by which rows are found in t",
        ),
        (
            r#"{"status": "VALIDATED", "row_count": "2"}"#,
            1,
            "it is not a validator's report: invalid type: string \"2\", expected u64 at line 1 column 40",
        ),
        ("no JSON", 1, "it is not a validator's report"),
    ] {
        report(&world, content);
        world
            .try_plan("b", &[])
            .exits(code)
            .says("staging/b/validation_report.json")
            .says(says);
    }
    let run = world.try_plan("b", &["--validation-report", "off"]).ok();
    assert!(run.stdout.contains("unknown_field"));
}

#[test]
fn settings_say_whether_there_must_be_one_and_what_passes() {
    let world = world();
    world.try_plan("b", &[]).ok();
    world
        .try_plan("b", &["--validation-report", "required"])
        .exits(4)
        .says("there is no validation_report.json beside the fragments of batch b")
        .says("--validation-report off");
    report(&world, r#"{"status": "PASSED"}"#);
    world
        .try_plan(
            "b",
            &[
                "--validation-report",
                "required",
                "--validation-status",
                "VALIDATED,PASSED",
            ],
        )
        .ok();
    world
        .loader_with(
            &["plan", "--batch-id", "b"],
            &[("LOADER_VALIDATION_STATUS", "PASSED")],
        )
        .ok();
    world
        .loader_with(
            &["plan", "--batch-id", "b"],
            &[("LOADER_VALIDATION_REPORT", "maybe")],
        )
        .exits(1)
        .says("LOADER_VALIDATION_REPORT is \"maybe\", which is none of required, if-present, off");
    world
        .call(&["load", "--batch-id", "b", "--force"])
        .run()
        .exits(4)
        .says("PASSED");
}

/// What is excluded is not loaded, whether it is called by its field or by its column; what rows are found by cannot be.
#[test]
fn what_is_excluded_is_not_loaded_whatever_it_is_called() {
    for (names, code, says) in [
        (r#"["ssn"]"#, 0, "ssn is not loaded"),
        (r#"["SSN"]"#, 0, "SSN is not loaded"),
        (
            r#"["ID"]"#,
            1,
            "exclude_from_load names ID, by which rows are found in t",
        ),
        (
            r#"["p"]"#,
            1,
            "exclude_from_load names p, by which p is looked up in t",
        ),
        (
            r#"["place"]"#,
            1,
            "exclude_from_load names place, by which p is looked up in t",
        ),
    ] {
        let world = World::new(
            "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE); INSERT INTO p VALUES (1, 'S1'); \
             CREATE TABLE t (id int PRIMARY KEY, ssn text, p int REFERENCES p)",
            "p: {natural_key: [code]}\n\
             t: {natural_key: [id], columns: {SSN: ssn, ID: id}, references: {p: {table: p, by: {code: place}}}}",
        );
        world.deliver("b", "t.csv", "ID,SSN,place\n1,123-45,S1\n");
        report(
            &world,
            &format!(r#"{{"status": "VALIDATED", "exclude_from_load": {names}}}"#),
        );
        let run = world.try_plan("b", &[]).exits(code).says(says);
        assert!(!run.stdout.contains("123-45"), "{names}: {run}");
    }
}

/// What a load goes by cannot be excluded, nor what is only nearly the name of a field.
#[test]
fn what_a_load_goes_by_cannot_be_excluded() {
    for (names, says) in [
        (
            "site",
            "exclude_from_load names site, by which it is said what a delivery is all of (complete) in t",
        ),
        (
            "v",
            "exclude_from_load names v, by which records are judged (required_fields) in t",
        ),
        (
            "SSN",
            "exclude_from_load names SSN, which is no field of t; the same name is written ssn there",
        ),
    ] {
        let world = World::new(
            "CREATE TABLE t (k text PRIMARY KEY, site text, v text, ssn text); INSERT INTO t VALUES ('z', 'lyn', 'x', '1')",
            "t: {natural_key: [k], complete: {where: {site: lyn}}, required_fields: [v], limits: {delete: 9}}",
        );
        world.deliver(
            "b",
            "t.json",
            r#"{"k": "a", "site": "lyn", "v": "y", "ssn": "2"}"#,
        );
        report(
            &world,
            &format!(r#"{{"status": "VALIDATED", "exclude_from_load": ["{names}"]}}"#),
        );
        world
            .loader(&["plan", "--batch-id", "b"])
            .exits(1)
            .says(says);
    }
}
