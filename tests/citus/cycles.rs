//! The whole of a life cycle: plans are those of plain tables, rows become what they become there, and are put back.

use crate::cluster::{Cluster, rows};
use crate::shop::{self, CONFIG, DELETES, NAMES};
use crate::support::server::connect;
use crate::support::{World, number_from};

/// A world without shards.
fn plain(n: u64) -> World {
    let world = World::in_folder(&shop::schema(false, n), CONFIG);
    world.set("LOADER_QUEUE", "off");
    world
}

#[test]
fn a_life_cycle_is_that_of_plain_tables() {
    let n = number_from("CITUS_RECORDS", 1_000);
    let of_shards = Cluster::shared().world(&shop::schema(true, n), CONFIG);
    let worlds = [plain(n), of_shards];
    let mut told = Vec::new();
    for world in &worlds {
        world.set("MAX_RECORDS_PER_BATCH", "10000000");
        let before = world.with(|client| rows(client, &NAMES));
        shop::deliver(world, "b", n);
        let plan = world.plan_with("b", &DELETES);
        world.check(&plan).ok();
        world.apply(&plan).ok();
        let after = world.with(|client| rows(client, &NAMES));
        shop::nothing_is_left(world);
        let shown = world.loader(&["audit", "--batch-id", "b", "--table", "carriers"]);
        let shown = shown.ok().says("ship");
        assert!(shown.stdout.contains("post"), "{shown}");
        let history = world.loader(&["history"]).ok();
        assert!(history.stdout.contains('b'));
        let audit = world.loader(&["audit", "--batch-id", "b", "--json"]).ok();
        world
            .loader(&[
                "rollback",
                "--batch-id",
                "b",
                "--force",
                "--max-deletes",
                "100%",
            ])
            .ok();
        let back = world.with(|client| rows(client, &NAMES));
        // New rows of a table whose deletes only mark stay, marked.
        let stays = |row: &&String| !(row.starts_with("notes") && row.contains("\"gone\":true"));
        let back: Vec<&String> = back.iter().filter(stays).collect();
        let before: Vec<&String> = before.iter().filter(stays).collect();
        assert_eq!(back, before);
        told.push((plan.entries(), after, audit.stdout.lines().count()));
    }
    let [
        (plain, plain_rows, plain_audit),
        (sharded, sharded_rows, audit),
    ] = told.as_slice()
    else {
        panic!("two worlds");
    };
    assert!(plain.len() as u64 > n);
    assert_eq!(plain, sharded);
    let written = |rows: &[String]| -> Vec<String> {
        let rows = rows.iter().map(|row| without_numbers(row));
        rows.collect()
    };
    assert_eq!(written(plain_rows), written(sharded_rows));
    assert_eq!(plain_audit, audit);
}

/// A row without what the database gives by itself.
fn without_numbers(row: &str) -> String {
    let (table, json) = row.split_once(' ').unwrap();
    let mut row: serde_json::Value = serde_json::from_str(json).unwrap();
    let values = row.as_object_mut().unwrap();
    values.remove("id");
    if values.contains_key("updated_at") && !values["updated_at"].is_null() {
        values.insert("updated_at".into(), "now".into());
    }
    format!("{table} {row}")
}

