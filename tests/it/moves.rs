//! Rows that cease to refer to rows which the plan deletes, and begin to refer to rows which it inserts.

use std::collections::BTreeMap;

use crate::support::{Plan, World};

fn allowed(world: &World) -> Plan {
    world.plan_with("b", &["--max-deletes", "100"])
}

/// Plans without violations, applies, plans again without news, and takes back.
fn round(world: &World, tables: &[&str], what: &str) {
    let content = || -> Vec<Vec<String>> {
        let rows = tables.iter();
        rows.map(|t| world.rows(&format!("SELECT * FROM {t} ORDER BY 1")))
            .collect()
    };
    let before = content();
    let plan = allowed(world);
    assert_eq!(plan.count("violation"), 0, "{what}: {:?}", plan.lines());
    let applied = world.apply(&plan);
    assert_eq!(applied.code, Some(0), "{what}: {}", applied.stderr);
    assert_ne!(content(), before, "{what}");
    let again = allowed(world);
    let news = ["insert", "update", "delete", "violation"].map(|action| again.count(action));
    assert_eq!(news, [0; 4], "{what}: {:?}", again.lines());
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(content(), before, "{what}");
}

#[test]
fn children_move_from_a_row_that_goes_to_one_that_comes() {
    for action in [
        "",
        "ON DELETE CASCADE",
        "ON DELETE SET NULL",
        "ON DELETE RESTRICT",
        "DEFERRABLE",
        "ON DELETE CASCADE DEFERRABLE",
        "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED",
        "ON DELETE RESTRICT DEFERRABLE",
    ] {
        // By numbers.
        let world = World::new(
            &format!(
                "CREATE TABLE g (id int PRIMARY KEY); \
                 CREATE TABLE p (id int PRIMARY KEY, g int REFERENCES g {action}); \
                 CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p {action}); \
                 INSERT INTO g VALUES (1); INSERT INTO p VALUES (1, 1), (2, 1); INSERT INTO c VALUES (10, 1), (20, 2)"
            ),
            "g: {natural_key: [id], complete: true}\np: {natural_key: [id], complete: true}\nc: {natural_key: [id]}",
        );
        world.deliver("b", "g/1.csv", "id\n5\n");
        world.deliver("b", "p/1.csv", "id,g\n3,5\n2,5\n");
        world.deliver("b", "c/1.csv", "id,p\n10,3\n30,3\n");
        round(&world, &["g", "p", "c"], action);
    }
    for action in ["", "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED"] {
        // By keys, which were renamed.
        let world = World::new(
            &format!(
                "CREATE TABLE p (id serial PRIMARY KEY, no text UNIQUE); \
                 CREATE TABLE c (no text PRIMARY KEY, p int NOT NULL REFERENCES p {action}); \
                 INSERT INTO p (no) VALUES ('A'), ('B'); INSERT INTO c VALUES ('x', 1), ('y', 2)"
            ),
            "p: {natural_key: [no], complete: true}\n\
             c: {natural_key: [no], references: {p: {table: p, by: {no: p_no}}}}",
        );
        world.deliver("b", "p/1.csv", "no\nC\nB\n");
        world.deliver("b", "c/1.csv", "no,p_no\nx,C\nz,C\n");
        round(&world, &["p", "c"], action);
        // In one table.
        let world = World::new(
            &format!(
                "CREATE TABLE s (id int PRIMARY KEY, boss int REFERENCES s {action}); \
                 INSERT INTO s VALUES (1, NULL), (2, 1), (3, 2)"
            ),
            "s: {natural_key: [id]}",
        );
        world.deliver("b", "s/delete/1.csv", "id\n1\n");
        world.deliver("b", "s/1.csv", "id,boss\n2,4\n4,5\n5,\n");
        round(&world, &["s"], action);
    }
}

