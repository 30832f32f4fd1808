//! Tables: as found in the database, as configured, their limits and their order.

pub mod complete;
pub mod config;
mod default;
pub mod delivery;
pub mod graph;
pub mod kind;
pub mod limits;
pub mod lookup;
pub mod mark;
pub mod reference;
pub mod row;
pub mod schema;
pub mod target;
mod unique;
