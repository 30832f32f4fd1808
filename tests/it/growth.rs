//! What the database is asked grows with the batch, and not with its square: where a row was asked about for each
//! record, some thousands of records took minutes.

use std::fmt::Write;
use std::time::Instant;

use crate::support::World;

const FEW: u64 = 500;
/// So many times as many records: what grows with the square takes 64 times as long.
const TIMES: u64 = 8;
const AT_MOST: f64 = 25.0;

/// That `seconds` for many records are not too many times those for few; a busy machine is given four tries.
#[track_caller]
fn grows_evenly(seconds: impl Fn(u64) -> f64) {
    // What takes a few milliseconds in any case says nothing.
    let few = seconds(FEW).min(seconds(FEW)).max(0.01);
    let mut many = f64::INFINITY;
    for _ in 0..4 {
        many = many.min(seconds(FEW * TIMES));
        if many / few < AT_MOST {
            return;
        }
    }
    panic!("{TIMES} times as many records take {few} s and {many} s");
}

/// The seconds of one phase of what `run` does in the world for so many records.
fn seconds(
    phase: &str,
    world: impl Fn(u64) -> World,
    run: impl Fn(&World) -> String,
) -> impl Fn(u64) -> f64 {
    move |n| {
        let told = run(&world(n));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let phases = told["timings"].as_array().unwrap().iter();
        let of_phase = phases.filter(|t| t["phase"] == phase);
        let seconds: Vec<f64> = of_phase.map(|t| t["seconds"].as_f64().unwrap()).collect();
        assert!(!seconds.is_empty(), "{told}");
        seconds.iter().sum()
    }
}

fn plan(world: &World) -> String {
    let plan = ["plan", "--batch-id", "b", "--out", "plan.json"];
    let more = ["--max-deletes", "100%", "--json", "--timings"];
    world
        .call(&[plan.as_slice(), &more].concat())
        .run()
        .ok()
        .stdout
}

fn a_world(schema: &str, config: &str) -> World {
    let world = World::in_folder(schema, config);
    world.set("LOADER_QUEUE", "off");
    world
}

fn lines(n: u64, line: impl Fn(u64) -> String) -> String {
    (1..=n).fold(String::new(), |mut all, i| {
        writeln!(all, "{}", line(i)).unwrap();
        all
    })
}

fn parents_and_children(n: u64) -> World {
    a_world(
        &format!(
            "CREATE TABLE parents (id text PRIMARY KEY); CREATE TABLE children (id text PRIMARY KEY, parent text REFERENCES parents); \
             INSERT INTO parents SELECT 'p' || i FROM generate_series(1, {n}) i; \
             INSERT INTO children SELECT 'c' || i, 'p' || i FROM generate_series(1, {n}) i"
        ),
        "parents: {natural_key: [id]}\nchildren: {natural_key: [id]}\n",
    )
}

fn delete(world: &World, table: &str, letter: &str, n: u64) {
    let ids = lines(n, |i| format!("{letter}{i}"));
    world.put("b", &format!("{table}/delete/1.csv"), format!("id\n{ids}"));
}

#[test]
fn deleting_rows_to_which_others_refer_by_what_has_no_index() {
    let world = |n| {
        let world = parents_and_children(n);
        delete(&world, "parents", "p", n);
        world
    };
    grows_evenly(seconds("check constraints", world, plan));
    let world = |n| {
        let world = world(n);
        delete(&world, "children", "c", n);
        world
    };
    grows_evenly(seconds("check constraints", world, plan));
}

#[test]
fn numbers_of_a_delivery_that_the_database_gives_anew() {
    let world = |n| {
        let world = a_world(
            "CREATE TABLE parents (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text UNIQUE NOT NULL); \
             CREATE TABLE children (id text PRIMARY KEY, parent int REFERENCES parents)",
            "parents: {natural_key: [code], ignore_fields: [id]}\nchildren: {natural_key: [id]}\n",
        );
        let parents = lines(n, |i| format!("{i},p{i}"));
        world.put("b", "parents.csv", format!("id,code\n{parents}"));
        let children = lines(n, |i| format!("c{i},{i}"));
        world.put("b", "children.csv", format!("id,parent\n{children}"));
        world
    };
    grows_evenly(seconds("check constraints", world, plan));
}

#[test]
fn each_row_takes_what_the_next_one_gives_up() {
    let world = |n| {
        let world = a_world(
            &format!(
                "CREATE TABLE seats (id text PRIMARY KEY, place int UNIQUE); \
                 INSERT INTO seats SELECT 's' || i, i FROM generate_series(1, {n}) i"
            ),
            "seats: {natural_key: [id]}\n",
        );
        // By fifties, so that it takes fifty steps.
        let seats = lines(n, |i| {
            format!("s{i},{}", if i % 50 == 0 { i + 10 * n } else { i + 1 })
        });
        world.put("b", "seats.csv", format!("id,place\n{seats}"));
        world
    };
    grows_evenly(seconds("check constraints", world, plan));
    grows_evenly(seconds("update", world, |world| {
        plan(world);
        let apply = ["apply", "plan.json", "--force", "--json", "--timings"];
        world.call(&apply).run().ok().stdout
    }));
}

