//! A first `tables.yaml` for the tables that are there.

pub mod suggest;

use crate::error::{Error, ErrorKind, Remedy, Result};
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
    let mut names: Vec<(String, Qualified)> = listed
        .into_iter()
        .filter(|t| t.name.schema != request.loader_schema || !migrate::is_own(&t.name.name))
        .map(|table| {
            let is_bare = table.visible && table.name.name != config::DEFAULTS;
            let name = match is_bare {
                true => table.name.name.clone(),
                false => table.name.configured(),
            };
            (name, table.name)
        })
        .collect();
    for only in &request.only {
        if !names.iter().any(|(name, _)| name == only) {
            let near = did_you_mean(only, names.iter().map(|(name, _)| name.as_str()));
            return Err(Error::config(format!(
                "there is no table {only} in {}{near}",
                request.database.place()
            )));
        }
    }
    if !request.only.is_empty() {
        names.retain(|(name, _)| request.only.contains(name));
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
    let mut others = Vec::new();
    for (name, listed) in names {
        match named(&session, name, &listed).await {
            Ok(found) => tables.push(found),
            // What keeps one table from being loaded is no reason against the others.
            Err(e) if e.kind() == ErrorKind::Config => {
                others.push((listed.configured(), format!("{e:#}")));
            }
            Err(e) => return Err(e),
        }
    }
    let sql = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'TimeZone'";
    let asked = Statement::new("asking for the time zone", sql);
    let zone = session.column(&asked).await?.into_iter().next();
    let zone = zone.filter(|name| types::is_time_zone(name));
    Ok(suggest::file(
        &tables,
        &others,
        zone.as_deref(),
        &request.json_schema,
    ))
}

/// The table that is listed, with the name by which to configure it: `name`, or with quotes where that may mean another.
async fn named(session: &Session, name: String, listed: &Qualified) -> Result<(String, Table)> {
    match catalog::table(session, &name).await {
        Ok(table) if table.name == *listed => return Ok((name, table)),
        Err(e) if e.kind() != ErrorKind::Config => return Err(e),
        _ => {}
    }
    let quoted = listed.to_string();
    let table = catalog::table(session, &quoted).await?;
    Ok((quoted, table))
}
