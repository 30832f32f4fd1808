//! What the session's role may do, and the GRANT for what it may not.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Qualified, Statement, Values, all};

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

impl Wanted {
    /// How it is asked about: the word of the function, the object's name and the privilege.
    fn asked(&self) -> (&'static str, String, &'static str) {
        let (kind, name) = match &self.on {
            Object::Database => ("database", String::new()),
            Object::Schema(name) => ("schema", name.clone()),
            Object::Table(name) => ("table", name.to_string()),
            Object::Sequence(name) => ("sequence", name.to_string()),
        };
        match self.privilege.split_once(" (") {
            Some((privilege, _)) => ("columns", name, privilege),
            None => (kind, name, self.privilege),
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

/// Asks which privileges are missing: their numbers, from 1, beside the role and the database.
fn ask(wanted: &[Wanted]) -> Statement {
    let mut values = Values::default();
    let asked = || wanted.iter().map(Wanted::asked);
    let sql = format!(
        "SELECT u.i::text, current_user::text, pg_catalog.current_database()::text \
         FROM ROWS FROM (pg_catalog.unnest({}), pg_catalog.unnest({}), pg_catalog.unnest({})) WITH ORDINALITY u(kind, name, privilege, i) \
         WHERE CASE u.kind \
           WHEN 'database' THEN NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), u.privilege) \
           WHEN 'schema' THEN NOT pg_catalog.has_schema_privilege(u.name, u.privilege) \
           WHEN 'table' THEN NOT pg_catalog.has_table_privilege(u.name, u.privilege) \
           WHEN 'columns' THEN NOT pg_catalog.has_any_column_privilege(u.name, u.privilege) \
           ELSE NOT pg_catalog.has_sequence_privilege(u.name, u.privilege) END ORDER BY u.i",
        values.texts(asked().map(|(kind, ..)| kind)),
        values.texts(asked().map(|(_, name, _)| name)),
        values.texts(asked().map(|(.., privilege)| privilege)),
    );
    Statement::with("asking for privileges", sql, values)
}

/// Whether the role may read these tables. A name in a schema that it may not use is not even looked up.
pub(in crate::pg) fn may_read<'t>(
    doing: impl Into<String>,
    tables: impl IntoIterator<Item = &'t Qualified>,
) -> Statement {
    let mut values = Values::default();
    let tables: Vec<&Qualified> = tables.into_iter().collect();
    let may = tables.into_iter().map(|table| {
        format!(
            "CASE WHEN pg_catalog.has_schema_privilege({}, 'USAGE') \
               THEN pg_catalog.has_table_privilege({}, 'SELECT') ELSE false END",
            values.text(&table.schema),
            values.text(table.to_string())
        )
    });
    let sql = format!("SELECT {}", all(may));
    Statement::with(doing, sql, values)
}
