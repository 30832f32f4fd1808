//! What the catalogs say about a table.

mod decode;
mod far;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::sql::ident::meant_by;
use crate::sql::{Ident, Qualified, Statement, Values};
use crate::table::config::{Config, TableConfig};
use crate::table::reference::Reference;
use crate::table::schema::{ForeignKey, Table};
use crate::text::hex;

const FIND: &str = include_str!("catalog/find.sql");
const LIST: &str = include_str!("catalog/list.sql");
const COLUMNS: &str = include_str!("catalog/columns.sql");
const UNIQUE: &str = concat!(
    include_str!("catalog/held.sql"),
    include_str!("catalog/unique.sql")
);
const EXCLUSIONS: &str = concat!(
    include_str!("catalog/held.sql"),
    include_str!("catalog/exclusions.sql")
);
const CHECKS: &str = concat!(
    include_str!("catalog/held.sql"),
    include_str!("catalog/checks.sql")
);
const FOREIGN_KEYS: &str = concat!(
    include_str!("catalog/held.sql"),
    include_str!("catalog/foreign_keys.sql")
);
const TRIGGERS: &str = include_str!("catalog/triggers.sql");
const DESCRIPTION: &str = include_str!("catalog/description.sql");
/// What is asked of each table.
const OF_A_TABLE: [&str; 8] = [
    kinds::TYPES,
    COLUMNS,
    UNIQUE,
    EXCLUSIONS,
    FOREIGN_KEYS,
    CHECKS,
    TRIGGERS,
    DESCRIPTION,
];
/// Where a table has many more rows than its statistics say, each of them would be compared with each of others. Only
/// its owner can renew the statistics; without nested loops each join reads it once.
const MISCOUNTED: &str = "SET enable_nestloop = off";
/// SQLSTATE of what is asked after something in the same transaction failed.
const ABORTED: &str = "25P02";

/// One table that a database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its schema and name.
    pub name: Qualified,
    /// Whether it is found without its schema.
    pub visible: bool,
}

/// The tables of `schema`, or else of the search path, by name; those of extensions left out.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn list(session: &Session, schema: Option<&str>) -> Result<Vec<Listed>> {
    let mut values = Values::default();
    values.text(schema.unwrap_or_default());
    let list = Statement::with("listing the tables", LIST, values);
    let listed = session.rows(&list).await?.into_iter().map(|row| {
        Ok(Listed {
            name: Qualified {
                schema: row.text(0)?.to_owned(),
                name: row.text(1)?.to_owned(),
            },
            visible: row.is(2),
        })
    });
    listed.collect()
}

/// The tables configured under `names`, as the catalogs describe them, in the order of `names`.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where a table does not exist or is no table; [`Database`](crate::ErrorKind::Database).
pub async fn tables(session: &Session, config: &Config, names: &[String]) -> Result<Vec<Table>> {
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        if !config.tables.contains_key(name) {
            return Err(config.unknown(name));
        }
        tables.push(table(session, name).await?);
    }
    Ok(tables)
}

