//! How fast the loader is, against what a person would write by hand: ours and the floors in turn on
//! one server, each run in a copy of the same database, medians of several rounds.
//!
//! `cargo bench --bench speed -- --help` tells what can be measured, and how long that takes.

mod cost;
mod data;
mod floors;
mod report;
mod server;

// Of the tests' harness; they use more of it.
#[path = "../../tests/support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "../../tests/support/random.rs"]
mod random;
#[allow(dead_code)]
#[path = "../../tests/support/s3/mod.rs"]
mod s3;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Parser;

use data::{Batch, Mix};
use floors::Floor;
use report::{Measured, Report, Work};
use s3::S3;
use server::{Result, Run, Server, Took, counts, say};

/// Measures plan, apply and rollback against hand-written SQL. Without options: 200,000 records for
/// a table of a million rows, three rounds, about four minutes.
#[derive(Parser, Debug)]
struct Args {
    /// Records in a batch
    #[arg(long, value_delimiter = ',', default_value = "200k", value_parser = number, value_name = "N,…")]
    records: Vec<u64>,
    /// Rows in the table
    #[arg(long, value_delimiter = ',', default_value = "1M", value_parser = number, value_name = "N,…")]
    rows: Vec<u64>,
    /// What the batch consists of
    #[arg(long, value_enum, value_delimiter = ',', default_value = "mixed")]
    mix: Vec<Mix>,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also 10,000 objects of one record each from an S3 server
    #[arg(long)]
    s3: bool,
    /// Also a plan of 10 records, against `psql -c 'select 1'`
    #[arg(long)]
    small: bool,
    /// Also how cost grows: 10k records for 100k rows, and 10k and 1M records for this many rows
    #[arg(long, value_parser = number, value_name = "ROWS", num_args = 0..=1, default_missing_value = "10M")]
    growth: Option<u64>,
    /// Write what was measured into docs/performance.md
    #[arg(long)]
    write: bool,
    /// Everything that docs/performance.md has room for, written there: 5 rounds; about an hour, and as much
    /// again with --growth
    #[arg(long)]
    full: bool,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn number(text: &str) -> std::result::Result<u64, String> {
    let (digits, times) = match text.to_ascii_lowercase().strip_suffix(['k', 'm']) {
        Some(digits) if text.ends_with(['k', 'K']) => (digits.to_owned(), 1_000),
        Some(digits) => (digits.to_owned(), 1_000_000),
        None => (text.to_owned(), 1),
    };
    let n: u64 = digits
        .parse()
        .map_err(|e| format!("{e}; write 10000, 10k or 1M"))?;
    Ok(n * times)
}

fn main() -> Result<()> {
    let args = Args::parse();
    let rounds = if args.full {
        5.max(args.rounds)
    } else {
        args.rounds
    };
    let server = Server::start()?;
    let mut report = Report::new(&server, rounds)?;
    let mut cases: Vec<(u64, u64, Mix)> = Vec::new();
    if args.full {
        cases = vec![
            (1_000_000, 200_000, Mix::Mixed),
            (100_000, 10_000, Mix::Mixed),
            (1_000_000, 1_000_000, Mix::Mixed),
            (1_000_000, 200_000, Mix::Equal),
            (1_000_000, 1_000_000, Mix::Equal),
            (1_000_000, 200_000, Mix::New),
            (1_000_000, 10_000, Mix::Mixed),
        ];
    } else {
        for rows in &args.rows {
            for records in &args.records {
                cases.extend(args.mix.iter().map(|mix| (*rows, *records, *mix)));
            }
        }
    }
    // What fails does not take with it what was measured.
    let mut failed = Vec::new();
    for case in cases {
        let floors: &[Floor] = match case {
            (_, _, Mix::Equal) => &[Floor::P],
            (_, 1_000_000.., _) => &[Floor::P, Floor::BSplit],
            _ => &[Floor::P, Floor::BSplit, Floor::BOne, Floor::A, Floor::C],
        };
        failed.extend(measure(&server, &mut report, rounds, case, floors).err());
    }
    if args.small || args.full {
        failed.extend(small(&server, &mut report, rounds).err());
    }
    if args.s3 || args.full {
        failed.extend(objects(&server, &mut report, rounds).err());
    }
    if let Some(rows) = args.growth {
        for case in [
            (100_000, 10_000, Mix::Mixed),
            (rows, 10_000, Mix::Mixed),
            (rows, 1_000_000.min(rows), Mix::Mixed),
        ] {
            if !report.has(case.0, case.1, case.2) {
                let floors = &[Floor::P, Floor::BSplit];
                failed.extend(measure(&server, &mut report, rounds, case, floors).err());
            }
        }
    }
    writeln!(std::io::stdout(), "\n{}", report.markdown())?;
    if args.full || args.write {
        report.write(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs"))?;
    }
    match failed.into_iter().next() {
        None => Ok(()),
        Some(e) => Err(e),
    }
}

fn measure(
    server: &Server,
    report: &mut Report,
    rounds: usize,
    (rows, records, mix): (u64, u64, Mix),
    floors: &[Floor],
) -> Result<()> {
    say(format!(
        "{records} records ({}) for {rows} rows: making them",
        mix.words()
    ));
    let template = server.template(rows)?;
    let batch = data::batch(rows, records, mix)?;
    let mut measured = Measured::new(rows, records, mix);
    for round in 0..rounds {
        // What floor P counts and what the plan says must be one, and so must the tables after.
        let mut found = BTreeMap::new();
        let mut contents = Vec::new();
        for floor in floors {
            let run = server.copy(&template)?;
            let (cost, counted) = floor.run(&run, &batch.csv)?;
            found.extend(counted);
            measured.floor(*floor, cost);
            if round == 0 && matches!(floor, Floor::BSplit | Floor::BOne) {
                contents.push(run.content()?);
            }
        }
        let run = server.copy(&template)?;
        let start = (round == 0).then(|| run.content()).transpose()?;
        let summary = plan_and_apply(server, &run, &batch, &mut measured)?;
        if round == 0 {
            contents.push(run.content()?);
            if !contents.windows(2).all(|c| c[0] == c[1]) {
                return Err(format!("the loads did not do the same: {contents:?}").into());
            }
        }
        let said = |name: &str| summary.get(name).copied().unwrap_or_default();
        let counted = |name: &str| found.get(name).copied().unwrap_or_default();
        if (said("insert"), said("update")) != (counted("insert"), counted("update")) {
            return Err(format!("the plan says {summary:?}, floor P {found:?}").into());
        }
        if said("insert") + said("update") > 0 {
            rollback(&run, &batch, &mut measured)?;
        }
        if start.is_some_and(|start| run.content().is_ok_and(|end| end != start)) {
            return Err("the rollback did not put the table back".into());
        }
        say(format!("  round {}: {}", round + 1, measured.line()));
    }
    report.cases.push(measured);
    Ok(())
}

fn plan_and_apply(
    server: &Server,
    run: &Run<'_>,
    batch: &Batch,
    measured: &mut Measured,
) -> Result<BTreeMap<String, u64>> {
    let file = server.file("plan.json");
    let path = file.to_string_lossy();
    let folder = batch.folder.path();
    let id = batch.id.as_str();
    let took = run.loader(
        folder,
        &[
            "plan",
            "--batch-id",
            id,
            "--out",
            &path,
            "--json",
            "--timings",
        ],
    )?;
    let summary = counts(&took.json["summary"]);
    measured.plan_bytes = data::bytes(&file);
    measured.ours(Work::Plan, &took);
    measured.ours(Work::Show, &run.loader(folder, &["show", &path])?);
    let apply = ["apply", &path, "--force", "--json", "--timings"];
    measured.ours(Work::Apply, &run.loader(folder, &apply)?);
    Ok(summary)
}

fn rollback(run: &Run<'_>, batch: &Batch, measured: &mut Measured) -> Result<()> {
    let arguments = [
        "rollback",
        "--batch-id",
        &batch.id,
        "--force",
        "--json",
        "--timings",
    ];
    measured.ours(
        Work::Rollback,
        &run.loader(batch.folder.path(), &arguments)?,
    );
    Ok(())
}

/// 10 records for a table of 1,000 rows, against the least that one can ask a server.
fn small(server: &Server, report: &mut Report, rounds: usize) -> Result<()> {
    const TIMES: usize = 10; // a round: one takes a blink
    let (rows, records) = (1_000, 10);
    say(format!("{records} records for {rows} rows"));
    let template = server.template(rows)?;
    let batch = data::batch(rows, records, Mix::Mixed)?;
    let run = server.copy(&template)?;
    let file = server.file("plan.json");
    let path = file.to_string_lossy();
    let plan = ["plan", "--batch-id", &batch.id, "--out", &path];
    for _ in 0..rounds * TIMES {
        let floor = run.select_one()?;
        report.small(floor, run.loader(batch.folder.path(), &plan)?.cost);
    }
    say(format!("  {}", report.small_line()));
    Ok(())
}

/// 10,000 objects of one record each, from a server in this process.
fn objects(server: &Server, report: &mut Report, rounds: usize) -> Result<()> {
    const OBJECTS: u64 = 10_000;
    let rows = 100_000;
    say(format!(
        "{OBJECTS} objects of one record from S3: making them"
    ));
    let template = server.template(rows)?;
    let s3 = S3::start()?;
    s3.create_bucket("fragments");
    for (key, content) in data::objects(rows, OBJECTS, "batch_objects") {
        s3.put("fragments", &key, content);
    }
    let endpoint = s3.endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", s3.access_key()),
        ("AWS_SECRET_ACCESS_KEY", s3.secret_key()),
        ("AWS_REGION", "us-east-1"),
    ];
    let file = server.file("plan.json");
    let path = file.to_string_lossy();
    for round in 0..rounds {
        let run = server.copy(&template)?;
        s3.forget_requests();
        let took: Took = run.loader_s3(
            "s3://fragments",
            &[
                "plan",
                "--batch-id",
                "batch_objects",
                "--out",
                &path,
                "--json",
                "--timings",
            ],
            &variables,
        )?;
        report.objects(OBJECTS, &took);
        say(format!("  round {}: {}", round + 1, report.objects_line()));
    }
    Ok(())
}
