//! What the audit log says of the changes that are taken back.

use super::Undo;
use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::pg::audit::ON_ROWS;
use crate::pg::ledger::{self, Application, UndoneRows};
use crate::sql::{Literal, Statement, Values, all, any, list, text_array};
use crate::table::schema::Column;
use crate::table::target::Target;

impl Undo<'_> {
    pub(in crate::pg) fn create(&self) -> Statement {
        let key = self.target.key_columns().into_iter();
        let sql = format!(
            "CREATE TEMPORARY TABLE {} (record_id text, before jsonb, after jsonb, first bigint, audited bigint, renewed bool, {}, \
             later bool NOT NULL DEFAULT false)",
            self.temporary().bare(),
            list(key.map(|c| c.defined_as(c.staged())))
        );
        self.reading(sql, Values::default())
    }

    /// The condition that audit row `a` is one of these applications' changes to the table which are still
    /// to be undone.
    fn ours(&self, values: &mut Values) -> String {
        let of = self.of(self.applications, values);
        let remains = self.undone.remains(&self.audit_log(), values);
        all([of].into_iter().chain(remains))
    }

    /// The condition that audit row `a` is a change of the table by one of `applications`.
    pub(super) fn of(&self, applications: &[String], values: &mut Values) -> String {
        format!(
            "a.application = ANY ({}::uuid[]) AND a.table_name = {} AND a.{ON_ROWS}",
            values.texts(applications),
            values.text(&self.target.name)
        )
    }

    /// Collects the oldest image before and the newest after of each row; a row that is there before and after is
    /// `renewed` if it was gone in between, and one that was only there in between has neither image.
    pub(in crate::pg) fn fill(&self) -> Statement {
        let mut values = Values::default();
        let cells = self.target.key_columns().into_iter().map(|c| {
            c.of_text(&format!(
                "coalesce(x.after, x.before) ->> {}",
                Literal(&c.name)
            ))
        });
        let (audit, ours) = (self.audit_log(), self.ours(&mut values));
        let images = if self.applications.len() == 1 {
            // One application changes a row once.
            format!(
                "SELECT a.record_id, a.old_values AS before, a.new_values AS after, a.id AS first, a.id AS last, false AS renewed \
                 FROM {audit} a WHERE {ours}"
            )
        } else {
            format!(
                "SELECT f.record_id, f.old_values AS before, l.new_values AS after, r.first, r.last, r.renewed FROM (\
                   SELECT pg_catalog.min(a.id) AS first, pg_catalog.max(a.id) AS last, \
                     pg_catalog.bool_or(a.old_values IS NULL OR a.new_values IS NULL) AS renewed FROM {audit} a \
                   WHERE {ours} GROUP BY a.record_id) r \
                 JOIN {audit} f ON f.id = r.first AND f.application = ANY ({of}::uuid[]) \
                 JOIN {audit} l ON l.id = r.last AND l.application = ANY ({of}::uuid[])",
                of = values.texts(self.applications),
            )
        };
        let sql = format!(
            "INSERT INTO {undo} SELECT x.record_id, x.before, x.after, x.first, x.last, x.renewed, {cells} FROM ({images} OFFSET 0) x",
            undo = self.temporary(),
            cells = list(cells),
        );
        let fill = self.reading(sql, values);
        match self.applications.len() {
            1 if self.undone.is_empty() => fill, // nothing is joined
            _ => fill.at_once(),
        }
    }

    /// How many changes the audit log has, of the applications and of the rollbacks that undid some of them.
    pub(in crate::pg) fn count_audited(&self) -> Statement {
        let mut values = Values::default();
        let mut applications = self.applications.to_vec(); // each once, for they are counted
        applications.extend_from_slice(self.undone.by());
        applications.sort();
        applications.dedup();
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} a WHERE {}",
            self.audit_log(),
            self.of(&applications, &mut values)
        );
        self.reading(sql, values)
    }

    /// The columns that images hold and the table has no more, and those that it has got since some
    /// of them.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) where a load changed such a column of a row that was there before.
    pub(super) async fn find_gone_and_added(&mut self, session: &Session) -> Result<()> {
        let known = session.rows(&self.columns_of_images()).await?.into_iter();
        let known = known.map(|row| Ok((row.text(0)?.to_owned(), row.is(1))));
        let known: Vec<(String, bool)> = known.collect::<Result<_>>()?;
        // A load that changed nothing has no images, and nothing to take back.
        if !known.is_empty() {
            let ignored = &self.target.config.ignore_drift;
            let in_all = |c: &Column| known.iter().any(|(name, all)| *all && *name == c.name);
            let columns = self.target.table.columns.iter();
            let added =
                columns.filter(|c| !c.generated && !in_all(c) && !ignored.contains(&c.name));
            self.added = added.map(|c| c.name.clone()).collect();
        }
        for column in known.into_iter().map(|(name, _)| name) {
            let now = match self.target.table.column(&column) {
                None => "which the table has no more",
                Some(c) if c.generated && self.written.columns.contains(&column) => {
                    "which the database computes now"
                }
                Some(_) => continue,
            };
            if session.holds(&self.has_changed(&column)).await? {
                return Err(Error::blocked(format!(
                    "{}: the load changed or deleted values of the column {}, {now}, so that its rows cannot be put back; the \
                     values of before are in the audit log",
                    self.target.name,
                    crate::text::escape(&column)
                )));
            }
            if self.target.table.column(&column).is_none() {
                self.gone.push(column);
            }
        }
        Ok(())
    }

    /// Whether one of the applications gave another value in this column to a row that was there before, or deleted
    /// one that had a value.
    pub(in crate::pg) fn has_changed(&self, column: &str) -> Statement {
        let name = Literal(column);
        let differs = |old: &str, new: &str| {
            format!("({old} ->> {name}) IS DISTINCT FROM ({new} ->> {name})")
        };
        let (undo, audit) = (self.temporary(), self.audit_log());
        let of_both = differs("s.before", "s.after");
        if !self.is_composed {
            let sql = format!(
                "SELECT EXISTS (SELECT FROM {undo} s WHERE s.before IS NOT NULL AND {of_both})"
            );
            return self.reading(sql, Values::default());
        }
        // Between two of them the table may have lost the column: then each says what it did itself.
        let mut values = Values::default();
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {undo} s JOIN {audit} a ON a.record_id = s.record_id WHERE s.before IS NOT NULL AND {ours} \
               AND CASE WHEN pg_catalog.jsonb_exists(s.before, {name}) AND pg_catalog.jsonb_exists(s.after, {name}) THEN {of_both} \
                 ELSE a.old_values IS NOT NULL AND {of_each} END)",
            ours = self.ours(&mut values),
            of_each = differs("a.old_values", "a.new_values"),
        );
        self.reading(sql, values).at_once()
    }

    /// The columns of the applications' images, and whether all have them: the images of one
    /// application have the same.
    pub(in crate::pg) fn columns_of_images(&self) -> Statement {
        let mut values = Values::default();
        let sql = format!(
            "WITH images AS MATERIALIZED (SELECT i.image FROM pg_catalog.unnest({applications}::uuid[]) a(id), \
               LATERAL (SELECT coalesce(l.new_values, l.old_values) AS image FROM {audit} l WHERE l.application = a.id \
                 AND l.table_name = {table} AND l.{ON_ROWS} LIMIT 1) i) \
             SELECT k.name, pg_catalog.count(*) = (SELECT pg_catalog.count(*) FROM images) FROM images i, \
               LATERAL pg_catalog.jsonb_object_keys(i.image) k(name) GROUP BY k.name ORDER BY k.name",
            applications = values.texts(self.applications),
            audit = self.audit_log(),
            table = values.text(&self.target.name),
        );
        self.reading(sql, values)
    }

    /// Where several applications changed one row, each must have found it as the one before left
    /// it: what others did in between would be lost.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows, [`Database`](crate::ErrorKind::Database).
    pub async fn check_continuity(&self, session: &Session) -> Result<()> {
        if !self.is_composed {
            return Ok(());
        }
        let broken = session.column(&self.broken()).await?;
        if broken.is_empty() {
            return Ok(());
        }
        let named = broken.iter();
        let named: Vec<String> = named
            .map(|id| session.name_row(&self.target.name, id))
            .collect();
        Err(Error::blocked(format!(
            "{}: another load, or somebody else, changed rows between two of these loads, for example {}",
            self.target.name,
            named.join(", ")
        ))
        .with_remedy(Remedy::InBetween))
    }

    /// Some rows that an application found otherwise than the one before had left them.
    pub(in crate::pg) fn broken(&self) -> Statement {
        let mut values = Values::default();
        let only = match self.is_selected {
            true => format!(
                " AND EXISTS (SELECT FROM {} s WHERE s.record_id = a.record_id)",
                self.temporary()
            ),
            false => String::new(),
        };
        let sql = format!(
            "SELECT DISTINCT record_id FROM (SELECT a.record_id, a.old_values, \
               pg_catalog.lag(a.new_values) OVER w AS left_as, pg_catalog.row_number() OVER w AS n \
             FROM {audit} a WHERE {ours}{only} WINDOW w AS (PARTITION BY a.record_id ORDER BY a.id)) x \
             WHERE n > 1 AND coalesce(NOT x.old_values OPERATOR(pg_catalog.@>) (x.left_as{without}), \
               x.left_as IS NOT NULL OR x.old_values IS NOT NULL) ORDER BY 1 LIMIT 20",
            audit = self.audit_log(),
            ours = self.ours(&mut values),
            without = self.without_ignored(),
        );
        self.reading(sql, values).at_once()
    }

    /// What later ones of `applications`, one after the other and nobody in between, left in the columns that triggers
    /// set (`triggered`), is how the row was left: also in those that the table has got since, of a row that would be
    /// deleted. `None` where none of them changed the table.
    pub(in crate::pg) fn follow(
        &self,
        triggered: &[String],
        applications: &[Application],
    ) -> Option<Statement> {
        let Target { table, config, .. } = self.target;
        let mut values = Values::default();
        let applications: Vec<&Application> = applications.iter().collect();
        let all = &UndoneRows::default();
        let changes = ledger::changes(
            &applications,
            self.target,
            &self.audit_log(),
            all,
            &mut values,
        )?;
        // Values that were only converted since are compared in the present type, with the row itself.
        let is_converted = |c: &Column| {
            let then = self.written.types.get(&c.name);
            let is_set = config.is_stamp(&c.name) || self.written.by_trigger.contains(&c.name);
            then.is_some_and(|then| *then != c.base_type_sql) && !is_set
        };
        let columns = table.columns.iter();
        let set: Vec<&Column> = columns
            .filter(|c| triggered.contains(&c.name) && !config.ignore_drift.contains(&c.name))
            .filter(|c| !is_converted(c))
            .collect();
        let broken = any(set.iter().filter(|c| !c.generated).map(|c| {
            let name = Literal(&c.name);
            let was_there = match self.added.contains(&c.name) {
                true => self.not_filled(c, &format!("(x.old_values ->> {name})")),
                false => "true".to_owned(),
            };
            format!(
                "CASE WHEN pg_catalog.jsonb_exists(x.left_as, {name}) THEN pg_catalog.jsonb_exists(x.old_values, {name}) \
                   AND (x.old_values ->> {name}) IS DISTINCT FROM (x.left_as ->> {name}) ELSE NOT {was_there} END"
            )
        }));
        let names = text_array(set.iter().map(|c| Literal(&c.name)));
        let added = text_array(self.added.iter().map(|c| Literal(c)));
        let sql = format!(
            "WITH later AS (SELECT s.record_id, l.id, l.old_values, l.new_values, l.id > s.audited AS is_later, \
                 pg_catalog.lag(l.new_values) OVER (PARTITION BY s.record_id ORDER BY l.id) AS left_as \
               FROM (SELECT DISTINCT c.record_id, c.id FROM ({changes}) c) c JOIN {undo} s ON s.record_id = c.record_id \
                 JOIN {audit} l ON l.id = c.id WHERE c.id >= s.audited), \
             newest AS (SELECT DISTINCT ON (record_id) record_id, id, new_values FROM later ORDER BY record_id, id DESC) \
             UPDATE {undo} s SET audited = n.id, after = s.after || (\
                 SELECT coalesce(pg_catalog.jsonb_object_agg(e.key, e.value), '{{}}') FROM pg_catalog.jsonb_each(n.new_values) e \
                 WHERE e.key = ANY ({names}) AND (pg_catalog.jsonb_exists(s.after, e.key) \
                   OR s.before IS NULL AND e.key = ANY ({added}))) \
             FROM newest n WHERE n.record_id = s.record_id AND n.id > s.audited AND n.new_values IS NOT NULL \
               AND s.after IS NOT NULL AND NOT s.later \
               AND NOT EXISTS (SELECT FROM later x WHERE x.record_id = s.record_id AND x.is_later \
                 AND ((x.old_values IS NULL) <> (x.left_as IS NULL) OR {broken}))",
            audit = self.audit_log(),
            undo = self.temporary(),
        );
        Some(self.reading(sql, values).at_once())
    }

    /// Where somebody else set a column whose drift does not matter between two of the applications, that is what it
    /// goes back to.
    pub(in crate::pg) fn leave_between(&self) -> Option<Statement> {
        let ignored = &self.target.config.ignore_drift;
        if !self.is_composed || ignored.is_empty() {
            return None;
        }
        let mut values = Values::default();
        let sql = format!(
            "WITH steps AS (SELECT a.record_id, a.id, a.old_values, \
                 pg_catalog.lag(a.new_values) OVER (PARTITION BY a.record_id ORDER BY a.id) AS left_as \
               FROM {audit} a WHERE {ours}), \
             theirs AS (SELECT DISTINCT ON (x.record_id, i.name) x.record_id, i.name, x.old_values -> i.name AS value \
               FROM steps x, pg_catalog.unnest({names}) i(name) \
               WHERE pg_catalog.jsonb_exists(x.left_as, i.name) AND pg_catalog.jsonb_exists(x.old_values, i.name) \
                 AND (x.old_values ->> i.name) IS DISTINCT FROM (x.left_as ->> i.name) \
               ORDER BY x.record_id, i.name, x.id DESC) \
             UPDATE {undo} s SET before = s.before || t.theirs \
             FROM (SELECT record_id, pg_catalog.jsonb_object_agg(name, value) AS theirs FROM theirs GROUP BY record_id) t \
             WHERE t.record_id = s.record_id AND s.before IS NOT NULL AND s.after IS NOT NULL",
            audit = self.audit_log(),
            ours = self.ours(&mut values),
            names = text_array(ignored.iter().map(|c| Literal(c))),
            undo = self.temporary(),
        );
        Some(self.reading(sql, values).at_once())
    }

    pub(in crate::pg) fn analyze(&self) -> Statement {
        let key = self.target.staged_key();
        let sql = format!("ANALYZE {} ({key})", self.temporary());
        self.reading(sql, Values::default())
    }
}
