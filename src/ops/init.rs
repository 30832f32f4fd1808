//! A first `tables.yaml` for the tables that are there.

pub mod suggest;

use crate::error::{Error, Remedy, Result};
use crate::pg::{Database, Session, Timeouts, catalog, migrate};
use crate::sql::Qualified;
use crate::sql::Statement;
use crate::sql::ident::did_you_mean;
use crate::table::config;
use crate::table::schema::Table;
use crate::types;

/// For which tables.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InitRequest {
    /// The database.
    pub database: Database,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The schema of the loader's tables, which are left out.
    pub loader_schema: String,
    /// Only tables in this schema; in those of the search path without it.
    pub schema: Option<String>,
    /// Only these tables; all if empty.
    pub only: Vec<String>,
    /// What the file's first line names as its JSON Schema.
    pub json_schema: String,
}

impl InitRequest {
    /// All tables of the search path.
    pub fn new(database: Database) -> InitRequest {
        InitRequest {
            database,
            timeouts: Timeouts::default(),
            loader_schema: "public".into(),
            schema: None,
            only: Vec::new(),
            json_schema: "tables.schema.json".into(),
        }
    }
}

/// The text of a `tables.yaml` for the tables of a database: natural keys from unique keys, the
/// rest from the names of columns, and comments that say why.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where no table is found; [`Database`](crate::ErrorKind::Database).
pub async fn init(request: &InitRequest) -> Result<String> {
    let session = Session::open_to_read(&request.database, request.timeouts).await?;
    let listed = catalog::list(&session, request.schema.as_deref()).await?;
    let mut names: Vec<String> = listed
        .into_iter()
        .filter(|t| t.name.schema != request.loader_schema || !migrate::is_own(&t.name.name))
        .map(|table| {
            let Qualified { schema, name } = table.name;
            if table.visible && name != config::DEFAULTS {
                name
            } else {
                format!("{schema}.{name}")
            }
        })
        .collect();
    for only in &request.only {
        if !names.contains(only) {
            let near = did_you_mean(only, names.iter().map(String::as_str));
            return Err(Error::config(format!(
                "there is no table {only} in {}{near}",
                request.database.place()
            )));
        }
    }
    if !request.only.is_empty() {
        names.retain(|n| request.only.contains(n));
    }
    if names.is_empty() {
        let schema = match &request.schema {
            Some(schema) => format!("the schema {schema}"),
            None => "the schemas of the search path".to_owned(),
        };
        return Err(Error::config(format!(
            "{}: there are no tables in {schema}",
            request.database.place()
        ))
        .with_remedy(Remedy::OtherSchema));
    }
    let mut tables: Vec<(String, Table)> = Vec::with_capacity(names.len());
    for name in names {
        let table = catalog::table(&session, &name).await?;
        tables.push((name, table));
    }
    let sql = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'TimeZone'";
    let asked = Statement::new("asking for the time zone", sql);
    let zone = session.column(&asked).await?.into_iter().next();
    let zone = zone.filter(|name| types::is_time_zone(name));
    Ok(suggest::file(
        &tables,
        zone.as_deref(),
        &request.json_schema,
    ))
}
