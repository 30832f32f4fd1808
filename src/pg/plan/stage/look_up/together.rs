//! Several things that are looked up in one statement.

use crate::pg::plan::stage::Stage;
use crate::plan::incoming::STAGE_COLUMNS;
use crate::sql::{Ident, Statement, list};
use crate::table::lookup::{Lookup, Origin};

impl<'a> Stage<'a> {
    /// The lookups that find one row at most, and that wait for no other.
    pub(super) fn looked_up_together(&self) -> Vec<&'a Lookup> {
        let waits = |lookup: &&Lookup| {
            let mut by = lookup.by.iter();
            by.any(|part| matches!(part.from, Origin::Lookup(_)))
        };
        let lookups = self.target.lookups.all.iter();
        lookups.filter(|l| l.unique && !waits(l)).collect()
    }

    /// Looks up several things in the database at once, for all records, which move to the table of those for
    /// which was looked up: to write each again where it is takes longer.
    pub(in crate::pg) fn find_stored_together(&self, lookups: &[&Lookup]) -> Statement {
        let number = |i: usize| format!("p{i}.{}", Ident(&lookups[i].target.name));
        let mut from = format!("{} s", self.temporary());
        for (i, lookup) in lookups.iter().enumerate() {
            let names = self.names_as(lookup, |c| format!("p{i}.{}", Ident(&c.name)));
            from += &format!(" LEFT JOIN {} p{i} ON {names}", lookup.rows);
        }
        let columns = self.read_columns().enumerate().map(|(of, column)| {
            let cell = format!("s.{}", column.staged());
            let answers = |l: &&Lookup| l.answers && l.of == of;
            match lookups.iter().position(answers) {
                Some(i) => format!(
                    "coalesce({cell}, {})",
                    lookups[i].answer(column, &number(i))
                ),
                None => cell,
            }
        });
        let found = self.target.lookups.all.iter().flat_map(|lookup| {
            let found = match lookups.iter().position(|l| *l == lookup) {
                Some(i) => number(i),
                None => "NULL".to_owned(),
            };
            [found, "NULL".to_owned()]
        });
        let own = STAGE_COLUMNS.split(", ").map(|c| format!("s.{c}"));
        let sql = format!(
            "INSERT INTO {} SELECT {} FROM {from}",
            self.looked_up_table(),
            list(own.chain(columns).chain(found)),
        );
        Statement::new(self.doing("looking up rows for the"), sql)
    }
}
