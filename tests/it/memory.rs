//! Memory does not grow with the batch.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{World, gzip};

const MOST: u64 = 150 * 1024;

/// The largest resident set of a run of the loader, in KiB, which must succeed.
fn peak(world: &World, args: &[&str]) -> u64 {
    let mut child = world
        .command(args)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The high-water mark only grows, so the last look sees nearly all of it.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let found = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(found.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{args:?}: {status}");
            assert!(peak > 0, "no /proc");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Loads so many records into two tables, half of them in one large object, and returns the peaks
/// of plan and apply.
fn load(world: &World, batch: &str, records: usize) -> [u64; 2] {
    let line = |out: &mut String, i: usize| {
        let text = "some text that makes a record as long as one usually is";
        let _ = writeln!(
            out,
            r#"{{"id": {i}, "name": "n{i}", "note": "{text}", "amount": {i}.25}}"#
        );
    };
    let half = records / 2;
    let mut large = String::new();
    (0..half).for_each(|i| line(&mut large, i));
    world.put(batch, "a/large.ndjson", large);
    for (part, start) in (half..records).step_by(10_000).enumerate() {
        let mut small = String::new();
        (start..records.min(start + 10_000)).for_each(|i| line(&mut small, i));
        world.put(batch, &format!("b/{part}.ndjson.gz"), gzip(small));
    }
    let out = format!("{batch}.json");
    let started = Instant::now();
    let plan = peak(world, &["plan", "--batch-id", batch, "--out", &out]);
    let planned = started.elapsed();
    let apply = peak(world, &["apply", &out, "--force"]);
    println!(
        "{records} records: plan {plan} KiB in {planned:?}, apply {apply} KiB in {:?}",
        started.elapsed() - planned
    );
    [plan, apply]
}

#[test]
fn plan_and_apply_stay_below_150_mb_for_a_thousand_and_for_half_a_million_records() {
    let columns = "(id int PRIMARY KEY, name text, note text, amount numeric)";
    let world = World::new(
        &format!("CREATE TABLE a {columns}; CREATE TABLE b {columns}"),
        "a: {natural_key: [id]}\nb: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.set("MAX_RECORDS_PER_BATCH", "1000000");
    let few = load(&world, "few", 1_000);
    let many = load(&world, "many", 500_000);
    assert!(
        many.iter().chain(&few).all(|kib| *kib < MOST),
        "{few:?} {many:?}"
    );
    assert_eq!(
        world.rows("SELECT count(*) FROM a UNION ALL SELECT count(*) FROM b"),
        ["250000", "250000"]
    );
}
