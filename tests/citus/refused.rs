//! What Citus does unseen, or cannot do, is refused.

use crate::cluster::Cluster;

#[test]
fn rows_that_would_go_with_others_are_seen() {
    let schema = "SET client_min_messages = error;
        CREATE TABLE parents (id int PRIMARY KEY, v text);
        SELECT create_distributed_table('parents', 'id');
        CREATE TABLE children (id int, parent int REFERENCES parents ON DELETE CASCADE, PRIMARY KEY (parent, id));
        SELECT create_distributed_table('children', 'parent');
        CREATE TABLE codes (code text PRIMARY KEY, v text);
        SELECT create_reference_table('codes');
        CREATE TABLE coded (id int PRIMARY KEY, code text REFERENCES codes ON DELETE SET NULL);
        SELECT create_distributed_table('coded', 'id');
        INSERT INTO parents SELECT i, 'x' FROM generate_series(1, 9) i;
 INSERT INTO codes VALUES ('a'), ('b');
 INSERT INTO children VALUES (1, 1);
 INSERT INTO coded VALUES (1, 'a')";
    let config = "parents: {natural_key: [id], limits: {delete: 9}}\ncodes: {natural_key: [code], limits: {delete: 9}}";
    let world = Cluster::shared().world(schema, config);
    world.put("b", "parents/delete/x.ndjson", "{\"id\": 1}\n{\"id\": 2}");
    world.put(
        "b",
        "codes/delete/x.ndjson",
        "{\"code\": \"a\"}\n{\"code\": \"b\"}",
    );
    let plan = world.plan("b");
    let refused: Vec<String> = plan
        .entries()
        .iter()
        .filter(|e| e["action"] == "violation")
        .map(|e| format!("{} {} {}", e["table"], e["key"], e["kind"]))
        .collect();
    assert_eq!(
        refused,
        [
            "\"codes\" {\"code\":\"a\"} \"still_referred\"",
            "\"parents\" {\"id\":\"1\"} \"still_referred\""
        ]
    );
    // One that comes only after the plan.
    world.put("c", "parents/delete/x.ndjson", "{\"id\": 2}");
    world.put("c", "codes/delete/x.ndjson", "{\"code\": \"b\"}");
    for sql in [
        "INSERT INTO children VALUES (2, 2)",
        "INSERT INTO coded VALUES (2, 'b')",
    ] {
        let plan = world.plan("c");
        world.sql(sql);
        let run = world.loader(&["apply", plan.name(), "--approve", &plan.hash()]);
        let run = run.exits(4).says("that the plan does not mention");
        assert_eq!(world.one("SELECT count(*) FROM parents"), "9", "{run:?}");
        world.sql("DELETE FROM children WHERE id = 2");
    }
}

#[test]
fn what_cannot_be_is_said_at_the_plan() {
    let schema = "SET client_min_messages = error;
        CREATE TABLE bare (id int, v text);
        SELECT create_distributed_table('bare', 'id');
        SET citus.enable_unsafe_triggers = on;
        CREATE TABLE seen (id int PRIMARY KEY, v text);
        SELECT create_distributed_table('seen', 'id');
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER watched BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION f();
        CREATE TABLE appended (id int PRIMARY KEY, v text);
        SELECT create_distributed_table('appended', 'id', 'append')";
    let world = Cluster::shared().world(
        schema,
        "bare: {natural_key: [id]}\nseen: {natural_key: [id]}\nappended: {natural_key: [id]}",
    );
    world.put("d", "appended.ndjson", "{\"id\": 1}");
    world
        .try_plan("d", &[])
        .exits(1)
        .says("not distributed by hash");
    world.put("b", "bare.ndjson", "{\"id\": 1}");
    world.put("c", "seen.ndjson", "{\"id\": 1}");
    world.try_plan("b", &[]).exits(1).says("has no primary key");
    world
        .try_plan("c", &[])
        .exits(1)
        .says("has triggers (watched)");
}

/// Nobody counts what a trigger of a table here writes to one in shards.
#[test]
fn a_trigger_that_writes_to_shards_is_seen() {
    let schema = "SET client_min_messages = error;
        CREATE TABLE here (id int PRIMARY KEY, v text);
        CREATE TABLE elsewhere (id serial PRIMARY KEY, v text);
        SELECT create_distributed_table('elsewhere', 'id');
        CREATE TABLE codes (id serial PRIMARY KEY, v text);
        SELECT create_reference_table('codes');
        CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
          EXECUTE format(''INSERT INTO %I (v) VALUES (%L)'', TG_ARGV[0], NEW.v); RETURN NEW; END'";
    let world = Cluster::shared().world(schema, "here: {natural_key: [id]}");
    world.put("b", "here.ndjson", "{\"id\": 1, \"v\": \"x\"}");
    for table in ["elsewhere", "codes"] {
        world.sql(&format!(
            "CREATE OR REPLACE TRIGGER notes BEFORE INSERT ON here FOR EACH ROW EXECUTE FUNCTION notes('{table}')"
        ));
        let plan = world.plan("b");
        let apply = ["apply", plan.name(), "--approve", &plan.hash()];
        let run = world.loader(&apply).exits(4);
        run.says(&format!(
            "rows of table public.{table} that the plan does not mention"
        ));
        assert_eq!(
            world.value(&format!("SELECT count(*)::text FROM {table}")),
            "0"
        );
        world.configure(&format!(
            "here: {{natural_key: [id], allow_side_effects: [{table}]}}"
        ));
        world.apply(&world.plan("b")).ok();
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        world.configure("here: {natural_key: [id]}");
    }
}