#[test]
fn what_is_taken_before_it_is_free_is_found_when_the_plan_is_made() {
    // The new row has to be there before the old one goes, and takes what that one holds.
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p); \
         INSERT INTO p VALUES (1, 'A'); INSERT INTO c VALUES (10, 1)",
        "p: {natural_key: [id]}\nc: {natural_key: [id]}",
    );
    world.deliver("b", "p/delete/1.csv", "id\n1\n");
    world.deliver("b", "p/1.csv", "id,code\n2,A\n");
    world.deliver("b", "c/1.csv", "id,p\n10,2\n");
    let plan = allowed(&world);
    assert!(
        plan.text.contains("gives it up only later in this plan"),
        "{}",
        plan.text
    );
    // An update that leaves a row of its own table comes before that goes.
    let world = World::new(
        "CREATE TABLE s (id int PRIMARY KEY, boss int REFERENCES s, code text UNIQUE); \
         INSERT INTO s VALUES (1, NULL, 'A'), (2, 1, 'B'), (3, NULL, 'C')",
        "s: {natural_key: [id]}",
    );
    world.deliver("b", "s/delete/1.csv", "id\n1\n");
    world.deliver("b", "s/1.csv", "id,boss,code\n2,3,A\n");
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 1, "{:?}", plan.lines());
    assert!(
        plan.text.contains("gives it up only later in this plan"),
        "{}",
        plan.text
    );
    // A deferrable key allows both.
    world.sql(
        "ALTER TABLE s DROP CONSTRAINT s_code_key; ALTER TABLE s ADD UNIQUE (code) DEFERRABLE",
    );
    round(&world, &["s"], "deferrable");
}

#[test]
fn deletes_elsewhere_change_nothing_about_what_updates_can_take() {
    let world = World::new(
        "CREATE TABLE o (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, code text UNIQUE); \
         INSERT INTO o VALUES (1); INSERT INTO p VALUES (1), (2); \
         INSERT INTO c VALUES (10, 1, 'A'), (20, 1, 'B'), (30, 2, 'C')",
        "o: {natural_key: [id]}\np: {natural_key: [id]}\nc: {natural_key: [id]}",
    );
    world.deliver("b", "o/delete/1.csv", "id\n1\n");
    world.deliver("b", "p/1.csv", "id\n3\n");
    // 10 begins to refer to a new row and gives up what 20 and a new row take.
    world.deliver("b", "c/1.csv", "id,p,code\n10,3,Z\n20,1,A\n40,3,B\n");
    round(&world, &["o", "p", "c"], "a delete elsewhere");
    // So it is where others of the table leave a row that goes.
    world.deliver("b", "p/delete/1.csv", "id\n2\n");
    world.deliver(
        "b",
        "c/1.csv",
        "id,p,code\n10,3,Z\n20,1,D\n40,3,B\n30,1,C\n",
    );
    round(&world, &["o", "p", "c"], "a row that is left");
    world.deliver("b", "c/1.csv", "id,p,code\n10,3,Z\n20,1,A\n30,1,C\n");
    round(&world, &["o", "p", "c"], "and one takes what 10 gives up");
}

#[test]
fn a_row_that_is_marked_leaves_a_partial_index() {
    let world = World::new(
        "CREATE TABLE t (no text, code text, gone bool NOT NULL DEFAULT false, PRIMARY KEY (no)); \
         CREATE UNIQUE INDEX ON t (code) WHERE NOT gone; INSERT INTO t VALUES ('A', 'x'), ('B', 'y'), ('C', 'z')",
        "t: {natural_key: [no], soft_delete: gone}",
    );
    world.deliver("b", "t/delete/1.csv", "no\nA\nB\n");
    world.deliver("b", "t/1.csv", "no,code\nC,x\nD,y\n");
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
    let live = "SELECT no, code FROM t WHERE NOT gone ORDER BY 1";
    assert_eq!(world.rows(live), ["C|x", "D|y"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows(live), ["A|x", "B|y", "C|z"]);
    // In a full one it stays.
    world.sql("DELETE FROM t WHERE gone; DROP INDEX t_code_idx; ALTER TABLE t ADD UNIQUE (code)");
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 2, "{:?}", plan.lines());
    // A check that forbids the mark is asked, too.
    world.sql("ALTER TABLE t ADD CHECK (NOT (gone AND no = 'A'))");
    world.deliver("b", "t/1.csv", "no,code\nC,z\n");
    let plan = allowed(&world);
    assert!(plan.text.contains("check_failed"), "{}", plan.text);
}

