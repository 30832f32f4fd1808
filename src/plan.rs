//! A plan: what was found, and what would be done about it. Values are strings as PostgreSQL
//! prints them, or null.

pub mod decision;
mod drift;
mod entry;
mod header;
pub mod incoming;
mod inverse;
pub mod masking;
pub mod reading;
mod value;
mod violation;
pub mod words;

pub use crate::action::{Action, Counts};
pub use drift::{DriftColumn, DriftReport, DriftRow, DriftState};
pub use entry::{Entry, Fingerprint, Skip, What};
pub use header::{Fragment, Header, Kind, LedgerTable, TablePlan, TargetDatabase};
pub use inverse::AppliedChange;
pub use value::{NewRow, Rounded, Row, Value, Values, display_key};
pub use violation::{Effect, Violation, ViolationKind};
