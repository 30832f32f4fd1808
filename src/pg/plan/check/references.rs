//! Rows that would refer to nothing.

use super::{After, Asked, CHANGED, COUNTS, N, NEW, REFERS, ROW, TABLE, has, parents_by, who};
use crate::error::Result;
use crate::pg::Session;
use crate::plan::ViolationKind;
use crate::sql::{Ident, Literal, Statement, all, list};
use crate::table::lookup::Lookup;
use crate::table::row::keys_equal;
use crate::table::schema::{Column, ForeignKey};

impl After<'_> {
    /// Rows whose parent would be missing.
    pub(super) async fn parents(
        &self,
        session: &Session,
        all: &[After<'_>],
        asked: Asked,
    ) -> Result<u64> {
        let mut found = 0;
        for lookup in &self.target.lookups.all {
            let misnamed = [
                self.renamed(lookup, all, asked),
                self.overtaken(lookup, all, asked),
            ];
            for misnamed in misnamed.into_iter().flatten() {
                found += self.note_all(session, &misnamed).await?;
            }
        }
        for key in self.target.foreign_keys() {
            let orphans = self.orphans(key, all, asked);
            found += self.note_all(session, &orphans).await?;
            for parent in parents_by(key, all) {
                if let Some(strayed) = self.strayed(key, parent, asked) {
                    found += self.note_all(session, &strayed).await?;
                }
                if parent.draws_along(key) {
                    let from = format!("{} a", self.temporary());
                    key.near_parents(&from).bring(session).await?;
                    let outdated = self.outdated(key, parent, asked);
                    found += self.note_all(session, &outdated).await?;
                }
            }
            if key.match_full && key.columns.len() > 1 && asked == Asked::First {
                found += self.note_all(session, &self.half_given(key)).await?;
            }
        }
        Ok(found)
    }

    /// Rows that would refer to a row which is neither there nor brought by this plan.
    pub(in crate::pg) fn orphans(
        &self,
        key: &ForeignKey,
        others: &[After<'_>],
        asked: Asked,
    ) -> Statement {
        let columns = self.columns_of(key);
        let (beside, values) = self.shown(&columns, "a");
        let value = format!("pg_catalog.concat_ws(', ', {})", list(values));
        let has = |columns: &str| {
            let what = format!(
                "no row of {} has {columns} = ",
                self.target.other(&key.parent)
            );
            Literal(&what).to_string()
        };
        let what = has(&key.parent_columns.join(", "));
        let what = match columns.as_slice() {
            [one] if let Some(lookup) = self.looked_up(one) => format!(
                "CASE WHEN s.{} IS NOT NULL THEN {} ELSE {what} END",
                said_name(lookup),
                has(&self.target.lookups.columns(lookup))
            ),
            _ => what,
        };
        let mut parents = parents_by(key, others);
        let moves = parents.any(|p| key.parent_columns.iter().any(|c| p.moves(c)));
        let changed = match moves {
            true => " once this plan has changed others",
            false => "",
        };
        let where_ = format!(
            ", neither in the database{changed} nor among the records of this plan that can be loaded ({})",
            key.name
        );
        let mut rows = self.orphaned(key, others, asked);
        if !beside.is_empty() {
            // What people are told is looked for when there is something to tell.
            rows = format!("(SELECT a.* FROM {rows} OFFSET 0) a{beside}");
        }
        let select = format!(
            "SELECT a.{N}, {field}, {value}, {what} || {value} || {where_} FROM {rows}",
            field = only_column(&key.columns),
            where_ = Literal(&where_),
        );
        self.find(ViolationKind::MissingParent, &select)
    }

    /// The lookup whose answer is a column.
    pub(super) fn looked_up(&self, column: &Column) -> Option<&Lookup> {
        let mut columns = self.target.table.columns.iter();
        let index = columns.position(|c| c == column)?;
        self.target.lookups.of_column(index)
    }

    /// The values of columns of the row `alias` for people, and what has to be joined for that: what was
    /// looked up is shown as the key by which it was, because the number means nothing or is none.
    pub(super) fn shown(&self, columns: &[&Column], alias: &str) -> (String, Vec<String>) {
        let lookups = &self.target.lookups;
        let mut said = Vec::new();
        let values = columns.iter().map(|column| {
            let text = column.text(alias);
            match self.looked_up(column) {
                None => text,
                Some(lookup) => {
                    let name = said_name(lookup);
                    said.push(format!(
                        "CASE WHEN s.{} IS DISTINCT FROM NULL THEN {} END AS {name}",
                        lookup.found(),
                        lookups.said(lookup, "s")
                    ));
                    format!("coalesce(s.{name}, {text})")
                }
            }
        });
        let values = values.collect();
        if said.is_empty() {
            return (String::new(), values);
        }
        // Under names that no column of the table has.
        let beside = format!(
            " LEFT JOIN (SELECT s._n AS \"loader said n\", {} FROM {} s) s ON s.\"loader said n\" = {alias}.{N}",
            list(said),
            self.stage.temporary()
        );
        (beside, values)
    }

    /// Records that name a row by a key which this plan changes, those too that change nothing: of the rows as they will
    /// be they name another one.
    fn renamed(&self, lookup: &Lookup, all: &[After<'_>], asked: Asked) -> Option<Statement> {
        let mut parents = all.iter();
        let parent = parents.find(|p| p.target.table.name == lookup.relation)?;
        let by = lookup.by.iter().map(|part| part.column.name.clone());
        // What is stored of the reference moves, too, where that is no number.
        let moved = by.chain([lookup.target.name.clone()]);
        let moved: Vec<String> = moved.filter(|column| parent.moves(column)).collect();
        let another = match moved.as_slice() {
            [] => return None,
            [target] if *target == lookup.target.name => target,
            _ => "one",
        };
        let message = format!(
            "this plan gives the row of {} that has this {} another {another}; deliver that in a batch before",
            lookup.table,
            self.target.lookups.columns(lookup)
        );
        let select = format!(
            "SELECT a.{N}, {field}::text, {said}, {message}::text FROM {after} a JOIN {stage} s ON s._n = a.{N} \
             JOIN {table} p ON {found} WHERE {asked} AND s.{new} IS NULL AND {changes}",
            field = Literal(&self.target.table.columns[lookup.of].name),
            said = self.target.lookups.said(lookup, "s"),
            message = Literal(&message),
            after = self.temporary(),
            stage = self.stage.temporary(),
            table = lookup.rows,
            found = lookup.target.equality.equal(
                format_args!("p.{}", Ident(&lookup.target.name)),
                format_args!("s.{}", lookup.found())
            ),
            asked = asked.about("a"),
            new = lookup.new_key(),
            changes = parent.changes(&moved, "p"),
        );
        Some(self.find(ViolationKind::MissingParent, &select))
    }

    /// Records that name a row by a key which another row has when the plan is applied, because the row that they find is
    /// marked as deleted then: looked up after that, the key finds the other one.
    fn overtaken(&self, lookup: &Lookup, all: &[After<'_>], asked: Asked) -> Option<Statement> {
        lookup.mark.as_ref()?;
        let mut parents = all.iter();
        let parent = parents.find(|p| p.target.table.name == lookup.relation)?;
        let is_found = |row: &str| {
            lookup.target.equality.equal(
                format_args!("{row}.{}", Ident(&lookup.target.name)),
                format_args!("s.{}", lookup.found()),
            )
        };
        let written = |row: &str| {
            let table = parent.temporary();
            format!("SELECT FROM {table} {row} WHERE {row}.{CHANGED} AND {row}.{COUNTS}")
        };
        let lookups = &self.target.lookups;
        let has_key = crate::sql::all(lookup.by.iter().map(|part| {
            let column = format!("q.{}", Ident(&part.column.name));
            part.equality.equal(column, lookups.value(part, "s"))
        }));
        let message = format!(
            "the row of {} that has this is marked as deleted by this plan or before, and the plan gives its {} to another \
             row; deliver that in a batch before",
            lookup.table,
            lookups.columns(lookup)
        );
        let select = format!(
            "SELECT a.{N}, {field}::text, {said}, {message}::text FROM {after} a JOIN {stage} s ON s._n = a.{N} \
             WHERE {asked} AND s.{new} IS NULL AND s.{found} IS DISTINCT FROM NULL \
               AND EXISTS ({taker} AND {has_key} AND {takes} AND (q.{NEW} OR NOT ({is_taker}))) \
               AND NOT EXISTS ({revived} AND NOT r.{NEW} AND {is_revived} AND {lives}) \
               AND NOT EXISTS (SELECT FROM {table} p WHERE {is_there} AND {stays} \
                 AND NOT EXISTS ({of_plan} AND g.{ROW} = p.ctid AND g.{TABLE} = p.tableoid))",
            field = Literal(&self.target.table.columns[lookup.of].name),
            said = lookups.said(lookup, "s"),
            message = Literal(&message),
            after = self.temporary(),
            stage = self.stage.temporary(),
            asked = asked.about("a"),
            new = lookup.new_key(),
            found = lookup.found(),
            taker = written("q"),
            takes = lookup.lives_as("q"),
            is_taker = is_found("q"),
            revived = written("r"),
            is_revived = is_found("r"),
            lives = lookup.lives_as("r"),
            table = lookup.rows,
            is_there = is_found("p"),
            stays = lookup.lives(),
            of_plan = written("g"),
        );
        Some(self.find(ViolationKind::MissingParent, &select))
    }

    /// Rows that would refer to somebody else's row: the batch itself has a record with the value that
    /// they refer to, and that record's row will not have it. `None` where the value is the parent's
    /// natural key, which its row has, or where no record of the batch brings one.
    pub(in crate::pg) fn strayed(
        &self,
        key: &ForeignKey,
        parent: &After<'_>,
        asked: Asked,
    ) -> Option<Statement> {
        let (stage, target) = (parent.stage, parent.target);
        if (key.parent_columns.iter()).all(|c| target.config.natural_key.contains(c)) {
            return None;
        }
        let (mut said, mut as_said, mut as_it_will_be) = (Vec::new(), Vec::new(), Vec::new());
        let mut given = Vec::new();
        for (i, (child, of_parent, equality)) in key.pairs().enumerate() {
            let columns = &target.table.columns;
            let at = columns.iter().position(|c| c.name == of_parent)?;
            if !stage.used[at] && !target.is_ignored(&columns[at]) {
                return None;
            }
            let (name, child) = (Ident(of_parent), format!("a.{}", Ident(child)));
            said.push(format!(
                "s.{} AS k{i}, CASE WHEN p.{N} IS NULL THEN t.{name} ELSE p.{name} END AS w{i}",
                columns[at].staged()
            ));
            as_said.push(equality.equal(format!("m.k{i}"), &child));
            as_it_will_be.push(equality.equal(format!("m.w{i}"), &child));
            given.push(format!("{child} IS DISTINCT FROM NULL"));
        }
        let width = said.len();
        let texts = |of: &str| list((0..width).map(|i| format!("m.{of}{i}::text")));
        let select = format!(
            "WITH said AS MATERIALIZED (SELECT {said}, {who} AS who FROM {staged} s \
               LEFT JOIN {after_parent} p ON p.{COUNTS} AND {same_key} LEFT JOIN {table} t ON {keys_equal}) \
             SELECT DISTINCT ON (a.{N}) a.{N}, {field}, pg_catalog.concat_ws(', ', {values}), {own}::text || m.who || coalesce({becomes} || {will_be}, {left_out}) || {fk} \
             FROM {after} a JOIN said m ON {as_said} \
             WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}) AND {asked} AND {given} \
               AND NOT EXISTS (SELECT FROM said m WHERE {as_said} AND {as_it_will_be}) \
               AND NOT EXISTS (SELECT FROM pg_temp.loader_findings v WHERE v._t = {number} AND v._n = a.{N} AND v.kind = '{kind}') \
             ORDER BY a.{N}, m.who",
            said = list(said),
            who = parent.who_staged(),
            staged = stage.temporary(),
            after_parent = parent.temporary(),
            same_key = keys_equal(&target.key(), "s", "p"),
            table = target.table.rows,
            keys_equal = stage.beside().keys_equal(),
            field = only_column(&key.columns),
            values = texts("k"),
            own = Literal(&format!(
                "the batch's own record of {} with this {} (",
                target.other(&key.parent),
                key.parent_columns.join(", ")
            )),
            becomes = Literal(") is the row whose other value is "),
            will_be = format_args!("nullif(pg_catalog.concat_ws(', ', {}), '')", texts("w")),
            left_out = Literal(") is left out, or is numbered by the database"),
            fk = Literal(&format!(
                ", so that this would refer to another row ({})",
                key.name
            )),
            after = self.temporary(),
            as_said = all(&as_said),
            as_it_will_be = all(&as_it_will_be),
            asked = asked.about("a"),
            given = all(given),
            number = self.target.place,
            kind = ViolationKind::MissingParent,
        );
        Some(self.find(ViolationKind::MissingParent, &select))
    }

    /// The natural key of staged record `s`, for people.
    fn who_staged(&self) -> String {
        let key = self.target.key().into_iter();
        who(key.map(|(c, _)| (c, c.staged_text("s"))))
    }

    /// Rows that give some columns of a `MATCH FULL` key and not others.
    pub(in crate::pg) fn half_given(&self, key: &ForeignKey) -> Statement {
        let columns = key.columns.iter().map(|c| format!("a.{}", Ident(c)));
        let nulls = format!("pg_catalog.num_nulls({})", list(columns));
        let message = format!(
            "{} must be given together or be null together ({})",
            key.columns.join(", "),
            key.name
        );
        let select = format!(
            "SELECT a.{N}, NULL::text, NULL::text, {}::text FROM {} a \
             WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}) AND {nulls} > 0 AND {}",
            Literal(&message),
            self.temporary(),
            all([format!("{nulls} < {}", key.columns.len())]
                .into_iter()
                .chain(has(key))),
        );
        self.find_unquoted(ViolationKind::MissingParent, &select)
    }
}

/// The name under which what a record says by a lookup's key is joined.
pub(super) fn said_name(lookup: &Lookup) -> String {
    format!("\"loader said {}\"", lookup.number)
}

/// The one column's name as SQL; null of several.
pub(super) fn only_column(columns: &[String]) -> String {
    match columns {
        [one] => format!("{}::text", Literal(one)),
        _ => "NULL::text".into(),
    }
}