#[test]
fn a_key_that_a_row_gives_up_is_that_of_the_row_which_takes_it() {
    // By a unique key, and by one of live rows only; rows that go are named or are not delivered.
    for (schema, config) in [
        ("code text UNIQUE", ""),
        (
            "code text, gone bool NOT NULL DEFAULT false",
            ", soft_delete: gone",
        ),
        ("code text UNIQUE", ", complete: true"),
        (
            "code text, gone bool NOT NULL DEFAULT false",
            ", soft_delete: gone, complete: true",
        ),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE p (id serial PRIMARY KEY, no text UNIQUE, {schema}); \
                 CREATE TABLE c (no text PRIMARY KEY, p int REFERENCES p DEFERRABLE); \
                 INSERT INTO p (no, code) VALUES ('A', 'x'), ('B', 'y'); INSERT INTO c VALUES ('1', 1), ('2', 2)"
            ),
            &format!(
                "p: {{natural_key: [no]{config}}}\n\
                 c: {{natural_key: [no], references: {{p: {{table: p, by: {{code: code}}}}}}}}"
            ),
        );
        if !config.contains("complete") {
            world.deliver("b", "p/delete/1.csv", "no\nA\n");
        }
        world.deliver("b", "p/1.csv", "no,code\nC,x\nB,y\n");
        world.deliver("b", "c/1.csv", "no,code\n1,x\n2,y\n3,x\n");
        let plan = allowed(&world);
        assert_eq!(plan.count("violation"), 0, "{config}: {:?}", plan.lines());
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT c.no, p.no FROM c JOIN p ON p.id = p ORDER BY 1"),
            ["1|C", "2|B", "3|C"],
            "{config}"
        );
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(
            world.rows("SELECT c.no, p.no FROM c JOIN p ON p.id = p ORDER BY 1"),
            ["1|A", "2|B"],
            "{config}"
        );
        // Where none takes it, it is that of a row which goes.
        world.sql("DELETE FROM p WHERE no = 'C'");
        world.deliver("b", "p/1.csv", "no,code\nC,z\nB,y\n");
        let plan = allowed(&world);
        let hard = !config.contains("soft_delete");
        assert_eq!(
            plan.count("violation") > 0,
            hard,
            "{config}: {:?}",
            plan.lines()
        );
    }
}

#[test]
fn rows_that_are_marked_already_are_gone_however_many() {
    let world = World::new(
        "CREATE TABLE t (id serial PRIMARY KEY, no text, gone bool NOT NULL DEFAULT false); \
         CREATE UNIQUE INDEX ON t (no) WHERE NOT gone; INSERT INTO t (no, gone) VALUES ('A', true), ('A', false)",
        "t: {natural_key: [no], soft_delete: gone}",
    );
    world.deliver("b", "t/delete/1.csv", "no\nA\n");
    let plan = allowed(&world);
    assert_eq!((plan.count("delete"), plan.count("violation")), (1, 0));
    world.apply(&plan).ok();
    let again = allowed(&world);
    assert_eq!(again.lines(), ["= t no=A: unchanged"]);
    assert_eq!(allowed(&world).text, again.text);
    world.apply(&again).ok();
}

#[test]
fn a_rollback_that_marks_rows_says_why_a_key_is_taken() {
    let world = World::new(
        "CREATE TABLE t (no text PRIMARY KEY, code text UNIQUE, gone bool NOT NULL DEFAULT false); \
         INSERT INTO t VALUES ('A', 'x')",
        "t: {natural_key: [no], soft_delete: gone}",
    );
    world.deliver("b", "t/1.csv", "no,code\nA,y\nB,x\n");
    let plan = allowed(&world);
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .exits(4)
        .says("rows that are only marked as deleted (soft_delete) keep what must be unique");
}