/// Of which nothing is known, and which has many dead rows.
#[test]
fn rows_of_a_table_with_unique_values_that_stay() {
    let world = |n| {
        let update = |i: u64| format!("UPDATE patients SET email = 'e{i}'; ");
        let updates: String = (1..=6).map(update).collect();
        let world = a_world(
            "CREATE TABLE patients (id serial PRIMARY KEY, no text UNIQUE NOT NULL, ssn text UNIQUE, email text, city text) \
             WITH (autovacuum_enabled = off)",
            "patients: {natural_key: [no]}\n",
        );
        world.sql(&format!(
            "INSERT INTO patients (no, ssn, email, city) SELECT 'p' || i, 's' || i, 'e', 'Q' FROM generate_series(1, {n}) i"
        ));
        world.sql(&updates);
        let patients = lines(n, |i| format!("p{i},s{i},R"));
        world.put("b", "patients.csv", format!("no,ssn,city\n{patients}"));
        world
    };
    grows_evenly(seconds("check constraints", world, plan));
}

#[test]
fn marked_rows_of_a_table_whose_key_has_no_index() {
    let world = |n| {
        let world = a_world(
            &format!(
                "CREATE TABLE notes (id text, note text, gone boolean); \
                 INSERT INTO notes SELECT 'n' || i, 'as it was' FROM generate_series(1, {n}) i"
            ),
            "notes: {natural_key: [id], soft_delete: gone}\n",
        );
        // Rows that stay are compared by themselves.
        let notes = lines(n, |i| {
            format!("n{i},{}", ["as it was", "changed"][usize::from(i == 1)])
        });
        world.put("b", "notes.csv", format!("id,note\n{notes}"));
        world
    };
    grows_evenly(seconds("lock and compare", world, |world| {
        plan(world);
        let apply = ["apply", "plan.json", "--force", "--json", "--timings"];
        world.call(&apply).run().ok().stdout
    }));
}

#[test]
fn a_rollback_in_part_and_what_is_read_after_it() {
    let timed = |args: &[&str], world: &World| {
        let begun = Instant::now();
        world.loader(args).ok();
        begun.elapsed().as_secs_f64()
    };
    let rolled_back = |n| {
        let world = a_world(
            &format!(
                "CREATE TABLE notes (id text PRIMARY KEY, note text); \
                 INSERT INTO notes SELECT 'n' || i, 'as it was' FROM generate_series(1, {n}) i"
            ),
            "notes: {natural_key: [id]}\n",
        );
        // The planner is not told of what has just been written, as no server is for a minute.
        world.sql("ALTER TABLE audit_log SET (autovacuum_enabled = off)");
        let notes = lines(n, |i| format!("n{i},changed"));
        world.put("b", "notes.csv", format!("id,note\n{notes}"));
        world.loader(&["load", "--batch-id", "b", "--force"]).ok();
        world.sql("UPDATE notes SET note = 'by hand' WHERE id LIKE '%7'");
        let rollback = ["rollback", "--batch-id", "b", "--force", "--keep-edited"];
        let rolled_back = timed(&rollback, &world);
        [rolled_back, timed(&["history"], &world)]
    };
    for i in 0..2 {
        grows_evenly(|n| rolled_back(n)[i]);
    }
}

/// The planner knows the audit log as it was after the first load, and takes what came later for one row.
#[test]
fn a_rollback_of_rows_of_which_later_loads_are_undone_in_part() {
    let world = |n| {
        let world = a_world(
            "CREATE TABLE notes (id text PRIMARY KEY, note text)",
            "notes: {natural_key: [id]}\n",
        );
        world.sql("ALTER TABLE audit_log SET (autovacuum_enabled = off)");
        for batch in ["b", "later"] {
            let notes = lines(n, |i| format!("n{i},{batch}"));
            world.put(batch, "notes.csv", format!("id,note\n{notes}"));
            world.loader(&["load", "--batch-id", batch, "--force"]).ok();
            if batch == "b" {
                world.sql("ANALYZE audit_log");
            }
        }
        world.sql("UPDATE notes SET note = 'by hand' WHERE id LIKE '%7'");
        let rollback = ["rollback", "--batch-id", "later", "--keep-edited"];
        world.loader(&[&rollback[..], &["--force"]].concat()).ok();
        world
    };
    grows_evenly(seconds("read the audit log", world, |world| {
        let rollback = ["rollback", "--batch-id", "b", "--keep-edited"];
        let told = ["--out", "undo.json", "--json", "--timings"];
        world.loader(&[&rollback[..], &told].concat()).ok().stdout
    }));
}

