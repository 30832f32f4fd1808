//! How a session runs statements.

use std::sync::PoisonError;

use bytes::Bytes;
use futures_util::SinkExt;
use futures_util::future::join_all;
use tokio_postgres::Statement as Prepared;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, SimpleQueryMessage};

use super::failure::{is_refused_value, unexpected};
use super::patience::in_time;
use super::settings::{join_as_usual, join_at_once, plan_as_usual, plan_once};
use super::{CopyLines, Session, TextRow};
use crate::error::Result;
use crate::sql::{Bound, Statement};

/// All of these return [`Database`](crate::ErrorKind::Database) that says what was being done, or [`Locked`](crate::ErrorKind::Locked).
impl Session {
    /// What the server answers, if it does in time.
    async fn answer<T>(
        &self,
        doing: &str,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let done = in_time(doing, self.patience, work).await?;
        done.map_err(|e| self.failed(doing, &e))
    }

    /// What the server answers to `work`, which sends this statement, planned as it asks for.
    async fn planned<T>(
        &self,
        statement: &Statement,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let doing = statement.doing();
        if !statement.is_at_once() {
            return self.answer(doing, work).await;
        }
        let (at_once, as_usual) = (join_at_once(), join_as_usual());
        // All are sent at once. What comes after a failure has failed for it.
        let (before, done, after) = tokio::join!(
            self.answer(doing, self.client.batch_execute(at_once.text())),
            self.answer(doing, work),
            self.answer(doing, self.client.batch_execute(as_usual.text()))
        );
        before?;
        let done = done?;
        after.map(|()| done)
    }

    /// Runs a statement, or several without values, whatever they return.
    pub async fn run(&self, statement: &Statement) -> Result<()> {
        if statement.values().is_empty() && !statement.is_at_once() {
            let run = self.client.batch_execute(statement.text());
            return self.answer(statement.doing(), run).await;
        }
        self.execute(statement).await.map(drop)
    }

    /// Runs one statement and returns how many rows it touched.
    pub async fn execute(&self, statement: &Statement) -> Result<u64> {
        let values = typed(statement);
        let execute = self.client.execute_typed(statement.text(), &values);
        self.planned(statement, execute).await
    }