/// Of an index of some rows, or of expressions, only those rows and what the expressions yield are handed over.
#[test]
fn what_indexes_of_any_kind_hold_is_handed_over_row_by_row() {
    let chain = "l,u\na,0\nb,1\n";
    for (columns, index, rows, csv) in [
        // The row outside of the index takes nothing from the one in it.
        (
            "u int NOT NULL UNIQUE, s text, v boolean",
            "UNIQUE INDEX ON ad (s) WHERE v",
            "('a', 1, 'x', true), ('b', 2, 'x', false)",
            chain,
        ),
        (
            "u int NOT NULL UNIQUE, s text, v boolean",
            "UNIQUE INDEX ON ad (s) WHERE v",
            "('a', 1, 'x', false), ('b', 2, 'x', true)",
            chain,
        ),
        // Rows go out of it and into it.
        (
            "u int UNIQUE, s text, v boolean",
            "UNIQUE INDEX ON ad (s) WHERE v",
            "('a', 1, 'x', true), ('b', 2, 'x', false)",
            "l,v\na,f\nb,t\n",
        ),
        (
            "s text, v boolean",
            "UNIQUE INDEX ON ad (s) WHERE v",
            "('a', 'x', true), ('b', 'y', true), ('c', 'x', false)",
            "l,s,v\na,z,t\nb,x,f\nc,x,t\n",
        ),
        (
            "b text, v int",
            "UNIQUE INDEX ON ad (lower(b))",
            "('a', 'P', 1), ('b', 'Q', 2)",
            "l,b\na,o\nb,p\n",
        ),
        (
            "b text, v int",
            "UNIQUE INDEX ON ad (lower(b)) WHERE v > 0",
            "('a', 'P', 1), ('b', 'Q', 2), ('c', 'p', 0)",
            "l,b,v\na,o,1\nb,Q,0\nc,P,3\n",
        ),
        (
            "b text, g text GENERATED ALWAYS AS (lower(b)) STORED",
            "UNIQUE INDEX ON ad (g)",
            "('a', 'P'), ('b', 'Q')",
            "l,b\na,o\nb,p\n",
        ),
        (
            "n int, s text",
            "UNIQUE INDEX ON ad (coalesce(s, ''), n)",
            "('a', 1, NULL), ('b', 2, NULL)",
            "l,n\na,0\nb,1\n",
        ),
        (
            "\"s._n\" int UNIQUE, c1 int, _n int",
            "UNIQUE INDEX ON ad ((\"s._n\" + c1 - _n))",
            "('a', 1, 0, 0), ('b', 2, 0, 0)",
            "l,s._n\na,0\nb,1\n",
        ),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE ad (l text PRIMARY KEY, {columns}); CREATE {index}; INSERT INTO ad VALUES {rows}"
            ),
            "ad: {natural_key: [l]}",
        );
        world.deliver("b", "ad.csv", csv);
        round(&world, &["ad"], &format!("{index} {rows}"));
    }
    // Where each waits for the other, the plan says so.
    let world = World::new(
        "CREATE TABLE ad (l text PRIMARY KEY, u int UNIQUE, b text); CREATE UNIQUE INDEX ON ad (lower(b)); \
         INSERT INTO ad VALUES ('a', 1, 'P'), ('b', 2, 'Q')",
        "ad: {natural_key: [l]}",
    );
    world.deliver("b", "ad.csv", "l,u,b\na,0,q\nb,1,r\n");
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 2, "{:?}", plan.lines());
}

/// A partial exclusion constraint is over some rows, and two nulls may be equal in a unique one.
#[test]
fn what_excludes_and_nulls_that_are_equal_are_handed_over() {
    for (schema, rows, csv) in [
        (
            "u int UNIQUE, s text, v int, EXCLUDE (s WITH =) WHERE (v = 1)",
            "('a', 1, 'x', 0), ('b', 2, 'x', 1)",
            "l,u\na,0\nb,1\n",
        ),
        (
            "n int, s text, UNIQUE NULLS NOT DISTINCT (n, s)",
            "('a', 1, NULL), ('b', 2, NULL)",
            "l,n\na,0\nb,1\n",
        ),
        (
            "n int, during daterange, EXCLUDE USING gist (during WITH &&)",
            "('a', 1, '[2024-01-01,2024-02-01)'), ('b', 2, '[2024-02-01,2024-03-01)')",
            "l;during\na;[2023-12-01,2024-01-01)\nb;[2024-01-01,2024-02-01)\n",
        ),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE ad (l text PRIMARY KEY, {schema}); INSERT INTO ad VALUES {rows}"
            ),
            "ad: {natural_key: [l], csv: {delimiter: \";\"}}",
        );
        world.deliver(
            "b",
            "ad.csv",
            csv.replace(',', if csv.contains(';') { "," } else { ";" }),
        );
        round(&world, &["ad"], schema);
    }
}

