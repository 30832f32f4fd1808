//! The writes of an apply: few statements for each table, each with the number of rows that it
//! must touch.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::pg::apply::drift::state_sql;
use crate::pg::apply::staged::{Planned, record_id};
use crate::pg::{Session, Step, Told};
use crate::plan::Kind;
use crate::sql::ident::{Ident, Literal};
use crate::table::config::Stamp;
use crate::table::schema::Column;

/// What every write knows about its apply.
pub struct Context<'a> {
    /// The session, inside the transaction.
    pub session: &'a Session,
    /// Who applies.
    pub actor: &'a str,
    /// The batch.
    pub batch_id: &'a str,
    /// Load or rollback.
    pub kind: Kind,
    /// This application's id.
    pub application: &'a str,
    /// The plan's hash.
    pub plan_hash: &'a str,
    /// The schema of the loader's tables.
    pub loader_schema: &'a str,
    /// Takes what begins.
    pub told: Told<'a>,
}

/// Which updates to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updates {
    /// Those that cease to refer to a row which is deleted later.
    First,
    /// Those that begin to refer to a row which is inserted later.
    Last,
    /// All others.
    Others,
    /// All, where none is marked.
    All,
}

impl Updates {
    /// The mark in the table of locked rows; none for those that are not first or last.
    fn mark(self) -> &'static str {
        match self {
            Updates::First => "'f'",
            Updates::Last => "'l'",
            Updates::Others | Updates::All => "NULL",
        }
    }
}

