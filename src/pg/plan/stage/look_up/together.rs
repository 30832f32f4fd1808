//! Several things that are looked up in one statement.

use crate::pg::plan::stage::Stage;
use crate::sql::{Ident, Statement, all, list};
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

    /// Looks up several things in the database at once, for the records of which all are there: a record is
    /// written anew each time.
    pub(in crate::pg) fn find_stored_together(&self, lookups: &[&Lookup]) -> Statement {
        let each = || lookups.iter().enumerate();
        let sets = each().map(|(i, l)| self.sets(l, &format!("p{i}.{}", Ident(&l.target.name))));
        let from = each().map(|(i, l)| format!("{} p{i}", l.relation));
        let names = each().map(|(i, l)| self.names_as(l, |c| format!("p{i}.{}", Ident(&c.name))));
        let sql = format!(
            "UPDATE {} s SET {} FROM {} WHERE {}",
            self.temporary(),
            list(sets),
            list(from),
            all(names)
        );
        Statement::new(self.doing("looking up rows for the"), sql)
    }
}
