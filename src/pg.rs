//! The database: sessions under which a value has one spelling, and what is done in them.

pub mod apply;
pub mod catalog;
pub mod connect;
pub mod ledger;
pub mod migrate;
pub mod plan;
pub mod queue;
pub mod session;
pub mod undo;
pub mod url;

pub use connect::{Database, Roots, SslMode};
pub use session::{Backend, Phase, Session, Step, Timeouts, Told, failed};
