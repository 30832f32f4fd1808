//! The entries of a rollback: what becomes of each row.

use super::tables::is_ours;
use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::pg::undo::{Undo, Undone};
use crate::plan::{Entry, Skip, Values, What};
use crate::table::schema::{Column, Identity};
use crate::table::target::Target;
use crate::text::escape;

/// The entry that takes a change back, `from` these applications; none where it did nothing.
///
/// # Errors
/// [`Blocked`](crate::ErrorKind::Blocked) where the database alone gives a number that the row would need.
pub(super) fn inverse(
    undo: &Undo<'_>,
    undone: Undone,
    from: &[String],
    session: &Session,
) -> Result<Option<Entry>> {
    let Undo {
        target, written, ..
    } = undo;
    let applied = &undone.applied;
    let row = applied.after.as_ref().or(applied.before.as_ref());
    let group = target.config.group_by.as_ref();
    let group = group.and_then(|c| row?.get(c)?.clone());
    let inverse = undone.applied.invert();
    let whole = inverse.before.is_none() || undone.renewed;
    let is_key = |c: &str| target.config.natural_key.iter().any(|k| k == c);
    // What the table's own triggers set, they will set again. What others may change unnoticed, is theirs.
    let writes = |c: &str| {
        let column = target.table.column(c);
        let ignored = target.config.ignore_drift.iter().any(|i| i == c);
        let free = !target.may_be_set() && !ignored;
        column.is_some_and(|column| !column.generated)
            && (whole || free || is_ours(target, written, c))
    };
    let soft = target.mark().is_some();
    let Some(what) = inverse.what(undone.digest, is_key, writes, soft) else {
        return Ok(None);
    };
    if let Some(column) = numbered_anew(target, &what) {
        return Err(Error::blocked(format!(
            "{}: the row {} was deleted and inserted again by these loads, and its {} is numbered by the database alone \
             (GENERATED ALWAYS), so that it cannot get its number of before",
            target.name,
            session.name_row(&target.name, &undone.record_id),
            escape(column),
        ))
        .with_remedy(Remedy::OneByOne));
    }
    Ok(Some(Entry {
        table: target.name.clone(),
        key: undone.key,
        what,
        extracted: None,
        group,
        from: from.to_vec(),
    }))
}

/// The entry of a row that is kept as it is.
pub(super) fn kept(undo: &Undo<'_>, key: Values, skip: Skip, from: &[String]) -> Entry {
    Entry {
        table: undo.target.name.clone(),
        key,
        what: What::Skip(skip),
        extracted: None,
        group: None,
        from: from.to_vec(),
    }
}

/// The column that an update would write and the database alone may, where there is one.
fn numbered_anew<'t>(target: &'t Target, what: &What) -> Option<&'t str> {
    let What::Update { set, .. } = what else {
        return None;
    };
    let mut columns = target.table.columns.iter();
    let is_numbered = |c: &&Column| c.identity == Identity::Always && set.contains_key(&c.name);
    columns.find(is_numbered).map(|c| c.name.as_str())
}
