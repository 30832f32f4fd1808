//! `loader config check`.

use super::world::with_batch;
use crate::support::World;

fn checked(world: &World, more: &[&str]) -> crate::support::Run {
    world.loader(&[&["config", "check"], more].concat())
}

#[test]
fn what_is_as_it_should_be_is_said_so() {
    let world = with_batch();
    for work in ["plan", "apply"] {
        checked(&world, &["--for", work]).exits(0).says(
            "Nothing stands in the way: 1 table checked, 0 errors, 0 grants missing, 0 notes.",
        );
    }
    let told = checked(&world, &["--json"]).exits(0).json();
    assert_eq!(told["tables"], serde_json::json!(["subjects"]));
}

#[test]
fn a_file_without_tables_is_not_ready() {
    let world = with_batch();
    for text in ["", "# none yet\n", "defaults: {time_zone: UTC}\n"] {
        world.write("tables.yaml", text);
        checked(&world, &[]).exits(1).says(
            "the configuration describes no table; `loader init` drafts it from the database",
        );
    }
}

#[test]
fn what_holds_for_all_tables_and_is_a_column_of_none_is_noted() {
    let world = with_batch();
    world.write(
        "tables.yaml",
        "defaults: {sensitive: [sexx], immutable_fields: [created_by, made_at]}\nsubjects: {natural_key: [gsid]}\n",
    );
    let run = checked(&world, &[]).exits(0);
    let run =
        run.says("note: defaults: sensitive: sexx is a column of no table; did you mean sex?");
    run.says("defaults: immutable_fields: made_at is a column of no table");
}

#[test]
fn all_that_is_wrong_is_found_in_one_run_with_its_place() {
    let world = with_batch();
    world.sql("CREATE TABLE loose (k text, v text)");
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid], insert_only_fields: [crated_by]}\n\
         loose: {natural_key: [k]}\n\
         gone: {natural_key: [id]}\n",
    );
    let run = checked(&world, &[]).exits(1);
    for said in [
        "tables.yaml: 1:",
        "crated_by is not a column of subjects; did you mean created_by?",
        "table gone does not exist",
        "note: loose: nothing in the database makes the natural key unique",
        "Not ready: 1 table checked, 2 errors, 0 grants missing, 1 note.",
    ] {
        assert!(run.stdout.contains(said), "{said}: {run}");
    }
}

#[test]
fn before_the_first_migration_it_says_what_is_missing() {
    let world = World::empty();
    world.sql("CREATE TABLE subjects (gsid text PRIMARY KEY)");
    world.write("tables.yaml", "subjects: {natural_key: [gsid]}\n");
    let run = checked(&world, &[]).exits(1);
    assert!(
        run.stdout
            .contains("missing: the loader's own tables; `loader migrate` makes them")
            && run.stdout.contains("Not ready: 1 table checked, 0 errors"),
        "{run}"
    );
}

