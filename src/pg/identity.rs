//! Which database a session is with.

use super::migrate;
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::session::SCHEMAS;
use crate::plan::TargetDatabase;
use crate::sql::Statement;

const DOING: &str = "asking which database this is";

impl Session {
    /// What identifies this database, for a plan.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where `loader migrate` was not run; [`Database`](crate::ErrorKind::Database).
    pub async fn target(&self, loader_schema: &str) -> Result<TargetDatabase> {
        let lineage = migrate::lineage(self, loader_schema).await?;
        let sql = "SELECT pg_catalog.current_database()::text, \
             (SELECT system_identifier FROM pg_catalog.pg_control_system())::text || '/' || \
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())::text, \
             pg_catalog.to_json(";
        let sql = format!("{sql}{SCHEMAS})");
        let row = self.row(&Statement::new(DOING, sql)).await?;
        Ok(TargetDatabase {
            database: row.text(0)?.to_owned(),
            identity: row.text(1)?.to_owned(),
            lineage,
            loader_schema: loader_schema.to_owned(),
            search_path: serde_json::from_str(row.text(2)?)
                .map_err(|e| Error::local(DOING).caused_by(e))?,
        })
    }
}
