//! `docs/roles.md`: the program under exactly the roles that it grants.

use super::commands::biobank;
use crate::support::{Run, World};

/// The SQL of the page, with the database's name in place.
fn grants(world: &World) -> String {
    let page = std::fs::read_to_string("docs/roles.md").unwrap();
    let blocks = page.split("```sql\n").skip(1);
    let sql: String = blocks.map(|b| b.split("```").next().unwrap()).collect();
    sql.replace("DATABASE idhub", &format!("DATABASE {}", world.database))
}

#[test]
fn planning_reads_only_and_applying_owns_nothing() {
    let world = biobank();
    world.sql(&grants(&world));
    world.write(
        "source/staging/b1/subjects/a.json",
        r#"[{"global_subject_id": "G1", "sex": "M"}, {"global_subject_id": "G2", "center": "B"}]"#,
    );
    world.write(
        "source/staging/b1/lcl/a.json",
        r#"{"data": {"global_subject_id": "G2", "niddk_no": "N2", "passage_number": 1}}"#,
    );
    world.write(
        "source/staging/b1/dna/a.json",
        r#"{"data": {"global_subject_id": "G1", "sample_id": "D1", "concentration": 2}}"#,
    );
    world.write(
        "source/staging/b1/local_subject_ids/a.json",
        r#"{"data": {"global_subject_id": "G2", "center": "B", "local_subject_id": "9", "identifier_type": "primary"}}"#,
    );
    world.sql(
        "INSERT INTO validation_queue (batch_id, table_name, s3_key)
         SELECT 'b1', t, 'staging/b1/' || t || '/a.json' FROM unnest('{subjects,lcl,dna,local_subject_ids}'::text[]) t",
    );
    let before = everything(&world);
    std::fs::create_dir(world.path("plans")).unwrap();
    let as_role = |role: &str, args: &[&str]| -> Run {
        let run = world.call(args).env("LOADER_QUEUE", "required");
        run.env(
            "DATABASE_URL",
            world.url.replace("loader@", &format!("{role}@")),
        )
        .run()
    };

    // These grants are all that is asked for.
    as_role("loader_plan", &["config", "check"]).exits(0);
    as_role("loader_apply", &["config", "check", "--for", "apply"]).exits(0);
    let plan = ["plan", "--batch-id", "b1", "--out", "plan.json"];
    as_role("loader_plan", &plan)
        .exits(0)
        .says("Plan: 3 to insert, 2 to update");
    as_role("loader_plan", &["check", "plan.json"])
        .exits(0)
        .says("it would apply now, unless");
    for args in [
        &["history"][..],
        &["audit"],
        &["batches"],
        &["graph"],
        &["init"],
        &["pending", "plans"],
    ] {
        as_role("loader_plan", args).exits(0);
    }
    as_role("loader_plan", &["apply", "plan.json", "--force"])
        .exits(1)
        .says("permission denied");
    assert_eq!(everything(&world), before);

    as_role(
        "loader_apply",
        &["apply", "plan.json", "--force", "--dry-run"],
    )
    .exits(0);
    as_role("loader_apply", &["apply", "plan.json", "--force"])
        .exits(0)
        .says("Applied: 3 inserted, 2 updated");
    assert_eq!(
        world.rows("SELECT DISTINCT status FROM validation_queue"),
        ["loaded"]
    );
    as_role("loader_plan", &["check", "plan.json"])
        .exits(0)
        .says("was applied at");

    // The log can be added to and not changed, nor can the loader's tables be taken away.
    let mut client = postgres::Client::connect(
        &world.url.replace("loader@", "loader_apply@"),
        postgres::NoTls,
    )
    .unwrap();
    for sql in [
        "UPDATE audit_log SET changed_by = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE loader_ledger SET actor = 'nobody'",
        "DELETE FROM loader_ledger",
        "DELETE FROM batch_load_log",
        "SELECT FROM batch_load_log",
        "UPDATE validation_queue SET s3_key = 'x'",
        "DELETE FROM validation_queue",
        "UPDATE loader_identity SET lineage = 'x'",
        "DROP TABLE audit_log",
        "CREATE TABLE mine (a int)",
    ] {
        let e = client.batch_execute(sql).unwrap_err();
        let code = e.code().map(postgres::error::SqlState::code);
        assert_eq!(code, Some("42501"), "{sql}: {e}");
    }

    as_role("loader_apply", &["rollback", "--batch-id", "b1", "--force"]).exits(0);
    assert_eq!(everything(&world), before);
    // What was rolled back needs an approval that says so.
    let load = ["load", "--batch-id", "b1"];
    let refused = as_role("loader_apply", &[&load[..], &["--force"]].concat()).exits(5);
    let (_, again) = refused
        .stderr
        .trim_end()
        .rsplit_once("load --batch-id b1 ")
        .unwrap();
    let again: Vec<&str> = again.split(' ').collect();
    as_role("loader_apply", &[&load[..], &again].concat()).exits(0);
}

/// The loaded tables and the queue's verdicts.
fn everything(world: &World) -> Vec<String> {
    ["subjects", "local_subject_ids", "lcl", "dna", "specimen"]
        .iter()
        .map(|t| format!("SELECT to_jsonb(t)::text FROM {t} t ORDER BY 1"))
        .chain(["SELECT id, status FROM validation_queue ORDER BY 1".to_owned()])
        .flat_map(|sql| world.rows(&sql))
        .collect()
}
