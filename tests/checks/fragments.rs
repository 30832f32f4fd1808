//! Bad fragments: each a clear error or a violation, never a panic, never a record passed over.

use crate::support::{Run, World, gzip, number_from};

fn world() -> World {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, j jsonb, a int[])",
        "t: {natural_key: [id]}\ngone: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world
}

/// Plans a batch with one good object and this one.
fn plan(world: &World, batch: &str, name: &str, content: impl Into<Vec<u8>>) -> Run {
    world.put(batch, "t/good.json", r#"{"id": 1}"#);
    world.put(batch, name, content);
    world.try_plan(batch, &[])
}

#[test]
fn what_is_no_text_or_cut_off_is_an_error_that_names_object_and_place() {
    let world = world();
    let utf16: Vec<u8> = "{\"id\": 2}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let latin1 = b"{\"id\": 2, \"v\": \"caf\xe9\"}";
    let cut = gzip("{\"id\": 2, \"v\": \"text that is cut\"}");
    let repeated = r#"{"id": 2, "j": 1, "id": 2}"#;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("t/bad.json", b"not JSON".to_vec(), "line 1"),
        ("t/bad.json", b"{\"id\": 2".to_vec(), "ends too early"),
        ("t/bad.json", b"[{\"id\": 2},".to_vec(), "ends too early"),
        (
            "t/bad.json",
            b"{\"id\": 2, \"v\": \"\\u12\"}".to_vec(),
            "line 1",
        ),
        (
            "t/bad.ndjson",
            b"{\"id\": 2}\n{\"id\": 3\n".to_vec(),
            "line",
        ),
        ("t/bad.json", utf16, "t/bad.json"),
        ("t/bad.json", latin1.to_vec(), "UTF-8"),
        ("t/bad.csv", b"id,v\n2,caf\xe9\n".to_vec(), "UTF-8"),
        (
            "t/bad.json.gz",
            cut[..cut.len() - 6].to_vec(),
            "t/bad.json.gz",
        ),
        ("t/bad.json", repeated.into(), "\"id\""),
        (
            "t/bad.json",
            br#"{"data": {"id": 2}, "data": {"id": 3}}"#.to_vec(),
            "\"data\"",
        ),
        ("t/bad.csv", b"id,id\n1,2\n".to_vec(), "columns 1 and 2"),
        ("t/bad.json", b"[[{\"id\": 2}]]".to_vec(), "record 1"),
        ("t/bad.json", b"null".to_vec(), "t/bad.json"),
    ];
    for (i, (name, content, words)) in cases.into_iter().enumerate() {
        let run = plan(&world, &format!("b{i}"), name, content).exits(1);
        assert_eq!(run.stdout, "", "no plan comes of it");
        run.says(&format!("staging/b{i}/{name}")).says(words);
    }
}

#[test]
fn what_is_empty_says_so_and_loads_nothing() {
    let world = world();
    for (i, (name, content)) in [
        ("t/a.json", ""),
        ("t/a.json", " \n"),
        ("t/a.json", "[]"),
        ("t/a.csv", "id,v\n"),
        ("t/a.ndjson", "\n\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let run = plan(&world, &format!("b{i}"), name, content).ok();
        run.says("1 to insert");
    }
    // An empty object is a record without its key.
    let run = plan(&world, "e", "t/a.json", "[{}, {}]").ok();
    run.says("2 violations.");
    let run = plan(&world, "g", "t/a.json", "{\"data\": {}}").ok();
    run.says("violation");
    let run = plan(&world, "f", "t/a.json", "{}").ok();
    run.says("violation");
}

#[test]
fn a_thousand_levels_are_a_value_or_a_violation() {
    let world = world();
    let deep = |open: &str, inner: &str, close: &str| {
        [open.repeat(1_000), inner.into(), close.repeat(1_000)].concat()
    };
    let (objects, arrays) = (deep("{\"a\":", "1", "}"), deep("[", "", "]"));
    let records = format!(
        "{{\"id\": 2, \"j\": {objects}}}\n{{\"id\": 3, \"j\": {arrays}}}\n{{\"id\": 4, \"v\": {objects}}}\n{{\"id\": 5, \"a\": {arrays}}}\n"
    );
    world.put("b", "t.ndjson", records);
    let plan_file = world.plan("b");
    let lines: Vec<String> = plan_file
        .lines()
        .iter()
        .map(|l| l.chars().take(40).collect())
        .collect();
    assert!(lines[0].starts_with("+ t id=2: j="), "{lines:?}");
    assert!(lines[1].starts_with("+ t id=3: j="), "{lines:?}");
    assert_eq!(
        lines[2..],
        [
            "! t id=4: invalid_value v block",
            "! t id=5: invalid_value a block"
        ]
    );
    // A record a thousand levels down is no shape of records.
    plan(&world, "c", "t/bad.json", arrays.clone())
        .exits(1)
        .says("staging/c/t/bad.json");
    plan(&world, "d", "t/bad.json", format!("{{\"data\": {arrays}}}"))
        .exits(0)
        .says("violation");
}

/// With `FRAGMENTS_MEGABYTES=100` it is a hundred.
#[test]
fn many_megabytes_are_a_value_or_a_violation() {
    let world = world();
    world.set("LOADER_SOURCE", "in");
    world.set("LOADER_MAX_VALUE", "200MiB");
    let long = "x".repeat(number_from("FRAGMENTS_MEGABYTES", 20) as usize * (1 << 20));
    let bad = &long[..1 << 20];
    world.write(
        "in/staging/b/t/1.json",
        format!("{{\"id\": 2, \"v\": \"{long}\"}}"),
    );
    world.write("in/staging/b/t/2.json", format!("{{\"id\": \"{bad}\"}}"));
    let run = world.try_plan("b", &["--out", "plan.json"]).ok();
    run.says("1 to insert").says("1 violation.");
    let shown = world
        .loader(&["show", "plan.json", "--action", "violation"])
        .ok();
    assert!(shown.stdout.len() < 100_000, "{}", shown.stdout.len());
}

#[test]
fn tables_that_are_not_configured_or_do_not_exist() {
    let world = world();
    plan(&world, "a", "tt/1.json", "{\"id\": 2}")
        .exits(1)
        .says("table tt is not configured; did you mean t?");
    plan(&world, "b", "gone/1.json", "{\"id\": 2}")
        .exits(1)
        .says("table gone does not exist in the database");
    for id in ["../b", "a/b", "..", "b/", "a..b"] {
        let run = world
            .loader(&["plan", &format!("--batch-id={id}")])
            .exits(1);
        run.says("is not a batch id");
        world
            .loader(&["load", &format!("--batch-id={id}"), "--force"])
            .exits(1)
            .says("is not a batch id");
    }
}

#[test]
fn a_database_that_does_not_have_every_character_is_refused() {
    let world = world();
    let database = format!("{}_latin1", world.database);
    let url = world.url.replace(&world.database, &database);
    world.sql(&format!(
        "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    ));
    world.set("DATABASE_URL", &url);
    let run = plan(&world, "b", "t/1.json", "{\"id\": 2}").exits(1);
    run.says("the database's encoding is LATIN1; UTF8 is needed");
}
