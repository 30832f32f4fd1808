//! The rows to change: compared, kept as they are, and locked.

use super::{Context, THIS_VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::apply::drift::{Expected, state};
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::CHANGED;
use crate::sql::{Literal, Statement};
use crate::table::row::record_id;
use crate::table::target::Guard;

impl Context<'_> {
    /// Compares every staged row with the table, keeps versions and images of the rows that will
    /// change, and locks these in key order. Returns whether all is as planned.
    ///
    /// What is locked is the row version that was compared, or else it does not count: a version is
    /// told by its place and the transaction that wrote it, as a place can be used again.
    pub async fn compare_and_lock(&self, staged: &Staged) -> Result<bool> {
        let session = self.session;
        staged.beside().near().bring(session).await?;
        session.run(&staged.create_versions()).await?;
        session.run(&staged.compare()).await?;
        session.run(&staged.analyze_versions()).await?;
        let drifted = session.count(&staged.count_compared()).await?;
        let lock = if staged.target.table.kind.is_far() {
            // Nobody else writes to the table.
            staged.count_to_change()
        } else {
            staged.lock()
        };
        let locked = self.assume_cached(session.count(&lock)).await?;
        let to_change = staged.rows.update + staged.rows.delete;
        if to_change > 0 {
            self.check_single(staged).await?;
        }
        if drifted > 0 || locked != to_change {
            return Ok(false);
        }
        if to_change > 0 {
            self.check_stated(staged).await?;
        }
        Ok(true)
    }

    /// That each key still finds one row, where no index makes sure of that.
    async fn check_single(&self, staged: &Staged) -> Result<()> {
        if staged.target.guard() != Guard::Lock {
            return Ok(());
        }
        let several = self.session.column(&staged.found_several()).await?;
        if several.is_empty() {
            return Ok(());
        }
        let named = several.iter();
        let named: Vec<String> = named
            .map(|id| self.session.name_row(&staged.target.name, id))
            .collect();
        Err(Error::new(
            ErrorKind::Drift,
            format!(
                "{}: there are further rows with the natural key of rows that the plan changes, which was made when there were \
                 none: {}; nothing was written; settle which row is meant, and make a new plan",
                staged.target.name,
                named.join(", ")
            ),
        ))
    }

    /// That the rows which are changed hold what the plan shows of them: its digests are of whole rows,
    /// and say nothing about the values that a reviewer saw.
    async fn check_stated(&self, staged: &Staged) -> Result<()> {
        if self.session.count(&staged.count_misstated()).await? == 0 {
            return Ok(());
        }
        let rows = self.session.rows(&staged.misstated()).await?;
        let named = rows.iter().map(|row| {
            let row_is = self.session.name_row(&staged.target.name, row.text(0)?);
            Ok(format!("{row_is} ({})", crate::text::escape(row.text(1)?)))
        });
        let named: Vec<String> = named.collect::<Result<_>>()?;
        Err(Error::plan_refused(format!(
            "{}: the plan shows old values that these rows do not hold, although they are the rows that it was made \
             from: {}; whoever reviewed it saw something else; make a new plan",
            staged.target.name,
            named.join(", ")
        )))
    }
}

impl Staged {
    fn comparing(&self, sql: String) -> Statement {
        Statement::new(self.doing_compare(), sql)
    }

    fn has_marks(&self) -> bool {
        self.target.mark().is_some()
    }

    pub(in crate::pg) fn create_versions(&self) -> Statement {
        self.comparing(format!(
            "CREATE TEMPORARY TABLE {} (_n bigint, _a \"char\", _table oid, _tid tid, _version xid, \
             image jsonb, _stated bool)",
            self.versions().bare()
        ))
    }

