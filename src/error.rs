//! The one error type: its kind says who must act, and exit codes follow from that.

use std::error::Error as StdError;
use std::fmt;

/// Why an operation did not do what it was asked to.
///
/// Displayed, it says what was being done, to what, what was found and what to do next; `{:#}` adds
/// the causes.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    /// Empty where the cause says it all.
    message: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    /// What stands behind message and cause.
    ending: String,
    remedy: Option<Remedy>,
    code: Option<String>,
    transient: bool,
}

/// What the server calls the errors of which the loader decides something:
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(crate) mod sqlstate {
    pub const NOT_NULL_VIOLATION: &str = "23502";
    pub const FOREIGN_KEY_VIOLATION: &str = "23503";
    pub const UNIQUE_VIOLATION: &str = "23505";
    pub const CHECK_VIOLATION: &str = "23514";
    pub const EXCLUSION_VIOLATION: &str = "23P01";
    pub const SERIALIZATION_FAILURE: &str = "40001";
    pub const DEADLOCK_DETECTED: &str = "40P01";
    pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
    pub const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub const QUERY_CANCELED: &str = "57014";
}

/// The result of every operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Settings, `tables.yaml` or arguments are wrong: the caller must mend them.
    Config,
    /// The batch cannot be read: who delivered it, or who runs the storage, must act.
    Source,
    /// The database refused or failed.
    Database,
    /// The database is no longer what the plan was made from: [`crate::plan::DriftReport::of`].
    Drift,
    /// Violations or limits stand against it: a curator must decide.
    Blocked,
    /// Nobody approved it.
    NotApproved,
    /// The plan file is not one that may be used here.
    PlanRefused,
    /// Somebody else holds what is needed, or time ran out.
    Locked,
    /// The commit was sent and its answer lost, and no server can be asked.
    Unknown,
    /// A signal came: rolled back.
    Interrupted,
    /// A local file could not be read or written.
    Io,
}

/// What the caller could do or set so that it goes on. A message says what is wrong; how to set
/// something is for the program to say that has the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Allow a batch more records.
    MoreRecords,
    /// Allow larger objects.
    LargerObject,
    /// Allow objects that are larger when they are unpacked.
    LargerUnpacked,
    /// Allow larger records and values.
    LargerValue,
    /// Allow the transaction more time, or load less at once.
    MoreTime,
    /// Try again when others are done, or wait longer for locks.
    WaitLonger,
    /// Take what is no fragment away, or name it to be ignored.
    Ignore,
    /// Describe the table in `tables.yaml`, or take its objects out of the batch.
    Describe,
    /// The batch is at another place.
    OtherPlace,
    /// Name another schema.
    OtherSchema,
    /// Plan this table too.
    AlsoTable(String),
    /// Say that there is no validator.
    NoQueue,
    /// Have the batch validated, or say which reports pass, or that they have no say.
    Report,
    /// Name the configuration, or have a first one made.
    NoConfig,
    /// Say which database.
    DatabaseUrl,
    /// Make the loader's tables.
    Migrate,
    /// Mend what is in the way of the loader's tables, or put them into another schema.
    OtherLoaderSchema,
    /// Give the role what it lacks.
    Grants,
    /// Plan as the role that applies, or without a rehearsal.
    RoleThatApplies,
    /// Mend the records or the configuration behind the violations of the plan of this name.
    Mend(String),
    /// Give a secret key that opens the plan.
    Identity,
    /// Look what was applied.
    History,
    /// Take applications back one by one, newest first.
    OneByOne,
    /// Take back what other loads did in between, too, or take applications back one by one, newest first.
    InBetween,
    /// Ask again when the server is back.
    CheckLater,
    /// Take the rows of later loads that refer to others back with them.
    Dependents,
    /// Keep rows that changed since.
    KeepEdited,
    /// Keep rows that stand in the way though what later loads did is taken back, as far as it can be at once.
    KeepOrEarlier,
}

impl ErrorKind {
    /// A stable word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Source => "source",
            ErrorKind::Database => "database",
            ErrorKind::Io => "io",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Drift => "drift",
            ErrorKind::Blocked => "blocked",
            ErrorKind::NotApproved => "not_approved",
            ErrorKind::PlanRefused => "plan_refused",
            ErrorKind::Locked => "locked",
            ErrorKind::Unknown => "unknown",
        }
    }
}

