//! What is looked up for staged records, as SQL.

use super::{Lookup, Lookups, Origin, Part, keeps};
use crate::sql::{Ident, Literal, all, list};
use crate::table::schema::Column;

impl Lookup {
    /// What it found for a staged record, as a staging column's name.
    pub fn found(&self) -> String {
        format!("l{}", self.number)
    }

    /// The natural key, as JSON, of the batch's own record whose new row it found, as a staging column's name.
    pub fn new_key(&self) -> String {
        format!("k{}", self.number)
    }

    /// The condition that `column` keeps what was found, SQL; `None` where it keeps all that can be.
    pub fn is_kept(&self, column: &Column, found: &str) -> Option<String> {
        keeps(column, &self.target, found).filter(|kept| !kept.is_empty())
    }

    /// What `column` gets where this was found, as SQL: null where it would not keep it.
    pub fn answer(&self, column: &Column, found: &str) -> String {
        let cast = format!("({found})::{}", column.base_type_sql);
        match self.is_kept(column, found) {
            Some(kept) => format!("CASE WHEN {kept} THEN {cast} END"),
            None => cast,
        }
    }

    /// The condition that row `p` of its table is the one to which row `child` refers, whose number is `number` (SQL).
    fn is_meant(&self, p: &str, number: &str, child: &str) -> String {
        let target = format!("{p}.{}", Ident(&self.target.name));
        let number = self.target.equality.equal(target, number);
        let beside = self.beside.iter().map(|(of_child, of_parent, equality)| {
            let of_parent = format!("{p}.{}", Ident(of_parent));
            equality.equal(of_parent, format_args!("{child}.{}", Ident(of_child)))
        });
        all([number].into_iter().chain(beside))
    }

    /// The condition that a row `p` of its table is not marked as deleted.
    pub fn lives(&self) -> String {
        self.lives_as("p")
    }

    /// The condition that the row `alias` of its table, or one that has its columns, is not marked as deleted.
    pub fn lives_as(&self, alias: &str) -> String {
        match &self.mark {
            Some((column, mark)) => mark.lives(&format!("{alias}.{}", Ident(&column.name))),
            None => "true".into(),
        }
    }

    /// Whether the table in which is looked up is in shards.
    pub fn is_far(&self) -> bool {
        self.rows != self.relation
    }

    /// Whether it is looked up by exactly these columns.
    pub fn is_by(&self, columns: &[String]) -> bool {
        columns.len() == self.by.len() && self.by.iter().all(|p| columns.contains(&p.column.name))
    }
}

/// What staged record `alias` says of a lookup, as SQL.
impl Lookups {
    /// The value by which a part is looked up.
    pub fn value(&self, part: &Part, alias: &str) -> String {
        match part.from {
            Origin::Field(field) => format!("{alias}.{}", self.fields[field].staged()),
            Origin::Lookup(inner) => format!("{alias}.{}", self.all[inner].found()),
        }
    }

    /// The key's values for people, `, ` between them.
    pub fn said(&self, lookup: &Lookup, alias: &str) -> String {
        let fields = self.fields_of(lookup);
        let texts = fields.iter().map(|f| self.fields[*f].staged_text(alias));
        format!("pg_catalog.concat_ws(', ', {})", list(texts))
    }

    /// The key of the row that is there to which row `child` refers with this number (SQL), as [`Lookups::said`] has it.
    pub fn named(&self, lookup: &Lookup, number: &str, child: &str) -> String {
        let p = format!("p{}", lookup.number);
        let parts = lookup.by.iter().map(|part| match part.from {
            Origin::Field(_) => part.column.text(&p),
            Origin::Lookup(inner) => {
                let number = format!("{p}.{}", Ident(&part.column.name));
                self.named(&self.all[inner], &number, &p)
            }
        });
        format!(
            "(SELECT pg_catalog.concat_ws(', ', {}) FROM {} {p} WHERE {} LIMIT 1)",
            list(parts),
            lookup.rows,
            lookup.is_meant(&p, number, child)
        )
    }

