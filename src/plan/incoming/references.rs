//! Fields by which rows of other tables are looked up.

use std::collections::BTreeMap;

use super::{Cell, Finding, shorten};
use crate::plan::ViolationKind;
use crate::plan::reading::{Asked, Reading};
use crate::record::Value;
use crate::table::target::Target;

/// The fields of one table's records by which is looked up.
pub(super) struct References<'a> {
    /// One a column of the staging table; a field may be several.
    readings: Vec<Reading<'a>>,
    /// Of each, the table's column for whose sake it is, by name.
    of: Vec<&'a str>,
    /// The table's columns that are looked up, by index, each with its fields.
    columns: Vec<(usize, Vec<usize>)>,
}

impl<'a> References<'a> {
    pub(super) fn new(target: &'a Target) -> References<'a> {
        let lookups = &target.lookups;
        let columns: Vec<(usize, Vec<usize>)> = lookups
            .answers()
            .map(|lookup| (lookup.of, lookups.fields_of(lookup)))
            .collect();
        let of = (0..lookups.fields.len()).map(|field| {
            let column = columns.iter().find(|(_, fields)| fields.contains(&field));
            column.map_or("", |(i, _)| target.table.columns[*i].name.as_str())
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
        for (i, reading) in self.readings.iter().enumerate() {
            if reading.column().name != name {
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
        let given = self.columns.iter().filter_map(|(column, fields)| {
            let mut of = fields.iter().map(|f| &cells[*f]);
            let whole = of.clone().all(|cell| cell.text().is_some());
            of.any(|cell| *cell != Cell::Absent)
                .then_some((*column, whole))
        });
        given.collect::<Vec<_>>().into_iter()
    }
}
