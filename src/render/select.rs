//! What of a plan is shown: filtered, identical entries grouped, never more in memory than that.

mod each;
mod filter;
mod likeness;
mod sources;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::action::Action;
use crate::error::Result;
use crate::plan::masking::Mask;
use crate::plan::{Entry, Value, Values, What};
use crate::planfile::{Item, PlanFile};
use crate::render::groups::Groups;
use crate::render::profile::Profile;
use crate::render::unusual::{Mark, Rule, Unusual};

pub use each::Each;
pub use filter::Filter;
pub use likeness::Likeness;
pub use sources::Sources;

/// Entries that say the same of different rows, or records that break one rule in one way.
#[derive(Debug, Clone)]
pub struct Group {
    /// The first in plan order.
    pub entry: Entry,
    /// The next few.
    pub more: Vec<Entry>,
    /// How many there are.
    pub count: u64,
    /// Of violations, hashes of the objects that they are in.
    objects: HashSet<u64>,
    /// Whether there may be more of them among those that are not shown.
    pub at_least: bool,
    /// Its first entry's place in the plan, to sort by.
    place: u64,
}

impl Group {
    /// How many objects its records are in, where they are violations.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Takes a further one, and names it beside the first where at most `most` are. Of violations those
    /// of different objects are named rather than several of one.
    fn add(&mut self, entry: Entry, most: usize) {
        self.count += 1;
        let violation = matches!(entry.what, What::Violation(_));
        let new = violation && self.objects.insert(object_hash(&entry));
        if self.more.len() < most {
            self.more.push(entry);
        } else if new && most <= MORE {
            let same = |i: &usize| {
                let mut others = self.shown().enumerate().filter(|(at, _)| *at != i + 1);
                others.any(|(_, other)| object_hash(other) == object_hash(&self.more[*i]))
            };
            if let Some(i) = (0..self.more.len()).find(same) {
                self.more[i] = entry;
            }
        }
    }

    /// Those of it that are named.
    pub fn shown(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.entry).chain(&self.more)
    }
}

/// The entries of one table and action.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Groups of several, the largest first, then single entries in plan order.
    pub groups: Vec<Group>,
    /// Entries that are in no group here.
    pub more: u64,
}

/// A change that stands out.
#[derive(Debug, Clone)]
pub struct Outlier {
    /// The change, masked.
    pub entry: Entry,
    /// Why it stands out; what is worst first.
    pub marks: Vec<Mark>,
}

/// What was selected, by table and in [`Action::BY_URGENCY`].
#[derive(Debug, Default)]
pub struct Selection {
    tables: Vec<(String, [Section; 5])>,
    /// What all changes of the plan come to.
    pub profile: Profile,
    /// What it has of each group.
    pub groups: Groups,
    /// The changes that stand out most, by rule and then in plan order.
    pub unusual: Vec<Outlier>,
    /// How many stand out.
    pub unusual_count: u64,
    /// The objects that the plan was made from.
    pub sources: Sources,
}

impl Selection {
    /// What `filter` selects of a verified plan, which is read twice: what stands out is known only when
    /// all has been seen.
    ///
    /// # Errors
    /// As [`PlanFile::stream`].
    pub fn of(plan: &PlanFile, filter: &Filter) -> Result<Selection> {
        let profile = Profile::of(plan)?;
        let rules = filter.rules();
        let mask = plan.mask();
        let mut collector = Collector::new(filter, &mask, Unusual::new(&profile, &rules));
        let mut sources = Sources::default();
        plan.stream(&mut |item| {
            match item {
                Item::Fragment(fragment) => sources.take(&fragment.key),
                Item::Entry(entry) => collector.take(entry),
            }
            Ok(())
        })?;
        let mut selection = collector.finish();
        selection.profile = profile;
        selection.groups = Groups::of(plan, filter.by)?;
        selection.sources = sources;
        Ok(selection)
    }

    /// Whether nothing was selected.
    pub fn is_empty(&self) -> bool {
        let sections = self.tables.iter().flat_map(|(_, sections)| sections);
        sections.fold(true, |empty, s| empty && s.groups.is_empty() && s.more == 0)
    }

    /// The sections of one table, in [`Action::BY_URGENCY`].
    pub fn table(&self, name: &str) -> impl Iterator<Item = &Section> {
        let found = self.tables.iter().find(|(table, _)| table == name);
        found.into_iter().flat_map(|(_, sections)| sections)
    }
}

