//! A plan: what was found, and what would be done about it. Values are strings as PostgreSQL
//! prints them, or null.

pub mod decision;
pub mod incoming;
pub mod masking;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::config::TableConfig;
use crate::table::limits::Exceeded;

/// Column to value, sorted by name.
pub type Values = BTreeMap<String, Option<String>>;

/// Whether a plan loads a batch or takes applications back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Loads a batch.
    Load,
    /// Takes applications back.
    Rollback,
}

impl Kind {
    /// The word in the plan file, the ledger and `batch_load_log`.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Load => "load",
            Kind::Rollback => "rollback",
        }
    }
}

/// The database a plan was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name.
    pub database: String,
    /// The server's system identifier and the database's object id: a dump restored elsewhere
    /// has others.
    pub identity: String,
    /// The random id that `loader migrate` gave it.
    pub lineage: String,
    /// The schema of the loader's own tables.
    pub loader_schema: String,
    /// The search path under which values were read; apply sets the same.
    pub search_path: String,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows to insert.
    pub insert: u64,
    /// Rows to update.
    pub update: u64,
    /// Rows to delete.
    pub delete: u64,
    /// Records that change nothing.
    pub skip: u64,
    /// Violations, whatever their effect.
    pub violation: u64,
}

impl Counts {
    /// Rows that would be written.
    pub fn changes(&self) -> u64 {
        self.insert
            .saturating_add(self.update)
            .saturating_add(self.delete)
    }

    /// Entries of the plan.
    pub fn entries(&self) -> u64 {
        self.changes() + self.skip + self.violation
    }

    /// Counts one entry.
    pub fn add(&mut self, what: &What) {
        *match what {
            What::Insert { .. } => &mut self.insert,
            What::Update { .. } => &mut self.update,
            What::Delete { .. } => &mut self.delete,
            What::Skip(_) => &mut self.skip,
            What::Violation(_) => &mut self.violation,
        } += 1;
    }
}

/// One table of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePlan {
    /// Its name as configured.
    pub table: String,
    /// Its configuration as it was in effect.
    pub config: TableConfig,
    /// The fingerprint of its schema.
    pub schema: String,
    /// The tables of this plan that it refers to by foreign key, itself included; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// How many columns it has.
    #[serde(default)]
    pub width: u64,
    /// How many rows it had, where a limit is a part of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The columns that its changes write, beside the key and the stamps; sorted.
    pub columns: Vec<String>,
    /// How many entries of each kind it has.
    pub counts: Counts,
    /// Columns that a rollback puts back and the table's own triggers may set again: what they
    /// hold in the end is not insisted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered: Vec<String>,
    /// What a reviewer should know about this table beyond its entries.
    pub warnings: Vec<String>,
}

impl TablePlan {
    /// The limits that its changes exceed.
    pub fn exceeded(&self) -> impl Iterator<Item = Exceeded<'_>> {
        let rows = self.rows.unwrap_or_default();
        self.config.limits.exceeded(&self.table, &self.counts, rows)
    }
}

/// Everything in a plan but its fragments and entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it does.
    pub kind: Kind,
    /// The batch it loads or takes back.
    pub batch_id: String,
    /// The applications it takes back, newest first; empty for a load.
    pub undoes: Vec<String>,
    /// Where it applies.
    pub target: Target,
    /// Records read.
    pub records: u64,
    /// Violations that stand against applying it.
    pub blocking: u64,
    /// Violations whose records were left out.
    pub rejected: u64,
    /// Totals over all tables.
    pub summary: Counts,
    /// Its tables in dependency order.
    pub tables: Vec<TablePlan>,
}

impl Header {
    /// The last line people see, and scripts look for.
    pub fn summary_line(&self) -> String {
        let c = &self.summary;
        let plural = if c.violation == 1 { "" } else { "s" };
        format!(
            "Plan: {} to insert, {} to update, {} to delete, {} unchanged, {} violation{plural}.",
            c.insert, c.update, c.delete, c.skip, c.violation
        )
    }

    /// The sum over its tables' counts.
    pub fn sum(&self) -> Counts {
        self.tables.iter().fold(Counts::default(), |sum, t| Counts {
            insert: sum.insert.saturating_add(t.counts.insert),
            update: sum.update.saturating_add(t.counts.update),
            delete: sum.delete.saturating_add(t.counts.delete),
            skip: sum.skip.saturating_add(t.counts.skip),
            violation: sum.violation.saturating_add(t.counts.violation),
        })
    }

