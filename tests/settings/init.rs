//! `loader init`, the JSON Schema and the example.

use table_loader::config::{Config, json_schema};

use super::commands::biobank;
use crate::support::World;

/// Every row of the biobank's tables, as a batch that changes nothing.
fn deliver_what_is_there(world: &World, tables: &[&str]) {
    for table in tables {
        let rows = world.rows(&format!(
            "SELECT to_jsonb(t) - 'id' - 'modified_at' - 'modified_by' - 'updated_at' FROM {table} t"
        ));
        world.write(
            &format!("source/staging/b1/{table}/rows.ndjson"),
            rows.join("\n"),
        );
    }
}

#[test]
fn what_init_writes_plans_without_change() {
    let world = biobank();
    std::fs::remove_file(world.path("tables.yaml")).unwrap();
    world.call(&["init", "--out", "tables.yaml"]).run().exits(0);
    deliver_what_is_there(
        &world,
        &["subjects", "local_subject_ids", "lcl", "dna", "specimen"],
    );
    let ran = world.call(&["plan", "--batch-id", "b1"]).run().exits(0);
    ran.says("0 to insert, 0 to update, 0 to delete, 5 unchanged, 0 violations.");
    assert_eq!(
        std::fs::read_to_string(world.path("tables.schema.json")).unwrap(),
        json_schema()
    );
}

#[test]
fn init_chooses_keys_that_are_not_surrogate_and_says_why() {
    let world = biobank();
    let text = world.call(&["init"]).run().exits(0).stdout;
    assert!(
        text.starts_with("# yaml-language-server: $schema=tables.schema.json\n"),
        "{text}"
    );
    let expect = "\
# after subjects (dna_global_subject_id_fkey)
dna:
  # the unique key dna_global_subject_id_sample_id_key; id is a random uuid
  natural_key: [global_subject_id, sample_id]
  # by their names, set when the row is made
  # the database numbers rows by id: others may refer to these values
  immutable_fields: [created_at, created_by, id]
  # by their names, set by every load, whatever is delivered for them
  stamps:
    modified_at: now
    modified_by: actor
";
    assert!(text.contains(expect), "{text}");
    assert!(
        text.contains(
            "; id is numbered by a sequence\n  natural_key: [global_subject_id, niddk_no]"
        ),
        "{text}"
    );
    assert!(text.contains("; id is an identity column\n"), "{text}");
    assert!(
        text.contains(
            "  # deleted_at can be null: a row that has it counts as deleted\n  soft_delete: true\n"
        ),
        "{text}"
    );
    assert!(
        !text.contains("loader_ledger") && !text.contains("audit_log"),
        "{text}"
    );
    let config = Config::parse("tables.yaml", &text).unwrap();
    assert_eq!(config.tables.len(), 5);
}

#[test]
fn init_writes_references_to_numbers() {
    let world = World::empty();
    world.sql(
        "CREATE TABLE customers (id serial PRIMARY KEY, customer_no text NOT NULL UNIQUE); \
         CREATE TABLE orders (id serial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, no text NOT NULL, \
           UNIQUE (customer_id, no)); \
         CREATE TABLE items (order_id int REFERENCES orders, line int, PRIMARY KEY (order_id, line)); \
         CREATE TABLE people (id serial PRIMARY KEY, nick text NOT NULL UNIQUE, boss int REFERENCES people, \
           customer_id int REFERENCES customers, customer text)",
    );
    let text = world.call(&["init"]).run().exits(0).stdout;
    for expect in [
        "    customer_id: {table: customers, by: {customer_no: customer}}\n",
        "    order_id: {table: orders, by: {customer_id: {table: customers, by: {customer_no: order_customer_customer_no}}, \"no\": order_no}}\n",
        "    boss: {table: people, by: {nick: boss_nick}}\n",
        "    customer_id: {table: customers, by: {customer_no: customer_customer_no}}\n",
    ] {
        assert!(text.contains(expect), "no {expect:?} in {text}");
    }
    assert!(
        !text.contains("must be delivered with these numbers"),
        "{text}"
    );
    world.write("tables.yaml", &text);
    world.call(&["migrate"]).run().exits(0);
    world.call(&["config", "check"]).run().exits(0);
}