#[test]
fn what_a_role_lacks_is_said_as_the_grant_that_gives_it() {
    let world = with_batch();
    let role = format!("config_{}", std::process::id());
    world.sql(&format!("CREATE ROLE {role} LOGIN"));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let as_role = |work: &str| {
        world.loader_with(
            &["config", "check", "--for", work],
            &[("DATABASE_URL", &url)],
        )
    };
    let run = as_role("plan").exits(1);
    let grants: Vec<String> = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("missing: ").map(str::to_owned))
        .collect();
    assert!(
        grants.contains(&format!(
            "GRANT SELECT ON \"public\".\"subjects\" TO \"{role}\""
        )),
        "{run}"
    );
    world.sql(&grants.join("; "));
    as_role("plan").exits(0);
    world
        .loader_with(
            &["plan", "--batch-id", "b1", "--out", "p.json"],
            &[("DATABASE_URL", &url), ("LOADER_QUEUE", "off")],
        )
        .exits(0);
    let run = as_role("apply").exits(1);
    assert!(
        run.stdout.contains(&format!(
            "GRANT INSERT, UPDATE, DELETE ON \"public\".\"subjects\" TO \"{role}\""
        )),
        "{run}"
    );
    let grants = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("missing: "));
    world.sql(&grants.collect::<Vec<_>>().join("; "));
    as_role("apply").exits(0);
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn who_plans_deletes_must_see_what_refers_to_the_rows() {
    let world = World::new(
        "CREATE TABLE p (k int PRIMARY KEY); CREATE TABLE c (k int REFERENCES p); INSERT INTO p VALUES (1)",
        "p: {natural_key: [k]}",
    );
    let role = format!("deletes_{}", std::process::id());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON p, validation_queue, audit_log, batch_load_log, loader_ledger, loader_identity TO {role}"
    ));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let as_role = |args: &[&str]| world.loader_with(args, &[("DATABASE_URL", &url)]);
    as_role(&["config", "check", "--for", "plan"]).exits(0);
    world.configure("p: {natural_key: [k], limits: {delete: 5}}");
    world.deliver("b", "p/delete/1.json", r#"[{"k": 1}]"#);
    as_role(&["plan", "--batch-id", "b", "--out", "p.json"]).exits(1);
    let run = as_role(&["config", "check", "--for", "plan"]).exits(1);
    let grant = format!("GRANT SELECT ON \"public\".\"c\" TO \"{role}\"");
    assert!(run.stdout.contains(&grant), "{run}");
    world.sql(&grant);
    as_role(&["plan", "--batch-id", "b", "--out", "p.json"]).exits(0);
    // A schema that may not be used is no reason to say that something is missing in it.
    world.sql("REVOKE USAGE ON SCHEMA public FROM PUBLIC");
    let run = as_role(&["config", "check", "--for", "plan"]).exits(1);
    assert!(!run.stdout.contains("loader migrate"), "{run}");
    let usage = format!("missing: GRANT USAGE ON SCHEMA \"public\" TO \"{role}\"");
    assert!(run.stdout.contains(&usage), "{run}");
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn the_schemas_of_loaded_tables_and_of_the_loaders_own_are_asked_for_at_once() {
    let world = World::new(
        "CREATE SCHEMA reg; CREATE TABLE reg.t (k text PRIMARY KEY, n serial); REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "reg.t: {natural_key: [k]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "reg.t/1.json", r#"[{"k": "1"}]"#);
    let role = format!("usage_{}", std::process::id());
    world.sql(&format!("CREATE ROLE {role} LOGIN"));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let as_role = |args: &[&str]| world.loader_with(args, &[("DATABASE_URL", &url)]);
    for work in ["plan", "apply"] {
        let run = as_role(&["config", "check", "--for", work]).exits(1);
        assert!(!run.stdout.contains("permission denied"), "{run}");
        assert!(!run.stdout.contains("problem"), "{run}");
        let missing = run.stdout.lines();
        let missing: Vec<&str> = missing
            .filter_map(|line| line.strip_prefix("missing: "))
            .collect();
        if work == "plan" {
            for schema in ["public", "reg"] {
                let usage = format!("GRANT USAGE ON SCHEMA \"{schema}\" TO \"{role}\"");
                assert!(missing.contains(&usage.as_str()), "{run}");
            }
        }
        world.sql(&missing.join("; "));
        as_role(&["config", "check", "--for", work]).exits(0);
        if work == "plan" {
            as_role(&["plan", "--batch-id", "b", "--out", "p.json"])
                .exits(0)
                .says("1 to insert, 0 to update, 0 to delete, 0 unchanged, 0 violations");
        }
    }
    as_role(&["apply", "p.json", "--force"]).exits(0);
    as_role(&["rollback", "--batch-id", "b", "--force"]).exits(0);
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// What lies in a schema that the role may not use, and single columns, are asked for too.
#[test]
fn schemas_of_parents_and_single_columns_are_asked_for() {
    let world = World::new(
        "CREATE SCHEMA apart; CREATE TABLE apart.p (k int PRIMARY KEY); CREATE TABLE c (k int PRIMARY KEY, p int REFERENCES apart.p)",
        "c: {natural_key: [k]}",
    );
    let role = format!("parents_{}", std::process::id());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}; REVOKE UPDATE ON validation_queue FROM {role}; \
         GRANT UPDATE (status, loaded_at, application) ON validation_queue TO {role}"
    ));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let run = world.loader_with(
        &["config", "check", "--for", "apply"],
        &[("DATABASE_URL", &url)],
    );
    let run = run.exits(1);
    let grants = run.stdout.lines();
    let grants: Vec<&str> = grants
        .filter_map(|line| line.strip_prefix("missing: "))
        .collect();
    assert_eq!(
        grants,
        [
            format!("GRANT USAGE ON SCHEMA \"apart\" TO \"{role}\""),
            format!("GRANT SELECT ON \"apart\".\"p\" TO \"{role}\""),
            format!(
                "GRANT UPDATE (status, loaded_at, error_message, application) ON \"public\".\"validation_queue\" TO \"{role}\""
            ),
        ],
        "{run}"
    );
    let run = world.loader_with(&["migrate"], &[("DATABASE_URL", &url)]);
    run.exits(1)
        .says("permission denied for schema public")
        .says("whoever runs loader migrate has to own the schema of the loader's tables");
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_table_that_is_not_found_is_looked_for_in_other_schemas() {
    let world = with_batch();
    world.sql(
        "CREATE SCHEMA apart; CREATE TABLE apart.kept (id int PRIMARY KEY); \
         CREATE SCHEMA shut; CREATE TABLE shut.away (id int PRIMARY KEY); CREATE ROLE knocks_config LOGIN; \
         GRANT SELECT ON ALL TABLES IN SCHEMA shut TO knocks_config",
    );
    world.write(
        "tables.yaml",
        "kept: {natural_key: [id]}\nshut.away: {natural_key: [id]}\nnowhere: {natural_key: [id]}\n",
    );
    let url = world.url.replace("loader@", "knocks_config@");
    let run = world.call(&["config", "check"]).env("DATABASE_URL", url);
    let run = run.run().exits(1);
    // The role may use neither schema.
    for said in [
        "table kept is in schema apart, which the role may not use; its owner can: GRANT USAGE ON SCHEMA \"apart\" TO \"knocks_config\"",
        "missing: GRANT USAGE ON SCHEMA \"shut\" TO \"knocks_config\"",
        "table nowhere does not exist in the database",
    ] {
        assert!(run.stdout.contains(said), "{said}: {run}");
    }
    let run = checked(&world, &[]).exits(1);
    run.says("table kept is not in the search path, but in schema apart; name it apart.kept");
}

#[test]
fn what_deletes_would_look_through_is_noted_with_the_index_that_prevents_it() {
    let world = with_batch();
    world.sql(
        "CREATE TABLE parents (id int PRIMARY KEY); \
         CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents, other int REFERENCES parents); \
         CREATE INDEX ON children (other, id); CREATE INDEX ON children (parent) WHERE parent > 3",
    );
    world.write("tables.yaml", "parents: {natural_key: [id]}\n");
    let run = checked(&world, &[]).exits(0).says(
        "note: parents: children refers to it by \"parent\", with which no index begins: for each row that a load or a rollback \
         deletes, PostgreSQL looks through all of children; this would prevent that: CREATE INDEX ON \"public\".\"children\" \
         (\"parent\")",
    );
    run.says("0 grants missing, 1 note.");
    world.sql("CREATE INDEX ON children (parent)");
    checked(&world, &[]).exits(0).says("0 notes");
}

#[test]
fn row_security_that_hides_rows_is_found_before_a_plan_fails_for_it() {
    let world = with_batch();
    world.sql(
        "ALTER TABLE subjects ENABLE ROW LEVEL SECURITY; CREATE ROLE guarded_config LOGIN; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO guarded_config",
    );
    checked(&world, &[]).exits(0); // it owns the table
    let url = world.url.replace("loader@", "guarded_config@");
    let as_role = |args: &[&str]| world.call(args).env("DATABASE_URL", &url).run();
    as_role(&["config", "check"])
        .exits(1)
        .says("subjects: row security hides rows of it from this role");
    as_role(&["plan", "--batch-id", "b1"])
        .exits(1)
        .says("row-level security")
        .says("`loader config check --for plan`");
}

#[test]
fn row_security_of_a_table_to_which_records_refer_is_found_too() {
    let world = World::new(
        "CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text UNIQUE); INSERT INTO p (k) VALUES ('a');
         CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p); ALTER TABLE p ENABLE ROW LEVEL SECURITY",
        "c: {natural_key: [k], references: {p: {table: p, by: {k: p}}}}",
    );
    let role = format!("guarded_parent_{}", std::process::id());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    checked(&world, &[]).exits(0);
    let url = world.url.replace("loader@", &format!("{role}@"));
    let run = world.call(&["config", "check"]).env("DATABASE_URL", &url);
    run.run().exits(1).says(
        "c: row security hides rows of \"public\".\"p\" from this role, among which those are looked for that records refer to",
    );
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// PostgreSQL refuses updates and deletes of what it publishes and could not name to who is subscribed.
#[test]
fn a_published_table_without_replica_identity_is_found_before_a_load() {
    let world = World::new(
        "CREATE TABLE a (k text NOT NULL, v text); CREATE UNIQUE INDEX a_k ON a (k);
         CREATE TABLE b (k text PRIMARY KEY, v text);
         CREATE TABLE c (k text NOT NULL) PARTITION BY LIST (k);
         CREATE TABLE c1 PARTITION OF c FOR VALUES IN ('x'); CREATE UNIQUE INDEX ON c (k)",
        "a: {natural_key: [k]}\nb: {natural_key: [k]}\nc: {natural_key: [k]}",
    );
    let both = [
        "a: the publication p has updates and deletes of a, which",
        "c: the publication p has updates and deletes of c1, which",
    ];
    world.deliver("x", "a/1.json", r#"[{"k": "z", "v": "y"}]"#);
    world.deliver("y", "b/1.json", r#"[{"k": "z", "v": "y"}]"#);
    for publication in [
        "FOR ALL TABLES",
        "FOR TABLE a, b, c",
        "FOR TABLE a, b, c WITH (publish_via_partition_root)",
    ] {
        world.sql(&format!("CREATE PUBLICATION p {publication}"));
        checked(&world, &[])
            .exits(1)
            .says_all(&both)
            .omits("b: the pub");
        world.try_plan("x", &[]).exits(1).says(both[0]);
        world.try_plan("y", &[]).exits(0);
        world.sql("DROP PUBLICATION p");
    }
    checked(&world, &[]).exits(0);
    world.sql("CREATE PUBLICATION p FOR TABLE a WITH (publish = 'insert')");
    checked(&world, &[]).exits(0);
    world.sql("ALTER PUBLICATION p SET (publish = 'insert, update')");
    checked(&world, &[]).exits(1).says(both[0]);
    world.sql("ALTER TABLE a REPLICA IDENTITY USING INDEX a_k");
    checked(&world, &[]).exits(0);
    world.sql("ALTER TABLE a REPLICA IDENTITY NOTHING");
    checked(&world, &[]).exits(1);
    world.sql("ALTER TABLE a REPLICA IDENTITY FULL");
    checked(&world, &[]).exits(0);
}

/// Types, functions and their schemas may have been taken from everybody.
#[test]
fn rights_on_types_and_functions_of_rows_are_looked_at() {
    let world = World::new(
        "CREATE SCHEMA ext; CREATE TYPE ext.size AS ENUM ('s', 'l'); CREATE TYPE mood AS ENUM ('a', 'b'); \
         CREATE DOMAIN moods AS mood[]; REVOKE USAGE ON TYPE mood FROM PUBLIC; \
         CREATE FUNCTION ok(text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT $1 <> 'bad' $$; \
         CREATE FUNCTION first() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$; \
         CREATE FUNCTION low(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$; \
         CREATE FUNCTION known(text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$; \
         CREATE DOMAIN code AS text CHECK (known(value)); \
         REVOKE EXECUTE ON FUNCTION ok, first, low, known FROM PUBLIC; \
         CREATE TABLE t (k text PRIMARY KEY CHECK (ok(k)), s ext.size, m moods, d text DEFAULT first(), c code); \
         CREATE INDEX ON t (low(d)); CREATE TABLE u (k text PRIMARY KEY)",
        "t: {natural_key: [k]}",
    );
    let role = format!("typed_{}", std::process::id());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let check = || world.loader_with(&["config", "check"], &[("DATABASE_URL", &url)]);
    let run = check().exits(1);
    for grant in [
        "USAGE ON SCHEMA \"ext\"",
        "USAGE ON TYPE \"public\".\"mood\"",
        "EXECUTE ON FUNCTION \"public\".\"ok\"(text)",
        "EXECUTE ON FUNCTION \"public\".\"first\"()",
        "EXECUTE ON FUNCTION \"public\".\"low\"(text)",
        "EXECUTE ON FUNCTION \"public\".\"known\"(text)",
    ] {
        let grant = format!("GRANT {grant} TO \"{role}\"");
        assert!(run.stdout.contains(&grant), "{grant}: {run}");
        world.sql(&grant);
    }
    check().exits(0);
    world.deliver(
        "b",
        "t.json",
        r#"{"k": "1", "s": "s", "m": ["a"], "c": "x"}"#,
    );
    let plan = ["plan", "--batch-id", "b", "--out", "plan.json"];
    world.loader_with(&plan, &[("DATABASE_URL", &url)]).ok();
    // Some platforms turn it on for every new table.
    world.sql("ALTER TABLE loader_ledger ENABLE ROW LEVEL SECURITY");
    check().exits(1).says(
        "row security hides rows of \"public\".\"loader_ledger\", one of the loader's own tables, from this role; ALTER TABLE \
         \"public\".\"loader_ledger\" DISABLE ROW LEVEL SECURITY",
    );
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// A publication of some rows or columns has PostgreSQL refuse what its replica identity does not go with.
#[test]
fn what_a_publication_leaves_out_of_a_replica_identity_is_found() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, n int)",
        "t: {natural_key: [k]}",
    );
    if world.value("SELECT current_setting('server_version_num')::int >= 150000") == "f" {
        return;
    }
    let filter = "with a row filter over columns that are not in its replica identity";
    let list = "with a list of columns that leaves out some of its replica identity";
    for (publication, identity, says) in [
        ("t WHERE (n > 0)", "DEFAULT", Some(filter)),
        ("t WHERE (n > 0)", "FULL", None),
        ("t WHERE (k > 'a')", "DEFAULT", None),
        ("t (v, n)", "DEFAULT", Some(list)),
        ("t (k, n)", "DEFAULT", None),
        ("t (k, n)", "FULL", Some(list)),
        (
            "t (k, n) WHERE (n > 0 AND k > 'a')",
            "DEFAULT",
            Some(filter),
        ),
    ] {
        world.sql(&format!(
            "ALTER TABLE t REPLICA IDENTITY {identity}; CREATE PUBLICATION p FOR TABLE {publication}; \
             INSERT INTO t VALUES ('x', 'a', 1)"
        ));
        let refused = world.with(|client| client.batch_execute("UPDATE t SET v = 'b'").is_err());
        assert_eq!(refused, says.is_some(), "{publication} {identity}");
        let run = checked(&world, &[]);
        match says {
            Some(says) => run.exits(1).says(says),
            None => run.exits(0),
        };
        world.sql("DROP PUBLICATION p; DELETE FROM t");
    }
}

#[test]
fn who_applies_must_see_what_may_change_beside_the_plan() {
    let world = World::new(
        "CREATE TABLE p (k int PRIMARY KEY); CREATE TABLE c (k int REFERENCES p ON DELETE CASCADE)",
        "p: {natural_key: [k], allow_side_effects: [c]}",
    );
    let role = format!("beside_{}", std::process::id());
    world.sql(&format!("CREATE ROLE {role} LOGIN"));
    let url = world.url.replace("loader@", &format!("{role}@"));
    let run = world.loader_with(
        &["config", "check", "--for", "apply"],
        &[("DATABASE_URL", &url)],
    );
    let grant = format!("GRANT SELECT ON \"public\".\"c\" TO \"{role}\"");
    assert!(run.stdout.contains(&grant), "{run}");
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// Settings that would have loads do what nobody meant.
#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (setting, says) in [
        (
            "soft_delete: true, stamps: {deleted_at: now}",
            "deleted_at of t marks rows as deleted, and cannot be in stamps",
        ),
        (
            "soft_delete: true, insert_only_fields: [deleted_at]",
            "and cannot be in insert_only_fields",
        ),
        (
            "required_fields: [updated_at]",
            "required_fields: no record gives updated_at of t",
        ),
        (
            "required_fields: [g]",
            "required_fields: no record gives g of t",
        ),
        (
            "complete: {of_each: [g]}, limits: {delete: 5}",
            "complete: no record gives g of t",
        ),
        (
            "complete: {of_each: [site]}, stamps: {site: batch_id}, limits: {delete: 5}",
            "complete: no record gives site of t",
        ),
    ] {
        let world = World::new(
            "CREATE TABLE t (k text PRIMARY KEY, site text, g text GENERATED ALWAYS AS (upper(site)) STORED, \
             deleted_at timestamptz, updated_at timestamptz)",
            &format!("t: {{natural_key: [k], {setting}}}"),
        );
        checked(&world, &[]).exits(1).says(says);
    }
    // What holds for all tables is about what records can give.
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, updated_at timestamptz)",
        "defaults: {required_fields: [updated_at, k]}\nt: {natural_key: [k]}",
    );
    checked(&world, &[]).exits(0);
    world.deliver("b", "t/1.json", r#"{"k": "a"}"#);
    assert_eq!(world.plan("b").count("violation"), 0);
}
