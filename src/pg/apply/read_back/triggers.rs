//! What triggers changed in updated rows beside what their entries say: what must stay, and what the ledger keeps.

use crate::error::{Error, Result};
use crate::pg::apply::staged::fate::Fate;
use crate::pg::apply::staged::{STAYS, Staged};
use crate::pg::apply::write::{Context, writes};
use crate::sql::{Ident, Literal, Statement, text_array};
use crate::table::row::keys_equal;
use crate::table::schema::Column;
use crate::table::target::Target;

impl Context<'_> {
    /// The columns that triggers changed in updated rows whose entries do not change them.
    pub(in crate::pg::apply) async fn changed_by_triggers(
        &self,
        staged: &Staged,
    ) -> Result<Vec<String>> {
        match staged.changed_by_triggers()? {
            Some(changed) => self.session.column(&changed).await,
            None => Ok(Vec::new()),
        }
    }

    /// That no trigger changed what the plan does not show and must stay: what is never to change, and what
    /// records give as it was.
    pub(super) async fn check_stays(&self, staged: &Staged) -> Result<()> {
        let Some(changed) = staged.stays_changed()? else {
            return Ok(());
        };
        let rows = self.session.rows(&changed).await?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let (immutable, given) = (row.text(1)?, row.text(2)?);
        let (what, columns, remedy) = match immutable {
            "" => {
                let stamps: Vec<String> = (given.split(", "))
                    .map(|column| format!("{column}: trigger"))
                    .collect();
                let stamps = stamps.join(", ");
                let remedy = format!(
                    "say stamps: {{{stamps}}} in tables.yaml if it is right whatever records give,"
                );
                ("records give as it was", given, remedy)
            }
            columns => {
                let remedy = "take the column out of immutable_fields".to_owned();
                ("immutable_fields says never changes", columns, remedy)
            }
        };
        Err(Error::blocked(format!(
            "{}: a trigger ({}) changed what {what}, and the plan does not show: {columns} of the row {}{}; \
             nothing was written; have the trigger changed, or {remedy} and make a new plan",
            staged.target.name,
            staged.triggers(),
            self.session.name_row(&staged.target.name, row.text(0)?),
            if rows.len() > 1 { " and others" } else { "" },
        )))
    }
}

impl Staged {
    /// The triggers and rules that may have changed a row, in words.
    pub(in crate::pg::apply) fn triggers(&self) -> String {
        let table = &self.target.table;
        match table.triggers.as_slice() {
            [] if table.rules => "its rules".to_owned(),
            [] if self.target.is_followed => "of another table of the plan".to_owned(),
            [] => "no trigger is known".to_owned(),
            triggers if table.rules => format!("{}, and its rules", triggers.join(", ")),
            triggers => triggers.join(", "),
        }
    }

    /// The condition that an updated row has another value in a column, which its entry does not change.
    fn unplanned(&self, column: &Column) -> Result<String> {
        // A rollback may put it back.
        let planned = self.written()?.into_iter().position(|w| w == column);
        let planned = planned.map_or("false".into(), |i| writes("s", i));
        let (name, now) = (Literal(&column.name), column.text("t"));
        Ok(format!(
            "NOT ({planned}) AND {now} IS DISTINCT FROM (b.image ->> {name})"
        ))
    }

    /// The columns that triggers changed in updated rows whose entries do not change them; `None` where there is no
    /// trigger that could.
    fn changed_by_triggers(&self) -> Result<Option<Statement>> {
        let Target { table, config, .. } = &self.target;
        if !self.target.may_be_set() || self.rows.update == 0 {
            return Ok(None);
        }
        let columns = table.columns.iter();
        let columns = columns.filter(|c| !c.generated && !config.is_stamp(&c.name));
        let changed = columns.map(|c| {
            let changed = self.unplanned(c)?;
            let name = Literal(&c.name);
            Ok(format!(
                "CASE WHEN pg_catalog.bool_or({changed}) THEN {name}::text END"
            ))
        });
        let changed: Vec<String> = changed.collect::<Result<_>>()?;
        // A live row and marked ones may have one key.
        let marks = self.target.marks();
        let lives =
            marks.map(|(c, mark)| format!(" AND {}", mark.lives(&format!("t.{}", Ident(&c.name)))));
        let sql = format!(
            "SELECT x.name FROM (SELECT {changed} AS changed FROM {versions} b JOIN {staged} s ON s._n = b._n \
               JOIN {table} t ON {same} WHERE s._a = {update}{lives}) c, pg_catalog.unnest(c.changed) x(name) \
             WHERE x.name IS NOT NULL",
            changed = text_array(changed),
            versions = self.versions(),
            staged = self.temporary(),
            table = table.rows,
            same = keys_equal(&self.target.key(), "s", "t"),
            update = Fate::Update,
            lives = lives.unwrap_or_default(),
        );
        Ok(Some(Statement::new(self.doing_read_back(), sql)))
    }

    /// Some updated rows of which a trigger changed what must stay: the row, and the columns that are immutable,
    /// and those that its record gives; `None` where there is no trigger that could.
    fn stays_changed(&self) -> Result<Option<Statement>> {
        let Target { table, config, .. } = &self.target;
        let changed = |columns: &mut dyn Iterator<Item = &Column>,
                       also: &dyn Fn(&Column) -> String| {
            let changed = columns.filter(|c| !c.generated).map(|c| {
                let (also, changed) = (also(c), self.unplanned(c)?);
                Ok(format!(
                    "CASE WHEN {also}{changed} THEN {}::text END",
                    Literal(&c.name)
                ))
            });
            changed.collect::<Result<Vec<String>>>()
        };
        let named = |names: &mut dyn Iterator<Item = &String>| {
            names.filter_map(|c| table.column(c)).collect::<Vec<_>>()
        };
        let immutable = named(&mut config.immutable_fields.iter());
        let immutable = changed(&mut immutable.into_iter(), &|_| String::new())?;
        let given = named(&mut self.stays.iter());
        let given = changed(&mut given.into_iter(), &|c| {
            format!(
                "pg_catalog.jsonb_exists(s.{STAYS}, {}) AND ",
                Literal(&c.name)
            )
        })?;
        let none = immutable.is_empty() && given.is_empty();
        if none || !self.target.may_be_set() || self.rows.update == 0 {
            return Ok(None);
        }
        let words = |changed| format!("pg_catalog.array_to_string({}, ', ')", text_array(changed));
        let fits = self.fits()?;
        let sql = format!(
            "SELECT * FROM (SELECT {id} AS id, {immutable} AS immutable, {given} AS given \
               FROM {written} JOIN {versions} b ON b._n = s._n WHERE s._a = {update} ORDER BY s._n) x \
             WHERE immutable <> '' OR given <> '' LIMIT 2",
            id = self.target.record_id("t"),
            immutable = words(immutable),
            given = words(given),
            written = self.found_written(&fits)?,
            versions = self.versions(),
            update = Fate::Update,
        );
        Ok(Some(Statement::new(self.doing_read_back(), sql)))
    }
}
