//! What people are told of a plan's table beyond its entries: what the plan's maker found, and what follows from its
//! settings.

use super::{Kind, TablePlan};
use crate::table::config::Stamp;

/// Whether a note is one that must not be missed: a setting is replaced or a limit exceeded by this plan, rows are
/// deleted, or what it does cannot be taken back.
pub(crate) fn is_grave(note: &str) -> bool {
    let begins = [
        "limit of rows to ",
        "limit exceeded: ",
        "on_older: ",
        "audit_changes is off",
    ];
    let says = [
        "(complete)",
        "count that as a delete",
        "(allow_side_effects)",
    ];
    begins.iter().any(|words| note.starts_with(words))
        || says.iter().any(|words| note.contains(words))
}

impl TablePlan {
    /// What a reviewer should know beyond its entries in a plan of this kind, a sentence each.
    pub fn notes(&self, kind: Kind) -> Vec<String> {
        let mut notes = [self.warnings.clone(), self.passed_over.words()].concat();
        notes.extend(self.marked().filter(|_| kind == Kind::Load));
        notes.extend(self.elsewhere());
        if !self.config.audit_changes {
            notes.push(
                "audit_changes is off: what is loaded into this table cannot be rolled back".into(),
            );
        }
        notes.extend(self.also_set(kind, false));
        notes.extend(self.also_set(kind, true));
        notes.extend(self.also_changed());
        notes.extend(self.may_differ());
        notes
    }

    /// How many updates delete.
    fn marked(&self) -> Option<String> {
        let column = self
            .config
            .soft_delete
            .column()
            .filter(|_| self.marks > 0)?;
        let updates = match self.marks {
            1 => "1 update marks its row".to_owned(),
            n => format!("{n} updates mark their rows"),
        };
        let column = crate::text::escape(column);
        Some(format!(
            "{updates} as deleted ({column}): limits count that as a delete"
        ))
    }

    /// Which table it is, where its name does not say that and it is not one of the schema `public`.
    fn elsewhere(&self) -> Option<String> {
        let says_schema = self.table != self.relation.name;
        let is_usual = says_schema || self.relation.schema == "public";
        (!is_usual).then(|| {
            format!(
                "this is the table {} of the schema {}",
                crate::text::escape(&self.relation.name),
                crate::text::escape(&self.relation.schema)
            )
        })
    }

    /// What applying sets in each row, or only in each new one, beside what its entry shows.
    fn also_set(&self, kind: Kind, only_new: bool) -> Option<String> {
        let (writes, rows) = match only_new {
            true => (self.counts.insert > 0, "new row"),
            false => (
                self.counts.insert + self.counts.update > 0,
                "row that is written",
            ),
        };
        let stamps = self.config.stamps();
        let stamps = stamps.filter(|(column, _)| self.config.keeps(column) == only_new);
        let stamps = stamps.map(|(column, stamp)| {
            let what = match stamp {
                Stamp::Now => "the time",
                Stamp::Actor => "who applies",
                Stamp::BatchId => "the batch id",
                Stamp::Trigger => "what a trigger sets",
            };
            format!("{column} ({what})")
        });
        let stamps: Vec<String> = stamps.collect();
        // A rollback puts back what they were.
        let sets = writes && kind == Kind::Load && !stamps.is_empty();
        sets.then(|| format!("each {rows} also gets {}", stamps.join(", ")))
    }

    /// Columns of which apply does not compare what an entry does not set.
    fn may_differ(&self) -> Option<String> {
        let columns = &self.config.ignore_drift;
        let may = self.counts.update + self.counts.delete > 0 && !columns.is_empty();
        may.then(|| {
            format!(
                "rows are changed although others may have changed {} in them since the plan was made (ignore_drift), but \
                 no value that an update sets",
                columns.join(", ")
            )
        })
    }

    /// Other tables whose rows may change, though no entry shows it.
    fn also_changed(&self) -> Option<String> {
        let tables = &self.config.allow_side_effects;
        let may = self.counts.changes() > 0 && !tables.is_empty();
        may.then(|| {
            format!(
                "its triggers and foreign keys may also change rows of {} (allow_side_effects), which no entry shows",
                tables.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_grave;
    use crate::table::limits::{Limit, Limits, replaced};

    #[test]
    fn a_replaced_limit_must_not_be_missed() {
        let of = |rows| Limits {
            insert: Some(Limit::Rows(rows)),
            update: Some(Limit::Rows(rows)),
            delete: Some(Limit::Rows(rows)),
        };
        let notes = replaced(&of(0), &of(10));
        assert_eq!(notes.len(), 3);
        assert!(notes.iter().all(|note| is_grave(note)), "{notes:?}");
        assert!(!is_grave("1 row of the table is not in the delivery"));
    }
}
