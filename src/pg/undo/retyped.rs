//! Columns whose type changed since the loads: what the audit log has of them is said in the words of
//! the type that they have now.

use super::Undo;
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::plan::trial;
use crate::sql::{Literal, Statement, Values, any};
use crate::table::schema::Column;
use crate::types::Kind;

/// How what a text says of the type of then becomes a value of the type of now.
#[derive(Debug, Clone, Copy)]
pub(in crate::pg) enum Way<'a> {
    /// As the database casts it.
    Cast { then: &'a str },
    /// As a time that the other type has with a zone, in this one: that of the database, as it is for everybody.
    InZone { then: &'a str, zone: &'a str },
    /// As the database would read the text.
    Read,
}

impl<'a> Way<'a> {
    /// All that may work, the likeliest first.
    fn all(then: &'a str, zone: Option<&'a String>) -> Vec<Way<'a>> {
        let in_zone = zone.map(|zone| Way::InZone { then, zone });
        let others = [Way::Cast { then }, Way::Read];
        in_zone.into_iter().chain(others).collect()
    }

    /// The value that `text` means, as SQL that is still to be cast.
    fn to(self, text: &str) -> String {
        match self {
            Way::Cast { then } => format!("{text}::{then}"),
            Way::InZone { then, zone } => {
                format!("pg_catalog.timezone({}, {text}::{then})", Literal(zone))
            }
            Way::Read => text.to_owned(),
        }
    }

    /// The way back of a value, as SQL that is still to be cast.
    fn back(self, value: &str) -> String {
        match self {
            Way::InZone { zone, .. } => format!("pg_catalog.timezone({}, {value})", Literal(zone)),
            Way::Cast { .. } | Way::Read => value.to_owned(),
        }
    }
}

/// Whether values of a type, as PostgreSQL spells it, are times or may be read as some. What a domain is made of, its
/// name does not say.
fn is_time(type_sql: &str) -> bool {
    let begins = ["timestamp", "time", "date", "text", "character"];
    begins.iter().any(|begin| type_sql.starts_with(begin))
}

/// Whether a type is not PostgreSQL's own: then its name is that of a schema, too.
fn is_own(type_sql: &str) -> bool {
    type_sql.contains('.')
}

/// Whether they have a time zone.
fn has_zone(type_sql: &str) -> bool {
    type_sql.contains("with time zone")
}

/// Whether values of a type print as the style of a session says.
fn has_style(type_sql: &str) -> bool {
    let begins = ["timestamp", "time", "date", "interval"];
    begins.iter().any(|begin| type_sql.starts_with(begin))
}

/// The two images of a change.
const IMAGES: [&str; 2] = ["before", "after"];

