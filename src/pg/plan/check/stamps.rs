//! What apply sets of its own, where that is known when planning.

use super::{assign, tried};
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::sql::Literal;
use crate::table::config::Stamp;
use crate::table::schema::Column;

/// That each column which is stamped with the batch id can hold it, where records may be written.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where one cannot; [`Database`](crate::ErrorKind::Database).
pub(super) async fn hold(session: &Session, stage: &Stage<'_>) -> Result<()> {
    let (table, target) = (&stage.target.table, stage.target);
    let stamps = target.config.stamps();
    let named = stamps.filter(|(_, stamp)| *stamp == Stamp::BatchId);
    let takes_all = |c: &&Column| c.type_sql == "text" || c.type_sql == "character varying";
    let columns = named.filter_map(|(name, _)| table.column(name));
    if stage.rows == 0 || !stage.brings && target.mark().is_none() {
        return Ok(());
    }
    for column in columns.filter(|c| !takes_all(c)) {
        let (name, ty) = (&column.name, &column.type_sql);
        let doing = format!("checking the stamps of table {}", target.name);
        let id = Literal(stage.batch_id).to_string();
        if tried(session, &assign(doing, &id, ty)).await?.is_none() {
            return Err(Error::config(format!(
                "table {}: column {name} ({ty}) cannot hold the batch id {:?}, which `stamps` puts there: give the batch \
                 another id, or change the column or its stamp",
                target.name, stage.batch_id
            )));
        }
    }
    Ok(())
}
