//! What reviewers decided to leave out, by its place in the batch.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::plan::{Fragment, Values, Why};
use crate::sql::copytext::push_copy_text;

/// Records and rows that are left out as reviewers decided about another plan of the same batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The hash of that plan, and before it of those that led to it by decisions.
    pub(crate) plan_hashes: Vec<String>,
    /// What is left out.
    pub(crate) left_out: Vec<LeftOutAt>,
}

/// One thing that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOutAt {
    /// Its table.
    pub(crate) table: String,
    /// Where it is.
    pub(crate) place: Place,
    /// Why, and who decided it.
    pub(crate) why: Why,
}

/// Where something is that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A record, by its object and its position there.
    Record(String, u64),
    /// A row with this key that a complete delivery does not bring: it stays.
    Row(Values),
}

/// Sets aside the records that reviewers decided to leave out, and takes the rows that stay.
pub(super) async fn leave_out_decided(
    session: &Session,
    decided: &Decided,
    fragments: &[Fragment],
    stages: &mut [Stage<'_>],
) -> Result<()> {
    if decided.left_out.is_empty() {
        return Ok(());
    }
    let objects = fragments.iter().enumerate();
    let objects: HashMap<&str, usize> = objects.map(|(n, f)| (f.key.as_str(), n)).collect();
    for stage in stages {
        let (mut places, mut records, mut rows) = (Vec::new(), 0, Vec::new());
        let own = decided.left_out.iter();
        for left in own.filter(|left| left.table == stage.target.name) {
            let why = serde_json::to_string(&left.why)
                .map_err(|e| Error::local("noting why a record is left out").caused_by(e))?;
            match &left.place {
                Place::Record(object, position) => {
                    let object = objects.get(object.as_str()).ok_or_else(changed)?;
                    places.extend_from_slice(format!("{object}\t{position}\t").as_bytes());
                    push_copy_text(&mut places, Some(&why));
                    places.push(b'\n');
                    records += 1;
                }
                Place::Row(key) => {
                    push_copy_text(&mut rows, Some(&why));
                    for column in stage.target.key_columns() {
                        let value = key.get(&column.name).and_then(|v| v.stored().ok());
                        rows.push(b'\t');
                        push_copy_text(&mut rows, value.flatten());
                    }
                    rows.push(b'\n');
                }
            }
        }
        if records > 0 && stage.leave_out_at(session, places.into()).await? != records {
            return Err(changed());
        }
        if !rows.is_empty() {
            stage.keep(session, rows.into()).await?;
        }
    }
    Ok(())
}

/// Sets aside the rows that stay, of those of the object number `object` that were just staged. One that is not among
/// them stays anyway: the record is left out, too, for whose sake it was to go.
pub(super) async fn keep_decided(
    session: &Session,
    decided: &Decided,
    stage: &Stage<'_>,
    object: usize,
) -> Result<()> {
    let mut own = decided.left_out.iter();
    let stays =
        |left: &LeftOutAt| left.table == stage.target.name && matches!(left.place, Place::Row(_));
    if own.any(stays) {
        stage.set_kept(session, object).await?;
    }
    Ok(())
}

fn changed() -> Error {
    Error::blocked(
        "a record that is to be left out is no longer there: the batch or the database changed while the plan was \
         being made; run plan again",
    )
}

/// What people should know of what is left out of one table.
pub(super) fn note_decided(decided: &Decided, table: &str) -> Option<String> {
    let own: Vec<&LeftOutAt> = decided
        .left_out
        .iter()
        .filter(|left| left.table == table)
        .collect();
    let mut by: Vec<&str> = own.iter().filter_map(|l| l.why.by.as_deref()).collect();
    by.sort_unstable();
    by.dedup();
    let by: Vec<String> = by.into_iter().map(crate::text::escape).collect();
    let are = match own.len() {
        0 => return None,
        1 => "1 row is".to_owned(),
        n => format!("{n} rows are"),
    };
    Some(format!(
        "{are} left out as decided about plan {} by {}",
        decided.plan_hashes.join(" and "),
        by.join("; ")
    ))
}