/// Statistics of when tables were empty say that they have one row.
#[test]
fn tables_that_were_analyzed_while_they_were_empty() {
    let world = |n| {
        let world = a_world(
            "CREATE TABLE p (id int PRIMARY KEY, n text); \
             CREATE TABLE c (k int PRIMARY KEY, pid int REFERENCES p, v text); CREATE INDEX ON c (pid)",
            "p: {natural_key: [id], limits: {delete: 100000}}\n\
             c: {natural_key: [k], complete: true, limits: {delete: 100000}}\n",
        );
        let fill = format!(
            "INSERT INTO p SELECT i, i FROM generate_series(1, {n}) i; INSERT INTO c SELECT i, i, i FROM generate_series(1, {n}) i; "
        );
        world.sql(&(fill.clone() + "DELETE FROM c; DELETE FROM p"));
        world.sql("ANALYZE p");
        world.sql("ANALYZE c");
        world.sql(&fill);
        let rows = |rows: u64| lines(rows, |i| format!("{i},{i},{i}"));
        world.put("b", "c.csv", format!("k,pid,v\n{}", rows(n / 2)));
        let gone = (n / 2 + 1..=n).fold(String::from("id\n"), |all, i| all + &format!("{i}\n"));
        world.put("b", "p/delete/1.csv", gone);
        world
    };
    let timed = |n| {
        let world = world(n);
        let begun = Instant::now();
        plan(&world);
        world.loader(&["apply", "plan.json", "--force"]).ok();
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        begun.elapsed().as_secs_f64()
    };
    grows_evenly(timed);
}

/// Nulls that are equal to each other, of new rows and of those that are there.
#[test]
fn nulls_that_are_equal_in_a_unique_index() {
    let world = |n| {
        let world = a_world(
            &format!(
                "CREATE TABLE a (k int PRIMARY KEY, u int, w text, UNIQUE NULLS NOT DISTINCT (u, w)); \
                 INSERT INTO a SELECT i, NULL, 'w' || i FROM generate_series(1, {n}) i; ANALYZE a"
            ),
            "a: {natural_key: [k]}\n",
        );
        let new = lines(n, |i| format!("{},,x{i}", n + i));
        world.put("b", "a.csv", format!("k,u,w\n{new}"));
        world
    };
    grows_evenly(seconds("check constraints", world, plan));
}

/// What excludes others is found by an index: of new rows among each other, of rows that are there, and of those that
/// take what others give up.
#[test]
fn what_an_exclusion_constraint_excludes() {
    for (columns, excludes) in [
        ("d daterange", "d WITH &&"),
        ("a date, b date", "daterange(a, b) WITH &&"),
    ] {
        let of = |day: u64| {
            let date = |day: u64| format!("(DATE '2000-01-01' + {day})");
            match columns.starts_with('d') {
                true => format!("daterange({}, {})", date(day), date(day + 1)),
                false => format!("{}, {}", date(day), date(day + 1)),
            }
        };
        let world = |n: u64| {
            let world = a_world(
                &format!(
                    "CREATE TABLE t (id int PRIMARY KEY, {columns}, EXCLUDE USING gist ({excludes})); \
                     INSERT INTO t SELECT i, {} FROM generate_series(1, {n}) i",
                    of(0).replace("+ 0", "+ i").replace("+ 1)", "+ i + 1)")
                ),
                "t: {natural_key: [id], csv: {delimiter: \";\"}}\n",
            );
            // The rows move on by one day in tens, and new ones come behind them.
            let sql = |id: String, day: String| {
                let [from, to] = [day.clone(), format!("({day}) + 1")]
                    .map(|d| format!("(DATE '2000-01-01' + ({d}))::text"));
                match columns.starts_with('d') {
                    true => format!(
                        "SELECT {id} || ';[' || {from} || ',' || {to} || ')' FROM generate_series(1, {n}) i"
                    ),
                    false => format!(
                        "SELECT {id} || ';' || {from} || ';' || {to} FROM generate_series(1, {n}) i"
                    ),
                }
            };
            let moved = format!("CASE WHEN i % 10 = 0 THEN i + {} ELSE i + 1 END", 20 * n);
            let moved = world.rows(&sql("i".into(), moved));
            let new = world.rows(&sql(format!("i + {n}"), format!("i + {}", 40 * n)));
            let head = if columns.starts_with('d') {
                "id;d"
            } else {
                "id;a;b"
            };
            world.put(
                "b",
                "t.csv",
                format!("{head}\n{}\n{}\n", moved.join("\n"), new.join("\n")),
            );
            world
        };
        grows_evenly(seconds("check constraints", world, |world| {
            let told = plan(world);
            assert!(told.contains(r#""violation":0"#), "{told}");
            told
        }));
        grows_evenly(seconds("update", world, |world| {
            plan(world);
            let apply = ["apply", "plan.json", "--force", "--json", "--timings"];
            world.call(&apply).run().ok().stdout
        }));
    }
}