    /// The row that is there to which row `child` refers with this number (SQL), as JSON: see `plan::Value`; null where
    /// none is.
    pub fn named_json(&self, lookup: &Lookup, number: &str, child: &str) -> String {
        let p = format!("p{}", lookup.number);
        let target = format!("{p}.{}", Ident(&lookup.target.name));
        let parts = lookup.by.iter().map(|part| {
            let value = match part.from {
                Origin::Field(_) => part.column.text(&p),
                Origin::Lookup(inner) => {
                    let number = format!("{p}.{}", Ident(&part.column.name));
                    self.named_json(&self.all[inner], &number, &p)
                }
            };
            format!("{}, {value}", Literal(&part.column.name))
        });
        format!(
            "(SELECT pg_catalog.json_build_object('stored', {stored}, 'table', {table}::text, 'key', \
               pg_catalog.json_build_object({key})) FROM {relation} {p} WHERE {same} LIMIT 1)",
            stored = lookup.target.printed(&target),
            table = Literal(&lookup.table),
            key = list(parts),
            relation = lookup.rows,
            same = lookup.is_meant(&p, number, child),
        )
    }

    /// The columns of the key for people, those of a table behind the column that refers to it.
    pub fn columns(&self, lookup: &Lookup) -> String {
        let parts = lookup.by.iter().map(|part| match part.from {
            Origin::Field(_) => part.column.name.clone(),
            Origin::Lookup(inner) => {
                format!("{} ({})", part.column.name, self.columns(&self.all[inner]))
            }
        });
        list(parts)
    }

    /// The key as a JSON object, of rows that are there.
    fn key(&self, lookup: &Lookup, alias: &str) -> String {
        let parts = lookup.by.iter().map(|part| {
            let value = match part.from {
                Origin::Field(field) => self.fields[field].staged_text(alias),
                Origin::Lookup(inner) => self.there(&self.all[inner], alias),
            };
            format!("{}, {value}", Literal(&part.column.name))
        });
        format!("pg_catalog.json_build_object({})", list(parts))
    }

    /// What was found in the database, as JSON: see `plan::Value`.
    fn there(&self, lookup: &Lookup, alias: &str) -> String {
        format!(
            "pg_catalog.json_build_object('stored', {}, 'table', {}::text, 'key', {})",
            lookup
                .target
                .printed(&format!("{alias}.{}", lookup.found())),
            Literal(&lookup.table),
            self.key(lookup, alias)
        )
    }

    /// What a lookup is read back from: the natural key of the new row, then what [`Lookups::there`] is made of.
    pub fn sent(&self, lookup: &Lookup, alias: &str) -> Vec<String> {
        let mut sent = vec![format!("{alias}.{}", lookup.new_key())];
        self.send(lookup, alias, &mut sent);
        sent
    }

    /// What was found, and the values by which it was, each in its place.
    fn send(&self, lookup: &Lookup, alias: &str, sent: &mut Vec<String>) {
        sent.push(format!("{alias}.{}", lookup.found()));
        for part in &lookup.by {
            match part.from {
                Origin::Field(field) => {
                    sent.push(format!("{alias}.{}", self.fields[field].staged()));
                }
                Origin::Lookup(inner) => self.send(&self.all[inner], alias, sent),
            }
        }
    }

    /// What was found, as JSON: see `plan::Value`. Null where nothing was looked up.
    pub fn json(&self, lookup: &Lookup, alias: &str) -> String {
        format!(
            "CASE WHEN {alias}.{new} IS NOT NULL THEN pg_catalog.json_build_object('new', {table}::text, 'key', {alias}.{new}::json) \
             WHEN {alias}.{found} IS DISTINCT FROM NULL THEN {there} END",
            new = lookup.new_key(),
            found = lookup.found(),
            table = Literal(&lookup.table),
            there = self.there(lookup, alias),
        )
    }
}
