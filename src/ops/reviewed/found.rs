//! What decisions are about, found in the plan that was reviewed.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::ops::plan::{LeftOutAt, NOT_DELIVERED, Place};
use crate::plan::review::name::{Names, key_of};
use crate::plan::review::{Subject, listed};
use crate::plan::{Decisions, Entry, Row, Skip, Values, ViolationKind, What, Why, display_key};
use crate::planfile::{Item, PlanFile};

/// What is known of the plan that was reviewed.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is left out: as decided, and copies of that.
    pub(super) left_out: Vec<LeftOutAt>,
    /// Records of which the plan said so already.
    pub(super) before: HashSet<Which>,
    /// Records with violations that may vanish with other records.
    pub(super) unsettled: HashSet<Which>,
}

/// Which record or row of a batch an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Which {
    /// The record that comes from there.
    Record(String, Vec<String>),
    /// The row with this key that a complete delivery does not bring.
    Row(String, Values),
}

impl Which {
    pub(super) fn of(entry: &Entry) -> Which {
        let table = entry.table.clone();
        match entry.from.as_slice() {
            [from] if from == NOT_DELIVERED => Which::Row(table, entry.key.clone()),
            from => Which::Record(table, from.to_vec()),
        }
    }
}

impl From<&LeftOutAt> for Which {
    fn from(left: &LeftOutAt) -> Which {
        let table = left.table.clone();
        match &left.place {
            Place::Record(object, position) => {
                Which::Record(table, vec![format!("{object}#{position}")])
            }
            Place::Row(key) => Which::Row(table, key.clone()),
        }
    }
}

/// Something that is decided about.
struct Sought<'d> {
    subject: &'d Subject,
    why: Option<Why>,
    /// What it is.
    found: Option<Which>,
    /// Whether it could be something else, too.
    is_ambiguous: bool,
    /// The key of an entry from the same place.
    other_key: Option<String>,
}

/// What is decided about one place of a table, by key: rows that are not delivered all have the same place.
type Decided<'d> = HashMap<&'d Row, usize>;

/// A place of a table, by which decisions are found.
type At<'d> = (&'d str, &'d [String]);

impl Found {
    /// Finds all that `decisions` are about in the plan.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with all that is not in it, that could be one thing or another of it, or
    /// that cannot be left out.
    pub(super) fn of(plan: &PlanFile, decisions: &Decisions) -> Result<Found> {
        let names = Names::new(&plan.mask());
        let mut sought: Vec<Sought<'_>> = decisions.subjects().map(Sought::new).collect();
        let mut by_place: HashMap<At<'_>, Decided<'_>> = HashMap::new();
        for (i, (subject, _)) in decisions.subjects().enumerate() {
            let place = (subject.table.as_str(), subject.from.as_slice());
            by_place.entry(place).or_default().insert(&subject.key, i);
        }
        let mut found = Found::default();
        let mut out_by_key: HashMap<(String, Row), Why> = HashMap::new();
        let mut wrong = Vec::new();
        plan.stream(&mut |item| {
            let Item::Entry(entry) = item else {
                return Ok(());
            };
            found.note(&entry);
            let Some(decided) = by_place.get(&(entry.table.as_str(), entry.from.as_slice())) else {
                return Ok(());
            };
            let keys = names.keys(&entry).into_iter();
            let about: Vec<usize> = keys.filter_map(|key| decided.get(&key).copied()).collect();
            // Where nothing comes from, other rows say nothing of one that is missed.
            if about.len() < decided.len() && entry.from != [NOT_DELIVERED] {
                for i in decided.values() {
                    sought[*i].other_key = Some(display_key(&names.seen(&entry)));
                }
            }
            let which = Which::of(&entry);
            let (mut leaves_out, mut verdicts) = (None, Vec::new());
            for i in about {
                let sought = &mut sought[i];
                verdicts.push(sought.why.is_some());
                match &sought.found {
                    Some(known) => sought.is_ambiguous |= *known != which,
                    None => {
                        sought.found = Some(which.clone());
                        if sought.why.is_some() {
                            leaves_out.clone_from(&sought.why);
                        }
                    }
                }
            }
            // The key was spelled in two ways.
            if verdicts.contains(&true) && verdicts.contains(&false) {
                wrong.push(format!(
                    "{} {}: it is decided differently",
                    entry.table,
                    display_key(&names.seen(&entry))
                ));
            }
            if let Some(why) = leaves_out {
                out_by_key.insert((entry.table.clone(), key_of(&entry.key)), why.clone());
                wrong.extend(found.leave_out(entry, why).err());
            }
            Ok(())
        })?;
        let ambiguous = sought.iter().filter(|s| s.is_ambiguous);
        let ambiguous: Vec<String> = ambiguous.map(|s| s.subject.to_string()).collect();
        if !ambiguous.is_empty() {
            return Err(Error::config(format!(
                "{}: decisions that could be about more than one row of the plan:{}\nof sensitive keys people see few digits, \
                 which different keys may share; make the page, the workbook or the comma-separated values anew with \
                 `loader show`, where each row has a name of its own, and decide there",
                decisions.files(),
                listed(&ambiguous)
            )));
        }
        wrong.extend(
            sought
                .iter()
                .filter(|s| s.found.is_none())
                .map(Sought::missed),
        );
        if !out_by_key.is_empty() {
            plan.stream(&mut |item| {
                let Item::Entry(entry) = item else {
                    return Ok(());
                };
                let Some(copy) = copy_of(&entry) else {
                    return Ok(());
                };
                let is_decided =
                    by_place.contains_key(&(entry.table.as_str(), entry.from.as_slice()));
                let of = (entry.table.clone(), key_of(&entry.key));
                if let Some(why) = out_by_key.get(&of).filter(|_| !is_decided) {
                    let why = Why {
                        reason: Some(copy.to_owned()),
                        by: why.by.clone(),
                    };
                    wrong.extend(found.leave_out(entry, why).err());
                }
                Ok(())
            })?;
        }
        if wrong.is_empty() {
            return Ok(found);
        }
        Err(Error::config(format!(
            "{}: decisions about what is not in the plan:{}",
            decisions.files(),
            listed(&wrong)
        )))
    }