/// A hash of the object that an entry comes from.
fn object_hash(entry: &Entry) -> u64 {
    let mut h = DefaultHasher::new();
    let from = entry.from.first().map_or("", String::as_str);
    let object = from.rsplit_once('#').map_or(from, |(object, _)| object);
    object.hash(&mut h);
    h.finish()
}

/// How many of a group are named beside the first.
const MORE: usize = 2;
/// So many violations that break one rule are named, where they are not folded.
const NAMED: usize = 10_000;
/// At most so many changes that stand out are kept.
const MOST_OUTLIERS: usize = 200;
/// Beyond so many bytes no further group is kept.
const BUDGET: usize = 24 << 20;

struct Collector<'f> {
    filter: &'f Filter,
    mask: &'f Mask,
    unusual: Unusual<'f>,
    /// What stands out, by rule and place.
    outliers: BTreeMap<(Rule, u64), Outlier>,
    unusual_count: u64,
    limit: usize,
    tables: Vec<(String, [Bucket; 5])>,
    likeness: Likeness,
    place: u64,
    bytes: usize,
}

/// Groups of one table and action while they are counted. There is more room than will be shown,
/// so that a large group that begins late is found; when it is full, single entries give way.
#[derive(Default)]
struct Bucket {
    groups: HashMap<u64, Group>,
    more: u64,
    full: bool,
}

impl<'f> Collector<'f> {
    fn new(filter: &'f Filter, mask: &'f Mask, unusual: Unusual<'f>) -> Collector<'f> {
        Collector {
            filter,
            mask,
            unusual,
            outliers: BTreeMap::new(),
            unusual_count: 0,
            limit: filter.limit.unwrap_or(usize::MAX),
            tables: Vec::new(),
            likeness: Likeness::new(),
            place: 0,
            bytes: 0,
        }
    }

    fn take(&mut self, entry: Entry) {
        self.place += 1;
        if !self.filter.takes_behind(self.mask, &entry)
            || !self.notes(&entry) && self.filter.only_unusual
        {
            return;
        }
        let hash = self.likeness.of(&entry, self.place);
        let action = entry.what.action();
        let order = action.urgency();
        let unfolded = action == Action::Violation && !self.filter.folds_violations;
        let limit = if unfolded { NAMED } else { self.limit };
        // Entries come table by table, so it is nearly always the last one.
        let at = match self.tables.iter().rposition(|(t, _)| *t == entry.table) {
            Some(at) => at,
            None => {
                self.tables.push((entry.table.clone(), Default::default()));
                self.tables.len() - 1
            }
        };
        let bucket = &mut self.tables[at].1[order];
        if let Some(group) = bucket.groups.get_mut(&hash) {
            let size = weight(&entry);
            let most = match unfolded {
                true if self.bytes + size > BUDGET => 0,
                true => NAMED,
                false => MORE,
            };
            if group.more.len() < most {
                self.bytes += size;
            }
            group.add(entry, most);
            return;
        }
        let grouped = matches!(order, 0 | 2 | 3);
        let room = if grouped {
            limit.saturating_mul(4).max(256)
        } else {
            limit
        };
        if bucket.groups.len() >= room && !bucket.full {
            if grouped {
                bucket.make_room(limit, room)
            } else {
                bucket.full = true
            }
        }
        let size = weight(&entry);
        if bucket.full || self.bytes + size > BUDGET {
            bucket.more += 1;
            return;
        }
        self.bytes += size;
        let group = Group {
            at_least: bucket.more > 0,
            place: self.place,
            count: 1,
            more: Vec::new(),
            objects: match &entry.what {
                What::Violation(_) => HashSet::from([object_hash(&entry)]),
                _ => HashSet::new(),
            },
            entry,
        };
        bucket.groups.insert(hash, group);
    }

    /// Whether the entry stands out; it is kept then.
    fn notes(&mut self, entry: &Entry) -> bool {
        if !matches!(entry.what, What::Insert { .. } | What::Update { .. }) {
            return false;
        }
        // Only what is kept, or has to be masked, is copied.
        let mut seen = Cow::Borrowed(entry);
        if !self.mask.is_idle() {
            self.mask.entry(seen.to_mut());
        }
        let marks = self.unusual.marks(&seen);
        let Some(worst) = marks.first().map(|mark| mark.rule) else {
            return false;
        };
        self.unusual_count += 1;
        let entry = seen.into_owned();
        self.outliers
            .insert((worst, self.place), Outlier { entry, marks });
        if self.outliers.len() > self.limit.min(MOST_OUTLIERS) {
            self.outliers.pop_last();
        }
        true
    }

    fn finish(self) -> Selection {
        let (limit, mask, folds) = (self.limit, self.mask, self.filter.folds_violations);
        let tables = self.tables.into_iter().map(|(table, buckets)| {
            let mut urgency = Action::BY_URGENCY.into_iter();
            let sections = buckets.map(|bucket| {
                let unfolded = urgency.next() == Some(Action::Violation) && !folds;
                bucket.finish(if unfolded { NAMED } else { limit }, unfolded, mask)
            });
            (table, sections)
        });
        Selection {
            tables: tables.collect(),
            profile: Profile::default(),
            groups: Groups::default(),
            unusual: self.outliers.into_values().collect(),
            unusual_count: self.unusual_count,
            sources: Sources::default(),
        }
    }
}

impl Bucket {
    /// Drops single entries, but for the first `limit` of them.
    fn make_room(&mut self, limit: usize, room: usize) {
        let mut single: Vec<u64> = self
            .groups
            .values()
            .filter(|g| g.count == 1)
            .map(|g| g.place)
            .collect();
        single.sort_unstable();
        let Some(last) = limit.checked_sub(1).and_then(|n| single.get(n)) else {
            self.full = true;
            return;
        };
        let before = self.groups.len();
        self.groups.retain(|_, g| g.count > 1 || g.place <= *last);
        self.more += (before - self.groups.len()) as u64;
        // Otherwise room would have to be made again and again.
        self.full = self.groups.len() > room / 2;
    }

