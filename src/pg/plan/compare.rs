//! Comparison: staged records meet the current rows in one snapshot, and come back as PostgreSQL
//! spells them.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::plan::decision::{Action, Current, Decision, Given, Rule, decide, invalid_effect};
use crate::plan::incoming::Finding;
use crate::plan::{Effect, Entry, Fingerprint, Skip, Values, Violation, ViolationKind, What};
use crate::planfile::order_key;
use crate::sql::copytext::CopyRow;
use crate::sql::ident::Qualified;
use crate::table::config::{OnDuplicate, Resolution, TableConfig};
use crate::table::schema::Table;
use crate::types::Kind;

/// One snapshot of the database, which nothing can change: all that planning holds.
pub struct Snapshot<'a> {
    /// The session that holds it.
    pub session: &'a Session,
}

impl<'a> Snapshot<'a> {
    /// Begins it. The tables are locked against rewriting first: a snapshot taken before somebody's
    /// `ALTER … TYPE` or `TRUNCATE` could see an empty table.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database); [`Config`](crate::ErrorKind::Config) on a standby.
    pub async fn begin(session: &'a Session, tables: &[&Qualified]) -> Result<Snapshot<'a>> {
        let doing = "beginning a snapshot";
        session
            .run(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        if !tables.is_empty() {
            let mut names: Vec<String> = tables.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
            session
                .run("locking the tables against rewriting", &lock)
                .await?;
        }
        let standby = session
            .number(doing, "SELECT pg_catalog.pg_is_in_recovery()::int4::int8")
            .await?;
        if standby == 1 {
            return Err(Error::config(
                "the server is a standby, which lags behind; make plans on the primary",
            ));
        }
        Ok(Snapshot { session })
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn end(self) -> Result<()> {
        self.session.run("ending the snapshot", "ROLLBACK").await
    }

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
    ) -> Result<()> {
        let doing = format!("comparing the records of table {}", stage.name);
        let single = self
            .finds_one_row(stage.table, &stage.config.natural_key, &doing)
            .await?;
        let mut comparison = Comparison::new(stage, origin, sink);
        let sql = comparison.sql(single);
        let rows = self
            .session
            .client
            .copy_out(&sql)
            .await
            .map_err(|e| self.session.failed(&doing, &e))?;
        let mut rows = std::pin::pin!(rows);
        let mut row = CopyRow::default();
        while let Some(line) = rows
            .try_next()
            .await
            .map_err(|e| self.session.failed(&doing, &e))?
        {
            row.read(&line).map_err(|e| {
                Error::database(format!("{doing}: the server's answer cannot be read")).caused_by(e)
            })?;
            comparison.row(&mut row)?;
        }
        comparison.flush()
    }

    /// Whether each natural key finds one row at most: a unique index says so, and no other table
    /// inherits from this one without it.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn finds_one_row(
        &self,
        table: &Table,
        natural_key: &[String],
        doing: &str,
    ) -> Result<bool> {
        let index = table.key_index(natural_key);
        if index.is_none_or(|i| i.predicate.is_some()) {
            return Ok(false);
        }
        let heirs = format!(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhparent \
             WHERE c.oid = {} AND c.relkind = 'r'",
            table.oid
        );
        Ok(self.session.number(doing, &heirs).await? == 0)
    }
}

/// Takes an entry with what puts it in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8], Entry) -> Result<()>;

// Where the loader's own columns stand in an answer; the table's columns follow, first as staged,
// then as in the current row. Of columns that surely print alike neither value is sent: both are
// null then, and a null of the current row is `-`, its value `=` and the text.
const N: usize = 0;
const OBJECT: usize = 1;
const POSITION: usize = 2;
const GIVEN: usize = 3;
const FINDINGS: usize = 4;
const ROUNDED: usize = 5;
const DATABASE_FINDINGS: usize = 6;
const FIRST: usize = 7;
const LAST: usize = 8;
const VARIANTS: usize = 9;
const DIGEST: usize = 10;
const MARKED: usize = 11;
const FIXED: usize = 12;

/// A record, and the lines for the rows that its key found: at most two live and two marked ones.
struct Pending {
    n: u64,
    lines: Vec<CopyRow>,
}

impl Pending {
    /// Lines with a row that is marked as deleted, or not.
    fn rows(&self, marked: bool) -> impl Iterator<Item = &CopyRow> {
        let is =
            move |l: &&CopyRow| l.get(DIGEST).is_some() && (l.get(MARKED) == Some("t")) == marked;
        self.lines.iter().filter(is)
    }
}

/// What stands for two values that are not sent, because they print alike.
const ALIKE: &str = "";

struct Comparison<'c> {
    stage: &'c Stage<'c>,
    config: &'c TableConfig,
    origin: &'c dyn Fn(usize, u64) -> String,
    sink: Sink<'c>,
    /// Indices of the columns that matter, in table order.
    columns: Vec<usize>,
    rules: Vec<Rule>,
    pending: Option<Pending>,
    /// Rows whose memory can be used again.
    spare: Vec<CopyRow>,
}

