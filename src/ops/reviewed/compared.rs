//! The plan that decisions made beside the one that was reviewed.

use std::collections::{BTreeMap, HashSet};

use super::found::{Found, Which};
use crate::error::{Error, Result};
use crate::plan::masking::Mask;
use crate::plan::review::listed;
use crate::plan::{Entry, Skip, What, display_key};
use crate::planfile::diff::PlanDiff;
use crate::planfile::{Item, PlanFile};
use crate::text::escape;

/// At most so many rows are named.
const NAMED: usize = 20;

/// What follows from decisions beside what was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Followed {
    /// How many rows are left out as decided.
    pub left_out: u64,
    /// How many are left out with them.
    pub with_them: u64,
    /// The first of these, each with why.
    pub with_them_named: Vec<String>,
    /// How many records could not be loaded, and change a row now.
    pub freed: u64,
    /// The first of these.
    pub freed_named: Vec<String>,
}

/// Compares the two plans. Rows are told apart by their own keys, and named as the reviewer saw them.
pub(super) fn compare(reviewed: &PlanFile, made: &PlanFile, found: &Found) -> Result<Followed> {
    let diff = PlanDiff::new(reviewed, made)?;
    let mut mask = reviewed.mask();
    for table in &made.header.tables {
        mask.add(&table.table, &table.config);
    }
    let mut followed = Followed::default();
    let mut out: HashSet<Which> = found.left_out.iter().map(Which::from).collect();
    made.stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        if !matches!(entry.what, What::Skip(Skip::LeftOut(_))) {
            return Ok(());
        }
        let which = Which::of(&entry);
        if out.contains(&which) {
            followed.left_out += 1;
        } else if !found.before.contains(&which) {
            followed.with_them += 1;
            name(&mut followed.with_them_named, || {
                let (row, said) = told(&mask, entry);
                format!("{row}: {said}")
            });
            out.insert(which);
        }
        Ok(())
    })?;
    let mut others = facts(&diff);
    if !made.has_objects_of(reviewed) && others.is_empty() {
        others.push("the objects of the batch, or their entries in the validation queue".into());
    }
    let settles = |which: &Which| out.contains(which) || found.unsettled.contains(which);
    // What else differs: a record's entries may be matched with those of another one.
    let mut rows: BTreeMap<(String, Which), [Vec<String>; 2]> = BTreeMap::new();
    diff.unmasked(&mut |was, is| {
        if let Some(is) = &is
            && !matches!(is.what, What::Skip(_) | What::Violation(_))
            && found.unsettled.contains(&Which::of(is))
        {
            followed.freed += 1;
            name(&mut followed.freed_named, || {
                let (row, said) = told(&mask, is.clone());
                format!("{row}: {said}")
            });
        }
        for (when, entry) in [was, is].into_iter().enumerate() {
            if let Some(entry) = entry
                && let which = Which::of(&entry)
                && !settles(&which)
            {
                let (row, said) = told(&mask, entry);
                rows.entry((row, which)).or_default()[when].push(said);
            }
        }
        Ok(())
    })?;
    others.extend(rows.into_iter().map(|((row, _), [was, is])| {
        let words = |texts: Vec<String>| {
            if texts.is_empty() {
                "not in the plan".to_owned()
            } else {
                texts.join("; ")
            }
        };
        format!("{row}: {} (was: {})", words(is), words(was))
    }));
    if others.is_empty() {
        return Ok(followed);
    }
    Err(Error::blocked(format!(
        "leaving these rows out would change more than was decided:{}\ndecide about these rows as well, or leave rows \
         out with --leave-out and have the plan that comes of it reviewed",
        listed(&others)
    )))
}

/// What differs beside entries and what follows from them.
fn facts(diff: &PlanDiff<'_>) -> Vec<String> {
    let follows = |what: &str| {
        what == "violations that block"
            || what == "records left out"
            || what.starts_with("table ") && what.ends_with(", notes")
    };
    let facts = diff.header.iter().filter(|fact| !follows(&fact.what));
    let mut others: Vec<String> = facts
        .map(|fact| {
            let text = |text: &Option<String>| text.as_deref().map_or("nothing".into(), escape);
            format!(
                "{}: {} (was: {})",
                escape(&fact.what),
                text(&fact.new),
                text(&fact.old)
            )
        })
        .collect();
    for (objects, word) in [
        (&diff.objects_added, "new"),
        (&diff.objects_removed, "no longer there"),
        (&diff.objects_changed, "changed"),
    ] {
        let keys = objects.keys.iter();
        others.extend(keys.map(|key| format!("{}: {word}", escape(key))));
    }
    others
}

fn name(list: &mut Vec<String>, text: impl FnOnce() -> String) {
    if list.len() < NAMED {
        list.push(text());
    }
}

/// What an entry is about, and what becomes of that, as people see it.
fn told(mask: &Mask, mut entry: Entry) -> (String, String) {
    mask.entry(&mut entry);
    let row = format!(
        "{} {} ({})",
        escape(&entry.table),
        display_key(&entry.key),
        escape(&entry.from.join(", "))
    );
    (row, said(&entry.what))
}

/// What becomes of a row, in words.
fn said(what: &What) -> String {
    match what {
        What::Skip(Skip::LeftOut(why)) => match &why.reason {
            Some(reason) => escape(reason),
            None => "left out".to_owned(),
        },
        What::Skip(skip) => format!("skip ({})", skip.reason()),
        What::Violation(v) => format!("violation {}: {}", v.kind.word(), escape(&v.why())),
        change => change.action().word().to_owned(),
    }
}
