//! Settings, commands and papers, through the real binary against private PostgreSQL servers.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    reason = "a test ends at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod aws;
mod commands;
mod config;
mod flags;
mod habits;
mod hints;
mod init;
mod library;
mod logs;
mod moto;
mod papers;
mod roles;
mod tls;
mod variables;
mod world;