impl<'c> Comparison<'c> {
    fn new(
        stage: &'c Stage<'c>,
        origin: &'c dyn Fn(usize, u64) -> String,
        sink: Sink<'c>,
    ) -> Comparison<'c> {
        let config = stage.config;
        let mark = config.soft_delete.column();
        let (mut columns, mut rules) = (Vec::new(), Vec::new());
        for (i, column) in stage.table.columns.iter().enumerate() {
            let rule = Rule {
                name: column.name.clone(),
                key: config.natural_key.contains(&column.name),
                immutable: config.immutable_fields.contains(&column.name),
                not_null: column.not_null,
                required: column.required() && !config.is_stamp(&column.name),
                mark: mark == Some(column.name.as_str()),
            };
            if stage.used[i] || rule.key || rule.mark || rule.required {
                columns.push(i);
                rules.push(rule);
            }
        }
        Comparison {
            stage,
            config,
            origin,
            sink,
            columns,
            rules,
            pending: None,
            spare: Vec::new(),
        }
    }

    /// The query: one line for each record and row that its key finds, or none; those of one record
    /// together.
    fn sql(&self, single: bool) -> String {
        let stage = self.stage;
        let table = stage.table;
        let key = table.key(&self.config.natural_key);
        let mut joins = format!(
            "{} s LEFT JOIN {} t ON {}",
            stage.sql_name(),
            table.name,
            stage.keys_equal()
        );
        let (first, last, variants);
        if stage.duplicates {
            joins += &format!(
                " LEFT JOIN {} d ON d._n = s._n LEFT JOIN {} f ON f._n = d.first",
                stage.duplicates_name(),
                stage.sql_name()
            );
            (first, last, variants) = ("d.first", "d.last", "d.variants");
        } else {
            (first, last, variants) = ("NULL", "NULL", "NULL");
        }
        let findings = if stage.findings {
            joins += &format!(
                " LEFT JOIN (SELECT _n, pg_catalog.json_agg(pg_catalog.json_build_object('kind', kind, \
                 'field', field, 'given', given, 'message', message) ORDER BY kind, field, message)::text AS findings \
                 FROM pg_temp.loader_findings WHERE _t = {} GROUP BY _n) v ON v._n = s._n",
                stage.number()
            );
            "v.findings"
        } else {
            "NULL"
        };
        let marked = match self.config.soft_delete.column() {
            Some(column) => format!("t.{} IS NOT NULL", crate::sql::ident::Ident(column)),
            None => "false".into(),
        };
        let digest = table.digest("t", &self.config.ignore_drift);
        let mut select: Vec<String> = [
            "s._n",
            "s._object",
            "s._position",
            "s._given",
            "s._findings",
            "s._rounded",
            findings,
            first,
            last,
            variants,
        ]
        .map(str::to_owned)
        .into();
        select.push(format!(
            "CASE WHEN t.tableoid IS NOT NULL THEN {digest} END"
        ));
        select.push(format!("({marked})"));
        let merge = self.config.conflict_resolution == Resolution::Merge;
        let (mut staged, mut current) = (Vec::new(), Vec::new());
        for (column, rule) in self
            .columns
            .iter()
            .map(|i| &table.columns[*i])
            .zip(&self.rules)
        {
            let (cell, stored) = (
                format!("s.{}", column.staged()),
                format!("t.{}", crate::sql::ident::Ident(&column.name)),
            );
            if rule.key || rule.mark {
                staged.push(cell);
                current.push(stored);
                continue;
            }
            let mut alike = column.surely_alike("s", "t");
            if merge {
                // Null, given or not, changes nothing then.
                alike = format!("{cell} IS NULL AND t.tableoid IS NOT NULL OR {alike}");
            }
            current.push(format!(
                "CASE WHEN {alike} THEN NULL WHEN {stored} IS NULL THEN '-' ELSE '=' || {} END",
                column.text("t")
            ));
            staged.push(format!("CASE WHEN {alike} THEN NULL ELSE {cell} END"));
        }
        select.append(&mut staged);
        select.append(&mut current);
        if stage.duplicates {
            select.extend(
                key.iter()
                    .map(|(column, _)| format!("f.{}", column.staged())),
            );
        }
        let order = match single {
            true => "",
            false => " ORDER BY s._n",
        };
        format!(
            "COPY (SELECT {} FROM {joins}{order}) TO STDOUT",
            select.join(", ")
        )
    }

    /// Takes one line of the answer, leaving another row for the next.
    fn row(&mut self, line: &mut CopyRow) -> Result<()> {
        let n = number(line, N);
        if self.pending.as_ref().is_some_and(|p| p.n != n) {
            self.flush()?;
        }
        let pending = self.pending.get_or_insert_with(|| Pending {
            n,
            lines: Vec::with_capacity(1),
        });
        let marked = line.get(MARKED) == Some("t");
        if pending.lines.is_empty() || pending.rows(marked).count() < 2 {
            let spare = self.spare.pop().unwrap_or_default();
            pending.lines.push(std::mem::replace(line, spare));
        }
        Ok(())
    }

    /// Decides about the pending record.
    fn flush(&mut self) -> Result<()> {
        let Some(record) = self.pending.take() else {
            return Ok(());
        };
        let Some(fields) = record.lines.first() else {
            return Ok(());
        };
        let mut violations = self.findings(fields)?;
        let deleted = record.rows(false).next().is_none();
        if record.rows(deleted).count() > 1 {
            violations.push(self.violation(
                ViolationKind::AmbiguousKey,
                "several rows of the table have this key; a unique index on it would prevent that",
            ));
        }
        // What is sent of the record depends on the row beside it.
        let row = record.rows(deleted).next();
        let given = self.given(row.unwrap_or(fields));
        let current = row.map(|row| self.current(row, deleted));
        violations.extend(self.uncertain(row.unwrap_or(fields), &given)?);
        let of_key = self.rounded_key(fields, &given)?;
        let mut decision = match self.duplicate(fields, of_key, &mut violations) {
            Some(skip) if violations.is_empty() => Decision {
                action: Action::Skip(skip),
                violations,
            },
            _ => decide(
                self.config,
                &self.rules,
                &given,
                current.as_ref(),
                violations,
            ),
        };
        let mut from = vec![(self.origin)(
            usize::try_from(number(fields, OBJECT)).unwrap_or_default(),
            number(fields, POSITION),
        )];
        let mut key = self.key(&given, current.as_ref());
        let what = self.what(&mut decision, fields, &given, current.as_ref())?;
        let violations = decision.violations.into_iter().map(What::Violation);
        let mut whats = what.into_iter().chain(violations).peekable();
        let mut order = self.order(row.unwrap_or(fields));
        let of_record = order.len();
        let mut i: u64 = 0;
        while let Some(what) = whats.next() {
            let (key, from) = match whats.peek() {
                Some(_) => (key.clone(), from.clone()),
                None => (std::mem::take(&mut key), std::mem::take(&mut from)),
            };
            let entry = Entry {
                table: self.stage.name.to_owned(),
                key,
                what,
                from,
            };
            order.truncate(of_record);
            order.extend_from_slice(&i.to_be_bytes());
            (self.sink)(&order, entry)?;
            i += 1;
        }
        self.spare.extend(record.lines);
        Ok(())
    }

    /// What puts a record's entries in order: the key's text as the row spells it, else as the first
    /// record with this key does, nulls last; then that first record, then the record itself.
    fn order(&self, fields: &CopyRow) -> Vec<u8> {
        let width = self.columns.len();
        let first = fields
            .get(FIRST)
            .map_or(u64::MAX, |_| number(fields, FIRST));
        let key = self.config.natural_key.iter().enumerate().map(|(n, name)| {
            let at = self.rules.iter().position(|r| r.name == *name)?;
            fields
                .get(FIXED + width + at)
                .or_else(|| fields.get(FIXED + 2 * width + n))
                .or_else(|| fields.get(FIXED + at))
        });
        let mut order = order_key(key);
        order.extend_from_slice(&first.to_be_bytes());
        order.extend_from_slice(&number(fields, N).to_be_bytes());
        order
    }

    /// What the record says about each rule's column.
    fn given<'r>(&self, fields: &'r CopyRow) -> Vec<Given<'r>> {
        let mask = fields.get(GIVEN).unwrap_or_default().as_bytes();
        self.columns
            .iter()
            .enumerate()
            .map(|(at, i)| match (mask.get(*i), fields.get(FIXED + at)) {
                (Some(b'1'), Some(v)) => Given::Value(v),
                (Some(b'1'), None) if self.alike(fields, at) => Given::Value(ALIKE),
                (Some(b'1'), None) => Given::Null,
                _ => Given::Absent,
            })
            .collect()
    }

    /// The row that a record found.
    fn current<'r>(&self, row: &'r CopyRow, deleted: bool) -> Current<'r> {
        let width = self.columns.len();
        let value = |at: usize| {
            let text = row.get(FIXED + width + at);
            match (self.in_full(at), text) {
                (true, text) => text,
                (false, None) => Some(ALIKE),
                (false, Some(text)) => text.strip_prefix('='),
            }
        };
        Current {
            values: (0..width).map(value).collect(),
            digest: row.get(DIGEST).unwrap_or_default(),
            deleted,
        }
    }

    /// Whether a column's values are always sent.
    fn in_full(&self, at: usize) -> bool {
        self.rules[at].key || self.rules[at].mark
    }

    /// Whether a column was not sent, because the record's value prints like the row's.
    fn alike(&self, row: &CopyRow, at: usize) -> bool {
        !self.in_full(at)
            && row.get(DIGEST).is_some()
            && row.get(FIXED + self.columns.len() + at).is_none()
    }

    /// What was found before: by the loader when reading, by the database when staging.
    fn findings(&self, fields: &CopyRow) -> Result<Vec<Violation>> {
        let mut violations = Vec::new();
        for json in [fields.get(FINDINGS), fields.get(DATABASE_FINDINGS)]
            .into_iter()
            .flatten()
        {
            let found: Vec<Finding> = serde_json::from_str(json)
                .map_err(|e| Error::local("reading back what was found").caused_by(e))?;
            violations.extend(found.into_iter().map(|f| Violation {
                kind: f.kind,
                effect: invalid_effect(self.config),
                field: f.field,
                existing: None,
                given: f.given,
                message: f.message,
            }));
        }
        Ok(violations)
    }

    /// What follows from other records with the same key: `None` if this one stands for the key.
    fn duplicate(
        &self,
        fields: &CopyRow,
        of_key: Option<String>,
        violations: &mut Vec<Violation>,
    ) -> Option<Skip> {
        fields.get(FIRST)?;
        let (n, first, last) = (
            number(fields, N),
            number(fields, FIRST),
            number(fields, LAST),
        );
        if number(fields, VARIANTS) == 1 {
            return (n != first).then_some(Skip::Duplicate);
        }
        let effect = match self.config.on_duplicate {
            OnDuplicate::Last => return (n != last).then_some(Skip::Superseded),
            OnDuplicate::Block => Effect::Block,
            OnDuplicate::Reject => Effect::Reject,
        };
        let mut violation = self.violation(
            ViolationKind::DuplicateKey,
            "different records of the batch have this key; keep one of them, or set on_duplicate",
        );
        violation.effect = effect;
        violation.given = of_key;
        violations.push(violation);
        None
    }

    /// The values of the key as given, where its columns cannot keep them.
    fn rounded_key(&self, fields: &CopyRow, given: &[Given<'_>]) -> Result<Option<String>> {
        let mut rounded = self.rounded(fields, given)?;
        rounded.retain(|column, _| self.config.natural_key.contains(column));
        let texts: Vec<String> = rounded.into_values().collect();
        Ok((!texts.is_empty()).then(|| texts.join(", ")))
    }

    /// What was given and is stored otherwise.
    fn rounded(&self, fields: &CopyRow, given: &[Given<'_>]) -> Result<BTreeMap<String, String>> {
        let mut rounded: BTreeMap<String, String> = match fields.get(ROUNDED) {
            None => return Ok(BTreeMap::new()),
            Some(json) => serde_json::from_str(json)
                .map_err(|e| Error::local("reading back rounded values").caused_by(e))?,
        };
        rounded.retain(|column, text| {
            let at = self.rules.iter().position(|rule| rule.name == *column);
            at.is_some_and(|at| match given[at] {
                // One that was not sent prints as it is stored already: nothing is changed.
                Given::Value(stored) => !self.kind(at).keeps(text, stored),
                Given::Null | Given::Absent => false,
            })
        });
        Ok(rounded)
    }

    fn kind(&self, at: usize) -> &Kind {
        &self.stage.table.columns[self.columns[at]].kind
    }

    /// Values that are read as others, and perhaps as others tomorrow.
    fn uncertain(&self, fields: &CopyRow, given: &[Given<'_>]) -> Result<Vec<Violation>> {
        let rounded = self.rounded(fields, given)?.into_iter();
        let uncertain = rounded.filter_map(|(column, text)| {
            let at = self.rules.iter().position(|rule| rule.name == column)?;
            let Given::Value(stored) = given[at] else { return None };
            let sent = !self.alike(fields, at) && self.kind(at).is_uncertain();
            sent.then(|| Violation {
                field: Some(column),
                given: Some(text),
                ..self.violation(
                    ViolationKind::InvalidValue,
                    &format!("it is printed otherwise, and its type may read more than the text; write it as {stored}"),
                )
            })
        });
        Ok(uncertain.collect())
    }

    fn violation(&self, kind: ViolationKind, message: &str) -> Violation {
        Violation {
            kind,
            effect: invalid_effect(self.config),
            field: None,
            existing: None,
            given: None,
            message: message.to_owned(),
        }
    }

    /// The key as the row spells it, else as given.
    fn key(&self, given: &[Given<'_>], current: Option<&Current<'_>>) -> Values {
        let keys = self.rules.iter().enumerate().filter(|(_, r)| r.key);
        keys.filter_map(|(i, rule)| {
            let value = match (current, given[i]) {
                (Some(row), _) => row.values[i].map(str::to_owned),
                (None, Given::Value(v)) => Some(v.to_owned()),
                (None, Given::Null) => None,
                (None, Given::Absent) => return None,
            };
            Some((rule.name.clone(), value))
        })
        .collect()
    }

    fn what(
        &self,
        decision: &mut Decision,
        fields: &CopyRow,
        given: &[Given<'_>],
        current: Option<&Current<'_>>,
    ) -> Result<Option<What>> {
        let mut rounded = self.rounded(fields, given)?;
        let action = std::mem::replace(&mut decision.action, Action::LeaveOut);
        Ok(match action {
            Action::LeaveOut => None,
            Action::Skip(skip) => Some(What::Skip(skip)),
            Action::Insert => {
                let values: Values = self
                    .rules
                    .iter()
                    .zip(given)
                    .filter(|(rule, _)| !rule.key)
                    .filter_map(|(rule, given)| match given {
                        Given::Absent => None,
                        Given::Null => Some((rule.name.clone(), None)),
                        Given::Value(v) => Some((rule.name.clone(), Some((*v).to_owned()))),
                    })
                    .collect();
                Some(What::Insert { values, rounded })
            }
            Action::Update { set, revives } => {
                let row = current.ok_or_else(|| Error::local("an update without a row"))?;
                let set: BTreeMap<_, _> = set
                    .into_iter()
                    .map(|(i, new)| {
                        let old = row.values[i].map(str::to_owned);
                        (self.rules[i].name.clone(), (old, new))
                    })
                    .collect();
                rounded.retain(|column, _| {
                    set.contains_key(column) || self.config.natural_key.contains(column)
                });
                Some(What::Update {
                    set,
                    expect: Fingerprint(row.digest.to_owned()),
                    revives,
                    rounded,
                })
            }
        })
    }
}

fn number(fields: &CopyRow, i: usize) -> u64 {
    fields
        .get(i)
        .and_then(|f| f.parse().ok())
        .unwrap_or_default()
}
