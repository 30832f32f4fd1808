//! What the session's role may do, and the GRANT for what it may not.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Qualified, Statement, Values, all, list};

/// What a role must be able to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub on: Object,
    /// One privilege, as GRANT names it; for some columns of a table with these.
    pub privilege: &'static str,
}

/// What privileges are given on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// The database of the session.
    Database,
    /// A schema.
    Schema(String),
    /// A table.
    Table(Qualified),
    /// A sequence.
    Sequence(Qualified),
}

/// A question for one privilege on one object, or one column of it.
struct Asked<'w> {
    /// The number of what is wanted, from 1.
    of: usize,
    kind: &'static str,
    schema: &'w str,
    name: &'w str,
    column: &'w str,
    privilege: &'w str,
}

impl Wanted {
    /// How it is asked about, as number `of`.
    fn asked(&self, of: usize) -> Vec<Asked<'_>> {
        let (kind, schema, name) = match &self.on {
            Object::Database => ("database", "", ""),
            Object::Schema(name) => ("schema", name.as_str(), ""),
            Object::Table(name) => ("table", name.schema.as_str(), name.name.as_str()),
            Object::Sequence(name) => ("sequence", name.schema.as_str(), name.name.as_str()),
        };
        let ask = |kind, privilege, column| Asked {
            of,
            kind,
            schema,
            name,
            column,
            privilege,
        };
        match self.privilege.split_once(" (") {
            Some((privilege, columns)) => {
                let columns = columns.trim_end_matches(')').split(", ");
                columns
                    .map(|column| ask("column", privilege, column))
                    .collect()
            }
            None => vec![ask(kind, self.privilege, "")],
        }
    }
}

/// The statements that would give the role what it lacks of `wanted`, one for each object, in order;
/// none where it lacks nothing. They are for the owner of the objects to run.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn missing_grants(session: &Session, wanted: &[Wanted]) -> Result<Vec<String>> {
    let rows = session.rows(&ask(wanted)).await?;
    let mut lacks: BTreeMap<&Object, Vec<&str>> = BTreeMap::new();
    let (mut role, mut database) = (String::new(), String::new());
    for row in &rows {
        (role, database) = (row.text(1)?.to_owned(), row.text(2)?.to_owned());
        if let Some(wanted) = wanted.get(row.parsed::<usize>(0)?.wrapping_sub(1)) {
            lacks.entry(&wanted.on).or_default().push(wanted.privilege);
        }
    }
    let grants = lacks.into_iter().map(|(object, privileges)| {
        let on = match object {
            Object::Database => format!("DATABASE {}", Ident(&database)),
            Object::Schema(name) => format!("SCHEMA {}", Ident(name)),
            Object::Table(name) => name.to_string(),
            Object::Sequence(name) => format!("SEQUENCE {name}"),
        };
        format!(
            "GRANT {} ON {on} TO {}",
            privileges.join(", "),
            Ident(&role)
        )
    });
    Ok(grants.collect())
}

/// Asks which privileges are missing: their numbers, from 1, beside the role and the database. A name in a schema that
/// the role may not use is looked up in the catalog, for PostgreSQL itself does not.
fn ask(wanted: &[Wanted]) -> Statement {
    let mut values = Values::default();
    let asked: Vec<Asked<'_>> = (1..)
        .zip(wanted)
        .flat_map(|(of, wanted)| wanted.asked(of))
        .collect();
    let mut texts = |of: fn(&Asked<'_>) -> String| values.texts(asked.iter().map(of));
    let arrays = [
        texts(|a| a.of.to_string()),
        texts(|a| a.kind.to_owned()),
        texts(|a| a.schema.to_owned()),
        texts(|a| a.name.to_owned()),
        texts(|a| a.column.to_owned()),
        texts(|a| a.privilege.to_owned()),
    ];
    let arrays = arrays.map(|array| format!("pg_catalog.unnest({array})"));
    let sql = format!(
        "SELECT u.i, current_user::text, pg_catalog.current_database()::text \
         FROM ROWS FROM ({}) u(i, kind, schema, name, col, privilege) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = u.schema \
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = u.name \
         WHERE CASE u.kind \
           WHEN 'database' THEN NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), u.privilege) \
           WHEN 'schema' THEN NOT pg_catalog.has_schema_privilege(n.oid, u.privilege) \
           WHEN 'table' THEN NOT pg_catalog.has_table_privilege(c.oid, u.privilege) \
           WHEN 'column' THEN NOT pg_catalog.has_column_privilege(c.oid, u.col, u.privilege) \
           ELSE NOT pg_catalog.has_sequence_privilege(c.oid, u.privilege) END \
         GROUP BY u.i ORDER BY u.i::int",
        list(arrays),
    );
    Statement::with("asking for privileges", sql, values)
}

/// Whether the role may read these tables, and sees all of their rows. A name in a schema that it may not use is not
/// even looked up.
pub(in crate::pg) fn may_read<'t>(
    doing: impl Into<String>,
    tables: impl IntoIterator<Item = &'t Qualified>,
) -> Statement {
    let mut values = Values::default();
    let tables: Vec<&Qualified> = tables.into_iter().collect();
    let may = tables.into_iter().map(|table| {
        format!(
            "CASE WHEN NOT pg_catalog.has_schema_privilege({}, 'USAGE') THEN false \
               ELSE pg_catalog.has_table_privilege({name}, 'SELECT') AND NOT pg_catalog.row_security_active({name}) END",
            values.text(&table.schema),
            name = values.text(table.to_string())
        )
    });
    let sql = format!("SELECT {}", all(may));
    Statement::with(doing, sql, values)
}
