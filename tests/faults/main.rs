//! Faults, concurrency and rollback: the real binary against a real server, and after each fault
//! one question: is everything exactly as before, or exactly as after?
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    dead_code,
    reason = "a test ends where something is missing, and tells its figures"
)]

mod harness;
mod proxy;
mod random;

mod cuts;
mod failures;
mod races;
mod rollback;
mod roundtrip;
