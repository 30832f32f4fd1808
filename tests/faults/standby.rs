//! A standby that has not heard of a commit does not say what became of it.

use std::process::Command;

use crate::harness::Stage;
use crate::proxy::{Cut, Message, Place, Proxy, Way};
use crate::support::server::{become_standby, start};

#[test]
fn what_became_of_a_lost_commit_is_asked_of_the_primary_alone() {
    let (mut primary, mut standby) = (start(&[]), start(&[]));
    let stage = Stage::on(
        &primary,
        "CREATE TABLE t (k text PRIMARY KEY, v text)",
        "t: {natural_key: [k]}",
    );
    stage.deliver("b", &[("t/1.json", r#"{"k": "a", "v": "new"}"#)]);
    let plan = stage.plan("b");
    stage.reconnect();
    primary.stop_immediate().unwrap();
    standby.stop_immediate().unwrap();
    std::fs::remove_dir_all(standby.data_dir()).unwrap();
    let copy = Command::new("cp")
        .arg("-pR")
        .args([primary.data_dir(), standby.data_dir()])
        .status();
    assert!(copy.unwrap().success());
    primary.restart().unwrap();
    become_standby(&mut standby);

    let proxy = Proxy::start(primary.port());
    proxy.set(None);
    let through = proxy.url(&stage.url);
    let run = |args: &[&str], url: &str| stage.loader_with(args, &[("DATABASE_URL", url)]);
    let apply = ["apply", &plan, "--force", "--max-retries", "0"];
    run(&apply, &through).ok();
    let commit = proxy.seen().iter().position(Message::is_commit).unwrap();
    stage.sql(
        "TRUNCATE t, loader_ledger, audit_log, batch_load_log; \
        UPDATE validation_queue SET status = 'pending', loaded_at = NULL, application = NULL",
    );

    proxy.set(Some(Cut {
        at: commit,
        place: Place::ReplySwallowed,
        way: Way::Close,
        stays_down: true,
    }));
    let both = through.replace("/world", &format!(",127.0.0.1:{}/world", standby.port()));
    run(&apply, &both)
        .exits(8)
        .says_all(&["a standby in recovery", "not known yet"]);
    assert_eq!(stage.one("SELECT v FROM t"), "new");

    // Of several servers the primary can be asked for.
    let (standby, primary) = (standby.port(), primary.port());
    let servers = format!("127.0.0.1:{standby},127.0.0.1:{primary}");
    let either = stage.url.replace(&format!("127.0.0.1:{primary}"), &servers);
    run(&["check", &plan], &either).exits(1);
    let the_primary = format!("{either}?target_session_attrs=read-write");
    run(&["check", &plan], &the_primary)
        .ok()
        .says("was applied at");
}