/// By the collation of the index.
#[test]
fn nulls_and_texts_are_equal_as_the_index_says() {
    let world = World::new(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE ad (l text PRIMARY KEY, b text COLLATE \"C\", n int); \
         CREATE UNIQUE INDEX ON ad (b COLLATE ci, n) NULLS NOT DISTINCT; \
         INSERT INTO ad VALUES ('a', 'X', NULL)",
        "ad: {natural_key: [l]}",
    );
    world.deliver("b", "ad.csv", "l,b,n\nc,x,\nd,y,\ne,,1\n");
    let plan = allowed(&world);
    let conflicts = plan.lines();
    assert_eq!(
        conflicts,
        [
            "! ad l=c: unique_conflict block",
            "+ ad l=d: b=\"y\" n=null",
            "+ ad l=e: b=null n=\"1\""
        ],
    );
}

#[test]
fn values_change_hands_among_rows_that_move() {
    let schema = |action: &str| {
        format!(
            "CREATE TABLE cat (code text PRIMARY KEY); \
             CREATE TABLE prod (sku text PRIMARY KEY, cat text REFERENCES cat {action}, pos int UNIQUE); \
             INSERT INTO cat VALUES ('keep'), ('old'), ('older')"
        )
    };
    let config = "cat: {natural_key: [code]}\nprod: {natural_key: [sku]}";
    // What rows that leave take, others give up that begin to refer to new ones; and so on in a chain. Taking it
    // back, those that leave are others.
    for (rows, delivered) in [
        (
            "('p1', 'old', 1), ('p2', 'keep', 2)",
            "p1,keep,2\np2,new,3\n",
        ),
        (
            "('p1', 'old', 2), ('p2', 'older', 7)",
            "p1,new,5\np2,keep,2\n",
        ),
        (
            "('p1', 'old', 1), ('p2', 'keep', 2), ('p3', 'new', 3), ('p4', 'keep', 4)",
            "p1,keep,2\np2,newer,3\np3,older,4\np4,newer,5\n",
        ),
    ] {
        for action in ["", "DEFERRABLE", "ON DELETE CASCADE"] {
            let world = World::new(&schema(action), config);
            if rows.contains("new") {
                world.sql("INSERT INTO cat VALUES ('new')");
            }
            world.sql(&format!("INSERT INTO prod VALUES {rows}"));
            let new: String = ["new", "newer"].iter().fold("code\n".into(), |all, code| {
                match delivered.contains(&format!("{code},"))
                    && !rows.contains(&format!("'{code}'"))
                {
                    true => format!("{all}{code}\n"),
                    false => all,
                }
            });
            world.deliver("b", "cat/1.csv", new);
            world.deliver("b", "cat/delete/1.csv", "code\nold\n");
            if !delivered.contains("older") {
                world.deliver("b", "cat/delete/2.csv", "code\nolder\n");
            }
            world.deliver("b", "prod/1.csv", format!("sku,cat,pos\n{delivered}"));
            round(&world, &["cat", "prod"], &format!("{rows} {action}"));
        }
    }
    // What a row that comes takes, one gives up that begins to refer to a new one, while another leaves.
    let world = World::new(&schema(""), config);
    world.sql("INSERT INTO prod VALUES ('p0', 'old', 1), ('p1', 'keep', 3), ('p2', 'keep', 11)");
    world.deliver("b", "cat/1.csv", "code\nnew\n");
    world.deliver("b", "cat/delete/1.csv", "code\nold\n");
    world.deliver("b", "prod/1.csv", "sku,cat,pos\np0,keep,11\np1,new,3\n");
    world.deliver("b", "prod/delete/1.csv", "sku\np2\n");
    round(&world, &["cat", "prod"], "comes again");
    // In one table: the last ones give up what others take, the first ones take what others give up.
    let world = World::new(
        "CREATE TABLE s (id int PRIMARY KEY, boss int REFERENCES s, pos int UNIQUE); \
         INSERT INTO s VALUES (1, NULL, 1), (2, 1, 2), (3, NULL, 3), (4, NULL, 4)",
        "s: {natural_key: [id]}",
    );
    world.deliver("b", "s/delete/1.csv", "id\n1\n");
    world.deliver("b", "s/1.csv", "id,boss,pos\n2,3,3\n3,9,4\n4,,6\n9,,9\n");
    round(&world, &["s"], "in one table");
    let world = World::new(
        "CREATE TABLE s (id int PRIMARY KEY, boss int REFERENCES s, pos int UNIQUE); \
         INSERT INTO s VALUES (2, NULL, 2), (3, NULL, 3), (4, NULL, 4)",
        "s: {natural_key: [id]}",
    );
    world.deliver("b", "s/1.csv", "id,boss,pos\n2,9,5\n3,,2\n4,,3\n9,,9\n");
    round(&world, &["s"], "behind the last");
}

#[test]
fn what_others_bring_is_there_for_rows_that_stay() {
    // One row leaves a row that goes; another begins to refer to what an update brings, which comes later.
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY, no text UNIQUE); \
         CREATE TABLE c (id int PRIMARY KEY, no text REFERENCES p (no)); \
         INSERT INTO p VALUES (1, 'A'), (2, 'B'), (3, 'C'); INSERT INTO c VALUES (1, 'A'), (2, 'C')",
        "p: {natural_key: [id]}\nc: {natural_key: [id]}",
    );
    world.deliver("b", "p/delete/1.csv", "id\n1\n");
    world.deliver("b", "p/1.csv", "id,no\n2,N\n");
    world.deliver("b", "c/1.csv", "id,no\n1,C\n2,N\n");
    round(&world, &["p", "c"], "brought by an update");
}

