//! Which table needs which.

use super::targets::{Needs, dependencies};
use crate::error::Result;
use crate::pg::{Database, Session, Timeouts, catalog};
use crate::table::config::Config;
use crate::table::graph::{self, Dependency, TableGraph};

/// The dependencies of the configured tables, as the database has them.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where a table does not exist; [`Database`](crate::ErrorKind::Database).
pub async fn graph(database: &Database, timeouts: Timeouts, config: &Config) -> Result<TableGraph> {
    let session = Session::open_to_read(database, timeouts).await?;
    let names: Vec<String> = config.tables.keys().cloned().collect();
    let tables = catalog::tables(&session, config, &names).await?;
    let needs: Vec<Needs<'_>> = names
        .iter()
        .zip(&tables)
        .map(|(name, table)| (name.as_str(), table, &config.tables[name]))
        .collect();
    let mut dependencies = dependencies(&needs);
    let ordered = graph::order(&names.iter().cloned().collect(), &dependencies);
    let mut outside = Vec::new();
    for (name, table) in names.iter().zip(&tables) {
        for key in &table.foreign_keys {
            if tables.iter().any(|t| t.name == key.parent) {
                continue;
            }
            let parent = if key.parent.schema == table.name.schema {
                key.parent.name.clone()
            } else {
                format!("{}.{}", key.parent.schema, key.parent.name)
            };
            outside.push(parent.clone());
            dependencies.push(Dependency {
                parent,
                child: name.clone(),
                because: key.name.clone(),
                deferrable: key.deferrable,
            });
        }
    }
    outside.sort_unstable();
    outside.dedup();
    dependencies.sort();
    let (tables, cycle) = match ordered {
        Ok(tables) => (tables, None),
        Err(e) => (names, Some(e.to_string())),
    };
    Ok(TableGraph {
        tables,
        dependencies,
        outside,
        cycle,
    })
}
