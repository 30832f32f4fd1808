//! The rows that the batch itself brings, as far as they are known before they are written.

use super::Of;
use crate::pg::beside::ABSENT;
use crate::pg::plan::stage::Stage;
use crate::sql::{Ident, Statement, all, list};
use crate::table::config::Stamp;
use crate::table::lookup::{Lookup, is_number, provisional};
use crate::table::row::keys_equal;
use crate::table::schema::Column;
use crate::table::target::Target;

impl Stage<'_> {
    /// The condition that the new row of staged record `p` of `parent` has the key that record `s` names.
    pub(super) fn names_new(&self, lookup: &Lookup, parent: &Stage<'_>) -> String {
        let by_key = lookup.is_by(&parent.target.config.natural_key);
        self.names_as(lookup, |c| match parent.default_of(c) {
            // A record has its key.
            Some((given, default)) if !by_key => {
                let (cell, ty) = (c.staged(), &c.base_type_sql);
                format!("CASE WHEN {given} THEN p.{cell} ELSE ({default})::{ty} END")
            }
            _ => format!("p.{}", c.staged()),
        })
    }

    /// The condition that record `p` gives a column, and what the database puts there where it does not; `None` where
    /// that is not known, or could fail.
    fn default_of<'c>(&self, column: &'c Column) -> Option<(String, &'c String)> {
        let default = column.default.as_ref()?;
        let is_set = self.target.config.is_stamp(&column.name) || column.is_unknown();
        let is_plain = !is_set && !default.contains('(');
        is_plain.then(|| Some((self.gives("p", column)?, default)))?
    }

    /// The condition that record `alias` gives a column.
    fn gives(&self, alias: &str, column: &Column) -> Option<String> {
        let mut columns = self.target.table.columns.iter();
        let at = columns.position(|c| c.name == column.name)? + 1;
        Some(format!("pg_catalog.substr({alias}._given, {at}, 1) = '1'"))
    }

    /// What is not known of new rows of this table, in which is looked up, as nothing says it before they are written:
    /// the condition that there are such rows, and the reason. `None` where all is known.
    pub(super) fn unknown_of_new_rows(&self, lookup: &Lookup) -> Option<(String, String)> {
        let config = &self.target.config;
        let by_key = lookup.is_by(&config.natural_key);
        let by = lookup.by.iter().map(|part| &part.column);
        let by = by.filter(|_| !by_key);
        let by = by.filter(|c| self.default_of(c).is_none());
        let number = &lookup.target;
        let mut unknown = by.chain([number]).filter_map(|c| {
            let name = &c.name;
            let mut stamps = config.stamps();
            let stamp = stamps.find(|(n, _)| n == name).map(|(_, stamp)| stamp);
            let why = match stamp {
                Some(Stamp::Trigger) => "is set by a trigger",
                Some(_) => "is set when the plan is applied",
                None if c.generated => "is computed by the database",
                // For a number of its own, another one stands.
                None if c.by_database().is_some() && c.name != number.name => "has a default",
                None => return None,
            };
            let given = self.gives("s", c)?;
            Some((
                format!(
                    "EXISTS (SELECT FROM {} WHERE {ABSENT} AND NOT s._goes AND NOT {given})",
                    self.beside().each()
                ),
                format!("{name} {why}"),
            ))
        });
        unknown.next()
    }

    /// The values that records give in each column which refers to this one of `parent`, for `FROM`, as `n`.
    pub(super) fn given_for(&self, parent: &Stage<'_>, number: usize) -> Vec<String> {
        let Target { table, .. } = parent.target;
        let number = &table.columns[number];
        let keys = self
            .target
            .foreign_keys()
            .filter(|key| key.parent == table.name);
        let pairs = keys.flat_map(|key| key.pairs());
        let columns = pairs.filter(|(_, of_parent, _)| *of_parent == number.name);
        let columns = columns.filter_map(|(of_child, ..)| {
            let at = self
                .target
                .table
                .columns
                .iter()
                .position(|c| c.name == of_child)?;
            let column = &self.target.table.columns[at];
            (self.used[at] && is_number(column)).then_some(column)
        });
        let given = columns.map(|c| {
            format!(
                "(SELECT c.{} AS n FROM {} c) c",
                c.staged(),
                self.temporary()
            )
        });
        given.collect()
    }

    /// Gives staged records of rows that are not there a value in place of the number that the database
    /// will give them; records with one key get one. `given` are what records give by themselves for references to
    /// it, each for `FROM`, as `n`: no stand-in is one of these. `None` where the database gives none, or a record of
    /// another table does.
    pub(in crate::pg) fn number(&self, column: usize, given: &[String]) -> Option<Statement> {
        let table = &self.target.table;
        let number = &table.columns[column];
        number.by_database()?;
        if self.target.lookups.of_column(column).is_some() {
            return None;
        }
        let (stage, cell, name) = (self.temporary(), number.staged(), Ident(&number.name));
        let (mut from, mut first) = (self.beside().each(), "s._n");
        if self.duplicates {
            from += &format!(" LEFT JOIN {} d ON d._n = s._n", self.duplicates_table());
            first = "coalesce(d.first, s._n)";
        }
        let own = [
            format!("(SELECT t.{name} AS n FROM {} t) t", table.rows),
            format!("(SELECT s.{cell} AS n FROM {stage} s) s"),
        ];
        let outmost = |outmost: &str, of_all: &str| {
            let all = own.iter().chain(given);
            let each = all.map(|rows| format!("(SELECT pg_catalog.{of_all}(n) FROM {rows})"));
            format!("(SELECT {outmost}(0, {}))", list(each))
        };
        let rank = format!("pg_catalog.dense_rank() OVER (ORDER BY {first})");
        let (lowest, highest) = (outmost("least", "min"), outmost("greatest", "max"));
        let value = provisional(number, &rank, &lowest, &highest)?;
        let sql = format!(
            "UPDATE {stage} s SET {cell} = x.number FROM (SELECT s._n, {value} AS number FROM {from} \
             WHERE {ABSENT} AND NOT s._goes AND s.{cell} IS NOT DISTINCT FROM NULL) x WHERE x._n = s._n"
        );
        let doing = format!("numbering the new rows of table {}", self.target.name);
        Some(Statement::new(doing, sql))
    }

    /// For `FROM`: staged records `p` of rows that are new, each of which stands for its key.
    pub(super) fn new_rows(&self, lookup: &Lookup, of: Of) -> (String, String) {
        let (mut from, mut conditions) = (
            format!("{} p", self.temporary()),
            vec!["NOT p._goes".to_owned()],
        );
        if self.duplicates {
            from += &format!(" LEFT JOIN {} d ON d._n = p._n", self.duplicates_table());
            conditions.push(self.stands_for_key("p"));
        }
        conditions.extend(self.is_for_its_row("p"));
        if let (Of::LiveRows, Some((column, mark))) = (of, &lookup.mark) {
            conditions.push(mark.lives(&format!("p.{}", column.staged())));
        }
        // What is there was found in the database, if it has the key.
        if !lookup.is_by(&self.target.config.natural_key) {
            let table = &self.target.table.rows;
            let equal = keys_equal(&self.target.key(), "p", "t");
            conditions.push(format!("NOT EXISTS (SELECT FROM {table} t WHERE {equal})"));
        }
        (from, all(conditions))
    }

    /// Looks up among the records of the batch.
    pub(in crate::pg) fn find_staged(
        &self,
        lookup: &Lookup,
        parent: &Stage<'_>,
        of: Of,
    ) -> Statement {
        let (from, is_new) = parent.new_rows(lookup, of);
        let number = format!("p.{}", lookup.target.staged());
        let sql = format!(
            "UPDATE {stage} s SET {sets}, {new_key} = {key} FROM {from} WHERE {open} AND {names} AND {is_new} \
             AND {number} IS DISTINCT FROM NULL",
            stage = self.temporary(),
            sets = self.sets(lookup, &number),
            new_key = lookup.new_key(),
            key = parent.key_json("p"),
            open = self.open(lookup),
            names = self.names_new(lookup, parent),
        );
        self.looking_up(lookup, sql)
    }
}
