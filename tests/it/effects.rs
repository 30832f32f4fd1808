//! Triggers, rules and foreign-key actions: what was planned is what is stored, and nothing else.

use crate::support::{Plan, World};

const TABLES: &str = "
CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0);
CREATE TABLE other (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
INSERT INTO t VALUES (1, 'old');
";

fn trigger(when: &str, body: &str) -> String {
    format!(
        "{TABLES} CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$; \
         CREATE TRIGGER meddler {when} ON t FOR EACH ROW EXECUTE FUNCTION act()"
    )
}

/// Plans an update and two inserts of `t`.
fn world(schema: &str) -> World {
    let world = World::new(schema, "t: {natural_key: [id]}");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two"}, {"id": 3, "v": "three"}]"#,
    );
    world
}

#[track_caller]
fn is_loaded(world: &World) {
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY 1"),
        ["1|new", "2|two", "3|three"]
    );
}

#[test]
fn a_trigger_that_changes_another_table_is_refused_unless_that_is_meant() {
    let world = world(&trigger(
        "AFTER INSERT OR UPDATE",
        "INSERT INTO other (what) VALUES (NEW.v); RETURN NULL;",
    ));
    let plan = world.plan("b");
    assert!(
        plan.text
            .contains("its triggers run when this is applied: meddler")
    );
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("3 rows of table public.other")
            .says("allow_side_effects")
    });
    world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).exits(4));
    for allowed in ["other", "public.other"] {
        world.configure(&format!(
            "t: {{natural_key: [id], allow_side_effects: [{allowed}]}}"
        ));
        let plan = world.plan("b");
        world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).ok());
    }
    let plan = world.plan("b");
    world.apply(&plan).ok();
    is_loaded(&world);
    assert_eq!(world.value("SELECT count(*) FROM other"), "3");
}

