//! The library, as other programs use it.

use std::future::pending;
use std::sync::Arc;

use table_loader::ErrorKind;
use table_loader::config::Config;
use table_loader::ops::{
    self, Applied, ApplyRequest, Checked, Event, PlanRequest, Queue, RollbackRequest, TakenBack,
};
use table_loader::planfile::PlanFile;
use table_loader::{Database, Timeouts};

use super::world::with_batch;
use crate::support::World;

#[path = "../../examples/load_batch.rs"]
mod load_batch;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn database(world: &World) -> Database {
    world.url.parse().unwrap()
}

fn batch(world: &World) -> PlanRequest {
    let source = world.path("source").to_str().unwrap().parse().unwrap();
    let config = Config::read(&world.path("tables.yaml")).unwrap();
    let mut request = PlanRequest::new("b1", source, config, database(world));
    request.queue = Queue::Off;
    request
}

#[test]
fn a_round_through_the_library_tells_its_steps() {
    let world = with_batch();
    let told = std::sync::Mutex::new(Vec::new());
    let events = |event: Event| told.lock().unwrap().push(format!("{event:?}"));
    let open = |name: &str| PlanFile::open(&world.path(name)).unwrap().executable();
    let create = |name: &str| std::fs::File::create(world.path(name)).unwrap();
    let how = ApplyRequest::new(database(&world), "embedder");

    let (header, hash) = wait(ops::plan(&batch(&world), create("plan.json"), &events)).unwrap();
    assert_eq!((header.summary.insert, header.summary.update), (2, 1));
    let plan = Arc::new(open("plan.json").unwrap());
    assert_eq!(plan.plan().hash, hash);
    let checked = wait(ops::check(&plan, &how, &events)).unwrap();
    assert_eq!(checked, Checked::Applicable);
    let applied = wait(ops::apply(&plan, &how, pending(), &events)).unwrap();
    assert!(matches!(applied, Applied::Done(_)), "{applied:?}");
    let again = wait(ops::apply(&plan, &how, pending(), &events)).unwrap();
    assert!(matches!(again, Applied::Already(_)), "{again:?}");

    let history = || {
        wait(ops::history(
            &database(&world),
            Timeouts::default(),
            "public",
            None,
        ))
    };
    assert_eq!(history().unwrap()[0].actor, "embedder");
    let undo = RollbackRequest::new(database(&world), TakenBack::Batch("b1".into()));
    wait(ops::rollback(&undo, create("undo.json"), &events)).unwrap();
    let undo = Arc::new(open("undo.json").unwrap());
    wait(ops::apply(&undo, &how, pending(), &events)).unwrap();
    assert_eq!(world.rows("SELECT gsid, sex FROM subjects"), ["G1|F"]);
    assert!(history().unwrap()[1].undone_by.is_some());

    let told = told.into_inner().unwrap();
    for event in [
        "Listed { objects: 1 }",
        "Reading { objects: 1, of: 1, records: 3, bytes: 72, of_bytes: 72 }",
        "Comparing { table: \"subjects\", records: 3, of: 3 }",
        "Staging { entries: 3, of: 3 }",
        "Locking { tables: 1, of: 1 }",
        "Writing { changes: 3, of: 3 }",
        "Committing",
        "Undoing { table: \"subjects\", changes: 3, of: 3 }",
    ] {
        assert!(told.iter().any(|t| t == event), "{event}: {told:#?}");
    }
}

#[test]
fn the_example_loads_a_batch_with_the_originals_results() {
    let world = with_batch();
    let PlanRequest { source, config, .. } = batch(&world);
    let loader = load_batch::TableLoader {
        database: database(&world),
        source,
        config,
    };
    // It asks the queue, as the original did.
    let refused = wait(loader.load_batch("b1", false)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked, "{refused}");
    world.sql(
        "INSERT INTO validation_queue (batch_id, table_name, s3_key)
         VALUES ('b1', 'subjects', 'staging/b1/subjects/frag_1.json')",
    );
    let rehearsed = wait(loader.load_batch("b1", true)).unwrap();
    assert_eq!(
        (rehearsed.status, rehearsed.records_loaded),
        ("rehearsed", 2)
    );
    assert_eq!(world.rows("SELECT count(*) FROM subjects"), ["1"]);
    let results = wait(loader.load_batch("b1", false)).unwrap();
    assert_eq!(
        (
            results.total_records,
            results.records_loaded,
            results.records_updated,
            results.errors
        ),
        (3, 2, 1, 0)
    );
    assert_eq!(results.tables["subjects"].records_loaded, 2);
    assert_eq!(world.rows("SELECT count(*) FROM subjects"), ["3"]);
}

#[test]
fn a_database_url_says_all_that_it_can() {
    for (url, wrong) in [
        ("postgresql://u:s3cret@h/d?sslmode=require", ""),
        (
            "postgresql://u:s3cret@h/d?sslmode=verify",
            "none of disable, prefer",
        ),
        (
            "postgresql://u:s3cret@h/d?sslmode=verify-full&sslrootcert=none.pem",
            "none.pem",
        ),
        ("mysql://u:s3cret@h/d", "cannot be read"),
    ] {
        match url.parse::<Database>() {
            Ok(database) => {
                assert!(wrong.is_empty() && !format!("{database:?}").contains("s3cret"));
            }
            Err(e) => assert!(!wrong.is_empty() && e.to_string().contains(wrong), "{e}"),
        }
    }
}
