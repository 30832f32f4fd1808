//! Faults, concurrency and rollback: the real binary against a real server, and after each fault
//! one question: is everything exactly as before, or exactly as after?
//!
//! How much is tried follows variables of the environment: `TEST_ROUND_TRIPS` random schemas from
//! the seed `TEST_SEED` on, `TEST_KILLS`, `TEST_ENDS`, `TEST_CRASHES` moments of an apply of
//! `TEST_ROWS` rows, `TEST_CUTS` bytes, every place at every message with `TEST_ALL=1`,
//! `TEST_ROUNDS` beside a writer, `TEST_HISTORIES` histories of loads and rollbacks, `TEST_WITNESS` applies before a witness. `TEST_LOADER` is another build of the program.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    dead_code,
    reason = "a test ends where something is missing, and tells its figures"
)]

#[path = "../support/mod.rs"]
mod support;

mod harness;
mod moments;
mod names;
mod proxy;
mod random;

mod cuts;
mod edges;
mod failures;
mod guards;
mod histories;
mod in_part;
mod races;
mod renewed;
mod rollback;
mod round_trips;
mod roundtrip;
mod silence;
mod standby;
mod stops;
mod witness;
mod writer;
