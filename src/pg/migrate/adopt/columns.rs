//! The columns of the loader's tables, and what is there of them.

use super::DOING;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::migrate::runner;
use crate::pg::own::Own;
use crate::sql::{Literal, Statement};

/// What a column must be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg::migrate) enum Holds {
    Text,
    /// Text of any length.
    AnyText,
    /// Numbers, in the order in which rows were written where they are numbered.
    Number,
    /// JSON that can be compared.
    Json,
    Uuid,
    Uuids,
    Time,
    Truth,
}

impl Holds {
    /// The types that do, by their names in the catalogs, the one that we would take first.
    fn types(self) -> &'static [&'static str] {
        match self {
            Holds::Text | Holds::AnyText => &["text", "varchar"],
            Holds::Number => &["int8", "int4"],
            Holds::Json => &["jsonb"],
            Holds::Uuid => &["uuid"],
            Holds::Uuids => &["_uuid"],
            Holds::Time => &["timestamptz", "timestamp"],
            Holds::Truth => &["bool"],
        }
    }
}

use Holds::{AnyText, Json, Number, Text, Time, Truth, Uuid, Uuids};

/// The columns that must be there, by table: what the original had, and ours.
pub(in crate::pg::migrate) const COLUMNS: [(Own, &[(&str, Holds)]); 5] = [
    (
        Own::Queue,
        &[
            ("id", Number),
            ("table_name", Text),
            ("fragment_id", Text),
            ("s3_key", Text),
            ("status", Text),
            ("batch_id", Text),
            ("loaded_at", Time),
            ("error_message", AnyText),
            ("application", Uuid),
        ],
    ),
    (
        Own::AuditLog,
        &[
            ("id", Number),
            ("table_name", Text),
            ("operation", Text),
            ("record_id", AnyText),
            ("old_values", Json),
            ("new_values", Json),
            ("batch_id", Text),
            ("changed_by", Text),
            ("changed_at", Time),
            ("application", Uuid),
            ("plan_hash", Text),
            ("origin", AnyText),
            ("extracted_at", Time),
        ],
    ),
    (
        Own::LoadLog,
        &[
            ("batch_id", Text),
            ("operation", Text),
            ("table_name", Text),
            ("records_affected", Number),
            ("status", Text),
            ("error_message", AnyText),
            ("loaded_at", Time),
            ("application", Uuid),
        ],
    ),
    (
        Own::Ledger,
        &[
            ("sequence", Number),
            ("application", Uuid),
            ("plan_hash", Text),
            ("kind", Text),
            ("batch_id", Text),
            ("actor", Text),
            ("applied_at", Time),
            ("undoes", Uuids),
            ("undoes_in_part", Uuids),
            ("tables", Json),
            ("records", Number),
            ("rejected", Number),
        ],
    ),
    (Own::Identity, &[("lineage", Text), ("only_row", Truth)]),
];

/// Whether a migration adds this column to a table that lacks it.
pub(super) fn is_added(table: Own, column: &str) -> bool {
    let runner = runner();
    let adds = format!(
        "ALTER TABLE {} ADD COLUMN IF NOT EXISTS {column} ",
        table.name()
    );
    let mut migrations = runner.get_migrations().iter();
    migrations.any(|m| m.sql().is_some_and(|sql| sql.contains(&adds)))
}

/// A table's columns: type, as it is written, and whether it holds texts of any length.
pub(in crate::pg::migrate) fn columns_of(schema: &str, table: Own) -> Statement {
    let sql = format!(
        "SELECT a.attname, coalesce(b.typname, t.typname), pg_catalog.format_type(a.atttypid, a.atttypmod), \
           CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END < 0 \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped",
        Literal(schema),
        Literal(table.name())
    );
    Statement::new(DOING, sql)
}

/// Columns of a table that are missing, where they must be there by now, or of another type.
pub(super) async fn columns(
    session: &Session,
    schema: &str,
    table: Own,
    wanted: &[(&str, Holds)],
    is_due: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let found = session.rows(&columns_of(schema, table)).await?;
    let table = table.name();
    for (column, holds) in wanted {
        let types = holds.types();
        let found = found.iter().find(|row| row.get(0) == Some(*column));
        match found {
            None if !is_due(column) => {}
            None => wrong.push(format!(
                "{table}.{column} is missing; it must be {}",
                types[0]
            )),
            Some(row) if !row.get(1).is_some_and(|t| types.contains(&t)) => {
                wrong.push(format!(
                    "{table}.{column} is {}, and must be {}",
                    row.get(2).unwrap_or("?"),
                    types.join(" or ")
                ));
            }
            Some(row) if *holds == AnyText && !row.is(3) => wrong.push(format!(
                "{table}.{column} is {}, and must hold text of any length",
                row.get(2).unwrap_or("?")
            )),
            Some(_) => {}
        }
    }
    Ok(wrong)
}