#[test]
fn who_is_no_superuser_can_load() {
    let schema = "SET client_min_messages = error;
        CREATE TABLE t (id int PRIMARY KEY, v text);
        SELECT create_distributed_table('t', 'id');
        INSERT INTO t VALUES (1, 'a');
        DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shard_loader') THEN CREATE ROLE shard_loader LOGIN; END IF; END $$;
        GRANT SELECT, INSERT, UPDATE, DELETE ON t TO shard_loader;
        GRANT SELECT, INSERT, UPDATE ON audit_log, loader_ledger, batch_load_log, validation_queue TO shard_loader;
        GRANT SELECT ON loader_identity TO shard_loader;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shard_loader";
    let world = Cluster::shared().world(schema, "t: {natural_key: [id]}");
    let coordinator = &Cluster::shared().coordinator;
    let url = coordinator.url_as("shard_loader", &world.database);
    world.set("DATABASE_URL", &url);
    world.put(
        "b",
        "t.ndjson",
        "{\"id\": 1, \"v\": \"b\"}\n{\"id\": 2, \"v\": \"c\"}",
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY id"),
        ["1|b", "2|c"]
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
    assert_eq!(world.rows("SELECT id, v FROM t"), ["1|a"]);
}

#[test]
fn a_plan_is_for_the_kind_of_table_that_it_was_made_for() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    let world = Cluster::shared().world(schema, "t: {natural_key: [id]}");
    world.put("b", "t.ndjson", "{\"id\": 1, \"v\": \"b\"}");
    let plan = world.plan("b");
    world.sql("SET client_min_messages = error; SELECT create_distributed_table('t', 'id')");
    world
        .loader(&["apply", plan.name(), "--approve", &plan.hash()])
        .exits(6)
        .says("the definition of table t");
    let plan = world.plan("b");
    let kind = &plan.json()["header"]["tables"][0]["kind"];
    assert_eq!(kind["distributed"]["column"], "id");
    world.apply(&plan).ok();
}

#[test]
fn who_keeps_what_others_refer_to_by_is_no_hindrance() {
    let schema = "SET client_min_messages = error;
        CREATE TABLE parents (id int PRIMARY KEY, code text UNIQUE, v text);
        SELECT create_reference_table('parents');
        CREATE TABLE kids (id int PRIMARY KEY, code text);
        SELECT create_reference_table('kids');
        ALTER TABLE kids ADD FOREIGN KEY (code) REFERENCES parents (code) ON UPDATE CASCADE;
        INSERT INTO parents VALUES (1, 'a', 'x'), (2, 'b', 'x');
        INSERT INTO kids VALUES (1, 'a')";
    let world = Cluster::shared().world(schema, "parents: {natural_key: [id]}");
    world.put(
        "b",
        "parents.ndjson",
        "{\"id\": 1, \"code\": \"a\", \"v\": \"y\"}\n{\"id\": 2, \"code\": \"c\", \"v\": \"x\"}",
    );
    let plan = world.plan("b");
    // What would follow, does not.
    world.sql("INSERT INTO kids VALUES (2, 'b')");
    let apply = ["apply", plan.name(), "--approve", &plan.hash()];
    world.loader(&apply).exits(4).says("change 1 row of table");
    world.sql("DELETE FROM kids WHERE id = 2");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, code, v FROM parents ORDER BY id"),
        ["1|a|y", "2|c|x"]
    );
}

#[test]
fn a_worker_is_no_place_to_load_from() {
    let cluster = Cluster::shared();
    let world = cluster.world(
        "CREATE TABLE t (k int PRIMARY KEY); SELECT create_distributed_table('t', 'k')",
        "t: {natural_key: [k]}",
    );
    world.put("b", "t.ndjson", "{\"k\": 1}");
    let url = cluster.workers[0].url(&world.database);
    for command in [&["migrate"][..], &["plan", "--batch-id", "b"]] {
        let run = world.call(command).env("DATABASE_URL", &url).run();
        run.exits(1).says("connect to the coordinator");
    }
}
