//! Comparison: staged records meet the current rows in one snapshot, and come back as PostgreSQL
//! spells them.

mod answer;
mod entries;
mod found_row;
mod looked_up;
mod pending;

use std::collections::BTreeMap;

use crate::error::Result;
use crate::pg::beside::{FOUND, Found};
use crate::pg::near;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::stage::Stage;
use crate::plan::decision::{Rule, Wins};
use crate::plan::passed_over::MOST;
use crate::plan::{Entry, PassedOver};
use crate::sql::copytext::CopyRow;
use crate::sql::{Ident, Literal, Statement, any, list};
use crate::table::config::TableConfig;
use crate::table::schema::Column;

use found_row::FoundRow;
use pending::Pending;

impl Snapshot<'_> {
    /// Decides about every staged record of one table and gives the entries to `sink`, in any order,
    /// each with bytes that put it in the order of the natural key's text and then of the records:
    /// the database is not kept from sending while it sorts. `origin` names object and position.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database), and whatever `sink` returns.
    pub async fn compare(
        &self,
        stage: &Stage<'_>,
        origin: &dyn Fn(usize, u64) -> String,
        sink: Sink<'_>,
    ) -> Result<PassedOver> {
        let found = self.finds(stage.target).await?;
        let mut comparison = Comparison::new(stage, origin, sink);
        let statement = comparison.statement(found);
        near::bring(self.session, &near::names(stage.target)).await?;
        let mut lines = self.session.copy_out(&statement).await?;
        let mut row = CopyRow::default();
        while lines.next(&mut row).await? {
            comparison.row(&mut row)?;
        }
        comparison.flush()?;
        let Comparison {
            found_rows,
            ignored,
            ..
        } = comparison;
        let columns = &stage.target.table.columns;
        let nulls = ignored.into_iter();
        let nulls = nulls.map(|(i, n)| (columns[i].name.clone(), n));
        Ok(PassedOver {
            rows: self.not_brought(stage, found_rows).await?,
            nulls: nulls.collect(),
        })
    }

    /// How many rows that live the delivery does not bring, where it brings `found` of them.
    async fn not_brought(&self, stage: &Stage<'_>, found: u64) -> Result<u64> {
        if !stage.target.config.complete.is_no() || stage.rows == 0 {
            return Ok(0);
        }
        let there = self.session.count(&stage.count_rows(found + MOST)).await?;
        Ok(there.saturating_sub(found))
    }
}

impl Stage<'_> {
    /// How many rows of the table live, counted up to `most`.
    pub(in crate::pg) fn count_rows(&self, most: u64) -> Statement {
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {} t WHERE {} LIMIT {most}) x",
            self.target.table.name,
            self.beside().live()
        );
        Statement::new(
            format!("counting the rows of table {}", self.target.name),
            sql,
        )
    }
}

/// Takes an entry with what puts it in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8], Entry) -> Result<()>;

pub(in crate::pg) struct Comparison<'c> {
    stage: &'c Stage<'c>,
    config: &'c TableConfig,
    doing: String,
    origin: &'c dyn Fn(usize, u64) -> String,
    sink: Sink<'c>,
    /// Indices of the columns that matter, in table order.
    columns: Vec<usize>,
    /// How the row that a record found is sent.
    found_row: FoundRow,
    rules: Vec<Rule>,
    pending: Option<Pending>,
    /// Rows whose memory can be used again.
    spare: Vec<CopyRow>,
    /// How many rows that live were found.
    found_rows: u64,
    /// Nulls that did not win over a value, by column.
    ignored: BTreeMap<usize, u64>,
    /// The column by which the table is grouped, by index.
    group: Option<usize>,
}