#[test]
fn what_is_wrong_is_found_as_in_plain_tables() {
    let of_shards = Cluster::shared().world(&shop::schema(true, 20), CONFIG);
    let worlds = [plain(20), of_shards];
    let plans = worlds.map(|world| {
        world.put(
            "b",
            "customers.ndjson",
            concat!(
                "{\"customer\": \"c1\", \"joined\": \"2025-01-01T00:00:00Z\"}\n",
                "{\"customer\": \"c2\", \"mail\": \"nobody\"}\n",
                "{\"customer\": \"c3\", \"country\": \"QQ\"}\n",
                "{\"customer\": \"n1\", \"country\": \"NO\"}\n",
                "{\"customer\": \"n2\", \"country\": \"NO\", \"mail\": \"a@b\"}\n",
                "{\"customer\": \"n2\", \"country\": \"SE\", \"mail\": \"a@b\"}\n",
                "{\"country\": \"SE\", \"mail\": \"a@b\"}\n",
                "{\"customer\": \"c4\", \"pause\": \"soon\"}\n",
                "{\"customer\": \"c5\", \"whatever\": 1}\n",
            ),
        );
        world.put(
            "b",
            "orders.ndjson",
            concat!(
                "{\"customer\": \"c1\", \"number\": \"x\", \"slot\": \"s1\"}\n",
                "{\"customer\": \"c8\", \"number\": \"n8\", \"total\": 1.234}\n",
                "{\"customer\": \"zz\", \"number\": \"n8\", \"total\": 1}\n",
                "{\"customer\": \"n1\", \"number\": \"n8\", \"total\": 1}\n",
            ),
        );
        world.put("b", "countries/delete/x.ndjson", "{\"code\": \"NO\"}\n");
        world.put(
            "b",
            "notes.ndjson",
            "{\"customer\": \"c9\", \"note\": \"note 1\", \"said\": \"y\"}\n",
        );
        world.put(
            "b",
            "carriers.ndjson",
            "{\"carrier\": 9, \"name\": \"air\", \"parent_name\": \"none\"}\n",
        );
        (world.plan_with("b", &DELETES), world)
    });
    let entries = |i: usize| -> Vec<String> {
        let entries = plans[i].0.entries();
        let entries = entries.iter().filter(|e| e["table"] != "notes");
        entries.map(ToString::to_string).collect()
    };
    assert_eq!(entries(0), entries(1));
    let kinds = |i: usize| -> Vec<String> {
        let entries = plans[i].0.entries();
        let kinds = entries.iter().filter(|e| e["action"] == "violation");
        let mut kinds: Vec<String> = kinds
            .map(|e| format!("{} {}", e["table"], e["kind"]).replace('"', ""))
            .collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    // A row cannot move to another shard: there the column is as one that must not change.
    assert!(
        kinds(1).contains(&"notes immutable_field".to_owned()),
        "{:?}",
        kinds(1)
    );
    for kind in [
        "countries still_referred",
        "customers check_failed",
        "customers duplicate_key",
        "customers immutable_field",
        "customers invalid_value",
        "customers missing_key",
        "customers missing_parent",
        "customers null_value",
        "customers unknown_field",
        "orders missing_parent",
        "orders unique_conflict",
        "carriers missing_parent",
    ] {
        assert!(
            kinds(1).contains(&kind.to_owned()),
            "{kind}: {:?}",
            kinds(1)
        );
    }
}

#[test]
fn what_changed_since_is_not_overwritten() {
    let changes = [
        "UPDATE customers SET mail = 'other@x' WHERE customer = 'c3'",
        "UPDATE customers SET mail = 'other@x' WHERE customer = 'c1'",
        "INSERT INTO customers (customer, country, mail) VALUES ('c12', 'NO', 'q@x')",
        "DELETE FROM notes WHERE note = 'note 3'",
        "UPDATE countries SET vat = 1 WHERE code = 'NO'",
        "UPDATE carriers SET name = 'mail' WHERE name = 'post'",
    ];
    for (i, sql) in changes.into_iter().enumerate() {
        let world = Cluster::shared().world(&shop::schema(true, 10), CONFIG);
        shop::deliver(&world, "b", 10);
        let plan = world.plan_with("b", &DELETES);
        // By way of a worker, too.
        let by = match i % 2 {
            0 => &Cluster::shared().coordinator,
            _ => &Cluster::shared().workers[0],
        };
        let mut client = connect(&by.url(&world.database));
        client.batch_execute("BEGIN").unwrap();
        client.batch_execute(sql).unwrap();
        // It is not seen yet, and waited for.
        let running = world.spawn(&["apply", plan.name(), "--approve", &plan.hash()]);
        world.wait_for("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted");
        client.batch_execute("COMMIT").unwrap();
        let after = world.with(|client| rows(client, &NAMES));
        running.finish().exits(3);
        assert_eq!(world.with(|client| rows(client, &NAMES)), after, "{sql}");
        assert_eq!(world.one("SELECT count(*) FROM loader_ledger"), "0");
    }
}

/// What somebody else committed, and a server has not heard of, is neither overwritten nor taken for what it was.
#[test]
fn what_is_committed_and_not_yet_seen_is_waited_for() {
    let cluster = Cluster::shared();
    let world = cluster.world(
        "CREATE TABLE t (k int PRIMARY KEY, v text); SELECT create_distributed_table('t', 'k', shard_count := 2); \
         INSERT INTO t VALUES (1, 'old')",
        "t: {natural_key: [k]}",
    );
    world.put("b", "t.ndjson", "{\"k\": 1, \"v\": \"loaded\"}");
    let plan = world.plan("b");
    let shard = world.one(
        "SELECT shard_name || ' ' || nodeport FROM citus_shards \
         WHERE shardid = get_shard_id_for_distribution_column('t'::regclass, 1)",
    );
    let (shard, port) = shard.split_once(' ').unwrap();
    let mut nodes = cluster.workers.iter();
    let node = nodes.find(|node| node.port.to_string() == port).unwrap();
    let mut worker = connect(&node.url(&world.database));
    let prepare = |worker: &mut postgres::Client, name: &str| {
        let prepare = format!(
            "SET citus.override_table_visibility = off; SET citus.enable_manual_changes_to_shards = on; \
             BEGIN; UPDATE {shard} SET v = 'theirs' WHERE k = 1; PREPARE TRANSACTION '{name}'"
        );
        worker.batch_execute(&prepare).unwrap();
    };
    // That of a server which is not this one: nobody here can end it.
    prepare(&mut worker, "citus_99_1_1_0");
    let run = world.apply(&plan);
    run.exits(7)
        .says("committed is not to be seen on all servers yet");
    assert_eq!(world.one("SELECT count(*) FROM loader_ledger"), "0");
    worker
        .batch_execute("ROLLBACK PREPARED 'citus_99_1_1_0'")
        .unwrap();
    // That of this server.
    prepare(&mut worker, "citus_0_999999_77_0");
    world.sql(&format!(
        "INSERT INTO pg_dist_transaction (groupid, gid) SELECT groupid, 'citus_0_999999_77_0' FROM pg_dist_node WHERE nodeport = {port}"
    ));
    world.apply(&plan).exits(3);
    assert_eq!(world.one("SELECT v FROM t"), "theirs");
}

/// Each server has the same copy of a reference table, whatever its own settings make of a value.
#[test]
fn copies_are_one_though_servers_read_otherwise() {
    let world = Cluster::shared().world(
        "CREATE TABLE r (k int PRIMARY KEY, a text[], n int[], b text, j jsonb); SELECT create_reference_table('r'); \
         INSERT INTO r VALUES (1, '{x}', '{1}', 'old', '{}'), (2, '{y}', NULL, 'c:\\now', NULL)",
        "r: {natural_key: [k]}",
    );
    // Citus itself is not installed where strings are read so.
    world.sql(
        "SELECT run_command_on_workers(format('ALTER DATABASE %I SET standard_conforming_strings = off', current_database()))",
    );
    let copies = || {
        world.rows(
            "SELECT DISTINCT result FROM run_command_on_all_nodes('SELECT md5(string_agg(r::text, '';'' ORDER BY k)) FROM r')",
        )
    };
    let before = copies();
    assert_eq!(before.len(), 1);
    let row = r#"{"k": K, "a": [null, "NULL", "C:\\new"], "n": [null, 2], "b": "C:\\new", "j": {"p": "a\\b\"c", "n": null}}"#;
    let records: Vec<String> = (1..4).map(|k| row.replace('K', &k.to_string())).collect();
    world.put("b", "r.ndjson", records.join("\n").as_str());
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        copies().len(),
        1,
        "{:?}",
        world.rows("SELECT r::text FROM r")
    );
    assert_eq!(world.one("SELECT b FROM r WHERE k = 3"), r"C:\new");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(copies(), before);
}