/// The tables in which `references` are looked up, by the names that these have for them; one that is not
/// there is missing.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn parents(session: &Session, config: &TableConfig) -> Result<BTreeMap<String, Table>> {
    let references = config.references.values();
    let names: BTreeSet<&str> = references.flat_map(Reference::tables).collect();
    let mut found = BTreeMap::new();
    for name in names {
        match table(session, name).await {
            Ok(parent) => drop(found.insert(name.to_owned(), parent)),
            Err(e) if e.kind() == ErrorKind::Config => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// The table that `name` (with or without a schema) means in this session.
///
/// # Errors
/// As [`tables`].
pub async fn table(session: &Session, name: &str) -> Result<Table> {
    let found = described(session, name, meant_by(name)).await?;
    match found {
        Some(table) => Ok(table),
        None => Err(not_found(session, name).await?),
    }
}

/// Why there is no table of this name for the role, and what to do about it.
async fn not_found(session: &Session, name: &str) -> Result<Error> {
    let doing = format!("looking for table {name} in other schemas");
    let rows = session.rows(&elsewhere(&doing, name)).await?;
    let Some(row) = rows.first() else {
        return Ok(Error::config(format!(
            "table {name} does not exist in the database, or not in the search path; name its schema as schema.table"
        )));
    };
    let (schema, role) = (row.text(0)?, row.text(2)?);
    let found = Qualified {
        schema: schema.to_owned(),
        name: row.text(3)?.to_owned(),
    };
    Ok(Error::config(match row.text(1)? {
        "true" => format!(
            "table {name} is not in the search path, but in schema {schema}; name it {}",
            found.configured()
        ),
        _ => format!(
            "table {name} is in schema {schema}, which the role may not use; its owner can: GRANT USAGE ON SCHEMA {} TO {}",
            Ident(schema),
            Ident(role)
        ),
    }))
}

/// The schemas in which a table of this name is not found, whether the role may use them, the role, and the table's
/// own name, before which its schema may stand in `name`.
fn elsewhere(doing: &str, name: &str) -> Statement {
    let mut values = Values::default();
    let name = values.text(name);
    let sql = format!(
        "SELECT n.nspname::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE')::text, current_user::text, c.relname::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
           AND {name} IN (c.relname, n.nspname || '.' || c.relname) ORDER BY 1, 4"
    );
    Statement::with(doing, sql, values)
}

/// Whether row security applies to what the role reads of a table.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn hides_rows(session: &Session, table: &Qualified) -> Result<bool> {
    let mut values = Values::default();
    // Whoever may not use its schema sees nothing of it anyway.
    let sql = format!(
        "SELECT CASE WHEN pg_catalog.has_schema_privilege({}, 'USAGE') THEN pg_catalog.row_security_active({}) ELSE false END",
        values.text(&table.schema),
        values.text(table.to_string())
    );
    let asked = Statement::with("asking whether row security hides rows", sql, values);
    session.holds(&asked).await
}

/// Whether the rows that refer by this key are found by an index: one of all rows, whose first column is one of the
/// key's.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn is_indexed(session: &Session, key: &ForeignKey) -> Result<bool> {
    let mut values = Values::default();
    let (schema, name) = (values.text(&key.child.schema), values.text(&key.child.name));
    let columns = values.texts(&key.columns);
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = (i.indkey::int2[])[0] \
         WHERE n.nspname = {schema} AND c.relname = {name} AND i.indisvalid AND i.indpred IS NULL \
           AND a.attname::text = ANY ({columns}))"
    );
    let doing = format!("looking for an index of {} by {}", key.child, key.name);
    session.holds(&Statement::with(doing, sql, values)).await
}

/// The table of this schema and name, whatever the search path is.
///
/// # Errors
/// As [`tables`].
pub async fn relation(session: &Session, name: &Qualified) -> Result<Table> {
    let spelled = name.to_string();
    let meant = vec![(Some(name.schema.clone()), name.name.clone())];
    let found = described(session, &spelled, meant).await?;
    found.ok_or_else(|| Error::config(format!(
            "the table {spelled} is no longer there: it was dropped, or has another name or schema now"
        )))
}