impl Context<'_> {
    /// Compares every staged row with the table, keeps versions and images of the rows that will
    /// change, and locks these in key order. Returns whether all is as planned.
    ///
    /// What is locked is the row version that was compared, or else it does not count: a version is
    /// told by its place and the transaction that wrote it, as a place can be used again.
    pub async fn compare_and_lock(&self, planned: &Planned) -> Result<bool> {
        let doing = format!("comparing table {} with the plan", planned.name);
        let before = planned.temporary("before");
        let create = format!(
            "CREATE TEMPORARY TABLE {before} (_n bigint, _a \"char\", _table oid, _tid tid, _version xid, \
             image jsonb, _when \"char\")"
        );
        self.session.run(&doing, &create).await?;
        let once = planned.table.once("t", "l", &planned.config.ignore_drift);
        let image = match planned.config.audit_changes {
            true => &once.image,
            false => "NULL::pg_catalog.jsonb",
        };
        let soft = planned.config.soft_delete.column().is_some();
        let (join, only) = match soft {
            false => ("LEFT JOIN", ""),
            // A key may find marked rows beside the planned one: what is not changed is counted below.
            true => ("JOIN", "WHERE s._a IN ('u', 'd') "),
        };
        // Kept are the rows to change that are as planned, and of all others those that are not.
        let sql = format!(
            "INSERT INTO pg_temp.{before} (_n, _a, _table, _tid, _version, image) \
             SELECT l._n, l._a, l._table, l._tid, l._version, CASE WHEN l._a IN ('u', 'd') THEN {image} END FROM (\
               SELECT s._n, s._a, s._expect, t.tableoid AS _table, t.ctid AS _tid, t.xmin AS _version, {} \
               FROM {} s {join} {} t ON {} {only}OFFSET 0) l \
             WHERE (l._a IN ('u', 'd')) = ({} IS NULL)",
            once.select,
            planned.sql_name(),
            planned.table.name,
            planned.keys_equal(),
            state_sql("l", "l._table", &once.digest),
        );
        self.session.execute(&doing, &sql).await?;
        // Without knowing that row versions differ, the planner would hash the whole table by them.
        let analyze = format!("ANALYZE pg_temp.{before} (_n, _table, _tid)");
        self.session.run(&doing, &analyze).await?;
        let drifted = match soft {
            false => {
                let sql = format!(
                    "SELECT pg_catalog.count(*) FROM pg_temp.{before} WHERE _a NOT IN ('u', 'd')"
                );
                self.session.number(&doing, &sql).await?
            }
            true => {
                planned
                    .count_drift(self.session, "'i', 's', 'p', 'm'")
                    .await?
            }
        };
        let doing = format!("locking the rows of table {}", planned.name);
        let strength = match planned.staged.delete > 0 {
            true => "FOR UPDATE",
            false => "FOR NO KEY UPDATE",
        };
        let lock = format!(
            "SELECT pg_catalog.count(*) FROM (\
               SELECT b._tid, b._version, t.ctid, t.xmin FROM pg_temp.{before} b \
               JOIN {} t ON t.tableoid = b._table AND t.ctid = b._tid WHERE b._a IN ('u', 'd') \
               ORDER BY b._n OFFSET 0 {strength} OF t) l WHERE l.ctid = l._tid AND l.xmin = l._version",
            planned.table.name
        );
        self.just_read(true).await?;
        let locked = self.session.number(&doing, &lock).await?;
        self.just_read(false).await?;
        let changed = planned.staged.update + planned.staged.delete;
        Ok(drifted == 0 && i64::try_from(changed) == Ok(locked))
    }

    /// Tells the planner whether the rows to change have just been read: then to fetch one by its
    /// version costs next to nothing, and a scan of the table does not pay.
    pub async fn just_read(&self, read: bool) -> Result<()> {
        let cost = if read { "0.1" } else { "DEFAULT" };
        let sql =
            format!("SET LOCAL seq_page_cost TO {cost}; SET LOCAL random_page_cost TO {cost}");
        self.session
            .run("telling the planner what is in memory", &sql)
            .await
    }

    /// What every write of a load sets; a rollback restores the old values instead.
    fn stamps(&self, planned: &Planned) -> Result<Vec<(String, String)>> {
        if self.kind == Kind::Rollback {
            return Ok(Vec::new());
        }
        planned
            .config
            .stamps()
            .map(|(name, stamp)| {
                let column = planned.table.column(name).ok_or_else(|| {
                    Error::plan_refused(format!(
                        "{}.{name} is stamped and is no column",
                        planned.name
                    ))
                })?;
                let value = match stamp {
                    Stamp::Now => "pg_catalog.now()".to_owned(),
                    Stamp::Actor => Literal(self.actor).to_string(),
                    Stamp::BatchId => Literal(self.batch_id).to_string(),
                };
                Ok((Ident(&column.name).to_string(), value))
            })
            .collect()
    }

    /// Deletes, or marks, the rows that the plan deletes.
    pub async fn delete(&self, planned: &Planned) -> Result<()> {
        if planned.staged.delete == 0 {
            return Ok(());
        }
        (self.told)(Step::Begins("delete", Some(&planned.name)));
        let doing = format!("deleting from table {}", planned.name);
        let (table, before, stage) = (
            &planned.table.name,
            planned.temporary("before"),
            planned.sql_name(),
        );
        let found = format!("pg_temp.{before} b JOIN {stage} s ON s._n = b._n AND s._a = 'd'");
        let this = "t.tableoid = b._table AND t.ctid = b._tid";
        let mut touched = self
            .session
            .execute(
                &doing,
                &format!("DELETE FROM {table} t USING {found} WHERE {this} AND NOT s._soft"),
            )
            .await?;
        if let Some(mark) = planned.config.soft_delete.column() {
            let sql = format!(
                "UPDATE {table} t SET {} = pg_catalog.now() FROM {found} WHERE {this} AND s._soft",
                Ident(mark)
            );
            touched += self.session.execute(&doing, &sql).await?;
        }
        must_be(&doing, planned.staged.delete, touched)
    }

    /// Marks the updates of `child` that have to come before deletes of `parent`, or after inserts
    /// into it, for the sake of their references. Returns how many that are.
    pub async fn order(&self, child: &Planned, parent: &Planned, which: Updates) -> Result<u64> {
        let mut marked = 0;
        let written = child.written()?;
        let sets = |c: &String| written.iter().position(|w| w.name == *c);
        let keys = child.table.foreign_keys.iter();
        for key in keys.filter(|k| k.parent == parent.table.name) {
            if !key.columns.iter().any(|c| sets(c).is_some()) {
                continue;
            }
            let mut equal = Vec::new();
            let pairs = key.columns.iter().zip(&key.parent_columns);
            for ((name, parent_name), (schema, operator)) in pairs.zip(&key.equality) {
                let now = format!("t.{}", Ident(name));
                let (left, right) = match which {
                    Updates::Last => {
                        let staged = parent.staged_column(parent_name);
                        let Some(staged) = staged else { break };
                        let new = match sets(name) {
                            Some(i) => format!(
                                "CASE WHEN {} THEN s.{} ELSE {now} END",
                                given("s", i),
                                written[i].staged()
                            ),
                            None => now,
                        };
                        (format!("ps.{staged}"), new)
                    }
                    _ => (format!("p.{}", Ident(parent_name)), now),
                };
                equal.push(format!(
                    "{left} OPERATOR({}.{operator}) {right}",
                    Ident(schema)
                ));
            }
            // What the database numbers by itself, nothing of this plan refers to.
            if equal.len() < key.columns.len() {
                continue;
            }
            let (action, found) = match which {
                Updates::Last => ('i', String::new()),
                _ => (
                    'd',
                    format!(
                        " JOIN pg_temp.{} pb ON pb._n = ps._n JOIN {} p ON p.tableoid = pb._table AND p.ctid = pb._tid",
                        parent.temporary("before"),
                        parent.table.name
                    ),
                ),
            };
            let sql = format!(
                "UPDATE pg_temp.{before} SET _when = {} WHERE _when IS NULL AND _n IN (\
                   SELECT s._n FROM {} s JOIN pg_temp.{before} b ON b._n = s._n \
                   JOIN {} t ON t.tableoid = b._table AND t.ctid = b._tid, {} ps{found} \
                   WHERE s._a = 'u' AND ps._a = '{action}' AND {})",
                which.mark(),
                child.sql_name(),
                child.table.name,
                parent.sql_name(),
                equal.join(" AND "),
                before = child.temporary("before"),
            );
            let doing = format!("ordering the updates of table {}", child.name);
            marked += self.session.execute(&doing, &sql).await?;
        }
        Ok(marked)
    }

    /// Writes the updates, each against the row version that was compared. Returns how many.
    pub async fn update(&self, planned: &Planned, which: Updates) -> Result<u64> {
        if planned.staged.update == 0 {
            return Ok(0);
        }
        let doing = format!("updating table {}", planned.name);
        let written = planned.written()?;
        (self.told)(Step::Begins("update", Some(&planned.name)));
        let before = planned.temporary("before");
        let (masks, filter) = match which {
            Updates::All => (planned.masks('u').cloned().collect(), String::new()),
            _ => {
                let filter = format!(" AND b._when IS NOT DISTINCT FROM {}", which.mark());
                (self.update_masks(planned, &filter).await?, filter)
            }
        };
        // A trigger on `UPDATE OF column` must fire for the rows that change that column, and for
        // no others: then each set of columns is a statement of its own.
        let groups: Vec<(Vec<bool>, String)> = if planned.table.column_triggers {
            let one = |m: &String| (bits(m), format!("{filter} AND s._mask = {}", Literal(m)));
            masks.iter().map(one).collect()
        } else {
            let any = masks
                .iter()
                .map(|m| bits(m))
                .reduce(|a, b| a.iter().zip(&b).map(|(x, y)| *x || *y).collect());
            any.map(|bits| (bits, filter)).into_iter().collect()
        };
        let mut touched = 0;
        for (set, filter) in groups {
            let mut assignments: Vec<String> = written
                .iter()
                .enumerate()
                .filter(|(i, _)| set[*i])
                .map(|(i, c)| {
                    let (name, cell) = (Ident(&c.name), c.staged());
                    if masks.iter().all(|m| bits(m)[i]) || planned.table.column_triggers {
                        format!("{name} = s.{cell}")
                    } else {
                        format!(
                            "{name} = CASE WHEN {} THEN s.{cell} ELSE t.{name} END",
                            given("s", i)
                        )
                    }
                })
                .collect();
            assignments.extend(
                self.stamps(planned)?
                    .into_iter()
                    .map(|(name, value)| format!("{name} = {value}")),
            );
            let sql = format!(
                "UPDATE {} t SET {} FROM pg_temp.{} b JOIN {} s ON s._n = b._n AND s._a = 'u'{filter} \
                 WHERE t.tableoid = b._table AND t.ctid = b._tid",
                planned.table.name,
                assignments.join(", "),
                before,
                planned.sql_name(),
            );
            touched += self.session.execute(&doing, &sql).await?;
        }
        Ok(touched)
    }

    /// Inserts all new rows of the table in one statement, so that references among them hold.
    pub async fn insert(&self, planned: &Planned) -> Result<()> {
        if planned.staged.insert == 0 {
            return Ok(());
        }
        (self.told)(Step::Begins("insert", Some(&planned.name)));
        let doing = format!("inserting into table {}", planned.name);
        let stamps = self.stamps(planned)?;
        let overriding = match self.kind {
            Kind::Load => "",
            Kind::Rollback => "OVERRIDING SYSTEM VALUE ",
        };
        let masks: Vec<&String> = planned.masks('i').collect();
        let written = planned.written()?;
        let insert = |mask: &str| {
            let bits = bits(mask);
            let mut columns = planned.key();
            columns.extend(
                written
                    .iter()
                    .enumerate()
                    .filter(|(i, c)| bits[*i] && !c.generated)
                    .map(|(_, c)| *c),
            );
            let mut names: Vec<String> =
                columns.iter().map(|c| Ident(&c.name).to_string()).collect();
            let mut values: Vec<String> = columns
                .iter()
                .map(|c| format!("s.{}", c.staged()))
                .collect();
            for (name, value) in &stamps {
                names.push(name.clone());
                values.push(value.clone());
            }
            let only = if masks.len() == 1 {
                String::new()
            } else {
                format!(" AND s._mask = {}", Literal(mask))
            };
            format!(
                "INSERT INTO {} ({}) {overriding}SELECT {} FROM {} s WHERE s._a = 'i'{only} ORDER BY s._n",
                planned.table.name,
                names.join(", "),
                values.join(", "),
                planned.sql_name()
            )
        };
        let touched = match masks.as_slice() {
            [mask] => self.session.execute(&doing, &insert(mask)).await?,
            several => {
                let parts: Vec<String> = several
                    .iter()
                    .enumerate()
                    .map(|(i, m)| format!("i{i} AS ({} RETURNING 1)", insert(m)))
                    .collect();
                let counts: Vec<String> = (0..several.len())
                    .map(|i| format!("(SELECT pg_catalog.count(*) FROM i{i})"))
                    .collect();
                let sql = format!("WITH {} SELECT {}", parts.join(", "), counts.join(" + "));
                u64::try_from(self.session.number(&doing, &sql).await?).unwrap_or_default()
            }
        };
        must_be(&doing, planned.staged.insert, touched)
    }

    /// The different sets of columns of some updates.
    async fn update_masks(&self, planned: &Planned, filter: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT DISTINCT s._mask FROM {} s JOIN pg_temp.{} b ON b._n = s._n WHERE s._a = 'u'{filter} ORDER BY 1",
            planned.sql_name(),
            planned.temporary("before"),
        );
        let doing = format!("reading the plan for table {}", planned.name);
        let rows = self.session.texts(&doing, &sql).await?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    /// Reads back every row that was written: each column that the plan set must be what the plan
    /// said. Where changes are audited, the complete images go into the audit log by the same read.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows that a trigger made different.
    pub async fn read_back(&self, planned: &Planned) -> Result<()> {
        let expected = planned.staged.insert + planned.staged.update;
        if expected == 0 {
            return Ok(());
        }
        let doing = format!("reading back table {}", planned.name);
        let fits = self.fits(planned)?;
        let live = self.live(planned, &fits)?;
        let written = format!(
            "{} s JOIN {} t ON {}{live}",
            planned.sql_name(),
            planned.table.name,
            planned.keys_equal()
        );
        let good = if planned.config.audit_changes {
            let sql = format!(
                "{} SELECT {}, CASE s._a WHEN 'i' THEN 'INSERT' ELSE 'UPDATE' END, {}, b.image, {}, {} \
                 FROM {written} LEFT JOIN pg_temp.{} b ON b._n = s._n WHERE s._a IN ('i', 'u') AND ({fits})",
                self.insert_audit(),
                Literal(&planned.name),
                record_id(&planned.key(), "t"),
                planned.table.image("t"),
                self.audited(),
                planned.temporary("before"),
            );
            self.session.execute(&doing, &sql).await?
        } else {
            let sql = format!(
                "SELECT pg_catalog.count(*) FROM {written} WHERE s._a IN ('i', 'u') AND ({fits})"
            );
            u64::try_from(self.session.number(&doing, &sql).await?).unwrap_or_default()
        };
        if good == expected {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM {written} WHERE s._a IN ('i', 'u') AND NOT ({fits}) ORDER BY s._n LIMIT 5",
            record_id(&planned.key(), "t"),
        );
        let rows = self.session.texts(&doing, &sql).await?;
        let named: Vec<String> = rows
            .into_iter()
            .flatten()
            .flatten()
            .map(|id| self.session.name_row(&planned.name, &id))
            .collect();
        let bad = expected.saturating_sub(good);
        Err(Error::blocked(format!(
            "{}: {bad} row{} not stored as planned, for example {}: a trigger or rule of the table changes what is \
             written ({}); nothing was written; let the records say what the trigger makes of them, or ignore the column",
            planned.name,
            if bad == 1 { " was" } else { "s were" },
            named.join(", "),
            if planned.table.triggers.is_empty() {
                "no trigger is known".into()
            } else {
                planned.table.triggers.join(", ")
            }
        )))
    }

    /// The SQL condition that row `t` holds what the staged row `s` set: one case for each set of
    /// columns, where they are few.
    fn fits(&self, planned: &Planned) -> Result<String> {
        let written = planned.written()?;
        let read: Vec<(usize, &Column)> = written
            .iter()
            .enumerate()
            .filter(|(_, c)| !c.generated && !planned.triggered.contains(&c.name))
            .map(|(i, c)| (i, *c))
            .collect();
        // The same bytes print the same; only where they differ is the text compared.
        let same = |stored: &[String], meant: &[String]| match stored.is_empty() {
            true => "true".to_owned(),
            false => {
                let (stored, meant) = (stored.join(", "), meant.join(", "));
                format!(
                    "(ROW({stored})::record OPERATOR(pg_catalog.*=) ROW({meant})::record \
                     OR ROW({stored})::pg_catalog.text = ROW({meant})::pg_catalog.text)"
                )
            }
        };
        let stored = |c: &Column| match c.domain {
            true => format!("t.{}::{}", Ident(&c.name), c.base_type_sql),
            false => format!("t.{}", Ident(&c.name)),
        };
        // Each row looks for its own set of columns from the beginning: those of inserts, which are
        // few, come first.
        let mut seen = BTreeSet::new();
        let masks = planned.masks('i').chain(planned.masks('u'));
        let masks: Vec<&String> = masks.filter(|m| seen.insert(*m)).collect();
        if masks.len() <= 64 {
            let cases: Vec<String> = masks
                .iter()
                .map(|mask| {
                    let bits = bits(mask);
                    let set = || read.iter().filter(|(i, _)| bits[*i]);
                    let is: Vec<String> = set().map(|(_, c)| stored(c)).collect();
                    let was: Vec<String> =
                        set().map(|(_, c)| format!("s.{}", c.staged())).collect();
                    format!("WHEN {} THEN {}", Literal(mask), same(&is, &was))
                })
                .collect();
            return Ok(format!("CASE s._mask {} END", cases.join(" ")));
        }
        let (mut is, mut was) = (Vec::new(), Vec::new());
        for (i, c) in read {
            let set = given("s", i);
            is.push(format!("CASE WHEN {set} THEN {} END", stored(c)));
            was.push(format!("CASE WHEN {set} THEN s.{} END", c.staged()));
        }
        Ok(same(&is, &was))
    }

    /// Where deletes only mark rows, the condition that row `t` is the one that was written and not
    /// a marked one with the same key.
    fn live(&self, planned: &Planned, fits: &str) -> Result<String> {
        let Some(mark) = planned.config.soft_delete.column() else {
            return Ok(String::new());
        };
        let written = planned.written()?;
        let meant = written
            .iter()
            .position(|c| c.name == mark)
            .map_or("false".into(), |i| {
                format!(
                    "{} AND s.{} IS NOT NULL",
                    given("s", i),
                    written[i].staged()
                )
            });
        Ok(format!(
            " AND CASE WHEN {meant} THEN {fits} ELSE t.{} IS NULL END",
            Ident(mark)
        ))
    }

    /// Writes the deletes into the audit log; a row that is only marked has an image after, too.
    pub async fn audit_deletes(&self, planned: &Planned) -> Result<()> {
        let deleted = planned.staged.delete;
        if !planned.config.audit_changes || deleted == 0 {
            return Ok(());
        }
        let doing = format!("writing the audit log for table {}", planned.name);
        let (marked, after) = match planned.config.soft_delete.column() {
            None => (String::new(), "NULL::pg_catalog.jsonb".to_owned()),
            // The row is found again by the mark that was just set.
            Some(mark) => (
                format!(
                    " LEFT JOIN {} t ON s._soft AND {} AND t.{mark} = pg_catalog.now()::{}",
                    planned.table.name,
                    planned.keys_equal(),
                    planned
                        .table
                        .column(mark)
                        .map_or("timestamptz", |c| &c.base_type_sql),
                    mark = Ident(mark),
                ),
                format!(
                    "CASE WHEN t.tableoid IS NOT NULL THEN {} END",
                    planned.table.image("t")
                ),
            ),
        };
        let sql = format!(
            "{} SELECT {}, 'DELETE', {}, b.image, {after}, {} \
             FROM pg_temp.{} b JOIN {} s ON s._n = b._n AND s._a = 'd'{marked}",
            self.insert_audit(),
            Literal(&planned.name),
            record_id_of_image(&planned.key(), "b.image"),
            self.audited(),
            planned.temporary("before"),
            planned.sql_name(),
        );
        let written = self.session.execute(&doing, &sql).await?;
        must_be(&doing, deleted, written)
    }

    fn insert_audit(&self) -> String {
        format!(
            "INSERT INTO {}.audit_log (table_name, operation, record_id, old_values, new_values, \
             batch_id, changed_by, changed_at, application, plan_hash, origin)",
            Ident(self.loader_schema)
        )
    }

    /// The last columns of an audit row, the same for all.
    fn audited(&self) -> String {
        format!(
            "{}, {}, pg_catalog.now(), {}::uuid, {}, s._from",
            Literal(self.batch_id),
            Literal(self.actor),
            Literal(self.application),
            Literal(self.plan_hash)
        )
    }
}

/// The record id from an image.
fn record_id_of_image(key: &[&Column], image: &str) -> String {
    let texts: Vec<String> = key
        .iter()
        .map(|c| format!("({image} ->> {})", Literal(&c.name)))
        .collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!(
            "pg_catalog.array_to_json(ARRAY[{}]::pg_catalog.text[])::pg_catalog.text",
            several.join(", ")
        ),
    }
}

/// Whether the row `alias` writes the column at `i` of the mask.
fn given(alias: &str, i: usize) -> String {
    format!("pg_catalog.substr({alias}._mask, {}, 1) = '1'", i + 1)
}

fn bits(mask: &str) -> Vec<bool> {
    mask.bytes().map(|b| b == b'1').collect()
}

/// # Errors
/// [`Database`](crate::ErrorKind::Database), transient, where another number of rows was touched than planned: the
/// rows were locked and compared, so that something rewrote them in between.
pub fn must_be(doing: &str, planned: u64, touched: u64) -> Result<()> {
    if planned == touched {
        return Ok(());
    }
    Err(Error::database(format!(
        "{doing}: {planned} rows were planned and {touched} were touched; a rule or trigger of the table swallows \
         or adds rows"
    )))
}