impl Error {
    /// An error that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            cause: None,
            ending: String::new(),
            remedy: None,
            code: None,
            transient: false,
        }))
    }

    /// An error that says what `cause` says.
    pub fn of(kind: ErrorKind, cause: impl StdError + Send + Sync + 'static) -> Error {
        Error::new(kind, "").caused_by(cause)
    }

    /// An I/O error while `doing` something.
    pub fn io(doing: impl fmt::Display, cause: std::io::Error) -> Error {
        Error::new(ErrorKind::Io, doing.to_string()).caused_by(cause)
    }

    /// Settings, `tables.yaml` or arguments are wrong.
    pub(crate) fn config(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, message)
    }

    /// The batch cannot be read.
    pub(crate) fn unreadable(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Source, message)
    }

    /// The database refused or failed.
    pub(crate) fn database(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Database, message)
    }

    /// Violations or limits stand against it.
    pub(crate) fn blocked(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Blocked, message)
    }

    /// Nobody approved it.
    pub(crate) fn not_approved(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotApproved, message)
    }

    /// The plan file is not one that may be used here.
    pub(crate) fn plan_refused(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::PlanRefused, message)
    }

    /// Somebody else holds what is needed, or time ran out.
    pub(crate) fn locked(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Locked, message)
    }

    /// A server said nothing for as long as it is waited for.
    pub(crate) fn unanswered(doing: &str, patience: std::time::Duration) -> Error {
        Error::locked(format!(
            "{doing}: the server did not answer within {} s",
            patience.as_secs()
        ))
        .with_remedy(Remedy::MoreTime)
    }

    /// Work on this machine failed.
    pub(crate) fn local(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Io, message)
    }

    /// The same, with its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Error {
        self.0.cause = Some(Box::new(cause));
        self
    }

    /// The same, worth another try.
    #[must_use]
    pub fn transient(mut self) -> Error {
        self.0.transient = true;
        self
    }

    /// The same, with the server's SQLSTATE.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Error {
        self.0.code = Some(code.into());
        self
    }

    /// The same, of another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// The same, and `more` behind all else that it says.
    #[must_use]
    pub fn and(mut self, more: impl fmt::Display) -> Error {
        self.0.ending += &more.to_string();
        self
    }

    /// The same, and what would mend it.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: Remedy) -> Error {
        self.0.remedy = Some(remedy);
        self
    }

    /// What the caller could do or set so that it goes on, where that is known.
    pub fn remedy(&self) -> Option<&Remedy> {
        self.0.remedy.as_ref()
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// SQLSTATE, where the server gave one (PostgreSQL documentation, appendix A).
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What it was made from, where it is a `T`.
    pub fn cause<T: StdError + 'static>(&self) -> Option<&T> {
        self.0.cause.as_ref()?.downcast_ref()
    }

    /// Whether trying the whole transaction again may succeed.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// The same, saying that it left nothing behind, where that does not go without saying.
    #[must_use]
    pub fn not_applied(self, attempts: u32) -> Error {
        match self.0.kind {
            ErrorKind::Database | ErrorKind::Locked | ErrorKind::Interrupted | ErrorKind::Io => {}
            _ => return self,
        }
        let tried = match attempts {
            0 | 1 => String::new(),
            n => format!("; tried {n} times"),
        };
        self.and(format_args!("{tried}; not applied, nothing was written"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if self.0.message.is_empty()
            && let Some(cause) = &self.0.cause
        {
            cause.fmt(f)?;
        }
        if f.alternate() {
            let mut cause = self.source();
            while let Some(c) = cause {
                write!(f, ": {c}")?;
                cause = c.source();
            }
        }
        f.write_str(&self.0.ending)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let cause = self.0.cause.as_deref()?;
        if self.0.message.is_empty() {
            cause.source()
        } else {
            Some(cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")
    }

    #[test]
    fn a_cause_is_said_once_and_before_the_advice() {
        let e = Error::io("tables.yaml: cannot read it", missing()).and("; name another");
        assert_eq!(e.to_string(), "tables.yaml: cannot read it; name another");
        assert_eq!(
            format!("{e:#}"),
            "tables.yaml: cannot read it: no such file; name another"
        );
        assert!(e.source().is_some() && e.cause::<std::io::Error>().is_some());
    }

    #[test]
    fn what_its_cause_says_is_all_that_it_says() {
        let e = Error::of(ErrorKind::Source, missing()).and("; ask for it");
        assert_eq!(format!("{e}"), "no such file; ask for it");
        assert_eq!(format!("{e:#}"), "no such file; ask for it");
        assert!(e.source().is_none() && e.cause::<std::io::Error>().is_some());
    }

    #[test]
    fn that_nothing_was_written_is_said_where_it_may_be_doubted() {
        let e = Error::io("writing", missing()).not_applied(3);
        assert_eq!(
            format!("{e:#}"),
            "writing: no such file; tried 3 times; not applied, nothing was written"
        );
        let e = Error::new(ErrorKind::Blocked, "2 violations").not_applied(3);
        assert_eq!(format!("{e:#}"), "2 violations");
    }
}
