//! What apply sets of its own, where that is known before rows are written.

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::sql::{Literal, Statement};
use crate::table::config::Stamp;
use crate::table::schema::Column;
use crate::table::target::Target;

/// That each column of `target` that `stamps` put this value into can hold it.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where one cannot; [`Database`](crate::ErrorKind::Database).
pub async fn hold<'s>(
    session: &Session,
    target: &Target,
    stamps: impl Iterator<Item = (&'s str, Stamp)>,
    (stamp, value): (Stamp, &str),
) -> Result<()> {
    let table = &target.table;
    let (what, remedy) = match stamp {
        Stamp::BatchId => ("the batch id", "give the batch another id"),
        Stamp::Actor => ("who applies,", "give another name (--actor, LOADER_ACTOR)"),
        Stamp::Now => ("a moment, as", "keep it in a column for moments"),
        Stamp::Trigger => return Ok(()),
    };
    let doing = format!("checking the stamps of table {}", target.name);
    let stamped = stamps.filter(|(_, s)| *s == stamp);
    let columns = stamped.filter_map(|(name, _)| table.column(name));
    // Columns for times take every moment.
    let columns = columns.filter(|c| stamp != Stamp::Now || c.category == 'S');
    for column in columns.filter(|c| !takes_all(c)) {
        let (name, ty) = (&column.name, &column.type_sql);
        let assigned = assign(doing.clone(), &Literal(value).to_string(), ty);
        match session.run(&assigned).await {
            Err(e) if e.code().is_some() && !e.is_transient() => {
                return Err(Error::config(format!(
                    "table {}: column {name} ({ty}) cannot hold {what} {value:?}, which `stamps` puts there: {remedy}, or \
                     change the column or its stamp",
                    target.name
                )));
            }
            other => other?,
        }
    }
    Ok(())
}

/// What to do about a foreign key's refusal where its column is stamped with who applies, for behind the error.
pub fn refers_to_nobody(target: &Target, refusal: &Error) -> Option<String> {
    let refusal = refusal.to_string();
    let mut keys = target.table.foreign_keys.iter();
    let key = keys.find(|key| refusal.contains(&format!("\"{}\"", key.name)))?;
    let mut stamps = target.config.stamps();
    let (column, _) =
        stamps.find(|(name, s)| *s == Stamp::Actor && key.columns.iter().any(|c| c == name))?;
    Some(format!(
        ": who applies, which `stamps` puts into {column} of table {}, is no row of {}; nothing was written; add that row, or \
         give another name (--actor, LOADER_ACTOR)",
        target.name,
        target.other(&key.parent)
    ))
}

/// The longest of the moments that are stamped.
pub const MOMENT: &str = "2024-12-31 23:59:59.123456+00";

/// Whether every text can be stored in the column.
fn takes_all(column: &Column) -> bool {
    column.type_sql == "text" || column.type_sql == "character varying"
}

/// A statement that fails where a value of this type cannot be assigned to a column: a cast would cut what is too long.
pub(in crate::pg) fn assign(doing: String, value: &str, ty: &str) -> Statement {
    let block = format!("DECLARE v {ty} := ({value}); BEGIN END");
    Statement::new(doing, format!("DO LANGUAGE plpgsql {}", Literal(&block)))
}
