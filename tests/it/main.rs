//! The real binary against a real server: each module tells one part of what it promises.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    clippy::print_stdout,
    reason = "a test that panics says where, and its name says what"
)]

#[path = "../support/mod.rs"]
mod support;

mod anybody;
mod approval;
mod biobank;
mod bombs;
mod circumstances;
mod consortium;
mod decided;
mod deletes;
mod deliveries;
mod drift;
mod effects;
mod expected;
mod findings;
mod foreseen;
mod grouped;
mod growth;
mod layouts;
mod left_out;
mod limits;
mod logging;
mod marks;
mod moves;
mod newer;
mod numbers;
mod older;
mod order;
mod own_tables;
mod parents;
mod pinned;
mod poolers;
mod public_data;
mod queue;
mod references;
mod rejects;
mod reports;
mod reviewed;
mod s3_server;
mod sealed;
mod secrets;
mod sources;
mod standby;
mod stated;
mod tampering;
mod values;
mod words;
mod workflow;
