//! Whatever is delivered, memory stays flat: what is larger than is allowed is refused while it is read,
//! by the object's name and the setting that would allow it.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::run::{Run, finish};
use crate::support::{World, gzip};

const MIB: usize = 1 << 20;

fn world() -> World {
    let world = World::in_folder(
        "CREATE TABLE t (k text PRIMARY KEY, v text)",
        "t: {natural_key: [k], ignore_fields: [junk]}",
    );
    world.set("LOADER_QUEUE", "off");
    world
}

/// `start`, so many mebibytes of `fill`, and `end`, compressed: as members of one file, so that
/// each mebibyte need not be compressed anew.
fn bomb(start: &str, fill: u8, mib: usize, end: &str) -> Vec<u8> {
    [gzip(start), gzip(vec![fill; MIB]).repeat(mib), gzip(end)].concat()
}

/// The run of `loader plan`, and the most memory that it had, in MiB.
fn plan(world: &World, batch: &str, more: &[&str]) -> (Run, usize) {
    let args = ["plan", "--batch-id", batch, "--out", "plan.json"];
    let mut command = world.command(&[&args, more].concat());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(high_water(&child).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    (finish("plan", child), most / 1024)
}

/// The high water mark of a process's memory, in KiB.
fn high_water(child: &Child) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn what_is_too_large_is_refused_while_it_is_read() {
    let world = world();
    let value = ["--max-value", "8MiB"];
    let allow = "allow more with --max-value or LOADER_MAX_VALUE";
    let many: String = (0..200_000).map(|i| format!("\"f{i}\":1,")).collect();
    let cells = "x,".repeat(200_000);
    for (name, content, says) in [
        // A string without end, in a column, in an ignored field, in one that nobody knows, and as a name.
        (
            "t.json.gz",
            bomb(r#"{"k": "a", "v": ""#, b'x', 200, "\"}"),
            allow,
        ),
        (
            "t.json.gz",
            bomb(r#"{"k": "a", "junk": ""#, b'x', 200, "\"}"),
            allow,
        ),
        (
            "t.ndjson.gz",
            bomb("{\"k\": \"a\"}\n{\"k\": \"b\", \"x\": \"", b'x', 200, "\"}"),
            allow,
        ),
        (
            "t.json.gz",
            bomb(r#"{"k": "a", ""#, b'x', 200, "\": 1}"),
            allow,
        ),
        (
            "t.json.gz",
            bomb(r#"{"records": [{"k": "a", "v": "#, b'[', 200, ""),
            allow,
        ),
        (
            "t.json.gz",
            bomb(r#"{"k": "a", "v": "#, b'1', 200, "}"),
            allow,
        ),
        // Cells, quoted or not, and a line that does not end.
        ("t.csv.gz", bomb("k,v\na,", b'x', 200, "\n"), allow),
        ("t.csv.gz", bomb("k,v\na,\"", b'x', 200, "\"\n"), allow),
        ("t.csv.gz", bomb("k,v\na,\"", b'\n', 200, "\"\n"), allow),
        ("t.csv.gz", bomb("", b'x', 200, ""), allow),
        // Very many fields.
        (
            "t.json",
            format!("{{{many}\"k\":\"a\"}}").into_bytes(),
            "an object of more than 100000 fields",
        ),
        (
            "t.csv",
            format!("k,v\n{cells}\n").into_bytes(),
            "a row of more than 100000 cells",
        ),
        (
            "t.csv",
            format!("{cells}\n").into_bytes(),
            "a row of more than 100000 cells",
        ),
    ] {
        let batch = format!("b{}", name.len());
        let _ = std::fs::remove_dir_all(world.path("source/staging"));
        world.put(&batch, name, content);
        let (run, most) = plan(&world, &batch, &value);
        let run = run.exits(1).says(name).says(says);
        // Twice what a record may have, what is read of each object at once, and the program.
        assert!(most < 120, "{name}: {most} MiB: {run}");
        assert!(!world.path("plan.json").exists());
    }
}

#[test]
fn objects_have_a_largest_size_packed_and_unpacked() {
    let world = world();
    world.put("b", "t.ndjson.gz", bomb("{\"k\": \"a\"}\n", b'\n', 64, ""));
    let (run, _) = plan(&world, "b", &[]);
    run.exits(0);
    std::fs::remove_file(world.path("plan.json")).unwrap();
    let (run, most) = plan(&world, "b", &["--max-unpacked", "16MiB"]);
    run.exits(1)
        .says("t.ndjson.gz has unpacked more than 16777216 bytes")
        .says("allow more with --max-unpacked or LOADER_MAX_UNPACKED");
    assert!(most < 120, "{most} MiB");
    let (run, _) = plan(&world, "b", &["--max-object", "1KiB"]);
    run.exits(1)
        .says("t.ndjson.gz has more than 1024 bytes")
        .says("allow more with --max-object or LOADER_MAX_OBJECT");
    world.set("LOADER_MAX_OBJECT", "1KiB");
    plan(&world, "b", &[]).0.exits(1).says("LOADER_MAX_OBJECT");
    plan(&world, "b", &["--max-object", "1GiB"]).0.exits(0);
    plan(&world, "b", &["--max-object", "much"])
        .0
        .exits(1)
        .says("--max-object is \"much\"");
    world.unset("LOADER_MAX_OBJECT");
    world.set("LOADER_MAX_UNPACKED", "16MiB");
    plan(&world, "b", &[])
        .0
        .exits(1)
        .says("LOADER_MAX_UNPACKED");
    world.unset("LOADER_MAX_UNPACKED");
    // A record of the largest size is one.
    let record =
        |length: usize| format!("{{\"k\": \"a\", \"v\": \"{}\"}}", "x".repeat(length - 19));
    for (name, length, code) in [("t.json", 4096, 0), ("t.json", 4097, 1)] {
        let batch = format!("r{length}");
        world.put(&batch, name, record(length));
        let (run, _) = plan(&world, &batch, &["--max-value", "4KiB"]);
        run.exits(code);
        world.set("LOADER_MAX_VALUE", "4KiB");
        plan(&world, &batch, &[]).0.exits(code);
        world.unset("LOADER_MAX_VALUE");
    }
}

#[test]
fn a_bucket_is_bounded_as_a_folder_is() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY)",
        "t: {natural_key: [k]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.ndjson.gz", bomb("{\"k\": \"a\"}\n", b'\n', 64, ""));
    let (run, _) = plan(&world, "b", &["--max-unpacked", "16MiB"]);
    run.exits(1)
        .says("s3://fragments/staging/b/t.ndjson.gz has unpacked more than");
    let (run, _) = plan(&world, "b", &["--max-object", "1KiB"]);
    run.exits(1)
        .says("s3://fragments/staging/b/t.ndjson.gz has more than 1024 bytes");
}
