//! Faults, concurrency and rollback: the real binary against a real server, and after each fault
//! one question: is everything exactly as before, or exactly as after?
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test ends where something is missing"
)]

mod harness;

mod rollback;
