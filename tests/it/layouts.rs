//! Where batches lie is a setting, for planning and for listing them.

use crate::support::World;

fn world(prefix: &str) -> World {
    let world = World::in_folder(
        "CREATE TABLE lcl (id text PRIMARY KEY); CREATE TABLE dna (id text PRIMARY KEY)",
        "lcl: {natural_key: [id]}\ndna: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.set("LOADER_PREFIX", prefix);
    world
}

/// Batches `b1` and `b2` of both tables, at these places.
#[track_caller]
fn both_load(prefix: &str, places: [&str; 4]) {
    let world = world(prefix);
    for (i, place) in places.iter().enumerate() {
        world.write(&format!("source/{place}"), format!("id\n{i}\n"));
    }
    world.write("source/other/file.txt", "no batch");
    assert_eq!(
        world.plan("b1").lines(),
        ["+ dna id=1", "+ lcl id=0"],
        "{prefix}"
    );
    world.loader(&["load", "--batch-id", "b2", "--force"]).ok();
    let found = world.loader(&["batches", "--json"]).ok().json();
    let states: Vec<String> = (found["batches"].as_array().unwrap().iter())
        .map(|b| {
            format!(
                "{} {} {}",
                b["batch_id"].as_str().unwrap(),
                b["state"].as_str().unwrap(),
                b["total_fragments"]
            )
        })
        .collect();
    assert_eq!(states, ["b1 waiting 2", "b2 loaded 2"], "{prefix}");
    let one = world
        .loader(&["batches", "--batch-id", "b2", "--json"])
        .ok()
        .json();
    assert_eq!(one["batches"][0]["tables"]["lcl"], 1, "{prefix}");
}

#[test]
fn a_table_is_the_name_of_a_file_or_of_a_folder_anywhere() {
    both_load(
        "staging/validated/{batch_id}/",
        [
            "staging/validated/b1/lcl.csv",
            "staging/validated/b1/dna/1.csv",
            "staging/validated/b2/lcl/x/1.csv",
            "staging/validated/b2/dna.csv",
        ],
    );
    both_load(
        "{table}/{batch_id}",
        [
            "lcl/b1/1.csv",
            "dna/b1/1.csv",
            "lcl/b2/1.csv",
            "dna/b2/x/1.csv",
        ],
    );
    both_load(
        "x/{table}/batch={batch_id}/",
        [
            "x/lcl/batch=b1/1.csv",
            "x/dna/batch=b1/1.csv",
            "x/lcl/batch=b2/1.csv",
            "x/dna/batch=b2/1.csv",
        ],
    );
    both_load(
        "x/{batch_id}/data_{table}.csv",
        [
            "x/b1/data_lcl.csv",
            "x/b1/data_dna.csv",
            "x/b2/data_lcl.csv",
            "x/b2/data_dna.csv",
        ],
    );
}

#[test]
fn what_lies_otherwise_is_named_and_what_is_no_pattern_refused() {
    let world = world("x/{batch_id}/data_{table}.csv");
    world.write("source/x/b1/data_lcl.csv", "id\n1\n");
    world.write("source/x/b1/lcl.csv", "id\n2\n");
    world
        .try_plan("b1", &[])
        .exits(1)
        .says("x/b1/lcl.csv: it is not below x/b1/data_{table}.csv, as the prefix says");
    let found = world.loader(&["batches", "--json"]).ok().json();
    assert_eq!(found["batches"][0]["unknown_objects"], 1);
    for (prefix, says) in [
        (
            "x/{batch}/",
            "the prefix \"x/{batch}/\": {batch} is neither {batch_id} nor {table}",
        ),
        (
            "{table}-{batch_id}/",
            "{batch_id} and {table} stand in one name; put a slash between them",
        ),
    ] {
        world
            .try_plan("b1", &["--prefix", prefix])
            .exits(1)
            .says(says);
        world
            .loader(&["batches", "--prefix", prefix])
            .exits(1)
            .says(says);
    }
    world
        .loader(&["batches", "--prefix", "x/{table}/"])
        .exits(1)
        .says("does not say where the batch's id stands");
}