#[test]
fn a_trigger_that_writes_other_rows_of_the_same_table_is_refused() {
    let world = world(&trigger(
        "AFTER INSERT",
        "UPDATE t SET n = n + 1 WHERE id = 1; RETURN NULL;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| world.apply(&plan).exits(4).says("table public.t"));
}

#[test]
fn a_trigger_that_changes_what_was_planned_is_refused_by_name() {
    let world = world(&trigger(
        "BEFORE INSERT",
        "NEW.v := upper(NEW.v); RETURN NEW;",
    ));
    let plan = world.plan("b");
    let run = world.writes_only_a_failure(|| world.apply(&plan).exits(4));
    run.says("t: 2 rows were not stored as planned")
        .says("meddler");
    // And so is one that acts after the row was written.
    let world = self::world(&trigger(
        "AFTER UPDATE",
        "IF pg_trigger_depth() = 1 THEN UPDATE t SET v = 'mine' WHERE id = NEW.id; END IF; RETURN NULL;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| world.apply(&plan).exits(4));
}

#[test]
fn a_trigger_that_sets_columns_of_its_own_is_fine() {
    let world = world(&trigger(
        "BEFORE INSERT OR UPDATE",
        "NEW.n := length(NEW.v); RETURN NEW;",
    ));
    let plan = world.plan("b");
    world.apply(&plan).ok();
    is_loaded(&world);
    assert_eq!(world.rows("SELECT n FROM t ORDER BY id"), ["3", "3", "5"]);
    assert_eq!(
        world.rows(
            "SELECT new_values ->> 'n' FROM audit_log WHERE table_name = 't' ORDER BY record_id"
        ),
        ["3", "3", "5"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn a_trigger_that_swallows_a_row_is_refused() {
    let insert = world(&trigger(
        "BEFORE INSERT",
        "IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW;",
    ));
    let plan = insert.plan("b");
    insert.writes_only_a_failure(|| {
        let run = insert.apply(&plan).exits(4);
        run.says("swallows or adds rows (meddler); nothing was written")
    });
    let update = world(&trigger("BEFORE UPDATE", "RETURN NULL;"));
    let plan = update.plan("b");
    update.writes_only_a_failure(|| update.apply(&plan).says("swallows"));
}

#[test]
fn a_rule_that_writes_elsewhere_is_refused() {
    let world = world(&format!(
        "{TABLES} CREATE RULE r AS ON INSERT TO t DO ALSO INSERT INTO other (what) VALUES (NEW.v)"
    ));
    let plan = world.plan("b");
    let run = world.writes_only_a_failure(|| world.apply(&plan));
    assert_ne!(run.code, Some(0));
}

#[test]
fn a_failing_trigger_is_told_in_the_databases_own_words() {
    let world = world(&trigger(
        "AFTER INSERT",
        "RAISE 'the freezer is full'; RETURN NULL;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(1)
            .says("inserting into table t")
            .says("the freezer is full")
    });
}

#[test]
fn a_constraint_that_only_fails_at_the_end_is_told_and_nothing_is_written() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''too late''; END'; \
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    world.writes_only_a_failure(|| world.apply(&plan).exits(1).says("too late"));
}

#[test]
fn rows_of_partitions_and_of_inheriting_tables_are_counted_for_their_table() {
    let world = World::new(
        "CREATE TABLE t (id int, part int, v text, PRIMARY KEY (id, part)) PARTITION BY LIST (part); \
         CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2); \
         INSERT INTO t VALUES (1, 1, 'old'), (2, 2, 'old')",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "part": 2}, {"id": 2, "part": 2, "v": "new"}, {"id": 3, "part": 1}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        (plan.count("update"), plan.count("insert")),
        (2, 1),
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT tableoid::regclass, id, v FROM t ORDER BY 2"),
        ["t2|1|old", "t2|2|new", "t1|3|∅"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn triggers_on_columns_fire_for_the_rows_that_change_them_and_no_others() {
    let world = World::new(
        &trigger(
            "AFTER UPDATE OF v",
            "INSERT INTO other (what) VALUES (NEW.id::text); RETURN NULL;",
        ),
        "t: {natural_key: [id], allow_side_effects: [other]}",
    );
    world.sql("INSERT INTO t VALUES (2, 'two')");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "n": 5}, {"id": 2, "v": "new", "n": 6}]"#,
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT what FROM other"), ["2"]);
}

#[test]
fn a_server_that_does_not_count_is_refused() {
    let world = world(TABLES);
    let plan = world.plan("b");
    world.sql(&format!(
        "ALTER DATABASE {} SET track_counts = off",
        world.database
    ));
    world.writes_only_a_failure(|| world.apply(&plan).exits(1).says("track_counts"));
}

#[test]
fn a_trigger_that_empties_redefines_or_drops_a_table_is_refused() {
    for (body, what) in [
        ("TRUNCATE other;", "uncounted, rows of table public.other"),
        (
            "TRUNCATE ONLY part_1;",
            "uncounted, rows of table public.part_1",
        ),
        (
            "ALTER TABLE other ADD COLUMN extra int;",
            "uncounted, rows of table public.other",
        ),
        ("DROP TABLE other;", "drop a table or a view"),
    ] {
        let schema = trigger("AFTER UPDATE", &format!("{body} RETURN NULL;"));
        let world = world(&format!(
            "{schema}; INSERT INTO other (what) VALUES ('here'); CREATE TABLE part (a int) PARTITION BY LIST (a); \
             CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1); INSERT INTO part VALUES (1)"
        ));
        let plan = world.plan("b");
        let run = world.writes_only_a_failure(|| world.apply(&plan).exits(4));
        run.says(what);
    }
}

/// A foreign table `elsewhere` that stands for the table `other` of the same database.
fn foreign(world: &World, then: &str) {
    let (host, port) = (
        world.value("SHOW unix_socket_directories"),
        world.value("SHOW port"),
    );
    world.sql(&format!(
        "CREATE EXTENSION postgres_fdw; \
         CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', port '{port}', dbname '{}'); \
         CREATE USER MAPPING FOR PUBLIC SERVER here OPTIONS (user 'loader', password_required 'false'); {then}",
        world.database
    ));
}

#[test]
fn rows_of_foreign_tables_are_not_counted_and_so_refused() {
    let schema = trigger(
        "AFTER UPDATE",
        "INSERT INTO elsewhere (a, what) VALUES (1, NEW.v); RETURN NULL;",
    );
    for elsewhere in [
        "CREATE FOREIGN TABLE elsewhere (a int, what text) SERVER here OPTIONS (table_name 'remote')",
        "CREATE TABLE elsewhere (a int, what text) PARTITION BY LIST (a); CREATE FOREIGN TABLE elsewhere_1 \
         PARTITION OF elsewhere FOR VALUES IN (1) SERVER here OPTIONS (table_name 'remote')",
    ] {
        let world = world(&schema);
        foreign(
            &world,
            &format!("CREATE TABLE remote (a int, what text); {elsewhere}"),
        );
        let plan = world.plan("b");
        world.writes_only_a_failure(|| world.apply(&plan).exits(4).says("public.elsewhere"));
    }
}

#[test]
fn a_table_with_a_foreign_partition_is_not_loaded() {
    let world = World::new(
        "CREATE TABLE t (id int, v text) PARTITION BY LIST (id); CREATE TABLE remote (id int, v text)",
        "t: {natural_key: [id]}",
    );
    foreign(
        &world,
        "CREATE FOREIGN TABLE t_far PARTITION OF t DEFAULT SERVER here OPTIONS (table_name 'remote')",
    );
    world.deliver("b", "t/1.json", r#"{"id": 1, "v": "new"}"#);
    world
        .try_plan("b", &[])
        .exits(1)
        .says("the foreign table t_far");
}

#[test]
fn no_row_is_one_of_two_tables_of_a_batch() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (t); \
         CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY LIST (id); \
         CREATE TABLE q PARTITION OF p DEFAULT PARTITION BY LIST (id); CREATE TABLE q1 PARTITION OF q FOR VALUES IN (1); \
         CREATE TABLE q2 PARTITION OF q FOR VALUES IN (2)",
        "t: {natural_key: [id]}\nheir: {natural_key: [id]}\np: {natural_key: [id]}\nq1: {natural_key: [id]}\n\
         q2: {natural_key: [id]}\npublic.t: {natural_key: [id]}",
    );
    for (batch, one, other, says) in [
        ("a", "p", "q1", "q1 is a partition of p"),
        ("b", "heir", "t", "heir inherits from t"),
        ("c", "public.t", "t", "public.t and t are both the table"),
        ("d", "q1", "q2", ""),
    ] {
        for (table, id) in [(one, 1), (other, 2)] {
            world.deliver(
                batch,
                &format!("{table}/1.json"),
                format!(r#"[{{"id": {id}, "v": "new"}}]"#).as_str(),
            );
        }
        if says.is_empty() {
            world.apply(&world.plan(batch)).ok();
            continue;
        }
        world.try_plan(batch, &[]).exits(1).says(says);
        // Each for itself shares nothing.
        world.plan_with(batch, &["--table-name", one]);
    }
}

#[test]
fn foreign_keys_of_a_partitioned_table_are_those_of_its_partitions() {
    let world = World::new(
        "CREATE TABLE c (id int PRIMARY KEY, no text UNIQUE, code int UNIQUE); INSERT INTO c VALUES (1, 'A', 2), (2, 'B', 1); \
         CREATE TABLE p (id int PRIMARY KEY, c_code int REFERENCES c (code)) PARTITION BY RANGE (id); \
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id); \
         CREATE TABLE p2 PARTITION OF p1 FOR VALUES FROM (0) TO (10); INSERT INTO p VALUES (1, 1), (2, 2); \
         CREATE TABLE o (no text PRIMARY KEY, p_id int REFERENCES p ON DELETE CASCADE); INSERT INTO o VALUES ('1', 1)",
        "c: {natural_key: [no]}\n\
         p2: {natural_key: [id], allow_side_effects: [o], references: {c_code: {table: c, by: {no: customer}}}}\n\
         o: {natural_key: [no]}",
    );
    // Who refers to the whole, refers to the part.
    world.deliver("gone", "p2/delete/1.json", r#"{"id": 1}"#);
    let plan = world.plan_with("gone", &["--max-deletes", "9"]);
    assert!(
        plan.news()[0].contains("still_referred"),
        "{:?}",
        plan.news()
    );
    // The number is that to which the key refers, its parent has to be there, and comes first.
    world.deliver("first", "p2.json", r#"{"id": 4, "customer": "C"}"#);
    world.deliver("first", "c.json", r#"{"id": 3, "no": "C", "code": 7}"#);
    world.apply(&world.plan("first")).ok();
    world.deliver("b", "p2.json", r#"{"id": 3, "customer": "A"}"#);
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.rows("SELECT p.id, c.no FROM p JOIN c ON c.code = c_code WHERE p.id > 2 ORDER BY 1"),
        ["3|A", "4|C"]
    );
    world.deliver("bad", "p2.json", r#"{"id": 5, "c_code": 99}"#);
    let plan = world.plan("bad");
    assert!(
        plan.news()[0].contains("missing_parent"),
        "{:?}",
        plan.news()
    );
    // What later loads brought and refers to it is taken back with it.
    world.deliver("later", "o.json", r#"{"no": "3", "p_id": 3}"#);
    world.apply(&world.plan("later")).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .exits(4)
        .says("o no=3 refers to p2 id=3");
    world
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--with-dependents",
            "--force",
        ])
        .ok();
    assert_eq!(world.rows("SELECT id FROM p ORDER BY 1"), ["1", "2", "4"]);
    assert_eq!(world.rows("SELECT no FROM o"), ["1"]);
}

#[test]
fn rows_count_for_the_table_of_which_theirs_is_a_part() {
    // Of an inheriting table that the plan's finds, and of a partition that is loaded by its own name.
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (t); \
         INSERT INTO heir VALUES (1, 'old'); \
         CREATE TABLE p (id int, v text) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p (PRIMARY KEY (id)) DEFAULT; \
         INSERT INTO p VALUES (1, 'old')",
        "t: {natural_key: [id]}\np1: {natural_key: [id]}",
    );
    for table in ["t", "p1"] {
        world.deliver(
            "b",
            &format!("{table}/1.json"),
            r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two"}]"#,
        );
    }
    let plan = world.plan("b");
    world.apply(&plan).ok();
    for table in ["t", "p"] {
        assert_eq!(
            world.rows(&format!("SELECT id, v FROM {table} ORDER BY 1")),
            ["1|new", "2|two"]
        );
    }
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    for table in ["t", "p"] {
        assert_eq!(world.rows(&format!("SELECT id, v FROM {table}")), ["1|old"]);
    }
}

#[test]
fn what_a_deferred_trigger_changes_is_read_back_too() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int); \
         CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF NEW.v = 'new' THEN UPDATE t SET v = 'mine' WHERE id = NEW.id; END IF; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
        "t: {natural_key: [id], allow_side_effects: [t]}",
    );
    world.deliver("b", "t/1.json", r#"{"id": 1, "v": "new"}"#);
    let plan = world.plan("b");
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("1 row was not stored as planned")
    });
}

#[test]
fn what_is_committed_is_on_disk_whatever_the_role_or_database_says() {
    for (set, used) in [
        ("off", "on"),
        ("local", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (v text); \
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
               'BEGIN INSERT INTO other VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END'; \
             CREATE TRIGGER see AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see()",
            "t: {natural_key: [id], allow_side_effects: [other]}",
        );
        world.sql(&format!(
            "ALTER DATABASE {} SET synchronous_commit = {set}",
            world.database
        ));
        world.deliver("b", "t/1.json", r#"{"id": 1}"#);
        let plan = world.plan("b");
        world.apply(&plan).ok();
        assert_eq!(world.rows("SELECT v FROM other"), [used], "{set}");
    }
}

#[test]
fn a_key_that_a_trigger_changes_is_named_as_what_it_is() {
    let world = world(&trigger(
        "BEFORE INSERT",
        "NEW.id := NEW.id + 100; RETURN NEW;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("t: 2 rows were not stored as planned, which are not found by their natural key")
    });
}

/// What never changes is not changed by a trigger either, behind the plan's back; other columns are the trigger's.
#[test]
fn a_trigger_that_changes_an_immutable_column_is_refused() {
    for (when, refused) in [
        ("BEFORE INSERT OR UPDATE", true),
        ("AFTER UPDATE", true),
        ("BEFORE INSERT", false),
    ] {
        let body = if when.starts_with("AFTER") {
            "UPDATE t SET n = 7 WHERE id = NEW.id AND n <> 7; RETURN NULL;"
        } else {
            "NEW.n := 7; RETURN NEW;"
        };
        for (fields, refused) in [("[n]", refused), ("[]", false)] {
            let world = world(&trigger(when, body));
            // New rows give it.
            world.deliver(
            "b",
            "t/1.json",
            r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two", "n": 7}, {"id": 3, "v": "three", "n": 7}]"#,
        );
            world.configure(&format!(
                "t: {{natural_key: [id], immutable_fields: {fields}, allow_side_effects: [t]}}"
            ));
            let plan = world.plan("b");
            if refused {
                world.writes_only_a_failure(|| {
                    world
                        .apply(&plan)
                        .exits(4)
                        .says(
                            "a trigger (meddler) changed what immutable_fields says never changes",
                        )
                        .says("n of the row 1; nothing was written")
                });
            } else {
                world.apply(&plan).ok();
                is_loaded(&world);
            }
        }
    }
}

/// The triggers of partitions and of inheriting tables are the table's, too.
#[test]
fn triggers_below_a_table_are_noted_and_part_of_its_definition() {
    for below in [
        "CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0) PARTITION BY RANGE (id); \
         CREATE TABLE part PARTITION OF t FOR VALUES FROM (0) TO (100); INSERT INTO t VALUES (1, 'old');",
        "CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0); \
         CREATE TABLE part (PRIMARY KEY (id)) INHERITS (t); INSERT INTO part VALUES (1, 'old');",
    ] {
        let function = "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.n := 7; RETURN NEW; END $f$;";
        let trigger =
            "CREATE TRIGGER meddler BEFORE UPDATE ON part FOR EACH ROW EXECUTE FUNCTION act()";
        let world = World::new(&format!("{below} {function}"), "t: {natural_key: [id]}");
        world.deliver("b", "t/1.json", r#"[{"id": 1, "v": "new"}]"#);
        let plan = world.plan("b");
        world.sql(trigger);
        world.apply(&plan).exits(6).says("definition");
        let plan = world.plan("b");
        assert!(
            plan.text
                .contains("its triggers run when this is applied: meddler"),
            "{}",
            plan.text
        );
        world.apply(&plan).ok();
        assert_eq!(world.rows("SELECT id, v, n FROM t"), ["1|new|7"]);
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(world.rows("SELECT id, v FROM t"), ["1|old"]);
    }
}

/// A column that must not be null and that a trigger fills need not be given.
#[test]
fn what_a_trigger_sets_no_record_has_to_give() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, v text, slug text NOT NULL UNIQUE, made text NOT NULL CHECK (made <> 'x'));
        CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
          NEW.slug := lower(NEW.v) || NEW.id; IF TG_OP = 'INSERT' THEN NEW.made := 'by trigger'; END IF; RETURN NEW; END $f$;
        INSERT INTO t VALUES (1, 'Old', 'old1', 'before')";
    let records =
        r#"[{"id": 1, "v": "New"}, {"id": 2, "v": "Two", "slug": "mine"}, {"id": 3, "v": "Two"}]"#;
    let stamps = "t: {natural_key: [id], insert_only_fields: [made], stamps: {slug: trigger, made: trigger}}";
    let world = World::new(schema, stamps);
    world.deliver("b", "t/1.json", records);
    world
        .try_plan("b", &[])
        .exits(1)
        .says("stamps: t has no trigger that could set made");
    world.sql(
        "CREATE TRIGGER acts BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION act()",
    );
    // Unless that is said, it is missing.
    world.configure("t: {natural_key: [id]}");
    assert_eq!(world.plan("b").count("violation"), 2);
    world.configure(stamps);
    let before = world.rows("SELECT t::text FROM t");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ t id=1: v=\"Old\"→\"New\"",
            "+ t id=2: v=\"Two\"",
            "+ t id=3: v=\"Two\""
        ]
    );
    let shown = world.show(&plan, &[]);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for note in [
        "each row that is written also gets slug (what a trigger sets)",
        "each new row also gets made (what a trigger sets)",
        "slug is set by each load (stamps), and is not loaded: 1 record",
    ] {
        assert!(shown.contains(note), "{shown}");
    }
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t ORDER BY id"),
        [
            "(1,New,new1,before)",
            "(2,Two,two2,\"by trigger\")",
            "(3,Two,two3,\"by trigger\")"
        ]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT t::text FROM t"), before);
}

const ORDERS: &str = "
CREATE TABLE orders (order_no text PRIMARY KEY, note text, total numeric NOT NULL DEFAULT 0);
CREATE TABLE items (order_no text REFERENCES orders, line int, amount numeric NOT NULL, PRIMARY KEY (order_no, line));
CREATE FUNCTION tot() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE orders o SET total = (SELECT coalesce(sum(amount), 0) FROM items i
  WHERE i.order_no = o.order_no) WHERE o.order_no = coalesce(NEW.order_no, OLD.order_no); RETURN NULL; END $$;
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION tot();
INSERT INTO orders VALUES ('O1', 'x'), ('O3', 'y'); INSERT INTO items VALUES ('O1', 1, 3), ('O3', 1, 4)";

/// The sum of its parts is kept in a row that the plan changes or deletes, too.
#[test]
fn rows_that_triggers_of_other_tables_change_are_changed_deleted_and_put_back() {
    let world = World::new(
        ORDERS,
        "orders: {natural_key: [order_no], limits: {delete: 9}}\n\
         items: {natural_key: [order_no, line], limits: {delete: 9}, allow_side_effects: [orders]}",
    );
    let all = || {
        world.rows("SELECT o::text FROM orders o UNION ALL SELECT i::text FROM items i ORDER BY 1")
    };
    let before = all();
    world.deliver("b", "orders/1.csv", "order_no,note\nO2,n\nO1,changed\n");
    world.deliver(
        "b",
        "items/1.csv",
        "order_no,line,amount\nO2,1,5\nO1,2,7\nO1,1,4\n",
    );
    world.deliver("b", "orders/delete/1.csv", "order_no\nO3\n");
    world.deliver("b", "items/delete/1.csv", "order_no,line\nO3,1\n");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        all(),
        [
            "(O1,1,4)",
            "(O1,2,7)",
            "(O1,changed,11)",
            "(O2,1,5)",
            "(O2,n,5)"
        ]
    );
    let again = world.plan("b");
    assert_eq!(again.news().len(), 2, "both are gone: {:?}", again.news());
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(all(), before);
}

/// Of a row whose record changes another reference, the one that it leaves alone follows, too.
#[test]
fn a_reference_that_a_record_leaves_alone_follows_beside_one_that_it_changes() {
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE NOT NULL); \
         CREATE TABLE c (id int PRIMARY KEY, one text REFERENCES p (code) ON UPDATE CASCADE, two text REFERENCES p (code) ON UPDATE CASCADE); \
         INSERT INTO p VALUES (1, 'X'), (2, 'Y'); INSERT INTO c VALUES (1, 'X', 'Y')",
        "p: {natural_key: [id], allow_side_effects: [c]}\nc: {natural_key: [id]}",
    );
    world.deliver("b", "p.csv", "id,code\n1,X2\n");
    world.deliver("b", "c.csv", "id,two\n1,X2\n");
    let plan = world.plan("b");
    assert_eq!(plan.news().len(), 2, "{:?}", plan.lines());
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT * FROM c"), ["1|X2|X2"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT * FROM c"), ["1|X|Y"]);
    assert_eq!(world.rows("SELECT * FROM p ORDER BY 1"), ["1|X", "2|Y"]);
}

