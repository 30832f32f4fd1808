//! Statements that are tried: whether one fails is an answer, and no error.

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Statement, Values};

/// A judge that asks without failing.
const PREPARE: &str = "\
CREATE OR REPLACE FUNCTION pg_temp.loader_try(statement text) RETURNS bool LANGUAGE plpgsql AS $loader$
BEGIN EXECUTE statement; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END $loader$;
";

/// Makes what [`works`] needs, once in a session.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn prepare(session: &Session) -> Result<()> {
    let doing = "making temporary tables (this needs the privilege TEMPORARY)";
    session.run(&Statement::new(doing, PREPARE)).await
}

/// Whether `statement` runs without an error.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database) where it cannot be tried.
pub async fn works(session: &Session, statement: &Statement) -> Result<bool> {
    session.holds(&attempt(statement)).await
}

fn attempt(statement: &Statement) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT pg_temp.loader_try({})",
        values.text(statement.text())
    );
    Statement::with(statement.doing(), sql, values)
}
