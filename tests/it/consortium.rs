//! A registry's batches as they come: one CSV a table as pandas writes it, a report beside it, columns that no
//! table has. One configuration, no hand work, and what is left out is named once.

use std::path::{Path, PathBuf};

use crate::support::{Plan, World};

fn given() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consortium")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(given().join(name)).unwrap()
}

fn world() -> World {
    let world = World::in_folder(&read("schema.sql"), &read("tables.yaml"));
    world.set("LOADER_SOURCE", &given().join("bucket").to_string_lossy());
    world.set("LOADER_PREFIX", "staging/validated/{batch_id}/");
    world.set("LOADER_QUEUE", "off");
    world
}

/// The plan of a batch, which is applied, and after which a second plan has nothing to do.
fn load(world: &World, batch: &str) -> Plan {
    let plan = world.plan(batch);
    world.apply(&plan).ok();
    let again = world.plan(batch);
    assert_eq!(
        (again.count("insert"), again.count("update")),
        (0, 0),
        "{:?}",
        again.lines()
    );
    plan
}

/// How often a plan says something.
#[track_caller]
fn says(plan: &Plan, what: &str, times: usize) {
    let said = plan.stderr.matches(what).count();
    assert_eq!(said, times, "{what}: {}", plan.stderr);
}

const ANN: &str = "global_subject_id=\"GSID-0000000000000001\"";

#[test]
fn each_batch_loads_without_hand_work() {
    let world = world();
    // Columns that no table has, a report, and who created what.
    let plan = load(&world, "batch_20260301_010000");
    assert_eq!(
        plan.news(),
        [
            "~ specimen sample_id=S-1: project=null→\"alpha\" year_collected=null→\"2019-05-01\"",
            "+ specimen sample_id=S-2: global_subject_id=\"GSID-0000000000000002\" project=\"alpha\" \
             sample_available=\"f\" sample_type=\"plasma\" year_collected=null",
        ]
    );
    says(
        &plan,
        "note: specimen: center_name is no column and is not loaded: 2 records of ",
        1,
    );
    says(
        &plan,
        "note: specimen: consortium_id is not loaded, as staging/validated/",
        1,
    );
    says(&plan, "consortium_id", 1);
    assert_eq!(
        world.rows("SELECT DISTINCT created_by FROM local_subject_ids WHERE center_id IN (44, 8)"),
        ["first.csv"]
    );
    // Numbers as pandas writes them.
    let plan = load(&world, "batch_20260302_010000");
    assert_eq!(
        plan.lines(),
        [
            format!("+ lcl niddk_no=900001: {ANN} knumber=\"K00001\""),
            "+ lcl niddk_no=900002: global_subject_id=\"GSID-0000000000000002\" knumber=\"K00002\""
                .into(),
        ]
    );
    // A specimen without its subject.
    let plan = load(&world, "batch_20260303_010000");
    assert_eq!(
        plan.lines(),
        [
            format!("+ specimen sample_id=S-3: {ANN} project=\"alpha\" sample_type=\"stool\""),
            "! specimen sample_id=S-4: required_field global_subject_id reject".into(),
        ]
    );
    // An identifier that moved to another center leaves no stale row behind.
    let plan = load(&world, "batch_20260304_010000");
    let heads: Vec<String> = (plan.lines().into_iter())
        .map(|line| line.split(':').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        heads,
        [
            "+ local_subject_ids center_id=42 identifier_type=consortium_id local_subject_id=P-002",
            "- local_subject_ids center_id=8 identifier_type=consortium_id local_subject_id=P-002",
        ]
    );
    // An immutable field that is no column.
    let plan = load(&world, "batch_20260306_010000");
    says(
        &plan,
        "note: genotype: immutable_fields: created_by is not a column of the table",
        1,
    );
    // Words for null, yes and no; a bare year is no date.
    let plan = load(&world, "batch_20260312_010000");
    assert_eq!(
        plan.lines(),
        [
            format!(
                "+ specimen sample_id=S-20: {ANN} project=\"a\" sample_available=\"t\" sample_type=\"stool\" \
                 year_collected=\"2019-05-01\""
            ),
            "! specimen sample_id=S-21: invalid_value year_collected reject".into(),
            "! specimen sample_id=S-22: invalid_value year_collected reject".into(),
            "! specimen sample_id=S-23: invalid_value year_collected reject".into(),
            format!(
                "+ specimen sample_id=S-24: {ANN} project=null sample_available=null sample_type=\"stool\" \
                 year_collected=null"
            ),
            "! specimen sample_id=S-25: missing_parent global_subject_id reject".into(),
            "! specimen sample_id=S-26: duplicate_key reject".into(),
            "! specimen sample_id=S-26: duplicate_key reject".into(),
        ]
    );
    let found = world.loader(&["batches", "--json"]).ok().json();
    let states: Vec<&str> = (found["batches"].as_array().unwrap().iter())
        .map(|b| b["state"].as_str().unwrap())
        .collect();
    let (all, part, none) = ("loaded", "partly loaded", "waiting");
    assert_eq!(states, [all, all, part, all, all, part, none, none]);
}

#[test]
fn an_emptied_cell_empties_its_column_only_where_that_is_said() {
    let world = world();
    assert_eq!(
        world.plan("batch_20260313_010000").news(),
        ["~ specimen sample_id=S-1: project=null→\"alpha\""]
    );
    let tables =
        read("tables.yaml").replace("defaults:\n", "defaults:\n  conflict_resolution: replace\n");
    world.configure(&tables);
    assert_eq!(
        world.plan("batch_20260313_010000").news(),
        ["~ specimen sample_id=S-1: project=null→\"alpha\" sample_type=\"stool\"→null"]
    );
}

#[test]
fn what_columns_would_lose_is_refused() {
    let world = world();
    world.sql(&read("lossy.sql"));
    world.configure(&read("lossy.yaml"));
    let lines = world.plan("batch_20260316_010000").lines();
    for column in ["d", "ts", "t", "vc"] {
        let line = format!("! lossy id=1: invalid_value {column} block");
        assert!(lines.contains(&line), "{lines:?}");
    }
}

#[test]
fn the_configuration_in_use_is_told_what_is_wrong_with_it() {
    let world = world();
    world.configure(&read("as_theirs.json"));
    world
        .try_plan("batch_20260306_010000", &[])
        .exits(1)
        .says("tables.yaml: 3:43: natural_key: sample_id is not a column of genotype");
}