impl<'c> Comparison<'c> {
    pub(in crate::pg) fn new(
        stage: &'c Stage<'c>,
        origin: &'c dyn Fn(usize, u64) -> String,
        sink: Sink<'c>,
    ) -> Comparison<'c> {
        let config = &stage.target.config;
        let (mut columns, mut rules) = (Vec::new(), Vec::new());
        for (i, column) in stage.target.table.columns.iter().enumerate() {
            let rule = Rule::of(column, config);
            if stage.used[i] || rule.required || in_full(&rule) {
                columns.push(i);
                rules.push(rule);
            }
        }
        let group = config.group_by.as_ref();
        let group = group.and_then(|name| {
            let table = &stage.target.table;
            table.columns.iter().position(|c| c.name == *name)
        });
        let at = answer::behind(stage, columns.len()) + usize::from(group.is_some());
        Comparison {
            found_row: FoundRow::of(stage, &columns, group, at),
            group,
            stage,
            config,
            doing: format!("comparing the records of table {}", stage.target.name),
            origin,
            sink,
            columns,
            rules,
            pending: None,
            spare: Vec::new(),
            found_rows: 0,
            ignored: BTreeMap::new(),
        }
    }

    /// The query: one line for each record and row that its key finds, or none; those of one record
    /// together. Its columns are those that [`answer`] names.
    pub(in crate::pg) fn statement(&self, found: Found) -> Statement {
        let stage = self.stage;
        let table = &stage.target.table;
        let beside = stage.beside();
        let mut from = beside.each();
        let mut duplicates = vec!["NULL".to_owned(); 6];
        if stage.duplicates {
            from += &format!(
                " LEFT JOIN {} d ON d._n = s._n LEFT JOIN {stage} f ON f._n = d.first LEFT JOIN {stage} o ON o._n = d.other",
                stage.duplicates_table(),
                stage = stage.temporary()
            );
            duplicates = [
                "d.first",
                "d.last",
                "d.variants",
                "o._object",
                "o._position",
            ]
            .map(str::to_owned)
            .into();
            duplicates.push(self.differs());
        }
        let mut findings = "NULL";
        if stage.findings {
            from += &format!(
                " LEFT JOIN (SELECT _n, pg_catalog.json_agg(pg_catalog.json_build_object('kind', kind, \
                 'field', field, 'given', given, 'message', message, 'quotes', quotes, 'values', vals::json) ORDER BY kind, field, message)::text AS findings \
                 FROM pg_temp.loader_findings WHERE _t = {} GROUP BY _n) v ON v._n = s._n",
                stage.target.place
            );
            findings = "v.findings";
        }
        let goes = if stage.deletes { "s._goes" } else { "NULL" };
        let mut select = vec![
            format!(
                "s._n, s._object, s._position, s._given, s._findings, s._rounded, {findings}, {}",
                list(duplicates)
            ),
            format!("{FOUND}, NOT ({})", beside.live()),
            format!("s._extracted, s._left_out, {goes}"),
            self.nulls(),
        ];
        let columns = self.columns.iter().map(|i| &table.columns[*i]);
        let columns = columns.zip(&self.rules);
        select.extend(columns.map(|(column, rule)| staged_value(column, rule)));
        if stage.duplicates {
            select.extend(
                stage
                    .target
                    .key()
                    .iter()
                    .map(|(c, _)| format!("f.{}", c.staged())),
            );
        }
        let lookups = &stage.target.lookups;
        for lookup in lookups.answers() {
            select.extend(lookups.sent(lookup, "s"));
            // The row to which the found one refers, where it is changed there or goes.
            let column = &table.columns[lookup.of];
            let number = format!("t.{}", Ident(&column.name));
            let changes = format!(
                "pg_catalog.substr(s._given, {}, 1) = '1' AND {number} IS DISTINCT FROM s.{}",
                lookup.of + 1,
                column.staged()
            );
            // A row that was found by its key refers to the same.
            let changes = (!self.config.natural_key.contains(&column.name)).then_some(changes);
            let goes = stage.deletes.then(|| "s._goes".to_owned());
            let asked: Vec<String> = changes.into_iter().chain(goes).collect();
            select.push(match asked.is_empty() {
                true => "NULL".to_owned(),
                false => format!(
                    "CASE WHEN {FOUND} AND {} THEN {} END",
                    any(asked),
                    lookups.named_json(lookup, &number, "t")
                ),
            });
        }
        if let Some(i) = self.group {
            select.push(if stage.used[i] {
                table.columns[i].staged_text("s")
            } else {
                "NULL".to_owned()
            });
        }
        select.push(self.found_row.sql(table, &self.config.ignore_drift));
        let order = match found {
            Found::OneRow => String::new(),
            // Of several rows, the same one each time, wherever they lie.
            Found::Rows => format!(
                " ORDER BY s._n{}, CASE WHEN pg_catalog.count(*) OVER (PARTITION BY s._n) > 1 THEN {} END",
                beside.then_live_first(),
                table.digest("t", &self.config.ignore_drift)
            ),
        };
        let sql = format!(
            "COPY (SELECT {} FROM {from}{order}) TO STDOUT",
            list(select)
        );
        Statement::new(&self.doing, sql)
    }
}

