//! Records that are left out with the record of the batch that would bring their parent.

use crate::error::Result;
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::sql::{Literal, Statement, list};
use crate::table::lookup::Lookup;

impl Stage<'_> {
    /// What is said of a record that is left out with record `alias` of this table, as SQL: by whom, and which
    /// parent it is. No key is named that is sensitive or not known yet.
    pub(in crate::pg) fn said_of_children(&self, alias: &str) -> String {
        let config = &self.target.config;
        let names = &config.natural_key;
        let is_hidden =
            |name: &String| config.sensitive.contains(name) || config.references.contains_key(name);
        let texts = self.target.key_columns().into_iter().map(|column| {
            let text = column.staged_text(alias);
            match names.len() {
                1 => text,
                _ => format!("{} || '=' || {text}", Literal(&column.name)),
            }
        });
        let key = match names.iter().any(is_hidden) {
            true => "NULL".to_owned(),
            false => format!("pg_catalog.concat_ws(', ', {})", list(texts)),
        };
        format!(
            "pg_catalog.json_build_object('by', {alias}._left_out::pg_catalog.json ->> 'by', 'parent', \
             pg_catalog.json_build_object('table', {table}, 'key', {key}, 'object', {alias}._object, \
             'position', {alias}._position))::pg_catalog.text",
            table = Literal(&self.target.name)
        )
    }

    /// Sets aside the records that name, by a lookup, a row which only a record of `parent` would bring that is
    /// left out. They name it as they would have named the new row.
    pub(in crate::pg) fn take_along(&self, lookup: &Lookup, parent: &Stage<'_>) -> Statement {
        let (stage, parents) = (self.temporary(), parent.temporary());
        let sql = format!(
            "UPDATE {stage} s SET _left_out = coalesce(s._left_out, x.why), {sets}, {new_key} = x.key \
             FROM (SELECT DISTINCT ON (s._n) s._n AS n, {why} AS why, p.{number} AS number, {key} AS key \
             FROM {stage} s JOIN {parents} p ON {names} WHERE {open} AND NOT s._goes \
             AND NOT p._goes AND p._left_out IS NOT NULL AND (s._left_out IS NULL OR p.{number} IS DISTINCT FROM NULL) ORDER BY s._n, p._n) x WHERE x.n = s._n",
            sets = self.sets(lookup, "x.number"),
            new_key = lookup.new_key(),
            why = parent.said_of_children("p"),
            number = lookup.target.staged(),
            key = parent.key_json("p"),
            names = self.names(lookup, |c| c.staged()),
            open = self.open(lookup),
        );
        self.looking_up(lookup, sql)
    }
}

/// Sets aside the records of `stages[i]` whose parents in `stages[p]` are left out, and in the same table those
/// whose parents these are.
pub(super) async fn take_along(
    session: &Session,
    stages: &mut [Stage<'_>],
    (i, p): (usize, usize),
    lookup: &Lookup,
) -> Result<()> {
    loop {
        let statement = stages[i].take_along(lookup, &stages[p]);
        if session.execute(&statement).await? == 0 {
            return Ok(());
        }
        stages[i].leaves_out = true;
        if i != p {
            return Ok(());
        }
    }
}