#[test]
fn rows_are_written_with_those_without_which_they_cannot_be() {
    type Delivered<'d> = &'d [(&'d str, &'d str)];
    let cases: [(&str, &[&str], Delivered<'_>); 10] = [
        // A row and who follows it to another value are written at once, though others wait for one of them.
        (
            "CREATE TABLE s (id int PRIMARY KEY, code text UNIQUE, boss text REFERENCES s (code), u int UNIQUE); \
             INSERT INTO s VALUES (1, 'A', NULL, 5), (2, 'B', 'A', NULL), (3, 'C', NULL, NULL)",
            &["s"],
            &[
                ("s/1.csv", "id,code,u\n1,A2,6\n3,C,5\n"),
                ("s/2.csv", "id,boss\n2,A2\n"),
            ],
        ),
        (
            "CREATE TABLE s (id int PRIMARY KEY, code text UNIQUE, boss text REFERENCES s (code), u int UNIQUE); \
             INSERT INTO s VALUES (1, 'A', NULL, 6), (2, 'B', 'A', NULL), (3, 'C', NULL, 5)",
            &["s"],
            &[
                ("s/1.csv", "id,code,u\n1,A2,5\n3,C,7\n"),
                ("s/2.csv", "id,boss\n2,A2\n"),
            ],
        ),
        // What a key does when rows go says nothing of rows that change.
        (
            "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE, u int UNIQUE); \
             CREATE TABLE c (id int PRIMARY KEY, pcode text REFERENCES p (code) ON DELETE CASCADE DEFERRABLE, pid int REFERENCES p); \
             INSERT INTO p VALUES (3, 'N', 1); INSERT INTO c VALUES (5, 'N', 3)",
            &["p", "c"],
            &[
                ("p/1.csv", "id,code,u\n3,M,4\n5,K,1\n"),
                ("c/1.csv", "id,pcode,pid\n5,K,5\n"),
            ],
        ),
        (
            "CREATE TABLE g (id int PRIMARY KEY, code text UNIQUE, main int); \
             CREATE TABLE p (id int PRIMARY KEY, g text REFERENCES g (code) ON DELETE CASCADE DEFERRABLE); \
             ALTER TABLE g ADD FOREIGN KEY (main) REFERENCES p ON DELETE SET NULL DEFERRABLE; \
             INSERT INTO p VALUES (1, NULL); INSERT INTO g VALUES (3, 'C', 1)",
            &["g", "p"],
            &[
                ("g/1.csv", "id,code,main\n3,D,5\n"),
                ("p/1.csv", "id,g\n5,D\n"),
            ],
        ),
        // Who takes a value over is not carried along by who gives it up.
        (
            "CREATE TABLE g (id int PRIMARY KEY, code text UNIQUE); \
             CREATE TABLE p (id int PRIMARY KEY, v text, g text REFERENCES g (code) ON UPDATE CASCADE DEFERRABLE); \
             INSERT INTO g VALUES (1, 'C'), (3, 'B'); INSERT INTO p VALUES (1, 'v', 'C'), (2, 'v', 'B')",
            &["g", "p"],
            &[
                ("g/delete/1.csv", "id\n1\n"),
                ("g/1.csv", "id,code\n3,A\n2,B\n"),
                ("p/delete/1.csv", "id\n2\n"),
                ("p/1.csv", "id,g\n1,B\n"),
            ],
        ),
        (
            "CREATE TABLE g (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE x (id int PRIMARY KEY); \
             CREATE TABLE p (id int PRIMARY KEY, x int REFERENCES x, g text REFERENCES g (code) ON UPDATE CASCADE DEFERRABLE); \
             INSERT INTO g VALUES (1, 'C'), (3, 'B'); INSERT INTO x VALUES (1), (2); INSERT INTO p VALUES (1, 1, 'C')",
            &["g", "x", "p"],
            &[
                ("g/1.csv", "id,code\n3,A\n2,B\n"),
                ("x/delete/1.csv", "id\n1\n"),
                ("p/1.csv", "id,x,g\n1,2,B\n"),
            ],
        ),
        // Who follows by itself is written before the key makes it follow.
        (
            "CREATE TABLE g (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE); \
             CREATE TABLE c (id int PRIMARY KEY, pcode text REFERENCES p (code) ON UPDATE CASCADE DEFERRABLE, v int, g int REFERENCES g); \
             INSERT INTO g VALUES (1), (2); INSERT INTO p VALUES (1, 'N'); INSERT INTO c VALUES (1, 'N', 1, 1)",
            &["g", "p", "c"],
            &[
                ("g/delete/1.csv", "id\n1\n"),
                ("p/1.csv", "id,code\n1,K\n"),
                ("c/1.csv", "id,pcode,v,g\n1,K,2,2\n"),
            ],
        ),
        // What a default gives is taken, and referred to.
        (
            "CREATE TABLE g (id int PRIMARY KEY); \
             CREATE TABLE s (id int PRIMARY KEY, g int NOT NULL DEFAULT 7 REFERENCES g, boss int REFERENCES s); \
             INSERT INTO g VALUES (1); INSERT INTO s VALUES (1, 1, NULL), (2, 1, 1)",
            &["g", "s"],
            &[
                ("g/1.csv", "id\n7\n"),
                ("s/delete/1.csv", "id\n1\n"),
                ("s/1.csv", "id\n5\n"),
                ("s/2.csv", "id,boss\n2,5\n"),
            ],
        ),
        (
            "CREATE TABLE p (id int PRIMARY KEY, a int, kind text DEFAULT 'x', UNIQUE (a, kind)); \
             CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p); INSERT INTO p VALUES (1, 1, 'x'), (3, 3, 'x'); INSERT INTO c VALUES (10, 3)",
            &["p", "c"],
            &[
                ("p/delete/1.csv", "id\n1\n3\n"),
                ("p/1.csv", "id,a\n2,1\n"),
                ("c/1.csv", "id,p\n10,2\n"),
            ],
        ),
        // A chain of many new rows, the last of which somebody who leaves a row refers to.
        (
            "CREATE TABLE s (id int PRIMARY KEY, boss int REFERENCES s); INSERT INTO s VALUES (1000, NULL), (1001, 1000)",
            &["s"],
            &[
                ("s/delete/1.csv", "id\n1000\n"),
                (
                    "s/1.csv",
                    "id,boss\n1,\n2,1\n3,2\n4,3\n5,4\n6,5\n7,6\n8,7\n1001,8\n",
                ),
            ],
        ),
    ];
    for (schema, tables, delivered) in cases {
        let config = tables
            .iter()
            .map(|t| format!("{t}: {{natural_key: [id]}}\n"));
        let world = World::new(schema, &config.collect::<String>());
        for (name, content) in delivered {
            world.deliver("b", name, *content);
        }
        round(&world, tables, schema);
    }
}

/// Numbers that look as if they were drawn: the same ones each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }

    /// Of so many numbers, those of a table's rows, in the order in which they stand.
    fn some(&mut self, of: u64, parts: u64) -> Vec<u64> {
        (0..of).filter(|_| self.below(parts) > 0).collect()
    }
}

