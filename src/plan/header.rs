//! Everything in a plan but its entries: what it is for, what it was made from, its tables.

mod notes;

pub(crate) use notes::is_grave;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fingerprint, PassedOver};
use crate::action::{Counts, Skips, is_zero};
use crate::sql::Qualified;
use crate::strict::unique_map;
use crate::table::config::{Stamp, TableConfig};
use crate::table::kind::TableKind;
use crate::table::limits::{Exceeded, Limit, Limits};
use crate::table::target::Target;

/// Whether a plan loads a batch or takes applications back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Loads a batch.
    #[default]
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

    /// What is said to whoever would decide about single rows, where none are decided about.
    pub fn takes_no_decisions(self) -> Option<&'static str> {
        match self {
            Kind::Load => None,
            Kind::Rollback => Some(
                "Single rows of a rollback are not decided about: whoever wants less of it makes another one, with \
                 loader rollback --table, --key or --keep-edited.",
            ),
        }
    }

    /// What to do where rows are not as they must be found.
    pub fn after_drift(self) -> &'static str {
        match self {
            Kind::Load => "Make a new plan and have it reviewed.",
            Kind::Rollback => {
                "A rollback would overwrite what was changed since: settle with whoever changed these rows, \
                 or take later loads back first."
            }
        }
    }
}

/// The database a plan was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetDatabase {
    /// Its name.
    pub database: String,
    /// The server's system identifier and the database's object id: a dump restored elsewhere
    /// has others.
    pub identity: String,
    /// The random id that `loader migrate` gave it.
    pub lineage: String,
    /// The schema of the loader's own tables.
    pub loader_schema: String,
    /// The schemas of the search path under which values were read, each one by name; apply sets the
    /// same, whoever applies.
    pub search_path: Vec<String>,
}

/// One table of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TablePlan {
    /// Its name as configured.
    pub table: String,
    /// Its schema and name in the database: whatever else the configured name may find later, this
    /// table is meant.
    pub relation: Qualified,
    /// What kind of table it is to the database.
    #[serde(rename = "kind", default, skip_serializing_if = "TableKind::is_local")]
    pub table_kind: TableKind,
    /// Its configuration as it was in effect.
    pub config: TableConfig,
    /// The limits that its configuration has by itself, where others are in effect for this plan alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_limits: Option<Limits>,
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
    /// The columns that its changes write, beside the key and the stamps; in the table's order.
    pub columns: Vec<String>,
    /// The columns whose numbers are drawn before its new rows are inserted, because other new rows of the
    /// plan refer to them; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// The tables in which its references were looked up and found rows of which none was marked as deleted, each with the
    /// column that marks them: these rows must live when the plan is applied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alive: BTreeMap<String, String>,
    /// How many entries of each kind it has.
    pub counts: Counts,
    /// Its updates that mark their rows as deleted; limits of a load count them as deletes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub marks: u64,
    /// Its records that change nothing, by why.
    #[serde(default, skip_serializing_if = "Skips::is_empty")]
    pub skips: Skips,
    /// Its records that are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected: u64,
    /// Columns that a rollback puts back and the table's own triggers may set again: what they
    /// hold in the end is not insisted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered: Vec<String>,
    /// Those of them whose values in rows that a rollback inserts again are left to the triggers, which are known to set
    /// them; of all others the rows hold in the end what the plan says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_to_triggers: Vec<String>,
    /// What stays as it was although it is not as the delivery.
    #[serde(default, skip_serializing_if = "PassedOver::is_empty")]
    pub passed_over: PassedOver,
    /// What a reviewer should know about this table beyond its entries.
    pub warnings: Vec<String>,
}

impl TablePlan {
    /// A table, after its `parents`, of which nothing is planned yet and nothing is to be said.
    pub(crate) fn of(target: &Target, parents: Vec<String>, rows: Option<u64>) -> TablePlan {
        let table = &target.table;
        TablePlan {
            table: target.name.clone(),
            relation: table.name.clone(),
            table_kind: table.kind.clone(),
            config: target.config.clone(),
            own_limits: None,
            schema: table.fingerprint.clone(),
            parents,
            width: table.columns.len() as u64,
            rows,
            columns: table.columns.iter().map(|c| c.name.clone()).collect(),
            numbers: Vec::new(),
            alive: BTreeMap::new(),
            counts: Counts::default(),
            marks: 0,
            skips: Skips::default(),
            rejected: 0,
            triggered: Vec::new(),
            left_to_triggers: Vec::new(),
            passed_over: PassedOver::default(),
            warnings: Vec::new(),
        }
    }

    /// The limits that its changes exceed.
    pub fn exceeded(&self, kind: Kind) -> impl Iterator<Item = Exceeded<'_>> {
        self.exceeded_of(kind, self.rows.unwrap_or_default())
    }

    /// The limits that its changes exceed where the table has so many rows.
    pub fn exceeded_of(&self, kind: Kind, rows: u64) -> impl Iterator<Item = Exceeded<'_>> {
        // A rollback marks again what was marked before.
        let marks = match kind {
            Kind::Load => self.marks,
            Kind::Rollback => 0,
        };
        let counts = Counts {
            delete: self.counts.delete.saturating_add(marks),
            ..self.counts
        };
        limits_of(kind, self.config.limits).exceeded(&self.table, &counts, rows)
    }
}

/// A table's limits as they are for a plan of this kind: a load deletes nothing unless that is allowed.
pub fn limits_of(kind: Kind, mut limits: Limits) -> Limits {
    if kind == Kind::Load {
        limits.delete.get_or_insert(Limit::Rows(0));
    }
    limits
}

