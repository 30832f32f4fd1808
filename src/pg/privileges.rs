//! What the session's role may do, and the GRANT for what it may not.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Qualified, Statement, Values, all, list};
use crate::table::schema::Table;

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
    /// A type, by its object id.
    Type(u32, Qualified),
    /// A function, by its object id, with its arguments as SQL.
    Function(u32, Qualified, String),
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
    /// The name; of a type or a function the object id.
    name: Cow<'w, str>,
    column: &'w str,
    privilege: &'w str,
}

impl Wanted {
    /// How it is asked about, as number `of`.
    fn asked(&self, of: usize) -> Vec<Asked<'_>> {
        let (kind, schema, name) = match &self.on {
            Object::Database => ("database", "", Cow::from("")),
            Object::Schema(name) => ("schema", name.as_str(), Cow::from("")),
            Object::Type(oid, _) => ("type", "", Cow::from(oid.to_string())),
            Object::Function(oid, ..) => ("function", "", Cow::from(oid.to_string())),
            Object::Table(name) => ("table", name.schema.as_str(), Cow::from(&name.name)),
            Object::Sequence(name) => ("sequence", name.schema.as_str(), Cow::from(&name.name)),
        };
        let ask = |kind, privilege, column| Asked {
            of,
            kind,
            schema,
            name: name.clone(),
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
            Object::Type(_, name) => format!("TYPE {name}"),
            Object::Function(_, name, arguments) => format!("FUNCTION {name}({arguments})"),
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

/// The types of which columns of these tables are, and the functions that run for their rows: in checks, defaults, indexes
/// and domains. What belongs to PostgreSQL itself is not among them.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn needed_for_rows(session: &Session, tables: &[&Table]) -> Result<Vec<Object>> {
    let rows = session.rows(&find_needed(tables)).await?.into_iter();
    let rows = rows.map(|row| {
        let name = Qualified {
            schema: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
        };
        let oid = row.parsed(0)?;
        Ok(match row.get(3) {
            None => Object::Type(oid, name),
            Some(arguments) => Object::Function(oid, name, arguments.to_owned()),
        })
    });
    rows.collect()
}

/// An array has the rights of its elements, and a domain is staged as what lies below it.
fn find_needed(tables: &[&Table]) -> Statement {
    let mut values = Values::default();
    let oids = tables.iter().flat_map(|table| &table.below);
    let oids = values.texts(oids.map(ToString::to_string));
    let sql = format!(
        "WITH RECURSIVE tables AS (SELECT u.oid::oid AS oid FROM pg_catalog.unnest({oids}) u(oid)), \
         types(oid, below) AS (SELECT a.atttypid, true FROM tables t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid \
             AND a.attnum > 0 AND NOT a.attisdropped \
           UNION SELECT v.oid, v.below FROM types x JOIN pg_catalog.pg_type y ON y.oid = x.oid CROSS JOIN LATERAL (\
             SELECT y.typbasetype, x.below WHERE y.typbasetype <> 0 \
             UNION ALL SELECT y.typelem, x.below WHERE y.typelem <> 0 AND y.typcategory = 'A' \
             UNION ALL SELECT a.atttypid, false FROM pg_catalog.pg_attribute a \
               WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped) v(oid, below)), \
         users(class, oid) AS (\
           SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_constraint c \
             WHERE c.contype = 'c' AND (c.conrelid IN (SELECT t.oid FROM tables t) OR c.contypid IN (SELECT x.oid FROM types x)) \
           UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid FROM pg_catalog.pg_attrdef d \
             WHERE d.adrelid IN (SELECT t.oid FROM tables t) \
           UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid FROM types x JOIN pg_catalog.pg_type y ON y.oid = x.oid \
             WHERE y.typdefaultbin IS NOT NULL \
           UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid FROM pg_catalog.pg_index i \
             WHERE i.indrelid IN (SELECT t.oid FROM tables t)), \
         functions AS (SELECT coalesce(o.oprcode::oid, d.refobjid) AS oid FROM users u JOIN pg_catalog.pg_depend d \
             ON d.classid = u.class AND d.objid = u.oid LEFT JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid \
             AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass \
           WHERE o.oid IS NOT NULL OR d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) \
         SELECT y.oid::text, n.nspname::text, y.typname::text, NULL::text FROM types x JOIN pg_catalog.pg_type y ON y.oid = x.oid \
           JOIN pg_catalog.pg_namespace n ON n.oid = y.typnamespace \
           WHERE x.below AND y.typbasetype = 0 AND y.typcategory <> 'A' AND n.nspname <> 'pg_catalog' \
         UNION SELECT p.oid::text, n.nspname::text, p.proname::text, pg_catalog.pg_get_function_identity_arguments(p.oid) FROM functions f \
           JOIN pg_catalog.pg_proc p ON p.oid = f.oid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
           WHERE n.nspname <> 'pg_catalog' \
         ORDER BY 2, 3, 4",
    );
    Statement::with("looking for the types and functions of tables", sql, values)
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
        texts(|a| a.name.clone().into_owned()),
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
           WHEN 'type' THEN NOT pg_catalog.has_type_privilege(u.name::oid, u.privilege) \
           WHEN 'function' THEN NOT pg_catalog.has_function_privilege(u.name::oid, u.privilege) \
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