    /// The limits that it exceeds.
    pub fn exceeded(&self) -> impl Iterator<Item = Exceeded<'_>> {
        self.tables.iter().flat_map(TablePlan::exceeded)
    }

    /// What stands against applying it, in words; `None` where nothing does.
    pub fn against(&self) -> Option<String> {
        let violations = match self.blocking {
            0 => None,
            1 => Some("1 violation stands against applying it".to_owned()),
            n => Some(format!("{n} violations stand against applying it")),
        };
        let exceeded: Vec<String> = self
            .exceeded()
            .map(|e| format!("\n  {}: {e}", crate::text::escape(e.table)))
            .collect();
        let exceeded = (!exceeded.is_empty())
            .then(|| format!("it exceeds limits against accidents:{}", exceeded.concat()));
        let parts: Vec<String> = violations.into_iter().chain(exceeded).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Whether a table of it has sensitive columns.
    pub fn has_sensitive(&self) -> bool {
        self.tables.iter().any(|t| !t.config.sensitive.is_empty())
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&TablePlan> {
        self.tables.iter().find(|t| t.table == name)
    }
}

/// One object that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fragment {
    /// Its key below the source's root.
    pub key: String,
    /// The table its records are for.
    pub table: String,
    /// The store's entity tag, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// SHA-256 of its bytes as delivered, hex.
    pub sha256: String,
    /// Records in it.
    pub records: u64,
    /// Ids of its entries in the validation queue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<i64>,
}

/// The digest of a whole row: 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// One line of a plan: a change, a skip or a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The table's name as configured.
    pub table: String,
    /// The natural key as the current row spells it, or as given.
    pub key: Values,
    /// What it is.
    pub what: What,
    /// Where it comes from: `object#position`, or the application it takes back.
    pub from: Vec<String>,
}

/// What an entry says about its row or record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The row is absent and will be inserted with these values beside the key.
    Insert {
        /// Given columns beside the key.
        values: Values,
        /// Columns whose given value does not fit their scale or precision, and as given.
        rounded: BTreeMap<String, String>,
    },
    /// The row exists and these columns will change.
    Update {
        /// Column to old and new value.
        set: BTreeMap<String, (Option<String>, Option<String>)>,
        /// The row as it must be found.
        expect: Fingerprint,
        /// Whether it brings back a row that was marked as deleted.
        revives: bool,
        /// As for an insert.
        rounded: BTreeMap<String, String>,
    },
    /// The row exists and will be removed, or marked.
    Delete {
        /// The row as it must be found.
        expect: Fingerprint,
        /// What is lost, beside the key.
        values: Values,
        /// Whether it is marked instead of removed.
        soft: bool,
    },
    /// A record that changes nothing.
    Skip(Skip),
    /// A record that must not be applied as it stands.
    Violation(Violation),
}

/// Why a record changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// The row holds already what the record says.
    Unchanged(Fingerprint),
    /// The row exists, and the strategy only inserts.
    Exists,
    /// The row exists, and the resolution keeps it.
    Conflict,
    /// The row is absent, and the strategy only updates.
    Missing,
    /// An identical copy of another record of the batch.
    Duplicate,
    /// A later record with the same key wins (`on_duplicate: last`).
    Superseded,
}

impl Skip {
    /// The word in the plan file.
    pub fn reason(&self) -> &'static str {
        match self {
            Skip::Unchanged(_) => "unchanged",
            Skip::Exists => "exists",
            Skip::Conflict => "conflict",
            Skip::Missing => "missing",
            Skip::Duplicate => "duplicate",
            Skip::Superseded => "superseded",
        }
    }

    /// Why, for people.
    pub fn why(&self) -> &'static str {
        match self {
            Skip::Unchanged(_) => "unchanged",
            Skip::Exists => "exists, and the table is insert_only",
            Skip::Conflict => "exists, and the existing row is kept",
            Skip::Missing => "does not exist, and the table is update_only",
            Skip::Duplicate => "an identical copy of another record",
            Skip::Superseded => "a later record with the same key wins",
        }
    }
}

