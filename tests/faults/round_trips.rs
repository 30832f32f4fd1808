//! How often the loader asks the server: an answer that is waited for costs the way there and back,
//! whatever the size of the batch. Questions that are sent at once are counted one by one. A number that grows is a change for the worse that no test of time
//! would show on a busy machine.

use crate::harness::{Stage, shared};
use crate::proxy::Proxy;

const TABLES: &str = "\
    CREATE TABLE site (code text PRIMARY KEY, city text); \
    CREATE TABLE subject (k text PRIMARY KEY, v text CHECK (v <> ''), site text REFERENCES site); \
    INSERT INTO site VALUES ('LYN', 'Lyon'); INSERT INTO subject VALUES ('a', 'old', 'LYN'), ('b', 'old', 'LYN')";
const CONFIG: &str = "site: {natural_key: [code]}\nsubject: {natural_key: [k]}\n";

/// What each operation asks, on one line each.
fn asked(records: usize) -> String {
    let stage = Stage::new(TABLES, CONFIG);
    let new = (0..records).map(|n| format!(r#"{{"k": "n{n}", "v": "new", "site": "BER"}}"#));
    let known = [
        r#"{"k": "a", "v": "new", "site": "BER"}"#,
        r#"{"k": "b", "v": "old"}"#,
    ];
    let rows: Vec<String> = known.map(str::to_owned).into_iter().chain(new).collect();
    stage.deliver(
        "b",
        &[
            ("site/1.json", r#"[{"code": "BER", "city": "Berlin"}]"#),
            ("subject/1.json", &format!("[{}]", rows.join(","))),
        ],
    );
    let proxy = Proxy::start(shared().port());
    let url = proxy.url(&stage.url);
    let mut lines = String::new();
    let plan = ["plan", "--batch-id", "b", "--out", "b.json"];
    for args in [
        &plan[..],
        &["check", "b.json"],
        &["apply", "b.json", "--force"],
        &["apply", "b.json", "--force"],
        &["rollback", "--batch-id", "b", "--force"],
        &["history"],
        &["batches"],
    ] {
        proxy.set(None);
        stage
            .loader_with(args, &[("DATABASE_URL", url.as_str())])
            .exits(0);
        let seen = proxy.seen();
        let answered = seen.iter().filter(|m| m.is_answered()).count();
        lines += &format!("{}: {answered} answers\n", args[0]);
    }
    lines
}

#[test]
fn the_server_is_asked_no_oftener_than_before_and_the_size_does_not_matter() {
    let few = asked(1);
    assert_eq!(few, asked(500));
    insta::with_settings!({
        snapshot_path => "../../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("round_trips", few) });
}