#[test]
fn init_explains_what_it_cannot_decide() {
    let world = World::empty();
    world.sql(
        r#"CREATE TABLE notes (id serial PRIMARY KEY, body text);
           CREATE TABLE loose (a text, b text);
           CREATE TABLE lower (name text); CREATE UNIQUE INDEX lower_name ON lower (lower(name));
           CREATE TABLE "Odd Name" ("Key" text PRIMARY KEY, "on" text, created_at timestamptz);
           CREATE TABLE soft (code text NOT NULL, deleted_at timestamptz);
           CREATE UNIQUE INDEX soft_code ON soft (code) WHERE deleted_at IS NULL;
           CREATE TABLE partly (code text NOT NULL, kind text); CREATE UNIQUE INDEX some_code ON partly (code) WHERE kind = 'x';
           CREATE TABLE visits (note_id int REFERENCES notes, visit_no int, PRIMARY KEY (note_id, visit_no));
           CREATE TABLE maybe (code text UNIQUE);
           CREATE SCHEMA lab; CREATE TABLE lab.runs (run_no text PRIMARY KEY);
           CREATE TABLE parts (k text PRIMARY KEY) PARTITION BY LIST (k);
           CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN ('x')"#,
    );
    let text = world.call(&["init"]).run().exits(0).stdout;
    for expect in [
        "# notes: cannot be loaded yet, for want of a natural key:\n#   notes_pkey: id is numbered by a sequence, which records do not bring\n",
        "#   it has no unique key\n# Say which of its columns identify a row (a, b)",
        "#   lower_name is over an expression\n",
        "#   some_code holds for some rows only\n",
        "\"Odd Name\":\n  # the primary key Odd Name_pkey\n  natural_key: [\"Key\"]\n",
        "  # the unique key soft_code, among rows that are not deleted\n  natural_key: [code]\n",
        "  # note_id refers to notes.id, which the database numbers: records must be delivered with these numbers\n",
        "  # code may be null in the database",
        "parts:\n",
    ] {
        assert!(text.contains(expect), "no {expect:?} in {text}");
    }
    assert!(!text.contains("part_1") && !text.contains("lab"), "{text}");
    let config = Config::parse("tables.yaml", &text).unwrap();
    let names: Vec<&str> = config.tables.keys().map(String::as_str).collect();
    assert_eq!(names, ["Odd Name", "maybe", "parts", "soft", "visits"]);
    let lab = world
        .call(&["init", "--schema", "lab"])
        .run()
        .exits(0)
        .stdout;
    assert!(lab.contains("\"lab.runs\":\n"), "{lab}");
    let only = world
        .call(&["init", "--table", "soft"])
        .run()
        .exits(0)
        .stdout;
    assert!(only.contains("soft:") && !only.contains("maybe"), "{only}");
    world
        .call(&["init", "--table", "sofd"])
        .run()
        .exits(1)
        .says("did you mean soft?");
    world
        .call(&["init", "--schema", "none"])
        .run()
        .exits(1)
        .says("there are no tables in the schema none");
    world.write("tables.yaml", "{}");
    world
        .call(&["init", "--out", "tables.yaml"])
        .run()
        .exits(1)
        .says("is there already");
    world
        .call(&["init", "--out", "tables.yaml", "--force"])
        .run()
        .exits(0);
    world.call(&["graph"]).run().exits(0).says("visits");
}

#[test]
fn the_example_loads_and_plans() {
    let world = biobank();
    deliver_what_is_there(
        &world,
        &["subjects", "local_subject_ids", "lcl", "specimen"],
    );
    let ran = world.call(&["plan", "--batch-id", "b1"]).run().exits(0);
    ran.says("0 to insert, 0 to update, 0 to delete, 3 unchanged, 1 skipped, 0 violations.");
    let example = std::fs::read_to_string("tables.yaml").unwrap();
    assert!(example.starts_with("# yaml-language-server: $schema=tables.schema.json\n"));
}

/// `UPDATE_SCHEMA=1 cargo test` writes it again.
#[test]
fn the_json_schema_in_the_repository_is_fresh() {
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write("tables.schema.json", json_schema()).unwrap();
    }
    let found = std::fs::read_to_string("tables.schema.json").unwrap_or_default();
    assert!(
        found == json_schema(),
        "tables.schema.json is old: UPDATE_SCHEMA=1 cargo test --test settings"
    );
}

#[test]
fn what_keeps_one_table_from_being_loaded_keeps_none_of_the_others() {
    let world = World::empty();
    world.sql(
        "CREATE TABLE good (code text PRIMARY KEY); CREATE TABLE ev (d date) PARTITION BY RANGE (d);
         CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;
         CREATE FOREIGN TABLE ev_old PARTITION OF ev FOR VALUES FROM ('2000-01-01') TO ('2024-01-01') SERVER elsewhere",
    );
    let text = world.call(&["init"]).run().exits(0).stdout;
    assert!(text.contains("\ngood:\n"), "{text}");
    assert!(
        text.contains("\n# public.ev: cannot be loaded:\n#   \"public\".\"ev\" has the foreign table ev_old below it"),
        "{text}"
    );
    let config = Config::parse("tables.yaml", &text).unwrap();
    assert_eq!(config.tables.keys().collect::<Vec<_>>(), ["good"]);
    let text = world.call(&["init", "--table", "ev"]).run().exits(0).stdout;
    assert!(text.contains("{}"), "{text}");
}

