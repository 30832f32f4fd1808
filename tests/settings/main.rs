//! Settings, commands and papers, through the real binary against private PostgreSQL servers.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod aws;
mod commands;
mod flags;
mod habits;
mod init;
mod library;
mod logs;
mod moto;
mod papers;
mod roles;
mod tls;
mod variables;
mod world;