/// A foreign key changes a row that the plan changes, too.
#[test]
fn rows_that_follow_by_a_foreign_key_may_have_a_record_of_their_own() {
    let world = World::new(
        "CREATE TABLE cust (email text PRIMARY KEY, no text UNIQUE NOT NULL); \
         CREATE TABLE ord (id int PRIMARY KEY, cust_no text REFERENCES cust (no) ON UPDATE CASCADE, amt int); \
         INSERT INTO cust VALUES ('a@x', 'N1'), ('b@x', 'M1'); INSERT INTO ord VALUES (1, 'N1', 5), (2, 'M1', 5), (3, 'M1', 5)",
        "cust: {natural_key: [email], allow_side_effects: [ord]}\nord: {natural_key: [id]}",
    );
    let all =
        || world.rows("SELECT c::text FROM cust c UNION ALL SELECT o::text FROM ord o ORDER BY 1");
    let before = all();
    world.deliver("b", "cust.csv", "email,no\na@x,N9\nb@x,M9\n");
    world.deliver("b", "ord.csv", "id,cust_no,amt\n2,M9,50\n");
    world.deliver("b", "ord/2.csv", "id,amt\n1,50\n");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        all(),
        ["(1,N9,50)", "(2,M9,50)", "(3,M9,5)", "(a@x,N9)", "(b@x,M9)"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(all(), before);
}

/// What a record says of such a row is so afterwards, or it is a violation, where nothing else changes too.
#[test]
fn records_of_rows_that_follow_say_what_they_follow_to() {
    let world = World::new(
        "CREATE TABLE cust (email text PRIMARY KEY, no text NOT NULL, kind text NOT NULL, UNIQUE (no, kind)); \
         CREATE TABLE ord (id int PRIMARY KEY, cust_no text, kind text, amt int, \
           FOREIGN KEY (cust_no, kind) REFERENCES cust (no, kind) ON UPDATE CASCADE); \
         INSERT INTO cust VALUES ('a@x', 'N1', 'k'), ('b@x', 'M1', 'k'); \
         INSERT INTO ord VALUES (1, 'N1', 'k', 5), (2, 'N1', 'k', 5), (3, 'N1', 'k', 5), (4, 'M1', 'k', 5), (5, NULL, 'k', 5)",
        "cust: {natural_key: [email], allow_side_effects: [ord]}\nord: {natural_key: [id]}",
    );
    world.deliver("b", "cust.csv", "email,no\na@x,N9\nb@x,M1\n");
    // Nothing else changes; something else does; not said; said of the part that stays; of another; of none.
    world.deliver(
        "b",
        "ord.csv",
        "id,cust_no,amt\n1,N1,5\n2,N1,50\n4,M1,5\n5,,5\n",
    );
    world.deliver("b", "ord/2.csv", "id,kind,amt\n3,k,5\n");
    assert_eq!(
        world.plan("b").news(),
        [
            "~ cust email=a@x: no=\"N1\"→\"N9\"",
            "! ord id=1: missing_parent block",
            "! ord id=2: missing_parent block"
        ]
    );
    world.deliver(
        "b",
        "ord.csv",
        "id,cust_no,amt\n1,N9,5\n2,N9,50\n4,M1,5\n5,,5\n",
    );
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.rows("SELECT id, cust_no, amt FROM ord ORDER BY 1"),
        ["1|N9|5", "2|N9|50", "3|N9|5", "4|M1|5", "5|∅|5"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    // Another row takes what the parent gives up; the orders follow the row, and not the value.
    for cust in ["a@x,N10\nc@x,N9\n", "a@x,N10\nb@x,N9\n"] {
        world.deliver(
            "c",
            "cust.csv",
            format!("email,no,kind\n{}", cust.replace('\n', ",k\n")),
        );
        world.deliver("c", "ord.csv", "id,cust_no,amt\n1,N9,5\n2,N9,51\n3,,5\n");
        let plan = world.plan("c");
        let violations = plan.news().into_iter().filter(|line| line.starts_with('!'));
        assert_eq!(
            violations.collect::<Vec<_>>(),
            [
                "! ord id=1: missing_parent block",
                "! ord id=2: missing_parent block"
            ],
            "{cust}"
        );
        let shown = world.loader(&["show", plan.name()]).ok().stdout;
        assert!(
            shown.contains("the row of cust to which it refers becomes"),
            "{shown}"
        );
    }
}

/// When a row was changed is set by a trigger, also where other records give it.
#[test]
fn what_triggers_set_is_not_put_back_though_records_gave_it() {
    let schema = "CREATE FUNCTION lu() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.last_update = clock_timestamp(); RETURN NEW; END $$;
        CREATE TABLE actor (id int PRIMARY KEY, name text NOT NULL, last_update timestamptz NOT NULL DEFAULT now());
        CREATE TRIGGER lu BEFORE UPDATE ON actor FOR EACH ROW EXECUTE FUNCTION lu();
        INSERT INTO actor VALUES (1, 'PENELOPE', '2022-02-15Z')";
    let rollback = |world: &World, batch: &str| {
        world
            .loader(&["rollback", "--batch-id", batch, "--force"])
            .ok();
    };
    for more in ["", ", insert_only_fields: [last_update]"] {
        let world = World::new(schema, &format!("actor: {{natural_key: [id]{more}}}"));
        let all =
            || world.rows("SELECT id, name, last_update > '2024-01-01' FROM actor ORDER BY 1");
        let before = all();
        let new = r#"{"id": 3, "name": "N", "last_update": "2023-01-01T00:00Z"}"#;
        world.deliver(
            "b",
            "actor.json",
            format!(r#"[{{"id": 1, "name": "PEN"}}, {new}]"#),
        );
        let plan = world.plan("b");
        world.apply(&plan).ok();
        assert_eq!(all(), ["1|PEN|t", "3|N|f"]);
        rollback(&world, "b");
        assert_eq!(all(), ["1|PENELOPE|t"], "{before:?}");
        // What a record changed in such a column is put back, where the trigger leaves it.
        world.sql("ALTER TABLE actor DISABLE TRIGGER lu");
        if more.is_empty() {
            world.deliver(
                "own",
                "actor.json",
                r#"{"id": 1, "last_update": "2023-01-01T00:00Z"}"#,
            );
            world.apply(&world.plan("own")).ok();
            assert_eq!(all(), ["1|PENELOPE|f"]);
            world.sql("ALTER TABLE actor ENABLE TRIGGER lu");
            world.sql("CREATE OR REPLACE FUNCTION lu() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$");
            rollback(&world, "own");
            assert_eq!(all(), ["1|PENELOPE|t"]);
            world.sql("CREATE OR REPLACE FUNCTION lu() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.last_update = clock_timestamp(); RETURN NEW; END $$");
        }
        world.sql("ALTER TABLE actor ENABLE TRIGGER lu");
        // The newest first: what the trigger did then is nobody else's change.
        world.deliver(
            "b1",
            "actor.json",
            r#"{"id": 7, "name": "A", "last_update": "2020-01-01T00:00Z"}"#,
        );
        world.deliver("b2", "actor.json", r#"{"id": 7, "name": "B"}"#);
        for batch in ["b1", "b2"] {
            world.apply(&world.plan(batch)).ok();
        }
        for batch in ["b2", "b1"] {
            rollback(&world, batch);
        }
        assert_eq!(all(), ["1|PENELOPE|t"]);
    }
}

/// A record that gives a column as it is wants it so: the row is stored as the record says, or not at all.
#[test]
fn what_a_record_gives_as_it_is_no_trigger_changes() {
    let own = trigger("BEFORE UPDATE", "NEW.n := 7; RETURN NEW;");
    let others = format!(
        "{TABLES} CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN UPDATE t SET n = 7; RETURN NULL; END $f$; \
         CREATE TRIGGER act AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION act()"
    );
    let refused = |world: &World| {
        let plan = world.plan("b");
        world.writes_only_a_failure(|| {
            world
                .apply(&plan)
                .exits(4)
                .says("changed what records give as it was")
                .says("n of the row 1; nothing was written")
                .says("stamps: {n: trigger}")
        });
        let told = world.loader(&["plan", "--batch-id", "b", "--rehearse"]);
        told.says("stamps: {n: trigger}");
    };
    for (schema, more) in [(own.as_str(), ""), (&others, "b")] {
        let config = |of_t: &str| {
            format!(
                "t: {{natural_key: [id]{of_t}}}\nother: {{natural_key: [what], allow_side_effects: [t]}}"
            )
        };
        let world = World::new(schema, &config(""));
        world.sql("UPDATE t SET n = 0");
        world.sql("INSERT INTO t VALUES (2, 'old', 5)");
        if !more.is_empty() {
            world.deliver("b", "other/1.json", r#"{"what": "x"}"#);
        }
        world.deliver("b", "t/2.json", r#"{"id": 2, "v": "new"}"#);
        // Where null does not win, it is not given.
        world.deliver("b", "t/1.json", r#"{"id": 1, "v": "new", "n": null}"#);
        world.sql("BEGIN; SET LOCAL session_replication_role = replica; UPDATE t SET n = 0 WHERE id = 1; COMMIT");
        let plan = world.plan("b");
        assert!(!plan.text.contains("\"stays\":[\"n\"]"), "{}", plan.text);
        world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).ok());
        world.deliver("b", "t/1.json", r#"{"id": 1, "v": "new", "n": 0}"#);
        refused(&world);
        world.configure(&config(", stamps: {n: trigger}"));
        world.apply(&world.plan("b")).ok();
        assert_eq!(
            world.rows("SELECT id, v, n FROM t ORDER BY 1"),
            ["1|new|7", "2|new|7"]
        );
        assert_eq!(world.plan("b").news(), [""; 0]);
    }
    // What is null and given so, where null wins; and a row that comes back.
    let world = World::new(
        &format!(
            "{own}; ALTER TABLE t ADD deleted_at timestamptz; INSERT INTO t VALUES (3, 'old', NULL, '2020-01-01')"
        ),
        "t: {natural_key: [id], conflict_resolution: replace, soft_delete: true}",
    );
    world.deliver("b", "t/1.json", r#"{"id": 3, "v": "new", "n": null}"#);
    let plan = world.plan("b");
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("n of the row 3; nothing was written")
    });
}

/// What a trigger looks for in the row to which a new one refers is there, whatever their keys are.
#[test]
fn triggers_find_the_new_rows_to_which_new_rows_refer() {
    let world = World::new(
        "CREATE TABLE c (code text PRIMARY KEY, up text REFERENCES c, second text REFERENCES c, label text DEFAULT 'none', \
           at int GENERATED ALWAYS AS IDENTITY, path text); \
         CREATE FUNCTION set_path() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN \
           SELECT path || '.' || NEW.code INTO NEW.path FROM c WHERE code = NEW.up; \
           NEW.path := coalesce(NEW.path, NEW.code); RETURN NEW; END $f$; \
         CREATE TRIGGER path BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION set_path(); \
         INSERT INTO c (code) VALUES ('m')",
        "c: {natural_key: [code]}",
    );
    world.deliver("b", "c/1.csv", "code,up\na,z\nb,a\nz,y\ny,m\nq,\n");
    // Rows that give other columns are written with them.
    world.deliver(
        "b",
        "c/2.json",
        r#"[{"code": "k", "up": "x", "label": "own"}, {"code": "x", "up": "b", "second": "q"}]"#,
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT path, label, at IS NOT NULL FROM c ORDER BY code"),
        [
            "m.y.z.a|none|t",
            "m.y.z.a.b|none|t",
            "m.y.z.a.b.x.k|own|t",
            "m|none|t",
            "q|none|t",
            "m.y.z.a.b.x|none|t",
            "m.y|none|t",
            "m.y.z|none|t"
        ]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT path FROM c"), ["m"]);
    // A circle is as well as ever.
    world.deliver("circle", "c/1.csv", "code,up\n1,2\n2,1\n3,4\n4,\n");
    let plan = world.plan("circle");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT path FROM c WHERE code IN ('3', '4') ORDER BY 1"),
        ["4", "4.3"]
    );
}

/// What may suffer beside the plan is not counted: rows that came since must be asked for.
#[test]
fn a_row_that_came_since_is_not_lost_by_a_foreign_key() {
    for (action, record, key) in [
        (
            "ON DELETE CASCADE",
            r#"{"op": "delete", "data": {"k": 1}}"#,
            "n",
        ),
        (
            "ON DELETE SET NULL",
            r#"{"op": "delete", "data": {"k": 1}}"#,
            "n",
        ),
        (
            "ON DELETE SET DEFAULT",
            r#"{"op": "delete", "data": {"k": 1}}"#,
            "k",
        ),
        ("ON UPDATE SET NULL", r#"{"k": 1, "n": 11}"#, "n"),
        ("ON UPDATE SET DEFAULT", r#"{"k": 1, "n": 11}"#, "n"),
    ] {
        for parts in [
            "CREATE TABLE p (k int PRIMARY KEY, n int UNIQUE)",
            "CREATE TABLE p (k int, n int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); \
             CREATE TABLE p2 PARTITION OF p DEFAULT; ALTER TABLE p1 ADD PRIMARY KEY (k), ADD UNIQUE (n)",
            "CREATE TABLE p (k int, n int); CREATE TABLE p1 (PRIMARY KEY (k), UNIQUE (n)) INHERITS (p)",
        ] {
            let parent = if parts.contains("p1") { "p1" } else { "p" };
            if parts.contains("INHERITS") && record.contains("delete") {
                continue; // such deletes are refused
            }
            let world = World::in_folder(
                &format!(
                    "{parts}; INSERT INTO {parent} VALUES (1, 10); \
                     CREATE TABLE c (x text PRIMARY KEY, n int REFERENCES {parent} ({key}) {action})"
                ),
                "p: {natural_key: [k], allow_side_effects: [c], limits: {delete: 9}}",
            );
            world.deliver("b", "p/1.json", record);
            let plan = world.plan("b");
            assert_eq!(plan.count("violation"), 0, "{}", plan.text);
            world.sql(&format!("INSERT INTO c SELECT 'mine', {key} FROM p"));
            let before = world.rows("SELECT * FROM c");
            if record.contains("delete") {
                world.check(&plan).exits(3);
            }
            let refused = world.apply(&plan).exits(3);
            assert!(
                refused.stderr.contains("no rollback could give back"),
                "{}",
                refused.stderr
            );
            assert_eq!(world.rows("SELECT * FROM c"), before, "{action} {parts}");
            // When it is there already, the plan says so.
            let plan = world.plan("b");
            assert_eq!(plan.count("violation"), 1, "{}", plan.text);
            world.sql("DELETE FROM c");
            world.apply(&world.plan("b")).ok();
        }
    }
}

#[test]
fn keys_that_only_a_partition_has_or_is_meant_by_are_seen() {
    let world = World::in_folder(
        "CREATE TABLE z (i int PRIMARY KEY); INSERT INTO z VALUES (1); \
         CREATE TABLE p (k int, r int, n int, PRIMARY KEY (k, r)) PARTITION BY LIST (r); \
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2); \
         ALTER TABLE p1 ADD FOREIGN KEY (n) REFERENCES z; \
         INSERT INTO p VALUES (1, 1, 1), (1, 2, 7); \
         CREATE TABLE c (x text PRIMARY KEY, k int, r int, FOREIGN KEY (k, r) REFERENCES p1); INSERT INTO c VALUES ('a', 1, 1)",
        "p: {natural_key: [k, r], limits: {delete: 9}, conflict_resolution: replace}\nz: {natural_key: [i], limits: {delete: 9}}\n\
         c: {natural_key: [x], limits: {delete: 9}}",
    );
    let start =
        ["p", "z", "c"].map(|t| world.rows(&format!("SELECT x::text FROM {t} x ORDER BY 1")));
    // Rows of the partition need a parent, those of the other one do not; and it is written first.
    world.deliver(
        "b",
        "p.json",
        r#"[{"k": 2, "r": 1, "n": 2}, {"k": 3, "r": 1, "n": 99}, {"k": 3, "r": 2, "n": 99}]"#,
    );
    world.deliver("b", "z.json", r#"[{"i": 2}]"#);
    world.deliver("b", "c.json", r#"[{"x": "b", "k": 2, "r": 1}]"#);
    let violations = |plan: &Plan| -> Vec<String> {
        let lines = plan.lines().into_iter();
        lines.filter(|l| l.starts_with('!')).collect()
    };
    let plan = world.plan("b");
    assert_eq!(violations(&plan), ["! p k=3 r=1: missing_parent n block"]);
    world.deliver(
        "b",
        "p.json",
        r#"[{"k": 2, "r": 1, "n": 2}, {"k": 3, "r": 2, "n": 99}]"#,
    );
    world.apply(&world.plan("b")).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    let now = ["p", "z", "c"].map(|t| world.rows(&format!("SELECT x::text FROM {t} x ORDER BY 1")));
    assert_eq!(now, start);
    // What refers to a row of the partition stands against its delete; the row of the other one may go.
    world.deliver(
        "d",
        "p/1.json",
        r#"{"op": "delete", "records": [{"k": 1, "r": 1}, {"k": 1, "r": 2}]}"#,
    );
    let plan = world.plan("d");
    assert_eq!(violations(&plan), ["! p k=1 r=1: still_referred block"]);
    world.deliver(
        "d",
        "c/1.json",
        r#"{"op": "delete", "records": [{"x": "a"}]}"#,
    );
    world.apply(&world.plan("d")).ok();
    world
        .loader(&["rollback", "--batch-id", "d", "--force"])
        .ok();
    let now = ["p", "z", "c"].map(|t| world.rows(&format!("SELECT x::text FROM {t} x ORDER BY 1")));
    assert_eq!(now, start);
    // A rollback asks, too.
    world.deliver("e", "p.json", r#"[{"k": 5, "r": 1}]"#);
    world.apply(&world.plan("e")).ok();
    world.sql("INSERT INTO c VALUES ('mine', 5, 1)");
    let refused = world
        .loader(&["rollback", "--batch-id", "e", "--force"])
        .exits(4);
    assert!(refused.stderr.contains("mine"), "{}", refused.stderr);
}

/// Large objects, roles and functions are nobody's rows, and a rollback could not put them back.
#[test]
fn what_triggers_do_beside_tables_is_refused() {
    for (body, catalog) in [
        ("PERFORM lo_unlink(5001);", "pg_largeobject"),
        ("PERFORM lo_from_bytea(0, 'x');", "pg_largeobject"),
        (
            "EXECUTE 'CREATE ROLE nobody_' || pg_backend_pid();",
            "pg_authid",
        ),
        (
            "EXECUTE 'CREATE OR REPLACE FUNCTION public.other_thing() RETURNS int LANGUAGE sql AS $q$ SELECT 2 $q$';",
            "pg_proc",
        ),
    ] {
        let world = world(&trigger("AFTER UPDATE", &format!("{body} RETURN NULL;")));
        world.sql("SELECT lo_from_bytea(5001, 'contents')");
        let plan = world.plan("b");
        world.writes_only_a_failure(|| world.apply(&plan).exits(4).says(catalog));
        assert_eq!(world.value("SELECT count(*) FROM pg_largeobject"), "1");
    }
    // A temporary table is nobody's loss.
    let world = world(&trigger(
        "AFTER UPDATE",
        "CREATE TEMP TABLE mine (a serial PRIMARY KEY, b text DEFAULT 'x', CHECK (a > 0)); INSERT INTO mine (b) VALUES ('y'); \
         ANALYZE mine; DROP TABLE mine; RETURN NULL;",
    ));
    world.configure("t: {natural_key: [id], allow_side_effects: [other]}");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    is_loaded(&world);
}

#[test]
fn a_view_may_be_refreshed_and_no_table_dropped() {
    let world = world(&format!(
        "{TABLES} CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM t; CREATE TABLE precious (a int);
         CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN REFRESH MATERIALIZED VIEW totals; RETURN NULL; END $f$;
         CREATE TRIGGER meddler AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION act()"
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("add totals to allow_side_effects")
    });
    world.configure("t: {natural_key: [id], allow_side_effects: [totals]}");
    let plan = world.plan("b");
    world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).ok());
    world.sql(
        "CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN DROP TABLE IF EXISTS precious; \
         RETURN NULL; END $f$",
    );
    for allowed in ["totals", "\"(dropped)\"", "\"?.(dropped)\""] {
        world.configure(&format!(
            "t: {{natural_key: [id], allow_side_effects: [{allowed}]}}"
        ));
        let run = world.try_plan("b", &["--out", "p.json"]);
        if run.code == Some(0) {
            world
                .loader(&["apply", "p.json", "--force"])
                .exits(4)
                .says("would also drop a table or a view");
        }
        assert_eq!(world.value("SELECT count(*) FROM precious"), "0");
    }
}
