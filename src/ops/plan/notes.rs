//! What a reviewer should know about a table beyond its entries.

use crate::ops::read::Read;
use crate::ops::targets::unguarded;
use crate::pg::plan::stage::Missing;
use crate::plan::Fragment;
use crate::plan::incoming::Unreadable;
use crate::plan::words::Place;
use crate::table::complete::Complete;
use crate::table::config::OnOlder;
use crate::table::target::Target;

/// All that should be known about `target`, one of `targets`, whose records came from `fragments` and
/// gave the columns `used`.
pub(super) fn notes(
    target: &Target,
    used: &[bool],
    targets: &[Target],
    fragments: &[Fragment],
) -> Vec<String> {
    [
        warnings(target),
        numbers(target, used),
        kept_by_marks(target, targets),
        without_records(&target.name, fragments),
    ]
    .concat()
}

/// That a delivery is the whole truth of its table, or of which part, and what became of the rows that it
/// does not bring.
pub(super) fn complete(target: &Target, missing: Missing) -> Vec<String> {
    let of = match &target.config.complete {
        Complete::No => return Vec::new(),
        Complete::All => String::new(),
        Complete::OfEach(columns) => {
            format!(" for each {} that it brings", columns.join(", "))
        }
        Complete::Where(scope) => {
            let scope = scope.iter().map(|(column, value)| {
                match target.config.sensitive.contains(column) {
                    true => format!("{column} is what tables.yaml says"),
                    false => format!("{column} = {value}"),
                }
            });
            format!(", where {}", scope.collect::<Vec<_>>().join(" and "))
        }
    };
    let all = format!("the delivery is all there is of the table{of} (complete)");
    let deleted =
        format!("{all}: rows that it does not bring are deleted, and nulls empty their columns");
    let why_not = match missing {
        Missing::NotAsked | Missing::Staged(0) => return vec![deleted],
        Missing::Staged(unnamed) => {
            let rows = match unnamed {
                1 => "1 row stays".to_owned(),
                n => format!("{n} rows stay"),
            };
            let why = "null in the natural key, by which no record can name them: fill it, or delete them by hand";
            return vec![deleted, format!("{rows} that would be deleted, with {why}")];
        }
        Missing::NoRecord => "it brings no record, so that no row counts as missing".to_owned(),
        Missing::Again => "it brings rejected records again, and not those that were loaded before, so that no row counts as missing"
            .to_owned(),
        Missing::Unknown(1) => {
            "1 record has no key that can be read, so that no row is known to be missing".to_owned()
        }
        Missing::Unknown(n) => {
            format!(
                "{n} records have no key that can be read, so that no row is known to be missing"
            )
        }
    };
    vec![format!("{all}, but {why_not}: none is deleted for it")]
}

/// Sequences that are moved, because records give what they number.
fn numbers(target: &Target, used: &[bool]) -> Vec<String> {
    let columns = target.table.columns.iter().zip(used);
    let given = columns.filter_map(|(c, used)| Some((c, c.sequence.as_ref().filter(|_| *used)?)));
    given
        .map(|(column, sequence)| {
            format!(
                "{} is given, which the sequence {sequence} numbers: applying moves the sequence behind the greatest value \
                 that it inserts, and a rollback does not move it back",
                column.name
            )
        })
        .collect()
}

/// That new rows of other tables cannot be taken back, because rows that refer to them stay, marked.
fn kept_by_marks(target: &Target, targets: &[Target]) -> Vec<String> {
    if target.mark().is_none() {
        return Vec::new();
    }
    let parents = targets.iter();
    let parents = parents.filter(|parent| parent.mark().is_none() && target.refers_to(parent));
    parents
        .map(|parent| {
            format!(
                "a rollback only marks its rows, and cannot remove new rows of {} to which they refer; \
                 with soft_delete for both tables, or for neither, it could",
                parent.name
            )
        })
        .collect()
}

/// Those of `notes`, each of a table by number, that are about `target`.
pub(super) fn of_table(notes: &[(usize, String)], target: &Target) -> Vec<String> {
    let own = notes.iter().filter(|(place, _)| *place == target.place);
    own.map(|(_, note)| note.clone()).collect()
}

/// That what `tables.yaml` says of older records does not hold for this plan.
pub(super) fn replaced(own: OnOlder, in_effect: OnOlder) -> Vec<String> {
    if own == in_effect {
        return Vec::new();
    }
    vec![format!(
        "on_older: {} is replaced by {} for this plan",
        own.word(),
        in_effect.word()
    )]
}

/// That it is not known whether records are older than their rows' data, although their envelopes say
/// when they were extracted.
pub(super) fn undated(
    unreadable: Option<&Unreadable>,
    origin: &dyn Fn(Place) -> String,
) -> Vec<String> {
    let note = |unreadable: &Unreadable| {
        format!(
            "when {} extracted cannot be read, so that data which is older than what is there would not be noticed: \
             extracted_at of {} is {}",
            match unreadable.records {
                1 => "1 record was".to_owned(),
                n => format!("{n} records were"),
            },
            crate::text::escape(&origin(unreadable.first)),
            unreadable.why
        )
    };
    unreadable.map(note).into_iter().collect()
}

/// Fragments that hold nothing: perhaps a delivery that was cut off.
fn without_records(name: &str, fragments: &[Fragment]) -> Vec<String> {
    let empty = fragments
        .iter()
        .filter(|f| f.table == name && f.records == 0);
    let keys: Vec<&str> = empty.map(|f| f.key.as_str()).collect();
    match keys.as_slice() {
        [] => Vec::new(),
        [one] => vec![format!("there is no record in {one}")],
        [first, rest @ ..] => vec![format!(
            "there is no record in {first} and {} more fragments",
            rest.len()
        )],
    }
}

/// That fragments may have been read with other letters than they were written with.
pub(super) fn seem_utf8(target: &Target, read: &Read) -> Vec<String> {
    let fragments = read.seem_utf8.iter().filter_map(|n| read.fragments.get(*n));
    let mut keys = fragments.filter(|f| f.table == target.name).map(|f| &f.key);
    let Some((first, encoding)) = keys.next().zip(target.config.csv.encoding) else {
        return Vec::new();
    };
    let more = match keys.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    vec![format!(
        "{first} is read as {}, as `csv: {{encoding: …}}` says, and seems to be UTF-8{more}: look at letters that are not ASCII",
        encoding.0.name()
    )]
}

/// What its definition and its configuration mean for a review.
fn warnings(target: &Target) -> Vec<String> {
    let table = &target.table;
    let mut warnings = Vec::new();
    warnings.extend(unguarded(target));
    if !table.triggers.is_empty() {
        warnings.push(format!(
            "its triggers run when this is applied: {}",
            table.triggers.join(", ")
        ));
    }
    warnings
}