/// Rows of a table that refer to each other go together.
#[test]
fn many_rows_that_refer_to_each_other_are_rolled_back() {
    let world = Cluster::shared().world(
        "CREATE TABLE tree (k int PRIMARY KEY, up int REFERENCES tree); SELECT create_reference_table('tree')",
        "tree: {natural_key: [k]}",
    );
    let up = |k: u32| match k {
        3_000 => "null".to_owned(),
        k => (k + 1).to_string(),
    };
    let rows: String = (1..=3_000)
        .map(|k| format!("{{\"k\": {k}, \"up\": {}}}\n", up(k)))
        .collect();
    world.put("b", "tree.ndjson", rows);
    world.apply(&world.plan("b")).ok();
    assert_eq!(world.one("SELECT count(*) FROM tree"), "3000");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.one("SELECT count(*) FROM tree"), "0");
}

/// An array is no list of values.
#[test]
fn many_rows_may_be_distributed_by_arrays() {
    let world = Cluster::shared().world(
        "CREATE TABLE ar (k int[] PRIMARY KEY, v text); SELECT create_distributed_table('ar', 'k')",
        "ar: {natural_key: [k]}",
    );
    let rows: String = (1..=5_500)
        .map(|k| format!("{{\"k\": [{k}], \"v\": \"x\"}}\n"))
        .collect();
    world.put("b", "ar.ndjson", rows);
    world.apply(&world.plan("b")).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.one("SELECT count(*) FROM ar"), "0");
}

