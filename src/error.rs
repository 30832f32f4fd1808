//! The one error type, grouped by who must act. Exit codes follow from it.

use std::fmt;

use crate::plan::DriftReport;

/// Why an operation did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings, `tables.yaml` or arguments are wrong: the caller must mend them.
    #[error("{0}")]
    Config(String),
    /// The batch cannot be read: who delivered it, or who runs the storage, must act.
    #[error("{0}")]
    Source(String),
    /// The database refused or failed. `transient` ones are worth another try.
    #[error("{message}")]
    Database {
        /// What was being done, and what the server said.
        message: String,
        /// SQLSTATE, where the server gave one (PostgreSQL documentation, appendix A).
        code: Option<String>,
        /// Whether the same work may succeed when it is tried again as a whole.
        transient: bool,
    },
    /// The database is no longer what the plan was made from.
    #[error("{0}")]
    Drift(Box<DriftReport>),
    /// Violations or limits stand against it: a curator must decide.
    #[error("{0}")]
    Blocked(String),
    /// Nobody approved it.
    #[error("{0}")]
    NotApproved(String),
    /// The plan file is not one that may be used here.
    #[error("{0}")]
    PlanRefused(String),
    /// Somebody else holds what is needed, or time ran out.
    #[error("{0}")]
    Locked(String),
    /// The commit was sent and its answer lost, and no server can be asked.
    #[error("{0}")]
    Unknown(String),
    /// A signal came: rolled back.
    #[error("{0}")]
    Interrupted(String),
    /// A local file could not be read or written.
    #[error("{0}")]
    Io(String),
}

/// The result of every operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The process's exit code (SPEC §11): stable, one per kind of refusal.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_)
            | Error::Source(_)
            | Error::Database { .. }
            | Error::Io(_)
            | Error::Interrupted(_) => 1,
            Error::Drift(_) => 3,
            Error::Blocked(_) => 4,
            Error::NotApproved(_) => 5,
            Error::PlanRefused(_) => 6,
            Error::Locked(_) => 7,
            Error::Unknown(_) => 8,
        }
    }

    /// A stable word for the kind of refusal, for `--json`.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Config(_) => "config",
            Error::Source(_) => "source",
            Error::Database { .. } => "database",
            Error::Io(_) => "io",
            Error::Interrupted(_) => "interrupted",
            Error::Drift(_) => "drift",
            Error::Blocked(_) => "blocked",
            Error::NotApproved(_) => "not_approved",
            Error::PlanRefused(_) => "plan_refused",
            Error::Locked(_) => "locked",
            Error::Unknown(_) => "unknown",
        }
    }

    /// Whether trying the whole transaction again may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Database {
                transient: true,
                ..
            }
        )
    }

    /// The same, saying that it left nothing behind, where that does not go without saying.
    #[must_use]
    pub fn not_applied(mut self, attempts: u32) -> Error {
        if let Error::Database { message, .. }
        | Error::Locked(message)
        | Error::Interrupted(message)
        | Error::Io(message) = &mut self
        {
            if attempts > 1 {
                *message += &format!("; tried {attempts} times");
            }
            *message += "; not applied, nothing was written";
        }
        self
    }

    /// An I/O error while `doing` something.
    pub fn io(doing: impl fmt::Display, e: &std::io::Error) -> Error {
        Error::Io(format!("{doing}: {e}"))
    }
}