#[test]
fn names_with_dots_are_quoted_where_they_would_mean_another_table() {
    let world = World::empty();
    world.sql(
        r#"CREATE SCHEMA "My.Schema"; CREATE TABLE "My.Schema".t (k text PRIMARY KEY, p text);
           CREATE SCHEMA a; CREATE TABLE a.items (id text PRIMARY KEY, v text); CREATE TABLE "a.items" (code text PRIMARY KEY)"#,
    );
    world.call(&["migrate"]).run().exits(0);
    let drafted = |args: &[&str], name: &str, key: &str| {
        let text = world.call(args).run().exits(0).stdout;
        let config = Config::parse("tables.yaml", &text).unwrap();
        let (found, table) = config.tables.iter().next().unwrap();
        assert_eq!(
            (found.as_str(), &*table.natural_key),
            (name, &[key.to_owned()][..])
        );
    };
    drafted(&["init", "--schema", "My.Schema"], r#""My.Schema".t"#, "k");
    drafted(&["init", "--schema", "a"], r#""a"."items""#, "id");
    drafted(
        &["init", "--table", "a.items"],
        r#""public"."a.items""#,
        "code",
    );
    // What may mean either is refused.
    world.write("tables.yaml", "a.items: {natural_key: [id]}");
    let run = world.call(&["config", "check"]).run().exits(1);
    let said = r#"a.items may mean two tables, "public"."a.items" and "a"."items""#;
    assert!(run.stdout.contains(said), "{run}");
    world.write("tables.yaml", "My.Schema.t: {natural_key: [k]}");
    let run = world.call(&["config", "check"]).run().exits(1);
    assert!(run.stdout.contains(r#"name it "My.Schema".t"#), "{run}");
    // What is drafted is loaded, and taken back.
    world.write(
        "tables.yaml",
        "'\"My.Schema\".t': {natural_key: [k]}\n'\"a\".\"items\"': {natural_key: [id]}",
    );
    world.call(&["config", "check"]).run().exits(0);
    world.write(
        r#"source/staging/b/"My.Schema".t/1.json"#,
        r#"[{"k": "1", "p": "x"}]"#,
    );
    world.write(r#"source/staging/b/"a"."items".csv"#, "id,v\n1,y\n");
    world
        .call(&["load", "--batch-id", "b", "--force"])
        .run()
        .exits(0);
    assert_eq!(world.rows(r#"SELECT * FROM "My.Schema".t"#), ["1|x"]);
    assert_eq!(world.rows("SELECT * FROM a.items"), ["1|y"]);
    world
        .call(&["rollback", "--batch-id", "b", "--force"])
        .run()
        .exits(0);
    assert_eq!(world.rows("SELECT v FROM a.items"), [""; 0]);
}

#[test]
fn a_key_among_rows_that_a_boolean_does_not_mark_comes_with_soft_delete() {
    let world = World::empty();
    world.sql(
        "CREATE TABLE subj (id bigserial PRIMARY KEY, sno text NOT NULL, deleted boolean NOT NULL DEFAULT false);
         CREATE UNIQUE INDEX subj_sno ON subj (sno) WHERE NOT deleted;
         CREATE TABLE visits (code text NOT NULL, gone boolean, \"Retired\" timestamptz);
         CREATE UNIQUE INDEX visits_code ON visits (code) WHERE \"Retired\" IS NULL;
         CREATE TABLE odd (code text NOT NULL, deleted boolean); CREATE UNIQUE INDEX odd_code ON odd (code) WHERE NOT deleted",
    );
    world.call(&["migrate"]).run().exits(0);
    let text = world.call(&["init"]).run().exits(0).stdout;
    for expect in [
        "  # the unique key subj_sno, among rows that are not deleted; id is numbered by a sequence\n  natural_key: [sno]\n",
        "  # a unique key leaves out rows for which deleted is true: they count as deleted\n  soft_delete: deleted\n",
        "  # Retired can be null: a row that has it counts as deleted\n  soft_delete: \"Retired\"\n",
        // Of null it says neither.
        "#   odd_code holds for some rows only\n",
    ] {
        assert!(text.contains(expect), "no {expect:?} in {text}");
    }
    world.write("tables.yaml", text);
    let run = world.call(&["config", "check"]).run().exits(0);
    assert!(!run.stdout.contains("unique only where"), "{run}");
}

#[test]
fn init_prints_one_object_with_json() {
    let world = World::empty();
    world.sql("CREATE TABLE t (code text PRIMARY KEY)");
    let text = world.call(&["init"]).run().exits(0).stdout;
    let run = world.call(&["init", "--json"]).run().exits(0);
    let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told, serde_json::json!({"tables_yaml": text}));
    let run = world.call(&["init", "--json", "--out", "x.yaml"]).run();
    let told: serde_json::Value = serde_json::from_str(&run.exits(0).stdout).unwrap();
    assert_eq!(told, serde_json::json!({"written": "x.yaml"}));
    assert_eq!(std::fs::read_to_string(world.path("x.yaml")).unwrap(), text);
}
