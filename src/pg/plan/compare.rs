//! Comparison: staged records meet the current rows in one snapshot, and come back as PostgreSQL
//! spells them.

mod answer;
mod entries;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::beside::{FOUND, Found};
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::stage::Stage;
use crate::plan::decision::{Field, Rule, Wins};
use crate::plan::passed_over::MOST;
use crate::plan::{Entry, PassedOver};
use crate::sql::copytext::CopyRow;
use crate::sql::{Ident, Literal, Statement, list};
use crate::table::config::TableConfig;
use crate::table::schema::Column;

use answer::{IGNORED, Pending};

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
        comparison.check_width()?;
        let statement = comparison.statement(found);
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
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {} t WHERE {} LIMIT {most}) x",
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
    rules: Vec<Rule>,
    pending: Option<Pending>,
    /// Rows whose memory can be used again.
    spare: Vec<CopyRow>,
    /// How many rows that live were found.
    found_rows: u64,
    /// Nulls that did not win over a value, by column.
    ignored: BTreeMap<usize, u64>,
    /// The column by which the table is grouped, by index, and where its values stand in the answer.
    group: Option<(usize, usize)>,
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
        let group = group.map(|i| (i, answer::behind(stage, columns.len())));
        Comparison {
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

    /// That the query has no more columns than a query can have.
    fn check_width(&self) -> Result<()> {
        const MOST: usize = 1_664;
        let lookups = &self.stage.target.lookups;
        let sent = lookups.answers().map(|l| lookups.sent(l, "s").len() + 1);
        let of_group = if self.group.is_some() { 2 } else { 0 };
        let around = answer::FIXED + self.config.natural_key.len() + sent.sum::<usize>() + of_group;
        let most = (MOST - around) / 2;
        if self.columns.len() <= most {
            return Ok(());
        }
        Err(Error::config(format!(
            "the records give {} columns of table {}, and PostgreSQL compares at most {most} in one query: deliver them \
             in several batches, each with the key and a part of the columns",
            self.columns.len(),
            self.stage.target.name
        )))
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
        let digest = table.digest("t", &self.config.ignore_drift);
        let deleted = if stage.deletes {
            format!(
                "s._goes, CASE WHEN s._goes AND {FOUND} THEN {} END",
                table.image("t")
            )
        } else {
            "NULL, NULL".to_owned()
        };
        let mut select = vec![
            format!(
                "s._n, s._object, s._position, s._given, s._findings, s._rounded, {findings}, {}",
                list(duplicates)
            ),
            format!("CASE WHEN {FOUND} THEN {digest} END"),
            format!("NOT ({})", beside.live()),
            "s._extracted, s._left_out".to_owned(),
            deleted,
        ];
        let columns = || {
            let columns = self.columns.iter().map(|i| &table.columns[*i]);
            columns.zip(&self.rules)
        };
        select.extend(columns().map(|(column, rule)| staged_value(column, rule)));
        select.extend(columns().map(|(column, rule)| current_value(column, rule)));
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
            // The row to which a changed column refers until then.
            let column = &table.columns[lookup.of];
            let number = format!("t.{}", Ident(&column.name));
            if self.config.natural_key.contains(&column.name) {
                select.push("NULL".to_owned()); // a row found by its key refers to the same
                continue;
            }
            select.push(format!(
                "CASE WHEN {FOUND} AND pg_catalog.substr(s._given, {}, 1) = '1' AND {number} IS DISTINCT FROM s.{} THEN {} END",
                lookup.of + 1,
                column.staged(),
                lookups.named_json(lookup, &number)
            ));
        }
        if let Some((i, _)) = self.group {
            let column = &table.columns[i];
            let given = if stage.used[i] {
                column.staged_text("s")
            } else {
                "NULL".to_owned()
            };
            select.push(format!("CASE WHEN {FOUND} THEN {} END", column.text("t")));
            select.push(given);
        }
        let order = match found {
            Found::OneRow => String::new(),
            // Of several rows that are marked, the same one each time.
            Found::Rows if stage.deletes && stage.target.mark().is_some() => {
                format!(" ORDER BY s._n{}, {digest}", beside.then_live_first())
            }
            Found::Rows => format!(" ORDER BY s._n{}", beside.then_live_first()),
        };
        let sql = format!(
            "COPY (SELECT {} FROM {from}{order}) TO STDOUT",
            list(select)
        );
        Statement::new(&self.doing, sql)
    }
}

impl Comparison<'_> {
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

/// That neither value has to be sent: they print alike, or the record's does not win.
fn not_sent(column: &Column, rule: &Rule) -> String {
    let alike = column.surely_alike("s", "t");
    if rule.wins != Wins::NotNull {
        return alike;
    }
    let field = Field {
        given: "true".into(),
        value: format!("s.{}", column.staged()),
        row: format!("t.{}", Ident(&column.name)),
    };
    format!("NOT ({}) AND {FOUND} OR {alike}", rule.wins.sql(&field))
}

fn staged_value(column: &Column, rule: &Rule) -> String {
    let cell = format!("s.{}", column.staged());
    if in_full(rule) {
        return cell;
    }
    format!(
        "CASE WHEN {} THEN NULL ELSE {cell} END",
        not_sent(column, rule)
    )
}

fn current_value(column: &Column, rule: &Rule) -> String {
    let stored = format!("t.{}", Ident(&column.name));
    if in_full(rule) {
        return stored;
    }
    let ignored = if rule.wins == Wins::NotNull {
        format!(
            "CASE WHEN s.{} IS NOT DISTINCT FROM NULL AND {stored} IS DISTINCT FROM NULL THEN '{IGNORED}' END",
            column.staged()
        )
    } else {
        "NULL".to_owned()
    };
    format!(
        "CASE WHEN {} THEN {ignored} WHEN {stored} IS NOT DISTINCT FROM NULL THEN '-' ELSE '=' || {} END",
        not_sent(column, rule),
        column.text("t")
    )
}
