//! Fields by which rows of other tables are looked up.

use std::collections::BTreeMap;

use super::{Cell, Finding, shorten};
use crate::plan::ViolationKind;
use crate::plan::reading::{Asked, Reading};
use crate::record::Value;
use crate::table::config::TableConfig;
use crate::table::target::Target;

/// The fields of one table's records by which is looked up.
pub(super) struct References<'a> {
    /// One a column of the staging table; a field may be several.
    readings: Vec<Reading<'a>>,
    /// Of each, the table's column for whose sake it is, by name.
    of: Vec<&'a str>,
    /// The table's columns that are looked up.
    columns: Vec<LookedUp>,
    config: &'a TableConfig,
}

/// A column that is looked up.
struct LookedUp {
    /// Its index.
    column: usize,
    /// Its fields.
    fields: Vec<usize>,
    /// Those of them that alone say of a record that it speaks of the column: what is no column itself, and is of no
    /// other reference; all where there is none.
    own: Vec<usize>,
}

impl<'a> References<'a> {
    pub(super) fn new(target: &'a Target) -> References<'a> {
        let lookups = &target.lookups;
        let answers: Vec<(usize, Vec<usize>)> = lookups
            .answers()
            .map(|lookup| (lookup.of, lookups.fields_of(lookup)))
            .collect();
        let name = |field: &usize| &lookups.fields[*field].name;
        let columns = answers.iter().map(|(column, fields)| {
            let others = answers.iter().filter(|(other, _)| other != column);
            let of_others: Vec<&String> = others.flat_map(|(_, f)| f.iter().map(name)).collect();
            let is_own = |field: &&usize| {
                let name = name(field);
                let is_column = target.table.column(name).is_some();
                let is_column = is_column || target.config.columns.contains_key(name);
                !is_column && !of_others.contains(&name)
            };
            let own: Vec<usize> = fields.iter().filter(is_own).copied().collect();
            LookedUp {
                column: *column,
                fields: fields.clone(),
                own: if own.is_empty() { fields.clone() } else { own },
            }
        });
        let columns: Vec<LookedUp> = columns.collect();
        let of = (0..lookups.fields.len()).map(|field| {
            let column = columns.iter().find(|l| l.fields.contains(&field));
            column.map_or("", |l| target.table.columns[l.column].name.as_str())
        });
        let of: Vec<&str> = of.collect();
        let is_sensitive = |name: &&str| target.config.sensitive.iter().any(|c| c == name);
        let fields = lookups.fields.iter().zip(&of);
        let readings = fields
            .map(|(field, of)| Reading::new(field, &target.config).also_hidden(is_sensitive(of)));
        References {
            readings: readings.collect(),
            of,
            columns,
            config: &target.config,
        }
    }

    /// What a record says of which nothing is known yet.
    pub(super) fn none<'v>(&self) -> Vec<Cell<'v>> {
        vec![Cell::Absent; self.readings.len()]
    }

    /// Takes a field of a record, if it is one of these; words that mean null are noted beside their column.
    pub(super) fn read<'v>(
        &self,
        name: &str,
        value: &Value<'v>,
        cells: &mut [Cell<'v>],
        findings: &mut Vec<Finding>,
        asked: &mut BTreeMap<&'a str, Asked>,
    ) -> bool {
        let mut is_one = false;
        let names = self.config.looked_up_as(name);
        for (i, reading) in self.readings.iter().enumerate() {
            if !names.clone().any(|name| name == reading.column().name) {
                continue;
            }
            is_one = true;
            let mut invalid = |why: &str, quotes, instead| {
                findings.push(Finding {
                    given: shorten(value),
                    instead,
                    quotes,
                    ..Finding::new(
                        ViolationKind::InvalidValue,
                        self.of[i],
                        format!("{name}, by which it is looked up: {why}"),
                    )
                });
                Cell::Given(None)
            };
            cells[i] = match reading.read(value) {
                Ok(taken) => match taken.asked {
                    Some(Asked { text: Some(_), .. }) => invalid(
                        "the column to which it refers may keep less than this",
                        false,
                        None,
                    ),
                    of_word => {
                        let word = of_word.filter(|_| taken.text.is_none());
                        asked.extend(word.map(|word| (self.of[i], word)));
                        Cell::Given(taken.text)
                    }
                },
                Err(refused) => invalid(&refused.why, refused.quotes, refused.instead),
            };
        }
        is_one
    }

    /// The columns for which a record gives a key or says null, and whether it gives all of the key.
    pub(super) fn given(&self, cells: &[Cell<'_>]) -> impl Iterator<Item = (usize, bool)> {
        let given = self.columns.iter().filter_map(|l| {
            let whole = l.fields.iter().all(|f| cells[*f].text().is_some());
            let mut own = l.own.iter().map(|f| &cells[*f]);
            own.any(|cell| *cell != Cell::Absent)
                .then_some((l.column, whole))
        });
        given.collect::<Vec<_>>().into_iter()
    }
}