    /// Keeps the rows to change that are as planned, with whether they hold what the plan shows of them
    /// where that has to be asked, and of all others those that are not as planned.
    pub(in crate::pg) fn compare(&self) -> Statement {
        let once = self
            .target
            .table
            .once("t", "l", &self.target.config.ignore_drift);
        let image = &once.image;
        let beside = self.beside();
        // A key may find marked rows beside the planned one: what is not changed is counted for itself.
        let (from, only) = if self.has_marks() {
            (beside.found(), format!("WHERE s._a IN ({CHANGED}) "))
        } else {
            (beside.each(), String::new())
        };
        self.comparing(format!(
            "INSERT INTO {versions} (_n, _a, _table, _tid, _version, image, _stated) \
             SELECT i._n, i._a, i._table, i._tid, i._version, i.image, i.image OPERATOR(pg_catalog.@>) i._old FROM (\
               SELECT l._n, l._a, l._table, l._tid, l._version, l._old, CASE WHEN l._a IN ({CHANGED}) THEN {image} END AS image FROM (\
                 SELECT s._n, s._a, s._expect, s._old, t.tableoid AS _table, t.ctid AS _tid, t.xmin AS _version, {texts} \
                 FROM {from} {only}OFFSET 0) l \
               WHERE (l._a IN ({CHANGED})) = ({state} IS NULL) OFFSET 0) i",
            versions = self.versions(),
            texts = once.select,
            state = state(
                "l",
                "l._table IS NULL",
                &self.is_another("l", &once.digest, |at, _| format!("l.texts[{}]", at + 1))
            ),
        ))
    }

    /// Some keys of rows to change that find several rows, of which none is marked as deleted.
    pub(in crate::pg) fn found_several(&self) -> Statement {
        let live = match self.has_marks() {
            true => format!(" AND {}", self.beside().live()),
            false => String::new(),
        };
        self.comparing(format!(
            "SELECT pg_catalog.min({}) FROM {} WHERE s._a IN ({CHANGED}){live} GROUP BY s._n HAVING pg_catalog.count(*) > 1 \
             ORDER BY s._n LIMIT 5",
            self.target.record_id("t"),
            self.beside().found(),
        ))
    }

    /// How many of the rows to change do not hold what the plan says of them.
    pub(in crate::pg) fn count_misstated(&self) -> Statement {
        self.comparing(format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE NOT _stated",
            self.versions()
        ))
    }

    /// Some of them, and the columns of which it says something else.
    pub(in crate::pg) fn misstated(&self) -> Statement {
        let key = self.target.key_columns();
        let texts = key
            .iter()
            .map(|c| format!("(b.image ->> {})", Literal(&c.name)));
        self.comparing(format!(
            "SELECT {}, (SELECT pg_catalog.string_agg(o.key, ', ' ORDER BY o.key) FROM pg_catalog.jsonb_each_text(s._old) o \
               WHERE (b.image ->> o.key) IS DISTINCT FROM o.value) FROM {} b JOIN {} s ON s._n = b._n \
             WHERE NOT b._stated ORDER BY s._n LIMIT 5",
            record_id(texts),
            self.versions(),
            self.temporary()
        ))
    }

    /// Without knowing that row versions differ, the planner would hash the whole table by them.
    pub(in crate::pg) fn analyze_versions(&self) -> Statement {
        self.comparing(format!("ANALYZE {} (_n, _table, _tid)", self.versions()))
    }

    /// How many of the rows that are not to change are not as planned.
    pub(in crate::pg) fn count_compared(&self) -> Statement {
        if self.has_marks() {
            return self.count_drift(Expected::Unwritten);
        }
        self.comparing(format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE _a NOT IN ({CHANGED})",
            self.versions()
        ))
    }

    /// How many of the rows to change are as planned.
    pub(in crate::pg) fn count_to_change(&self) -> Statement {
        self.comparing(format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE _a IN ({CHANGED})",
            self.versions()
        ))
    }

    /// Locks the versions that were compared, in plan order, and counts them.
    pub(in crate::pg) fn lock(&self) -> Statement {
        let strength = if self.rows.delete > 0 || self.has_followers() {
            "FOR UPDATE"
        } else {
            "FOR NO KEY UPDATE"
        };
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM (\
               SELECT b._tid, b._version, t.ctid, t.xmin FROM {} b \
               JOIN {} t ON {THIS_VERSION} WHERE b._a IN ({CHANGED}) \
               ORDER BY b._n OFFSET 0 {strength} OF t) l WHERE l.ctid = l._tid AND l.xmin = l._version",
            self.versions(),
            self.target.table.name
        );
        Statement::new(
            format!("locking the rows of table {}", self.target.name),
            sql,
        )
    }
}