/// The rule that a record breaks (SPEC §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// An immutable column would change.
    ImmutableField,
    /// The value does not fit the column's type, length, enum or domain.
    InvalidValue,
    /// A column that must have a value has none.
    NullValue,
    /// A column of the natural key is absent or null.
    MissingKey,
    /// The field is no column of the table.
    UnknownField,
    /// The column is computed by the database.
    GeneratedField,
    /// Different records of the batch have one natural key.
    DuplicateKey,
    /// Several rows match the natural key.
    AmbiguousKey,
    /// Another row holds a value of another unique key.
    UniqueConflict,
    /// The row referred to does not exist and is not in the plan.
    MissingParent,
    /// A check constraint fails.
    CheckFailed,
    /// The object has no entry in the validation queue.
    NotQueued,
    /// The validation queue names an object that is not there.
    MissingObject,
}

impl ViolationKind {
    /// The word in the plan file.
    pub fn word(self) -> &'static str {
        match self {
            ViolationKind::ImmutableField => "immutable_field",
            ViolationKind::InvalidValue => "invalid_value",
            ViolationKind::NullValue => "null_value",
            ViolationKind::MissingKey => "missing_key",
            ViolationKind::UnknownField => "unknown_field",
            ViolationKind::GeneratedField => "generated_field",
            ViolationKind::DuplicateKey => "duplicate_key",
            ViolationKind::AmbiguousKey => "ambiguous_key",
            ViolationKind::UniqueConflict => "unique_conflict",
            ViolationKind::MissingParent => "missing_parent",
            ViolationKind::CheckFailed => "check_failed",
            ViolationKind::NotQueued => "not_queued",
            ViolationKind::MissingObject => "missing_object",
        }
    }
}

/// What a violation does to its record and to the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The plan cannot be applied.
    Block,
    /// The record is left out.
    Reject,
    /// The rest of the record is applied.
    Keep,
}

impl Effect {
    /// What follows, for people.
    pub fn words(self) -> &'static str {
        match self {
            Effect::Block => "blocks",
            Effect::Reject => "record left out",
            Effect::Keep => "existing value stays",
        }
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub kind: ViolationKind,
    /// What follows from it.
    pub effect: Effect,
    /// The field it is about, where it is one.
    pub field: Option<String>,
    /// The value in the database, where there is one.
    pub existing: Option<String>,
    /// The value as given, where there is one.
    pub given: Option<String>,
    /// Why, in words; the database's own where it spoke.
    pub message: String,
}

/// A change that was made, with the complete row on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The row before; `None` where there was none.
    pub before: Option<Values>,
    /// The row after; `None` where there is none.
    pub after: Option<Values>,
}

impl Applied {
    /// The change that takes this one back. Inverting twice gives the change itself.
    #[must_use]
    pub fn invert(self) -> Applied {
        Applied {
            before: self.after,
            after: self.before,
        }
    }

    /// What makes this change of a row whose present digest is `digest`, or `None` where both
    /// sides are absent. `is_key` names the columns of the natural key, `writes` those that may be
    /// written, and `soft` says that deletes mark rows.
    pub fn what(
        self,
        digest: Option<Fingerprint>,
        is_key: impl Fn(&str) -> bool,
        writes: impl Fn(&str) -> bool,
        soft: bool,
    ) -> Option<What> {
        let beside_key =
            |row: Values| -> Values { row.into_iter().filter(|(c, _)| !is_key(c)).collect() };
        match (self.before, self.after, digest) {
            (None, Some(after), _) => Some(What::Insert {
                values: beside_key(after)
                    .into_iter()
                    .filter(|(c, _)| writes(c))
                    .collect(),
                rounded: BTreeMap::new(),
            }),
            (Some(before), None, Some(expect)) => Some(What::Delete {
                expect,
                values: beside_key(before),
                soft,
            }),
            (Some(before), Some(mut after), Some(expect)) => {
                let set: BTreeMap<_, _> = beside_key(before)
                    .into_iter()
                    .filter(|(c, _)| writes(c))
                    .filter_map(|(c, old)| {
                        let new = after.remove(&c)?;
                        (old != new).then_some((c, (old, new)))
                    })
                    .collect();
                Some(if set.is_empty() {
                    What::Skip(Skip::Unchanged(expect))
                } else {
                    What::Update {
                        set,
                        expect,
                        revives: false,
                        rounded: BTreeMap::new(),
                    }
                })
            }
            (None, None, _) | (Some(_), _, None) => None,
        }
    }
}

