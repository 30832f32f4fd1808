//! The value of each column as it would be.

use super::After;
use crate::pg::beside::{ABSENT, FOUND};
use crate::plan::decision::{Field, Rule, Wins};
use crate::sql::{Ident, Literal};
use crate::table::config::Stamp;
use crate::table::schema::{Column, ForeignKey};

/// That no record gives a column.
const NOT_GIVEN: &str = "false";

/// What each column says about the row.
#[derive(Default)]
pub(in crate::pg::plan::check) struct Parts {
    /// The values as they would be.
    pub(in crate::pg::plan::check) values: Vec<String>,
    /// That an update changes one of them.
    pub(in crate::pg::plan::check) differs: Vec<String>,
    /// That it changes one of a foreign key.
    pub(in crate::pg::plan::check) refers: Vec<String>,
    /// That a value is missing where there must be one.
    pub(in crate::pg::plan::check) nulls: Vec<String>,
    /// That an immutable value would change.
    pub(in crate::pg::plan::check) immutable: Vec<String>,
}

impl After<'_> {
    pub(in crate::pg::plan::check) fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        for (i, column) in self.target.table.columns.iter().enumerate() {
            // A generated column follows from the others, in the outer query.
            let value = match column.generation {
                Some(_) => "NULL".into(),
                None => self.value(i, &mut parts),
            };
            parts.values.push(format!(
                "({value})::{} AS {}",
                column.base_type_sql,
                Ident(&column.name)
            ));
        }
        // What a generated column of a foreign key becomes, follows from whatever changes.
        let mut keys = self.target.foreign_keys();
        let generates = |name: &String| {
            let column = self.target.table.column(name);
            column.is_some_and(|c| c.generation.is_some())
        };
        if keys.any(|key| key.columns.iter().any(generates)) {
            parts.refers.extend(parts.differs.iter().cloned());
        }
        parts
    }

    /// The value of one column as it would be.
    fn value(&self, i: usize, parts: &mut Parts) -> String {
        let (stage, config) = (self.stage, &self.target.config);
        let column = &stage.target.table.columns[i];
        let mut stamps = config.stamps();
        if let Some((_, stamp)) = stamps.find(|(n, _)| *n == column.name) {
            let refers = |key: &ForeignKey| key.columns.contains(&column.name);
            if stamp == Stamp::BatchId
                && !config.keeps(&column.name)
                && self.target.foreign_keys().any(refers)
            {
                let name = Ident(&column.name);
                parts.refers.push(format!(
                    "({FOUND} AND t.{name} IS DISTINCT FROM {}::{})",
                    Literal(stage.batch_id),
                    column.base_type_sql
                ));
            }
            let stamped = match stamp {
                Stamp::Now => "pg_catalog.now()".into(),
                Stamp::BatchId => Literal(stage.batch_id).to_string(),
                // Not known yet; see `is_foreign_stamp`.
                Stamp::Actor | Stamp::Trigger => "NULL".into(),
            };
            return match config.keeps(&column.name) {
                true => {
                    let name = Ident(&column.name);
                    format!("CASE WHEN {FOUND} THEN t.{name} ELSE {stamped} END")
                }
                false => stamped,
            };
        }
        let ty = &column.base_type_sql;
        let letter = format!("pg_catalog.substr(s._given, {}, 1)", i + 1);
        let field = if stage.used[i] {
            Field {
                given: format!("{letter} = '1'"),
                value: format!("s.{}", column.staged()),
                row: format!("t.{}", Ident(&column.name)),
            }
        } else {
            // No record gives it.
            Field {
                given: NOT_GIVEN.into(),
                value: format!("NULL::{ty}"),
                row: format!("t.{}", Ident(&column.name)),
            }
        };
        let rule = Rule::of(column, config);
        let default = match &column.default {
            Some(default) if !self.unknown[i] => format!("({default})::{ty}"),
            _ => format!("NULL::{ty}"),
        };
        let inserted = if stage.used[i] {
            let Field { given, value, .. } = &field;
            format!("CASE WHEN {given} THEN {value} ELSE {default} END")
        } else {
            default
        };
        let inserted = if stage.provisional.contains(&i) {
            format!("coalesce(s.{}, {inserted})", column.staged())
        } else {
            inserted
        };
        let updated = if stage.used[i] && column.blank_is_default() {
            // An empty cell is null there.
            let field = Field {
                given: format!("{letter} <> '0'"),
                ..field.clone()
            };
            self.updated(column, &rule, &field, parts)
        } else {
            self.updated(column, &rule, &field, parts)
        };
        // A record without its key has no row to be.
        if rule.wins != Wins::Never
            && (stage.used[i] || rule.required)
            && let Some(missing) = rule.missing_sql(&field)
        {
            parts.nulls.push(format!("({ABSENT} AND {missing})"));
        }
        match self.target.marks() {
            Some((mark, how)) if stage.deletes && mark == column => format!(
                "CASE WHEN s._goes THEN {} WHEN {FOUND} THEN {updated} ELSE {inserted} END",
                how.now()
            ),
            _ => format!("CASE WHEN {FOUND} THEN {updated} ELSE {inserted} END"),
        }
    }

    /// The value that the row would have after an update.
    fn updated(&self, column: &Column, rule: &Rule, field: &Field, parts: &mut Parts) -> String {
        let row = &field.row;
        let is_given = field.given != NOT_GIVEN;
        let other = match rule.wins {
            Wins::Never | Wins::InNewRow => return row.clone(),
            _ if is_given => format!(
                "{} IS DISTINCT FROM {}",
                column.staged_text("s"),
                column.text("t")
            ),
            Wins::Revives(mark) => mark.deleted(row),
            _ => return row.clone(),
        };
        let (wins, value) = (rule.wins.sql(field), rule.wins.value(field));
        let changes = format!("(({wins}) AND {other})");
        if rule.immutable {
            parts.immutable.push(format!("({FOUND} AND {changes})"));
            return row.clone();
        }
        let mut foreign_keys = self.target.foreign_keys();
        if foreign_keys.any(|k| k.columns.contains(&column.name)) {
            parts.refers.push(changes.clone());
        }
        parts.differs.push(changes);
        if column.not_null {
            parts.nulls.push(format!(
                "({FOUND} AND ({wins}) AND {value} IS NOT DISTINCT FROM NULL AND {row} IS DISTINCT FROM NULL)"
            ));
        }
        format!("CASE WHEN {wins} THEN {value} ELSE {row} END")
    }
}
