//! A plan: what was found, and what would be done about it. Values are strings as PostgreSQL
//! prints them, or null.

pub(crate) mod decision;
pub(crate) mod drift;
mod entry;
mod header;
pub(crate) mod ignored;
pub(crate) mod incoming;
mod inverse;
pub(crate) mod masking;
pub(crate) mod passed_over;
pub(crate) mod reading;
mod referrer;
pub(crate) mod review;
mod value;
mod violation;
pub(crate) mod words;

pub use crate::action::{Action, Counts, SkipReason, Skips};
pub use crate::sql::Qualified;
pub use drift::{DriftColumn, DriftReport, DriftRow, DriftState};
pub use entry::{Entry, Fingerprint, REVIVED, Skip, What, Why};
pub(crate) use header::is_grave;
pub use header::{
    Fragment, Header, Kind, LedgerTable, Queued, TablePlan, TargetDatabase, left_out, limits_of,
    records,
};
pub use inverse::AppliedChange;
pub use passed_over::PassedOver;
pub use referrer::{Referrer, ReferrerReport};
pub use review::{Decision, Decisions, Review, Verdict};
pub use value::{NewRow, ReferredRow, Rounded, Row, Value, Values, display_key};
pub use violation::{Effect, Other, Violation, ViolationKind};