    /// Leaves out what an entry is about, or says why that cannot be.
    fn leave_out(&mut self, entry: Entry, why: Why) -> Result<(), String> {
        let Some(place) = place(&entry) else {
            return Err(format!(
                "{} {}: it is about an object of the batch and no record of it, and cannot be left out",
                entry.table,
                entry.from.join(", ")
            ));
        };
        self.left_out.push(LeftOutAt {
            table: entry.table,
            place,
            why,
        });
        Ok(())
    }

    fn note(&mut self, entry: &Entry) {
        match &entry.what {
            What::Skip(Skip::LeftOut(_)) => {
                self.before.insert(Which::of(entry));
            }
            What::Violation(v) if depends_on_others(v.kind) => {
                self.unsettled.insert(Which::of(entry));
            }
            _ => {}
        }
    }
}

impl<'d> Sought<'d> {
    fn new((subject, why): (&'d Subject, Option<Why>)) -> Sought<'d> {
        Sought {
            subject,
            why,
            found: None,
            is_ambiguous: false,
            other_key: None,
        }
    }

    fn missed(&self) -> String {
        match &self.other_key {
            Some(key) => format!(
                "{}: what comes from there has another key in the plan: {key}",
                self.subject
            ),
            None if self.subject.from.is_empty() => format!(
                "{}: `from` is missing, which says where the plan has it from",
                self.subject
            ),
            None => format!("{}: no such row", self.subject),
        }
    }
}

/// Where what an entry is about is; `None` of a violation that is about a whole object.
fn place(entry: &Entry) -> Option<Place> {
    match entry.from.as_slice() {
        [from] if from == NOT_DELIVERED => Some(Place::Row(entry.key.clone())),
        [from] => {
            let (object, position) = from.rsplit_once('#')?;
            Some(Place::Record(object.to_owned(), position.parse().ok()?))
        }
        _ => None,
    }
}

/// Why a record is left out with the one of its key that would be loaded, where there is one.
fn copy_of(entry: &Entry) -> Option<&'static str> {
    match entry.what {
        What::Skip(Skip::Duplicate) => Some("a copy of a record that is left out"),
        What::Skip(Skip::Superseded) => Some("the record that is loaded in its place is left out"),
        _ => None,
    }
}

/// Whether violations of this kind may vanish when another record is left out.
fn depends_on_others(kind: ViolationKind) -> bool {
    matches!(
        kind,
        ViolationKind::DuplicateKey
            | ViolationKind::UniqueConflict
            | ViolationKind::MissingParent
            | ViolationKind::AmbiguousKey
            | ViolationKind::StillReferred
    )
}
