//! What a delivery may look like, and that each record in it is stored as it was sent.

use crate::support::World;

fn world(columns: &str, table: &str) -> World {
    let world = World::new(
        &format!("CREATE TABLE t (id int PRIMARY KEY, {columns})"),
        &format!("t: {{natural_key: [id]{table}}}"),
    );
    world.set("LOADER_QUEUE", "off");
    world
}

#[test]
fn a_column_of_the_table_is_no_envelope() {
    let lims = r#"{"id": 1, "source": "lims", "data": {"id": 77}}"#;
    let kept = ["1|lims|{\"id\": 77}"];
    let world = world("source text, data jsonb", "");
    world.put("b", "t/1.json", lims);
    world.apply(&world.plan("b")).ok();
    assert_eq!(world.rows("SELECT id, source, data FROM t"), kept);

    world.configure("t: {natural_key: [id], envelope: data}");
    world.put("c", "t/1.json", lims);
    assert_eq!(world.plan("c").lines(), ["+ t id=77"]);
    world.configure("t: {natural_key: [id], envelope: true}");
    world
        .try_plan("c", &[])
        .exits(1)
        .says("false, or the name of the field that holds the record or the records");
}

#[test]
fn fields_of_a_record_beside_it_are_no_envelope() {
    let world = world("source text", "");
    let lims = r#"{"id": 1, "source": "lims", "data": {"id": 77}}"#;
    world.put("b", "t/1.json", lims);
    world.try_plan("b", &["--out", "plan.json"]).ok();
    let shown = world.loader(&["show", "plan.json"]).ok().stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("`envelope: data` in tables.yaml"), "{shown}");
    world.configure("t: {natural_key: [id], envelope: data}");
    assert_eq!(world.plan("b").lines(), ["+ t id=77"]);
    world.configure("t: {natural_key: [id], envelope: false, ignore_fields: [data]}");
    assert_eq!(world.plan("b").lines(), ["+ t id=1: source=\"lims\""]);
}

#[test]
fn records_with_and_without_envelope_do_not_mix() {
    let world = world("v text", "");
    world.put("b", "t/1.ndjson", "{\"id\": 1}\n{\"data\": {\"id\": 2}}\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("staging/b/t/1.ndjson: record 1, line 2")
        .says("tables.yaml (`envelope`)");
}

#[test]
fn a_wrapper_of_any_name_is_a_setting() {
    let world = world("v text", ", envelope: 3166-1");
    world.put(
        "b",
        "t/1.json",
        r#"{"3166-1": [{"id": 1, "v": "NA"}, {"id": 2}]}"#,
    );
    assert_eq!(world.plan("b").lines(), ["+ t id=1: v=\"NA\"", "+ t id=2"]);
}