impl Comparison<'_> {
    /// Of a record that found a row and has nulls, which columns are null, each `1` or `0`: their values are
    /// sent as null, and so are those that print as the row's.
    fn nulls(&self) -> String {
        let cells = self.columns.iter().zip(&self.rules).map(|(i, rule)| {
            let cell = format!("s.{}", self.stage.target.table.columns[*i].staged());
            (cell, self.stage.used[*i] && !in_full(rule))
        });
        let cells: Vec<(String, bool)> = cells.collect();
        let asked: Vec<&String> = cells.iter().filter(|(_, a)| *a).map(|(c, _)| c).collect();
        if asked.is_empty() {
            return "NULL".into();
        }
        // A function takes a hundred values.
        let counts = asked
            .chunks(100)
            .map(|cells| format!("pg_catalog.num_nulls({})", list(cells)));
        let each = cells.chunks(100).map(|cells| {
            let each = cells.iter().map(|(cell, asked)| match asked {
                true => format!("CASE WHEN {cell} IS NOT DISTINCT FROM NULL THEN '1' ELSE '0' END"),
                false => "'0'".into(),
            });
            format!("pg_catalog.concat({})", list(each))
        });
        format!(
            "CASE WHEN {FOUND} AND {} > 0 THEN {} END",
            counts.collect::<Vec<_>>().join(" + "),
            each.collect::<Vec<_>>().join(" || ")
        )
    }

    /// As JSON, the columns beside the key in which record `s` and its other one `o` differ: of each
    /// name, whether `s` gives it, its text, and the same of `o`.
    fn differs(&self) -> String {
        let columns = self
            .columns
            .iter()
            .map(|i| (*i, &self.stage.target.table.columns[*i]));
        let columns = columns.filter(|(_, c)| !self.config.natural_key.contains(&c.name));
        let rows: Vec<String> = columns
            .map(|(i, c)| {
                let lookups = &self.stage.target.lookups;
                let of = |alias| {
                    let given = format!("pg_catalog.substr({alias}._given, {}, 1) = '1'", i + 1);
                    let value = match lookups.of_column(i) {
                        // As it stands in the plan.
                        Some(lookup) => format!(
                            "coalesce({}, pg_catalog.to_json({}))::text",
                            lookups.json(lookup, alias),
                            c.staged_text(alias)
                        ),
                        None => c.staged_text(alias),
                    };
                    format!("{given}, {value}")
                };
                format!("({}, {}, {})", Literal(&c.name), of("s"), of("o"))
            })
            .collect();
        if rows.is_empty() {
            return "NULL".into();
        }
        format!(
            "CASE WHEN d.variants > 1 THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(x.c, x.g, x.v, x.h, x.w))::text \
             FROM (VALUES {}) x(c, g, v, h, w) WHERE ROW(x.g, x.v) IS DISTINCT FROM ROW(x.h, x.w)) END",
            list(rows)
        )
    }
}

/// Whether a column's values are always sent.
fn in_full(rule: &Rule) -> bool {
    matches!(rule.wins, Wins::Never | Wins::Revives(_))
}

/// The staged value; null where it surely prints as the row's does.
fn staged_value(column: &Column, rule: &Rule) -> String {
    let cell = column.sent(format!("s.{}", column.staged()));
    if in_full(rule) {
        return cell;
    }
    format!(
        "CASE WHEN {} THEN NULL ELSE {cell} END",
        column.surely_alike("s", "t")
    )
}