#[test]
fn the_example_is_in_shards() {
    let schema = include_str!("../../docs/biobank.citus.sql");
    // The servers of this cluster know each other already.
    let own = |line: &&str| !line.contains("citus_set_") && !line.contains("citus_add_");
    let schema: Vec<&str> = schema.lines().filter(own).collect();
    let config = include_str!("../../tables.yaml");
    let world = Cluster::shared().world(&schema.join("\n"), config);
    for (table, record) in [
        ("subjects", r#"{"global_subject_id": "G2", "center": "B"}"#),
        (
            "local_subject_ids",
            r#"{"global_subject_id": "G2", "center": "B", "local_subject_id": "1", "identifier_type": "primary"}"#,
        ),
        (
            "lcl",
            r#"{"global_subject_id": "G1", "niddk_no": "N1", "passage_number": 4}"#,
        ),
        (
            "dna",
            r#"{"global_subject_id": "G2", "sample_id": "D1", "concentration": 2.5}"#,
        ),
        (
            "specimen",
            r#"{"global_subject_id": "G1", "sample_id": "S1", "volume": null}"#,
        ),
    ] {
        world.put("b", &format!("{table}.ndjson"), record);
    }
    let names = ["subjects", "local_subject_ids", "lcl", "dna", "specimen"];
    let before = world.with(|client| rows(client, &names));
    let plan = world.plan("b");
    assert_eq!((plan.count("insert"), plan.count("update")), (3, 2));
    world.apply(&plan).ok();
    assert_eq!(
        world.one("SELECT passage_number FROM lcl WHERE niddk_no = 'N1'"),
        "4"
    );
    world
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--force",
            "--max-deletes",
            "9",
        ])
        .ok();
    assert_eq!(world.with(|client| rows(client, &names)), before);
}

#[test]
fn partitions_and_schemas_are_in_shards_too() {
    let schema = "SET client_min_messages = error;
        CREATE TYPE mood AS ENUM ('sad', 'happy');
        CREATE TYPE place AS (street text, number int);
        CREATE TABLE visits (visitor text, day date, mood mood, home place, seen timestamptz[], PRIMARY KEY (visitor, day)) PARTITION BY RANGE (day);
        CREATE TABLE visits_24 PARTITION OF visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE visits_25 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        SELECT create_distributed_table('visits', 'visitor');
        INSERT INTO visits VALUES ('a', '2024-05-06', 'sad', ROW('x', 1), '{2024-05-06 07:00Z}'), ('b', '2025-05-06', 'sad', NULL, NULL);
        SET citus.enable_schema_based_sharding = on;
        CREATE SCHEMA lab;
        CREATE TABLE lab.tubes (id int PRIMARY KEY, label text UNIQUE, of int REFERENCES lab.tubes);
        INSERT INTO lab.tubes VALUES (1, 'a', NULL), (2, 'b', 1)";
    let config = "visits: {natural_key: [visitor, day], limits: {delete: 9}}\nlab.tubes: {natural_key: [id], limits: {delete: 9}}";
    let world = Cluster::shared().world(schema, config);
    let tables = ["visits", "lab.tubes"];
    let before = world.with(|client| rows(client, &tables));
    world.put(
        "b",
        "visits.ndjson",
        concat!(
            "{\"visitor\": \"a\", \"day\": \"2024-05-06\", \"mood\": \"happy\", \"home\": \"(y,2)\", \"seen\": [\"2024-05-06T08:00:00Z\"]}\n",
            "{\"visitor\": \"c\", \"day\": \"2025-07-08\", \"mood\": \"sad\"}\n",
        ),
    );
    world.put(
        "b",
        "visits/delete/x.ndjson",
        "{\"visitor\": \"b\", \"day\": \"2025-05-06\"}",
    );
    world.put(
        "b",
        "lab.tubes.ndjson",
        "{\"id\": 2, \"label\": \"c\", \"of\": 3}\n{\"id\": 3, \"label\": \"d\"}\n",
    );
    let plan = world.plan("b");
    let kinds = plan.json()["header"]["tables"].to_string();
    assert!(kinds.contains("\"single_shard\""), "{kinds}");
    assert_eq!(plan.count("violation"), 0, "{}", plan.lines().join("\n"));
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, label, of FROM lab.tubes ORDER BY id"),
        ["1|a|∅", "2|c|3", "3|d|∅"]
    );
    assert_eq!(
        world.rows("SELECT visitor, mood FROM visits ORDER BY 1"),
        ["a|happy", "c|sad"]
    );
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.with(|client| rows(client, &tables)), before);
    // What stands in a partition cannot be where no partition is.
    world.put(
        "c",
        "visits.ndjson",
        "{\"visitor\": \"a\", \"day\": \"2030-05-06\"}",
    );
    assert_eq!(world.plan("c").count("violation"), 1);
}