    /// The rows of one query, as text.
    pub async fn rows(&self, statement: &Statement) -> Result<Vec<TextRow>> {
        let doing = statement.doing();
        if !statement.values().is_empty() || statement.is_at_once() {
            let rows = self.query(statement).await?;
            return rows.iter().map(|row| TextRow::of(doing, row)).collect();
        }
        let messages = self
            .answer(doing, self.client.simple_query(statement.text()))
            .await?;
        let rows = messages.into_iter().filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => Some(TextRow::of_simple(doing, &row)),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The first row of one query that always returns one, as text.
    pub async fn row(&self, statement: &Statement) -> Result<TextRow> {
        let first = self.rows(statement).await?.into_iter().next();
        first.ok_or_else(|| unexpected(statement.doing(), "it has no row"))
    }

    /// The first column of one query, without nulls.
    pub async fn column(&self, statement: &Statement) -> Result<Vec<String>> {
        let rows = self.rows(statement).await?;
        Ok(rows.into_iter().filter_map(|mut r| r.take(0)).collect())
    }

    /// How many there are of something: the one number of a query.
    pub async fn count(&self, statement: &Statement) -> Result<u64> {
        let values = typed(statement);
        let row = self.client.query_typed_one(statement.text(), &values);
        let row = self.planned(statement, row).await?;
        let count: i64 = row
            .try_get(0)
            .map_err(|e| self.failed(statement.doing(), &e))?;
        u64::try_from(count).map_err(|_| unexpected(statement.doing(), "a count is negative"))
    }

    /// Whether something is so: the one truth value of a query.
    pub async fn holds(&self, statement: &Statement) -> Result<bool> {
        let values = typed(statement);
        let row = self.client.query_typed_one(statement.text(), &values);
        let row = self.planned(statement, row).await?;
        row.try_get(0)
            .map_err(|e| self.failed(statement.doing(), &e))
    }

    /// The rows of one query in their own types.
    pub(in crate::pg) async fn query(&self, statement: &Statement) -> Result<Vec<Row>> {
        let values = typed(statement);
        let query = self.client.query_typed(statement.text(), &values);
        self.planned(statement, query).await
    }

    /// The answers to queries that are asked of one thing after the other, which is the one `value` of each:
    /// they are parsed and planned once in a session, which takes longer than to answer them.
    ///
    /// # Errors
    /// The first query that cannot be parsed; each answer has its own.
    pub(in crate::pg) async fn ask_of(
        &self,
        doing: &str,
        queries: &[&'static str],
        value: &str,
    ) -> Result<Vec<Result<Vec<Row>>>> {
        let prepared = queries.iter().map(|query| self.prepared(doing, query));
        let prepared = join_all(prepared).await;
        let prepared: Vec<Prepared> = prepared.into_iter().collect::<Result<_>>()?;
        let values: [&(dyn ToSql + Sync); 1] = [&value];
        let answers = prepared.iter();
        let answers = answers.map(|p| self.answer(doing, self.client.query(p, &values)));
        let (once, as_usual) = (plan_once(), plan_as_usual());
        // All are sent at once: the way to the server and back is paid for once.
        let (_, answers, _) = tokio::join!(self.run(&once), join_all(answers), self.run(&as_usual));
        Ok(answers)
    }

    async fn prepared(&self, doing: &str, query: &'static str) -> Result<Prepared> {
        let known = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = known().get(query) {
            return Ok(prepared.clone());
        }
        let prepare = self.client.prepare_typed(query, &[Type::TEXT]);
        let prepared = self.answer(doing, prepare).await?;
        known().insert(query, prepared.clone());
        Ok(prepared)
    }

    /// One `COPY … FROM STDIN` of `lines`.
    pub async fn copy_in(&self, statement: &Statement, lines: Bytes) -> Result<()> {
        let copied = self.send(statement, lines).await?;
        copied.map_err(|e| self.failed(statement.doing(), &e))
    }

    /// As [`Session::copy_in`]; `false` where the server refused a value, and took none.
    pub async fn copy_in_unless_refused(
        &self,
        statement: &Statement,
        lines: Bytes,
    ) -> Result<bool> {
        match self.send(statement, lines).await? {
            Ok(()) => Ok(true),
            Err(e) if is_refused_value(&e) => Ok(false),
            Err(e) => Err(self.failed(statement.doing(), &e)),
        }
    }

    /// What the server says of the lines, if it answers in time.
    async fn send(
        &self,
        statement: &Statement,
        lines: Bytes,
    ) -> Result<std::result::Result<(), tokio_postgres::Error>> {
        let work = async {
            let sink = self.client.copy_in(statement.text()).await?;
            let mut sink = std::pin::pin!(sink);
            sink.send(lines).await?;
            sink.finish().await.map(drop)
        };
        in_time(statement.doing(), self.patience, work).await
    }

    /// The lines of one `COPY … TO STDOUT`.
    pub async fn copy_out(&self, statement: &Statement) -> Result<CopyLines<'_>> {
        let lines = self.client.copy_out(statement.text());
        let lines = self.answer(statement.doing(), lines).await?;
        Ok(CopyLines::new(self, statement.doing(), lines))
    }
}

/// The values with their types as they are sent.
fn typed(statement: &Statement) -> Vec<(&(dyn ToSql + Sync), Type)> {
    let values = statement.values().iter();
    values
        .map(|value| match value {
            Bound::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
            Bound::Texts(texts) => (texts as &(dyn ToSql + Sync), Type::TEXT_ARRAY),
        })
        .collect()
}