    /// What is kept, in order. Where all of a group are named, a large one must not hide the small ones.
    fn finish(self, limit: usize, unfolded: bool, mask: &Mask) -> Section {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|g| {
            if unfolded {
                (false, g.count, g.place)
            } else {
                (g.count == 1, u64::MAX - g.count, g.place)
            }
        });
        let beyond = groups.split_off(limit.min(groups.len()));
        for group in &mut groups {
            mask.entry(&mut group.entry);
            group.more.iter_mut().for_each(|entry| mask.entry(entry));
        }
        Section {
            more: self.more + beyond.iter().map(|g| g.count).sum::<u64>(),
            groups,
        }
    }
}

/// About how many bytes an entry takes: texts, and what holds them together.
fn weight(entry: &Entry) -> usize {
    let from: usize = entry.from.iter().map(|from| text(from)).sum();
    size_of::<Group>() + text(&entry.table) + from + values_of(entry)
}

/// What is allocated for a text.
fn text(text: &str) -> usize {
    text.len() + 2 * size_of::<usize>()
}

/// What is allocated for a map from columns to `V`, without the values' texts: of nodes for eleven each, as
/// `BTreeMap` has them.
fn map<V>(map: &BTreeMap<String, V>) -> usize {
    let nodes = map.len().div_ceil(11);
    let names: usize = map.keys().map(|name| text(name)).sum();
    nodes * 11 * (size_of::<String>() + size_of::<V>()) + names
}

/// About how many bytes the values of an entry take.
fn values_of(entry: &Entry) -> usize {
    let optional = |v: Option<&str>| v.map_or(0, text);
    let size = |v: &Value| optional(v.words().as_deref()) + optional(v.given());
    let all = |values: &Values| map(values) + values.values().map(size).sum::<usize>();
    all(&entry.key)
        + match &entry.what {
            What::Insert { values, .. } | What::Delete { values, .. } => all(values),
            What::Update { set, revives, .. } => {
                let changes: usize = set.values().map(|(a, b)| size(a) + size(b)).sum();
                map(set) + changes + revives.as_ref().map_or(0, all)
            }
            What::Violation(v) => {
                let other = v.other.as_ref().map_or(0, |other| all(&other.values));
                let texts = [v.existing.as_deref(), v.given.as_deref(), Some(&v.message)];
                let texts: usize = texts.into_iter().map(optional).sum();
                texts + all(&v.values) + other
            }
            What::Skip(_) => 0,
        }
}
