//! The errors for what the server or the connection said, by SQLSTATE.

use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind, Remedy, Result, sqlstate};

/// The error for what the server or the connection said while `doing` something.
pub fn failed(doing: &str, e: &tokio_postgres::Error) -> Error {
    use std::error::Error as _;
    let Some(db) = e.as_db_error() else {
        let cause = e.source().map(|s| format!(": {s}")).unwrap_or_default();
        // A lost connection may come back; what cannot be read or authenticated stays so.
        let lost = e.is_closed() || e.source().is_some_and(|s| s.is::<std::io::Error>());
        let error = Error::database(format!("{doing}: {e}{cause}"));
        return if lost { error.transient() } else { error };
    };
    let mut message = format!("{doing}: {}", crate::text::escape(db.message()));
    for part in [db.detail(), db.hint(), db.where_()].into_iter().flatten() {
        message += &format!(" ({})", crate::text::escape(part));
    }
    by_code(message, db.code().code())
}

/// As [`failed`], without the words of the server where they may repeat a value: what it says in
/// fields of their own is told instead.
pub(super) fn discreet(doing: &str, e: &tokio_postgres::Error) -> Error {
    let Some(db) = e.as_db_error() else {
        return failed(doing, e);
    };
    let code = db.code().code();
    let what = match code {
        sqlstate::NOT_NULL_VIOLATION => "a column that must have a value would have none",
        sqlstate::FOREIGN_KEY_VIOLATION => "a foreign key would not hold",
        sqlstate::UNIQUE_VIOLATION => "a unique key would hold a value twice",
        sqlstate::CHECK_VIOLATION => "a check constraint would not hold",
        sqlstate::EXCLUSION_VIOLATION => "an exclusion constraint would not hold",
        sqlstate::SERIALIZATION_FAILURE => "it came between another transaction and its rows",
        sqlstate::DEADLOCK_DETECTED => "it and another transaction waited for each other",
        sqlstate::LOCK_NOT_AVAILABLE => "the lock was not granted in time",
        sqlstate::QUERY_CANCELED => {
            "it was cancelled, for example because the time for a transaction had run out"
        }
        "P0001" => "a function or trigger refused it",
        // Of rights, names and the server itself; where a function speaks, it says where.
        _ if ["08", "28", "42", "53", "57", "58"]
            .iter()
            .any(|c| code.starts_with(c))
            && db.where_().is_none() =>
        {
            return failed(doing, e);
        }
        _ if code.starts_with("22") => "a value does not fit",
        _ => "the server refused it",
    };
    // A function of the database can put any words into these fields, a value too.
    let own = db.where_().is_none_or(|at| at.starts_with("COPY "));
    let fields = [
        ("table", db.table()),
        ("column", db.column()),
        ("constraint", db.constraint()),
        ("type", db.datatype()),
    ];
    let named = fields
        .into_iter()
        .filter(|_| own)
        .filter_map(|(kind, name)| Some(format!("{kind} {}", crate::text::escape(name?))));
    let named: Vec<String> = named.collect();
    let named = if named.is_empty() {
        String::new()
    } else {
        format!(" ({})", named.join(", "))
    };
    let message = format!(
        "{doing}: {what}{named}; the server's own words are not shown, because they may name a sensitive value"
    );
    by_code(message, code)
}

fn by_code(message: String, code: &str) -> Error {
    let kind = match code {
        sqlstate::LOCK_NOT_AVAILABLE | sqlstate::QUERY_CANCELED | "25P03" => ErrorKind::Locked,
        _ => ErrorKind::Database,
    };
    let error = Error::new(kind, format!("{message} [SQLSTATE {code}]")).with_code(code);
    match code {
        sqlstate::QUERY_CANCELED => error.with_remedy(Remedy::MoreTime),
        sqlstate::INSUFFICIENT_PRIVILEGE => error.with_remedy(Remedy::Grants),
        sqlstate::SERIALIZATION_FAILURE
        | sqlstate::DEADLOCK_DETECTED
        | "53300"
        | "57P01"
        | "57P02"
        | "57P03" => error.transient(),
        _ if code.starts_with("08") => error.transient(),
        _ => error,
    }
}

/// The error for an answer that no server gives to what was asked.
pub(super) fn unexpected(doing: &str, what: &str) -> Error {
    Error::database(format!(
        "{doing}: the server's answer is not one to this question: {what}"
    ))
}

/// A statement must touch as many rows as were planned.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database) where another number of rows was touched than planned: the rows were locked
/// and compared, so that something rewrote them in between.
pub fn must_be(doing: &str, planned: u64, touched: u64) -> Result<()> {
    if planned == touched {
        return Ok(());
    }
    Err(Error::database(format!(
        "{doing}: {planned} rows were planned and {touched} were touched; a rule or trigger of the table swallows \
             or adds rows"
    )))
}

/// The same of rows of the plan's tables, about which their owner has to decide.
///
/// # Errors
/// [`Blocked`](crate::ErrorKind::Blocked).
pub fn must_write(doing: &str, planned: u64, written: u64) -> Result<()> {
    must_be(doing, planned, written).map_err(|e| e.with_kind(ErrorKind::Blocked))
}

/// The classes of errors that say nothing of a value: connections, transactions, resources, interventions, files.
const OF_THE_SERVER: [&str; 6] = ["08", "25", "40", "53", "57", "58"];

/// Data exceptions (class 22), and types whose input function uses another class.
pub(super) fn is_refused_value(e: &tokio_postgres::Error) -> bool {
    e.as_db_error().is_some_and(|db| {
        let code = db.code();
        ["22", "23", "42"]
            .iter()
            .any(|class| code.code().starts_with(class))
            || *code == SqlState::INVALID_SCHEMA_NAME
            || *code == SqlState::STATEMENT_TOO_COMPLEX
            || *code == SqlState::FEATURE_NOT_SUPPORTED
            || *code == SqlState::PROGRAM_LIMIT_EXCEEDED
            // The input functions of hstore and others, and functions in checks of domains, give codes of all kinds.
            || !OF_THE_SERVER.iter().any(|class| code.code().starts_with(class))
                && db.where_().is_some_and(|w| w.lines().any(|l| l.starts_with("COPY ")))
    })
}
