//! What is wrong with the keys by which records name rows.

use super::Of;
use crate::pg::plan::stage::Stage;
use crate::plan::ViolationKind;
use crate::sql::{Literal, Statement};
use crate::table::lookup::Lookup;

impl Stage<'_> {
    /// Notes records, selected by number, with what is wrong about a lookup.
    fn note(&self, lookup: &Lookup, kind: ViolationKind, which: &str, message: &str) -> Statement {
        let lookups = &self.target.lookups;
        let column = &self.target.table.columns[lookup.of].name;
        let sql = format!(
            "INSERT INTO pg_temp.loader_findings (_t, _n, kind, field, given, message) \
             SELECT {place}, s._n, '{kind}', {field}, {said}, {message} FROM {stage} s WHERE {which}",
            place = self.target.place,
            field = Literal(column),
            said = lookups.said(lookup, "s"),
            stage = self.temporary(),
        );
        self.looking_up(lookup, sql)
    }

    /// Notes records that name rows of which several are there.
    pub(in crate::pg) fn find_several_stored(
        &self,
        lookup: &Lookup,
        leaves: Option<&Stage<'_>>,
        of: Of,
    ) -> Statement {
        let lives = lookup.lives();
        let which = format!(
            "s._n IN (SELECT s._n FROM {} s JOIN {} p ON {} WHERE s.{} IS NOT DISTINCT FROM NULL GROUP BY s._n HAVING pg_catalog.count(*) > 1 \
             AND pg_catalog.count(*) FILTER (WHERE {lives}) <> 1)",
            self.temporary(),
            lookup.rows,
            self.names_row(lookup, leaves, of),
            lookup.found(),
        );
        self.note(
            lookup,
            ViolationKind::AmbiguousKey,
            &which,
            &self.several(lookup),
        )
    }

    /// Notes records that name new rows of which the batch has several.
    pub(in crate::pg) fn find_several_staged(
        &self,
        lookup: &Lookup,
        parent: &Stage<'_>,
        of: Of,
    ) -> Statement {
        let (from, is_new) = parent.new_rows(lookup, of);
        let which = format!(
            "s._n IN (SELECT s._n FROM {} s, {from} WHERE {} AND {} AND {is_new} \
             GROUP BY s._n HAVING pg_catalog.count(*) > 1)",
            self.temporary(),
            self.open(lookup),
            self.names_new(lookup, parent),
        );
        self.note(
            lookup,
            ViolationKind::AmbiguousKey,
            &which,
            &self.several(lookup),
        )
    }

    fn several(&self, lookup: &Lookup) -> String {
        let message = format!(
            "several rows of {} have this {}; a unique key on it would prevent that",
            lookup.table,
            self.target.lookups.columns(lookup)
        );
        Literal(&message).to_string()
    }

    /// Notes records that name rows which are neither there nor brought by the batch. A row that is to be
    /// deleted is not there either, then. Of new rows, `unknown` says where something is not known of them.
    pub(in crate::pg) fn find_none(
        &self,
        lookup: &Lookup,
        unknown: Option<&(String, String)>,
    ) -> Statement {
        let lookups = &self.target.lookups;
        // To a row without it, nothing can refer.
        let referred = match &lookup.target {
            target if target.not_null => String::new(),
            target => format!(" with a value in {}", target.name),
        };
        let what = format!(
            "no row of {}{referred} has {} = ",
            lookup.table,
            lookups.columns(lookup)
        );
        let nowhere = "', neither in the database nor among the new rows of this plan'";
        let where_ = match unknown {
            None => nowhere.to_owned(),
            Some((are_there, why)) => {
                let not_known = format!(
                    " in the database, and of the new rows of this plan that is not known before they are written: {why}; \
                     deliver the rows of {} in a batch before",
                    lookup.table
                );
                let not_known = Literal(&not_known);
                format!("CASE WHEN {are_there} THEN {not_known} ELSE {nowhere} END")
            }
        };
        let message = format!(
            "{}::text || {} || {where_}",
            Literal(&what),
            lookups.said(lookup, "s"),
        );
        self.note(
            lookup,
            ViolationKind::MissingParent,
            &format!("{} AND NOT s._goes", self.open(lookup)),
            &message,
        )
    }

    /// Notes records that name a row whose number the column does not keep; `None` where it keeps all that can be.
    pub(in crate::pg) fn find_unkept(&self, lookup: &Lookup) -> Option<Statement> {
        let column = &self.target.table.columns[lookup.of];
        let found = format!("s.{}", lookup.found());
        lookup.is_kept(column, &found)?;
        let which = format!(
            "{found} IS DISTINCT FROM NULL AND s.{} IS NOT DISTINCT FROM NULL",
            column.staged()
        );
        let message = format!(
            "of type {}, which does not keep the {} of the row of {} that has this {}",
            column.type_sql,
            lookup.target.name,
            lookup.table,
            self.target.lookups.columns(lookup)
        );
        let message = Literal(&message).to_string();
        Some(self.note(lookup, ViolationKind::InvalidValue, &which, &message))
    }

    /// Notes records that give a number, and a key of another row.
    pub(in crate::pg) fn find_disagreeing(&self, lookup: &Lookup) -> Statement {
        let column = &self.target.table.columns[lookup.of];
        let found = format!("s.{}", lookup.found());
        let cell = format!("s.{}", column.staged());
        let which = format!(
            "{found} IS DISTINCT FROM NULL AND NOT {}",
            lookup.target.equality.equal(&found, &cell)
        );
        let message = format!(
            "the record gives {} as well, of another row than the row of {} that has this {}",
            column.name,
            lookup.table,
            self.target.lookups.columns(lookup)
        );
        self.note(
            lookup,
            ViolationKind::InvalidValue,
            &which,
            &Literal(&message).to_string(),
        )
    }
}
