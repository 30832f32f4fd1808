//! What is in a world's database.

use std::collections::BTreeMap;

use super::world::World;
use super::{server, wait};

impl World {
    /// Waits until a query has a row.
    #[track_caller]
    pub fn wait_for(&self, query: &str) {
        wait::eventually(query, || !self.rows(query).is_empty());
    }

    /// Runs SQL as somebody else.
    #[track_caller]
    pub fn sql(&self, sql: &str) {
        let done = self.with(|client| client.batch_execute(sql));
        done.unwrap_or_else(|e| panic!("{e:?}: {sql}"));
    }

    /// The rows of a query: the values as PostgreSQL prints them, `∅` for null, joined by `|`.
    pub fn rows(&self, query: &str) -> Vec<String> {
        let cells = self.cells(query);
        let line = |row: Vec<Option<String>>| {
            let cells: Vec<String> = row
                .into_iter()
                .map(|c| c.unwrap_or_else(|| "∅".into()))
                .collect();
            cells.join("|")
        };
        cells.into_iter().map(line).collect()
    }

    /// The one value of a query.
    pub fn value(&self, query: &str) -> String {
        let rows = self.rows(query);
        assert_eq!(rows.len(), 1, "{query}: {rows:?}");
        rows.into_iter().next().unwrap()
    }

    /// The rows of a query, value by value.
    #[track_caller]
    pub fn cells(&self, query: &str) -> Vec<Vec<Option<String>>> {
        self.with(|client| server::cells(client, query))
    }

    /// The first value of a query, empty where it is null or there is none.
    #[track_caller]
    pub fn one(&self, query: &str) -> String {
        self.with(|client| server::one(client, query))
    }

    /// Every row of every table, the loader's own included.
    pub fn state(&self) -> BTreeMap<String, Vec<String>> {
        let tables = self.rows(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND NOT schemaname LIKE 'pg\\_temp%'",
        );
        let content = |name: String| {
            let rows = self.rows(&format!("SELECT t::text FROM {name} t ORDER BY 1"));
            (name, rows)
        };
        tables.into_iter().map(content).collect()
    }

    /// [`World::state`] without one table.
    pub fn state_without(&self, table: &str) -> BTreeMap<String, Vec<String>> {
        let mut state = self.state();
        assert!(state.remove(table).is_some(), "there is no {table}");
        state
    }

    /// Runs `work`, after which every table must be as before.
    #[track_caller]
    pub fn writes_nothing<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.state();
        let done = work();
        assert!(before == self.state(), "something was written");
        done
    }

    /// Runs `work`, which must leave one `failed` row in `batch_load_log` and nothing else.
    #[track_caller]
    pub fn writes_only_a_failure<T>(&self, work: impl FnOnce() -> T) -> T {
        const LOG: &str = "public.batch_load_log";
        let (before, logged) = (self.state_without(LOG), self.rows(FAILURES).len());
        let total = self.value("SELECT count(*) FROM batch_load_log");
        let done = work();
        assert!(
            before == self.state_without(LOG),
            "something was written beside batch_load_log"
        );
        assert_eq!(self.rows(FAILURES).len(), logged + 1, "one failed row");
        let added = total.parse::<usize>().unwrap() + 1;
        assert_eq!(
            self.value("SELECT count(*) FROM batch_load_log"),
            added.to_string()
        );
        done
    }
}

const FAILURES: &str = "SELECT id FROM batch_load_log WHERE status = 'failed'";
