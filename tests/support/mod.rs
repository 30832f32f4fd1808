//! The one harness of all test programs: servers, a world for each test, and the real `loader` in
//! between.
#![allow(
    dead_code,
    unused_imports,
    reason = "no test program uses all of the harness"
)]

pub mod biobank;
mod content;
pub mod model;
pub mod plan;
pub mod program;
pub mod random;
pub mod run;
pub mod s3;
pub mod server;
pub mod shards;
pub mod tree;
pub mod types;
pub mod wait;
pub mod world;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

pub use plan::Plan;
pub use run::{Call, Run};
pub use world::World;

/// How much a test tries, by a variable of the environment.
pub fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |v| {
        v.parse()
            .unwrap_or_else(|e| panic!("{variable} is {v:?}: {e}"))
    })
}

/// `content` compressed.
pub fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// Compares a text for people with `snapshots/<name>.snap`; the database's name and the plan's
/// hash, which differ from run to run, are masked.
#[track_caller]
pub fn snapshot(name: &str, text: &str, world: &World, plan: &Plan) {
    let text = text
        .replace(&plan.hash(), "sha256:…")
        .replace(&world.database, "biobank")
        .replace(plan.name(), "plan.json");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
