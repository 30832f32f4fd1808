//! What is said of a commit is true, wherever it is cut and whoever goes down.

use crate::cluster::{Cluster, rows};
use crate::shop::{self, CONFIG, NAMES};
use crate::support::{Plan, World, number_from};
use crate::wire::{Cut, Place, Wire};

/// The rows that a world has before a batch, and the plan of it.
fn before(world: &World, n: u64) -> (Vec<String>, Plan) {
    let before = world.with(|client| rows(client, &NAMES));
    shop::deliver(world, "b", n);
    let plan = world.plan_with("b", &shop::DELETES);
    let rehearse = ["apply", plan.name(), "--approve", &plan.hash(), "--dry-run"];
    world.loader(&rehearse).ok();
    assert_eq!(world.with(|client| rows(client, &NAMES)), before);
    (before, plan)
}

/// Waits until no transaction is prepared anywhere.
fn settle(world: &World) {
    // Connections that were cut are noticed when they are used.
    world.with(|client| {
        let recover = "SELECT recover_prepared_transactions()";
        (0..20).any(|_| client.batch_execute(recover).is_ok())
    });
    world.wait_for(
        "SELECT bool_and(success AND result = '0') FROM run_command_on_all_nodes('SELECT count(*) FROM pg_prepared_xacts')",
    );
}

#[test]
fn cuts_at_the_end_of_a_distributed_transaction() {
    let cluster = Cluster::start();
    let wires = [0, 1].map(|i| Wire::to(cluster.workers[i].port));
    let ports = [wires[0].port, wires[1].port];
    let mut ended = std::collections::BTreeMap::new();
    for round in 0..number_from("CITUS_CUTS", 12) {
        let world = cluster.world_by(&ports, &shop::schema(true, 20), CONFIG);
        world.set("MAX_RETRIES", "0");
        let (before, plan) = before(&world, 20);
        let cut = Cut {
            at: ["PREPARE TRANSACTION", "COMMIT PREPARED"][usize::try_from(round % 2).unwrap()],
            place: [Place::Before, Place::After][usize::try_from(round / 2 % 2).unwrap()],
            skip: u32::try_from(round / 8 % 2).unwrap(),
            stays_down: round / 4 % 2 == 1,
        };
        let wire = &wires[usize::try_from(round / 16 % 2).unwrap()];
        wire.cut(cut);
        let run = world.loader(&["apply", plan.name(), "--approve", &plan.hash()]);
        let now = if cut.stays_down {
            None
        } else {
            Some(world.with(|client| rows(client, &NAMES)))
        };
        let was_cut = wire.heal();
        let said = run.code.unwrap_or(-1);
        if let (Some(now), 0) = (&now, said) {
            // "Applied" means that everybody sees it.
            assert_ne!(*now, before, "{cut:?}");
            shop::nothing_is_left(&world);
        }
        settle(&world);
        let after = world.with(|client| rows(client, &NAMES));
        let in_ledger = world.one("SELECT count(*) FROM loader_ledger");
        match said {
            0 | 8 => assert_eq!(in_ledger, "1", "{cut:?}: {run:?}"),
            _ => {
                assert_eq!(in_ledger, "0", "{cut:?}: {run:?}");
                assert_eq!(after, before, "{cut:?}");
            }
        }
        if in_ledger == "1" {
            shop::nothing_is_left(&world);
        }
        *ended.entry((was_cut, cut.at, said)).or_insert(0) += 1;
    }
    println!("{ended:?}");
    assert!(ended.keys().any(|(was_cut, ..)| *was_cut), "{ended:?}");
}

#[test]
fn a_worker_that_goes_down_takes_the_whole_load_with_it() {
    let mut cluster = Cluster::start();
    let world = cluster.world(&shop::schema(true, 300), CONFIG);
    world.set("MAX_RETRIES", "0");
    let (before, plan) = before(&world, 300);
    let running = world.spawn(&["apply", plan.name(), "--approve", &plan.hash()]);
    std::thread::sleep(std::time::Duration::from_millis(number_from(
        "CITUS_STOP_AFTER",
        600,
    )));
    cluster.own[2].stop_immediate().unwrap();
    let run = running.finish();
    cluster.own[2].restart().unwrap();
    settle(&world);
    let after = world.with(|client| rows(client, &NAMES));
    match world.one("SELECT count(*) FROM loader_ledger").as_str() {
        "0" => {
            assert_ne!(run.code, Some(0), "{run:?}");
            assert_eq!(after, before);
        }
        _ => assert_ne!(after, before),
    }
    // And it goes on.
    if after == before {
        world.apply(&plan).ok();
    }
}