#[test]
fn whatever_can_be_loaded_can_be_taken_back() {
    // Rows of two tables that refer to each other and to themselves, with values that only one may have and to which
    // others refer; each delivery is a whole new state.
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY, up int REFERENCES p, no int UNIQUE, pos int UNIQUE); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, no int REFERENCES p (no) ON UPDATE CASCADE, pos int UNIQUE, \
           code int, boss int REFERENCES c); \
         CREATE UNIQUE INDEX ON c ((code + 0)) WHERE code > 1",
        "p: {natural_key: [id], complete: true}\nc: {natural_key: [id], complete: true}",
    );
    let content = || {
        [
            world.rows("SELECT * FROM p ORDER BY 1"),
            world.rows("SELECT * FROM c ORDER BY 1"),
        ]
    };
    let rounds = std::env::var("TEST_ROUNDS").map_or(12, |n| n.parse().unwrap());
    let (mut loaded, mut refused) = (0, 0);
    let mut held = [(); 4].map(|()| BTreeMap::new());
    for round in 0..rounds {
        let mut draws = Draws(round * 7919 + 17);
        let (parents, children) = (draws.some(5, 4), draws.some(6, 4));
        let one_of = |draws: &mut Draws, of: &[u64]| match draws.below(of.len() as u64 + 1) as usize
        {
            i if i < of.len() => of[i].to_string(),
            _ => String::new(),
        };
        // Most rows keep what they have; some take what others have, or had.
        let mut values = |draws: &mut Draws, column: usize, rows: &[u64]| {
            let had: &mut BTreeMap<u64, u64> = &mut held[column];
            let mut new = BTreeMap::new();
            for id in rows.iter().filter(|_| draws.below(3) > 0) {
                new.extend(had.get(id).map(|value| (*id, *value)));
            }
            for id in rows {
                while !new.contains_key(id) {
                    let value = draws.below(12);
                    if !new.values().any(|taken| *taken == value) {
                        new.insert(*id, value);
                    }
                }
            }
            new
        };
        let (no, pos) = (
            values(&mut draws, 0, &parents),
            values(&mut draws, 1, &parents),
        );
        let (of_c, code) = (
            values(&mut draws, 2, &children),
            values(&mut draws, 3, &children),
        );
        let numbers: Vec<u64> = no.values().copied().collect();
        let mut p = "id,up,no,pos\n".to_owned();
        for id in &parents {
            let up = one_of(&mut draws, &parents);
            p += &format!("{id},{up},{},{}\n", no[id], pos[id]);
        }
        let mut c = "id,p,no,pos,code,boss\n".to_owned();
        for id in &children {
            let (up, of) = (one_of(&mut draws, &parents), one_of(&mut draws, &numbers));
            let boss = one_of(&mut draws, &children);
            c += &format!("{id},{up},{of},{},{},{boss}\n", of_c[id], code[id]);
        }
        let before = content();
        let what = format!("round {round}: {before:?}\n{p}{c}");
        let load = |batch: &str| {
            world.deliver(batch, "p/1.csv", p.clone());
            world.deliver(batch, "c/1.csv", c.clone());
            let plan = world.plan_with(batch, &["--max-deletes", "100"]);
            if plan.count("violation") > 0 {
                return false;
            }
            let applied = world.apply(&plan);
            assert_eq!(applied.code, Some(0), "{what}{}", applied.stderr);
            true
        };
        let batch = format!("b{round}");
        if !load(&batch) {
            refused += 1;
            continue;
        }
        let undone = world.loader(&["rollback", "--batch-id", &batch, "--force"]);
        assert_eq!(undone.code, Some(0), "{what}{}", undone.stderr);
        assert_eq!(content(), before, "{what}");
        assert!(load(&format!("c{round}")), "{what}");
        held = [no, pos, of_c, code];
        loaded += 1;
    }
    assert!(loaded * 3 >= rounds, "{loaded} loaded, {refused} refused");
}
