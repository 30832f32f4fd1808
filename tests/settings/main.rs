//! Settings, commands and papers, through the real binary against private PostgreSQL servers.

mod tls;
mod variables;
mod world;