/// Everything in a plan but its fragments and entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// What it does.
    pub kind: Kind,
    /// The batch it loads or takes back.
    pub batch_id: String,
    /// The applications it takes back, newest first: all that is still to be undone of them; empty for
    /// a load.
    pub undoes: Vec<String>,
    /// The applications of which it takes back some rows and leaves others, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undoes_in_part: Vec<String>,
    /// The applications that brought rows of these back after an earlier rollback, newest first: this is
    /// another plan than that was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redone_by: Vec<String>,
    /// Whether these are rollbacks of loads, or of what took back such rollbacks: what they had undone is done again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_rollbacks: bool,
    /// Where it applies.
    pub target: TargetDatabase,
    /// Records read.
    pub records: u64,
    /// Records with violations that stand against applying it.
    pub blocking: u64,
    /// Records that were left out for their violations.
    pub rejected: u64,
    /// Totals over all tables.
    pub summary: Counts,
    /// Its tables in dependency order.
    pub tables: Vec<TablePlan>,
    /// Random text in a plan that is to be encrypted, so that its hash tells no value to who tries
    /// all that it could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

impl Header {
    /// Whether some of its tables are in shards.
    pub fn is_in_shards(&self) -> bool {
        self.tables.iter().any(|t| t.table_kind.is_far())
    }

    /// A plan in which nothing is planned yet.
    pub(crate) fn new(kind: Kind, batch_id: &str, target: TargetDatabase) -> Header {
        Header {
            kind,
            batch_id: batch_id.to_owned(),
            undoes: Vec::new(),
            undoes_in_part: Vec::new(),
            redone_by: Vec::new(),
            of_rollbacks: false,
            target,
            records: 0,
            blocking: 0,
            rejected: 0,
            summary: Counts::default(),
            tables: Vec::new(),
            salt: None,
        }
    }

    /// A header that says nothing but this.
    pub(crate) fn empty(kind: Kind, batch_id: &str) -> Header {
        let nowhere = TargetDatabase {
            database: String::new(),
            identity: String::new(),
            lineage: String::new(),
            loader_schema: String::new(),
            search_path: Vec::new(),
        };
        Header::new(kind, batch_id, nowhere)
    }

    /// The applications that it takes back, whole or in part.
    pub fn taken_back(&self) -> Vec<String> {
        [self.undoes.as_slice(), &self.undoes_in_part].concat()
    }

    /// The last line people see, and scripts look for.
    pub fn summary_line(&self) -> String {
        let c = &self.summary;
        let skips = self.skips();
        let skipped = match skips.not_loaded() {
            0 => String::new(),
            n => format!(", {n} skipped"),
        };
        // Each of these is one of the violations.
        let left_out = match self.rejected {
            0 => String::new(),
            n => format!(" ({n} left out)"),
        };
        format!(
            "Plan: {} to insert, {} to update, {} to delete, {} unchanged{}, {} violation{}{}.",
            c.insert,
            c.update,
            c.delete,
            skips.unchanged,
            skipped,
            c.violation,
            if c.violation == 1 { "" } else { "s" },
            left_out
        )
    }

    /// Records that change nothing, by why.
    pub fn skips(&self) -> Skips {
        let each = self.tables.iter().map(|t| t.skips);
        each.fold(Skips::default(), Skips::plus)
    }

    /// The sum over its tables' counts.
    pub fn sum(&self) -> Counts {
        self.tables
            .iter()
            .fold(Counts::default(), |sum, table| sum.plus(table.counts))
    }

    /// The limits that it exceeds.
    pub fn exceeded(&self) -> impl Iterator<Item = Exceeded<'_>> {
        self.tables.iter().flat_map(|t| t.exceeded(self.kind))
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

    /// The columns of a table that apply sets in every row that it writes (in new ones only, where rows keep what they
    /// hold in them), and to what. A rollback sets none: it puts the old values back.
    pub fn stamps(&self, table: &TablePlan) -> BTreeMap<String, Stamp> {
        match self.kind {
            Kind::Load => table.config.stamps.clone().unwrap_or_default(),
            Kind::Rollback => BTreeMap::new(),
        }
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&TablePlan> {
        self.tables.iter().find(|t| t.table == name)
    }
}

/// How many records are left out.
pub fn left_out(records: u64) -> String {
    match records {
        1 => "1 record left out".to_owned(),
        n => format!("{n} records left out"),
    }
}

/// A number of records, in words.
pub fn records(n: u64) -> String {
    match n {
        1 => "1 record".to_owned(),
        n => format!("{n} records"),
    }
}

/// One object that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Its entries in the validation queue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<Queued>,
}

/// An entry of the validation queue as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queued {
    /// Its id.
    pub id: i64,
    /// Its status.
    pub status: String,
    /// The digest of the whole entry, as it must be found.
    pub expect: Fingerprint,
}

/// One table in the ledger: what its rollback needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTable {
    /// Its records that were left out by name.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// How many fragments its records came from.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fragments: u64,
    /// Its name as configured.
    pub table: String,
    /// Its schema and name in the database.
    pub relation: Qualified,
    /// The fingerprint of its schema; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// Its configuration as it was in effect.
    pub config: TableConfig,
    /// The columns that the application wrote, beside key and stamps.
    pub columns: Vec<String>,
    /// The columns that triggers changed in rows whose entries do not change them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_trigger: Vec<String>,
    /// The types of all its columns, as SQL.
    #[serde(deserialize_with = "unique_map")]
    pub types: BTreeMap<String, String>,
    /// How many rows of each kind.
    pub counts: Counts,
    /// Its records that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected: u64,
}
