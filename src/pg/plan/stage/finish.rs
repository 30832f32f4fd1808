//! What only shows when all is staged: domains and duplicates.

use super::Stage;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::plan::trial;
use crate::sql::{Statement, all, list};
use crate::table::config::OnDuplicate;
use crate::table::schema::Column;

impl Stage<'_> {
    /// Checks what only shows when all is staged: domains and duplicates; and gives the planner
    /// its statistics.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn finish(&mut self, session: &Session) -> Result<()> {
        self.check_domains(session).await?;
        if self.extracted {
            session.run(&self.set_extracted()).await?;
        }
        // A key can be known in part only when it was looked up, and so can what records say.
        if !self.target.lookups.is_empty() {
            session.run(&self.create(self.looked_up_table())).await?;
            if !self.surely_distinct {
                session.run(&self.create_duplicates()).await?;
            }
            return Ok(());
        }
        session.run(&self.analyze()).await?;
        if self.surely_distinct {
            return Ok(());
        }
        self.duplicates = session.holds(&self.has_duplicates()).await?;
        if self.duplicates {
            session.run(&self.create_duplicates()).await?;
            session.run(&self.find_duplicates()).await?;
        }
        Ok(())
    }

    /// As the end of [`Stage::finish`], when everything was looked up.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn find_duplicates_at_last(&mut self, session: &Session) -> Result<()> {
        session.run(&self.analyze()).await?;
        if !self.surely_distinct && session.holds(&self.has_duplicates()).await? {
            session.run(&self.find_duplicates()).await?;
            self.duplicates = true;
        }
        Ok(())
    }

    async fn check_domains(&mut self, session: &Session) -> Result<()> {
        let used = self.target.table.columns.iter().zip(&self.used);
        for (column, _) in used.filter(|(c, used)| c.domain && **used) {
            if !trial::works(session, &self.cast_to_domain(column)).await? {
                self.findings = true;
                session.run(&self.find_outside_domain(column)).await?;
            }
        }
        Ok(())
    }

    /// Takes over when records were extracted, where that was not known when they were staged.
    pub(in crate::pg) fn set_extracted(&self) -> Statement {
        let sql = format!(
            "UPDATE {} s SET _extracted = e.at FROM (SELECT pg_catalog.generate_series(first, last) AS n, at \
             FROM pg_temp.loader_extracted WHERE _t = {}) e WHERE e.n = s._n",
            self.temporary(),
            self.target.place
        );
        Statement::new(self.doing("staging"), sql)
    }

    pub(in crate::pg) fn analyze(&self) -> Statement {
        let fields = self.target.lookups.fields.iter().map(Column::staged);
        let key = std::iter::once(self.target.staged_key());
        let columns = list(key.chain(fields));
        let sql = format!("ANALYZE {} ({columns})", self.temporary());
        Statement::new(self.doing("comparing"), sql)
    }

    fn looking(&self, sql: String) -> Statement {
        Statement::new(self.doing("looking for duplicate keys among"), sql)
    }

    /// The condition that a record has a key and stands for it, and its key, by the equality that decides
    /// about it.
    fn key(&self) -> (String, String) {
        let key = self.target.key();
        let mut given: Vec<String> = key
            .iter()
            .map(|(c, _)| format!("s.{} IS DISTINCT FROM NULL", c.staged()))
            .collect();
        given.extend(self.is_for_its_row("s"));
        let given = all(given);
        let by = list(
            key.iter()
                .map(|(c, equality)| format!("s.{}{}", c.staged(), equality.collate())),
        );
        (given, by)
    }

    /// Whether records have one key.
    pub(in crate::pg) fn has_duplicates(&self) -> Statement {
        let (given, by) = self.key();
        let stage = self.temporary();
        self.looking(format!(
            "SELECT EXISTS (SELECT FROM {stage} s WHERE {given} GROUP BY {by} HAVING pg_catalog.count(*) > 1)"
        ))
    }

    pub(in crate::pg) fn create_duplicates(&self) -> Statement {
        self.looking(format!(
            "CREATE TEMPORARY TABLE {} (_n bigint, first bigint, last bigint, copies bigint, variants bigint, other bigint)",
            self.duplicates_table().bare()
        ))
    }

    /// That record `alias`, beside its duplicates `d`, stands for its key: the others with the same key
    /// are no rows.
    pub(in crate::pg) fn stands_for_key(&self, alias: &str) -> String {
        let which = match self.target.config.on_duplicate {
            OnDuplicate::Last => "CASE WHEN d.variants = 1 THEN d.first ELSE d.last END",
            OnDuplicate::Block | OnDuplicate::Reject => "d.first",
        };
        format!("(d._n IS NULL OR {alias}._n = {which})")
    }

    /// Keeps the records that have one key with others: the first and the last of them, how many
    /// they are, how many different ones, and of each another one that differs from it. Of records that are alike, the
    /// one that stands for them was extracted when the newest was.
    pub(in crate::pg) fn find_duplicates(&self) -> Statement {
        let (given, by) = self.key();
        // Two spellings of one key are one key: they alone make no other record.
        let columns = self.target.table.columns.iter();
        let beside_key = columns.filter(|c| !self.target.config.natural_key.contains(&c.name));
        let content = ["s._given", "s._findings", "s._goes"]
            .map(str::to_owned)
            .into_iter()
            .chain(beside_key.map(|c| format!("s.{}", c.staged())));
        let table = self.duplicates_table();
        self.looking(format!(
            "INSERT INTO {table} (_n, first, last, copies, variants, other) \
             WITH d AS (SELECT * FROM (SELECT s._n, pg_catalog.min(s._n) OVER w AS first, \
                 pg_catalog.max(s._n) OVER w AS last, pg_catalog.count(*) OVER w AS copies, \
                 pg_catalog.md5(ROW({content})::pg_catalog.text) AS content \
               FROM {stage} s WHERE {given} WINDOW w AS (PARTITION BY {by})) g WHERE copies > 1), \
             g AS (SELECT first, content, pg_catalog.min(_n) AS n FROM d GROUP BY first, content), \
             v AS (SELECT first, pg_catalog.count(*) AS variants, pg_catalog.min(n) FILTER (WHERE n <> first) AS second \
               FROM g GROUP BY first) \
             SELECT d._n, d.first, d.last, d.copies, v.variants, \
               CASE WHEN g.n = d.first THEN v.second ELSE d.first END AS other \
             FROM d JOIN g ON g.first = d.first AND g.content = d.content JOIN v ON v.first = d.first; ANALYZE {table}; \
             UPDATE {stage} s SET _extracted = m.newest FROM (SELECT d.first, pg_catalog.max(e._extracted) AS newest \
               FROM {table} d JOIN {stage} e ON e._n = d._n WHERE d.variants = 1 GROUP BY d.first) m \
             WHERE s._n = m.first AND m.newest IS DISTINCT FROM s._extracted",
            content = list(content),
            stage = self.temporary(),
        ))
    }
}
