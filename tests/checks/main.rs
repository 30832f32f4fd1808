//! What a plan finds wrong: every kind of violation, and that nothing is missed or made up.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics says where, and its name says what"
)]

#[path = "../../fuzz/checks.rs"]
mod any_bytes;
#[path = "../support/mod.rs"]
mod support;

mod adversary;
mod corpus;
mod every_type;
mod fragments;
mod kinds;
mod numbered;
mod property;
mod random;
mod spelling;
mod types;
