//! The database: sessions under which a value has one spelling, and what is done in them.

pub mod apply;
pub mod audit;
mod beside;
pub mod catalog;
pub mod connect;
#[cfg(test)]
mod fixture;
mod identity;
pub mod ledger;
pub mod migrate;
pub mod near;
mod order;
pub mod own;
pub mod plan;
mod pooler;
pub mod privileges;
pub mod progress;
pub mod queue;
pub mod referred;
pub mod session;
mod shards;
pub mod stamps;
pub mod suited;
pub mod undo;
pub mod url;

pub use connect::{Database, Roots, SslMode};
pub use progress::{Event, OnProgress};
pub use session::{Backend, Session, Timeouts, failed, must_be, must_write};