impl Undo<'_> {
    /// Puts the images' values of columns that have another type now into that type's spelling. A type that is not
    /// PostgreSQL's own may have another name since, or be defined otherwise under its name: what is asked is whether it
    /// reads the values of then as what they were.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming a column whose values cannot be, or not all of them.
    pub(super) async fn retype(&self, session: &Session) -> Result<()> {
        let columns = self.target.table.columns.iter();
        let then = &self.written.types;
        let retyped: Vec<(&Column, &str)> = columns
            .filter_map(|c| Some((c, then.get(&c.name)?.as_str())))
            .filter(|(c, then)| c.base_type_sql != *then || is_own(then))
            .collect();
        if retyped.is_empty() {
            return Ok(());
        }
        for (column, then) in retyped {
            self.retype_column(session, column, then).await?;
        }
        Ok(())
    }

    async fn retype_column(&self, session: &Session, column: &Column, then: &str) -> Result<()> {
        let now = &column.base_type_sql;
        let refused = |why: &str| {
            let was = match now == then {
                true => format!("{now} is defined otherwise than when it was loaded"),
                false => format!("was {then} when it was loaded and is {now} now"),
            };
            Err(Error::blocked(format!(
                "{}: the type of {} {was}, and {why}; what it held is in the audit log",
                self.target.name,
                crate::text::escape(&column.name),
            )))
        };
        if is_own(then) || is_own(now) {
            let respelled = self.count_respelled(column, &Way::Read);
            if trial::works(session, &respelled).await? && session.count(&respelled).await? == 0 {
                return Ok(());
            }
            if now == then {
                return refused("cannot hold all that it held");
            }
        }
        let zoned = is_time(then) && has_zone(&column.base_type_sql) != has_zone(then);
        let styled = has_style(then) && matches!(column.kind, Kind::Text(_) | Kind::Padded(_));
        if (zoned || styled) && session.count(&self.count_returning(column)).await? > 0 {
            return Err(Error::blocked(format!(
                "{}: the type of {} was {then} when it was loaded and is {now} now, and in which time zone or style it was \
                 converted is not known, so that values which come back could be others; give it its type of then until these \
                 loads are taken back",
                self.target.name,
                crate::text::escape(&column.name),
            )));
        }
        let mut ways = Way::all(then, zoned.then_some(&session.zone)).into_iter();
        let way = loop {
            let Some(way) = ways.next() else {
                return refused("what it held cannot be cast to that");
            };
            if trial::works(session, &self.count_lost(column, then, &way)).await? {
                break way;
            }
        };
        if session.count(&self.count_lost(column, then, &way)).await? > 0 {
            return refused("cannot hold all that it held before the load");
        }
        let is_key = self.target.config.natural_key.contains(&column.name);
        if is_key && session.count(&self.count_respelled(column, &way)).await? > 0 {
            return Err(Error::blocked(format!(
                "{}: the type of {}, a column of the natural key, was {then} when it was loaded and is {now} now, in which \
                 the keys are spelled otherwise than in the audit log; give it its type of then until these loads are taken back",
                self.target.name,
                crate::text::escape(&column.name),
            )));
        }
        session.run(&self.convert(column, &way)).await
    }

    /// How many values come back that no row holds now: of others it is seen how they were converted.
    pub(in crate::pg) fn count_returning(&self, column: &Column) -> Statement {
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} s WHERE (s.after ->> {name}) IS NULL AND (s.before ->> {name}) IS NOT NULL",
            self.temporary(),
            name = Literal(&column.name)
        );
        self.reading(sql, Values::default())
    }

    /// How many values would print otherwise than in the images.
    pub(in crate::pg) fn count_respelled(&self, column: &Column, way: &Way<'_>) -> Statement {
        let name = Literal(&column.name);
        let respelled = IMAGES.map(|image| {
            let now = column.printed(&Undo::now_typed(column, image, way));
            format!("{now} IS DISTINCT FROM (s.{image} ->> {name})")
        });
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} s WHERE {}",
            self.temporary(),
            any(respelled)
        );
        self.reading(sql, Values::default())
    }

    /// A value in an image, as SQL of the column's present type.
    fn now_typed(column: &Column, image: &str, way: &Way<'_>) -> String {
        let text = format!("(s.{image} ->> {})", Literal(&column.name));
        format!("({})::{}", way.to(&text), column.base_type_sql)
    }

    /// How many values of before would not come back whole.
    pub(in crate::pg) fn count_lost(
        &self,
        column: &Column,
        then: &str,
        way: &Way<'_>,
    ) -> Statement {
        let (name, before) = (
            Literal(&column.name),
            Undo::now_typed(column, "before", way),
        );
        let (after, back) = (Undo::now_typed(column, "after", way), way.back(&before));
        let sql = format!(
            "SELECT pg_catalog.count({after}) * 0 + pg_catalog.count(*) FILTER (WHERE (({back})::{then})::pg_catalog.text \
               IS DISTINCT FROM ((s.before ->> {name})::{then})::pg_catalog.text) FROM {} s",
            self.temporary()
        );
        self.reading(sql, Values::default())
    }

    pub(in crate::pg) fn convert(&self, column: &Column, way: &Way<'_>) -> Statement {
        let name = Literal(&column.name);
        let set = IMAGES.map(|image| {
            let now = column.printed(&Undo::now_typed(column, image, way));
            format!(
                "{image} = CASE WHEN pg_catalog.jsonb_exists(s.{image}, {name}) \
                   THEN s.{image} || pg_catalog.jsonb_build_object({name}, {now}) ELSE s.{image} END"
            )
        });
        let sql = format!("UPDATE {} s SET {}", self.temporary(), set.join(", "));
        self.reading(sql, Values::default())
    }
}
