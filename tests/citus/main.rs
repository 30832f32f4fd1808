//! Tables in shards, on a coordinator and two workers with Citus. `LOADER_CITUS_BIN` names the folder of the
//! programs of a PostgreSQL that has it; without it these tests fail. `scripts/test-citus` runs them.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics says where, and its name says what"
)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod commits;
mod cycles;
mod refused;
mod shop;
mod wire;
