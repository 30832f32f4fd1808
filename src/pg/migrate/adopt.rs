//! Whether tables that were there before will do: their columns by the catalogs, and all else by
//! writing what loads and rollbacks write, reading it again, and taking it back.

pub(super) mod columns;
pub(super) mod trials;

use columns::{COLUMNS, columns, is_added};
use trials::try_all;

use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::pg::own::Own;
use crate::sql::{Statement, Values};

const DOING: &str = "checking the loader's tables";

/// What has the names of the loader's tables.
pub(super) struct Seen {
    /// These names.
    pub(super) found: Vec<String>,
    /// What of it the migrations cannot make a table of the loader.
    wrong: Vec<String>,
}

impl Seen {
    /// The error that says so, where something is wrong.
    pub(super) fn refused(&self, schema: &str) -> Option<Error> {
        all_is_well(schema, &self.wrong).err()
    }
}

/// What is in `schema` under the names of the loader's tables, by the catalogs alone.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub(super) async fn look(session: &Session, schema: &str) -> Result<Seen> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for row in session.rows(&relations(schema)).await? {
        let (name, kind) = (row.text(0)?, row.text(1)?);
        found.push(name.to_owned());
        if kind != "table" {
            wrong.push(format!("{name} is a {kind}, and must be a table"));
        } else if let Some((table, wanted)) = COLUMNS.iter().find(|(table, _)| table.name() == name)
        {
            let is_old = |column: &str| !is_added(*table, column);
            wrong.extend(columns(session, schema, *table, wanted, is_old).await?);
        }
    }
    Ok(Seen { found, wrong })
}

pub(super) fn relations(schema: &str) -> Statement {
    let mut values = Values::default();
    let names = COLUMNS
        .iter()
        .map(|(table, _)| table.name())
        .chain([super::MIGRATIONS]);
    let sql = format!(
        "SELECT c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' \
           WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' \
           WHEN 'c' THEN 'type' ELSE 'index' END \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = ANY ({}) ORDER BY 1",
        values.text(schema),
        values.texts(names)
    );
    Statement::with(DOING, sql, values)
}

/// That loads and rollbacks can work with the loader's tables in `schema`. What is tried is taken back.
///
/// # Errors
/// A configuration error with all that stands against it; what the server said.
pub(super) async fn check(session: &Session, schema: &str) -> Result<()> {
    try_migrations(
        session,
        schema,
        &[],
        &Seen {
            found: Vec::new(),
            wrong: Vec::new(),
        },
    )
    .await
}

/// That they can once `migrations` have run on what was `seen`. These too are taken back.
///
/// # Errors
/// As [`check`].
pub(super) async fn try_migrations(
    session: &Session,
    schema: &str,
    migrations: &[Statement],
    seen: &Seen,
) -> Result<()> {
    session.run(&Statement::new(DOING, "BEGIN")).await?;
    let wrong = faults(session, schema, migrations, seen).await;
    session.run(&Statement::new(DOING, "ROLLBACK")).await?;
    all_is_well(schema, &wrong?)
}

/// What stands against the tables once `migrations` have run, in a transaction.
async fn faults(
    session: &Session,
    schema: &str,
    migrations: &[Statement],
    seen: &Seen,
) -> Result<Vec<String>> {
    for migration in migrations {
        match session.run(migration).await {
            Ok(()) => {}
            // The first that fails says less than what was seen.
            Err(e) if is_refusal(&e) && !seen.wrong.is_empty() => return Ok(seen.wrong.clone()),
            Err(e) if is_refusal(&e) => return Ok(vec![format!("{:#}", super::of_owner(e))]),
            Err(e) => return Err(e),
        }
    }
    let mut wrong = Vec::new();
    for (table, wanted) in COLUMNS {
        wrong.extend(columns(session, schema, table, wanted, |_| true).await?);
    }
    // What is of another type would only be told a second time.
    if wrong.is_empty() {
        // Where something was loaded, it works; and what others put on the tables since need not run.
        if !session.holds(&was_used(schema)).await? {
            wrong = try_all(session, schema).await?;
        }
    } else if let Ok(more) = try_all(session, schema).await {
        wrong.extend(more);
    }
    Ok(wrong)
}

/// # Errors
/// A configuration error with what is `wrong`.
fn all_is_well(schema: &str, wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "tables in the schema {schema} cannot be adopted, because loads or rollbacks would fail:\n  {}",
        wrong.join("\n  ")
    ))
    .with_remedy(Remedy::OtherLoaderSchema))
}

/// Whether the server says no, and would say it again.
fn is_refusal(e: &Error) -> bool {
    e.code().is_some() && !e.is_transient()
}

/// Whether something was loaded with these tables.
pub(super) fn was_used(schema: &str) -> Statement {
    let sql = format!("SELECT EXISTS (SELECT FROM {})", Own::Ledger.within(schema));
    Statement::new(DOING, sql)
}
