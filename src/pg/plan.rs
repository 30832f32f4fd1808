//! What planning asks of the database: records staged, compared with the current rows, checked.

pub mod check;
pub mod compare;
pub mod snapshot;
pub mod stage;
#[cfg(test)]
mod statements;
pub(in crate::pg) mod trial;