/// One table in the ledger: what its rollback needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTable {
    /// Its name as configured.
    pub table: String,
    /// Its configuration as it was in effect.
    pub config: TableConfig,
    /// The columns that the application wrote, beside key and stamps.
    pub columns: Vec<String>,
    /// How many rows of each kind.
    pub counts: Counts,
}

/// How a row differs from what the plan saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftState {
    /// It has other content.
    Changed,
    /// It is gone.
    Vanished,
    /// It is there, and was not.
    Appeared,
}

impl fmt::Display for DriftState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DriftState::Changed => "changed",
            DriftState::Vanished => "vanished",
            DriftState::Appeared => "appeared",
        })
    }
}

/// One column of a row that drifted, as far as the plan knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftColumn {
    /// Its name.
    pub column: String,
    /// What the plan saw; the outer option is whether it recorded it.
    pub planned_from: Option<Option<String>>,
    /// What is there now.
    pub now: Option<String>,
    /// What the plan would write, where it would.
    pub planned_to: Option<Option<String>>,
}

/// One row that is not as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftRow {
    /// Its table.
    pub table: String,
    /// Its natural key.
    pub key: Values,
    /// How it differs.
    pub state: DriftState,
    /// What was planned for it: `insert`, `update`, `delete`, `skip`.
    pub action: String,
    /// Its planned columns, where they differ from what the plan saw.
    pub columns: Vec<DriftColumn>,
    /// Who changed it last, as far as the audit log knows.
    pub by: Option<String>,
}

/// Every row that is not as the plan saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DriftReport {
    /// The rows, in plan order.
    pub rows: Vec<DriftRow>,
    /// How many further rows are not named, because there are very many.
    pub more: u64,
}

impl DriftReport {
    /// How many rows are not as the plan saw them, named or not.
    pub fn count(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// What stands in the place of the rows that are not named.
    pub fn unnamed(&self) -> Option<String> {
        (self.more > 0).then(|| format!("… and {} more rows, which are not named here", self.more))
    }
}

/// Shows a key as `column=value, …` with control characters escaped.
pub fn display_key(key: &Values) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|(c, v)| {
            let value = v.as_deref().map_or("null".into(), crate::text::escape);
            format!("{}={value}", crate::text::escape(c))
        })
        .collect();
    parts.join(", ")
}

impl DriftRow {
    /// What became of the row, for people.
    pub fn found(&self) -> String {
        let elsewhere = self.state == DriftState::Changed && self.columns.is_empty();
        // Of a row that is skipped the plan names no column at all.
        match elsewhere && self.action != "skip" {
            true => format!("{}, in columns that the plan does not name", self.state),
            false => self.state.to_string(),
        }
    }
}

impl fmt::Display for DriftReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.count();
        let (rows_are, them) = if n == 1 {
            ("row is", "it")
        } else {
            ("rows are", "them")
        };
        let undoes = self.rows.iter().any(|row| row.action == "rollback");
        let (saw, advice) = match undoes {
            true => (
                "the load left",
                "A rollback would overwrite what was changed since: settle with whoever changed these rows, \
                 or take later loads back first.",
            ),
            false => ("the plan saw", "Make a new plan and have it reviewed."),
        };
        write!(
            f,
            "{n} {rows_are} not as {saw} {them}; nothing was written:"
        )?;
        for row in &self.rows {
            let by = row
                .by
                .as_ref()
                .map(|b| format!("; changed by {}", crate::text::escape(b)))
                .unwrap_or_default();
            write!(
                f,
                "\n  {} {}: {} (planned: {}{by})",
                crate::text::escape(&row.table),
                display_key(&row.key),
                row.found(),
                row.action
            )?;
            for c in &row.columns {
                let show = |v: &Option<String>| crate::text::cut::quoted(v.as_deref());
                write!(f, "\n    {}: ", crate::text::escape(&c.column))?;
                if let Some(from) = &c.planned_from {
                    write!(f, "plan saw {}, ", show(from))?;
                }
                write!(f, "now {}", show(&c.now))?;
                if let Some(to) = &c.planned_to {
                    write!(f, ", planned {}", show(to))?;
                }
            }
        }
        if let Some(unnamed) = self.unnamed() {
            write!(f, "\n  {unnamed}")?;
        }
        write!(f, "\n{advice}")
    }
}
