//! On a standby everything is refused that prepares, makes or follows a load; what only looks does so.

use crate::support::World;
use crate::support::server::{become_standby, start};

#[test]
fn a_standby_is_refused_as_one() {
    let mut server = start(&[]);
    let world = World::on(
        &server,
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "t: {natural_key: [id]}",
    );
    world.deliver("a", "t/1.json", r#"{"id": 1, "v": "x"}"#);
    world.apply(&world.plan("a")).ok();
    world.deliver("b", "t/1.json", r#"{"id": 2, "v": "x"}"#);
    let plan = world.plan("b");
    let undo = ["rollback", "--batch-id", "a"];
    world
        .loader(&[&undo[..], &["--out", "undo.json"]].concat())
        .ok();
    world.reconnect();
    become_standby(&mut server);

    for args in [
        &["config", "check"][..],
        &["migrate"],
        &["plan", "--batch-id", "b"],
        &["plan", "--batch-id", "b", "--rehearse"],
        &["load", "--batch-id", "b", "--force"],
        &["check", plan.name()],
        &["pending", "."],
        &["apply", plan.name(), "--force"],
        &["apply", plan.name(), "--dry-run"],
        &["apply", "undo.json", "--force"],
        &["rollback", "--batch-id", "a", "--force"],
        &["rollback", "--batch-id", "a", "--out", "again.json"],
    ] {
        world
            .loader(args)
            .exits(1)
            .says_all(&["a standby in recovery", "connect to the primary"]);
    }
    for args in [
        &["history"][..],
        &["audit"],
        &["batches"],
        &["graph"],
        &["init"],
    ] {
        world.loader(args).ok();
    }
}