/// The table that `name` means, which may be one of these, by schema and name, if one is there.
async fn described(
    session: &Session,
    name: &str,
    meant: Vec<(Option<String>, String)>,
) -> Result<Option<Table>> {
    let doing = format!("reading the definition of table {name}");
    let mut values = Values::default();
    let (schemas, names): (Vec<_>, Vec<_>) = meant.into_iter().unzip();
    values.texts(schemas.into_iter().map(Option::unwrap_or_default));
    values.texts(names);
    let find = Statement::with(&doing, FIND, values);
    let found = session.query(&find).await?;
    let qualified = |found: &Row| Qualified {
        schema: found.get(1),
        name: found.get(2),
    };
    let Some(first) = found.first() else {
        return Ok(None);
    };
    if let Some(other) = found
        .iter()
        .find(|other| qualified(other) != qualified(first))
    {
        return Err(Error::config(format!(
            "{name} may mean two tables, {first} and {other}: name the one that is meant as it stands here, with its quotes \
             (in tables.yaml, and in single quotes: '{other}')",
            first = qualified(first),
            other = qualified(other),
        )));
    }
    let found = first;
    let oid: u32 = found.get(0);
    let qualified = qualified(found);
    let kind: String = found.get(3);
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(Error::config(format!(
            "{qualified} is not a table (relkind {kind}); views and foreign tables cannot be loaded"
        )));
    }
    if let Some(foreign) = found.get::<_, Option<String>>(4) {
        return Err(Error::config(format!(
            "{qualified} has the foreign table {foreign} below it, whose rows can be neither locked nor counted: it \
             cannot be loaded; load its other partitions by their own names"
        )));
    }
    if found.get(9) {
        session.run(&Statement::new(&doing, MISCOUNTED)).await?;
    }
    let mut answers = session
        .ask_of(&doing, &OF_A_TABLE, &oid.to_string())
        .await?;
    // What failed says why; those after it only that something did.
    let says_why =
        |answer: &Result<_>| matches!(answer, Err(error) if error.code() != Some(ABORTED));
    if let Some(cause) = answers.iter().position(says_why) {
        answers.swap(0, cause);
    }
    let answers: Vec<Vec<Row>> = answers.into_iter().collect::<Result<_>>()?;
    let [
        types,
        columns,
        unique,
        exclusions,
        keys,
        checks,
        triggers,
        description,
    ] = answers.as_slice()
    else {
        return Err(Error::local(format!(
            "{doing}: not as many answers as questions"
        )));
    };
    let far = far::Far::find(session).await?;
    let table_kind = far.kind(oid, &kind);
    let of_types = kinds::described(types);
    let types = kinds::Types::new(types);
    let columns: Vec<_> = columns
        .iter()
        .map(|row| decode::column(row, &types))
        .collect();
    let (mut foreign_keys, mut referrers) = (Vec::new(), Vec::new());
    for row in keys {
        let key = decode::foreign_key(row, &far);
        if row.get(17) {
            referrers.push(key.clone());
        }
        if row.get(9) {
            foreign_keys.push(key);
        }
    }
    let description: Vec<String> = description
        .first()
        .and_then(|row| row.get(0))
        .ok_or_else(|| Error::database(format!("{doing}: it was dropped meanwhile")).transient())?;
    let mut hasher = Sha256::new();
    for line in description.iter().chain(&of_types) {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    far::describe(&table_kind, &mut hasher);
    let index = |row: &Row| {
        let mut index = decode::unique_index(row);
        for (equality, number) in index.equality.iter_mut().zip(&index.columns) {
            if let Some(column) = columns.iter().find(|c| c.number == *number) {
                equality.as_type.clone_from(&column.equality.as_type);
            }
        }
        index
    };
    let mut unique: Vec<_> = unique.iter().map(index).collect();
    if table_kind.is_far() {
        // As with foreign keys.
        unique.iter_mut().for_each(|index| index.immediate = true);
    }
    Ok(Some(Table {
        oid,
        above: found.get(5),
        below: found.get(8),
        kin: found
            .get::<_, Vec<String>>(6)
            .into_iter()
            .zip(found.get::<_, Vec<String>>(7))
            .map(|(schema, name)| Qualified { schema, name })
            .collect(),
        rows: table_kind.rows(&qualified, oid),
        kind: table_kind,
        name: qualified,
        unique,
        exclusions: exclusions.iter().map(index).collect(),
        columns,
        foreign_keys,
        referrers,
        checks: checks.iter().map(decode::check).collect(),
        triggers: triggers.iter().map(|r| r.get(0)).collect(),
        rules: description.iter().any(|line| line.starts_with("rule ")),
        column_triggers: triggers.iter().any(|r| r.get(1)),
        fingerprint: format!("sha256:{}", hex(&hasher.finalize())),
    }))
}
