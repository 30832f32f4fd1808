//! What showing costs, beside reading and verifying. Run by itself, with --ignored --nocapture.

use std::io::Write;

use table_loader::planfile::PlanFile;
use table_loader::render::select::{Filter, Selection};
use table_loader::render::text::{self, Style};

use crate::fixture;

const STYLE: Style = Style {
    colour: false,
    width: 80,
};

/// Processor time that this process used so far: the clock would measure its neighbours too.
fn used() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks = |n: usize| -> f64 {
        after_name
            .split_whitespace()
            .nth(n)
            .unwrap()
            .parse()
            .unwrap()
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn best(mut work: impl FnMut()) -> f64 {
    let time = |_| {
        let start = used();
        work();
        used() - start
    };
    (0..3).map(time).fold(f64::INFINITY, f64::min)
}

/// The most memory this process had, in KiB, since it was last asked.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    kib
}

#[test]
#[ignore = "measures"]
fn text_of_200_000_changes() {
    let plan = fixture::many(200_000);
    let filter = Filter {
        limit: Some(20),
        ..Filter::default()
    };
    peak();
    let verify = best(|| drop(PlanFile::open(&plan.path()).unwrap()));
    let verified = peak();
    let show = best(|| {
        let (file, selection) = Selection::open(&plan.path(), &filter).unwrap();
        let mut out = Vec::new();
        text::selection(&file, &selection, &filter, STYLE, &mut out).unwrap();
    });
    let shown = peak();
    let ratio = show / verify;
    writeln!(
        std::io::stderr(),
        "verify {verify} s ({verified} KiB), show {show} s ({shown} KiB), ratio {ratio:.2}"
    )
    .unwrap();
    assert!(ratio < 1.5 && shown < verified + 16_384);
}
