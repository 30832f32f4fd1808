//! Table Loader: loads reviewed batches of records into PostgreSQL.
//!
//! A plan is made from a batch and the current rows ([`ops::plan`]), reviewed, and applied exactly
//! as it is, or refused ([`ops::apply`]). The modules stand here in reading order: values first,
//! effects last.

pub mod error;
pub mod ident;
pub mod strict;

pub mod config;
pub mod copytext;
pub mod decide;
pub mod graph;
pub mod incoming;
pub mod limits;
pub mod lossy;
pub mod mask;
pub mod plan;
pub mod planfile;
pub mod record;
pub mod render;
pub mod schema;
pub mod suggest;

pub mod cli;
pub mod ops;
pub mod pg;
pub mod source;

#[cfg(feature = "sandbox")]
pub mod sandbox;

pub use error::{Error, Result};
