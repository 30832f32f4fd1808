//! What happened: applications, and the changes of rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::Result;
use crate::pg::ledger::{self, Application};
use crate::pg::referred::{self, Referred};
use crate::pg::{Session, Timeouts, audit, catalog};
use crate::plan::masking::Mask;
use crate::plan::{LedgerTable, Row, Values, display_key};
use crate::strict::scalar;
use crate::table::config::Config;

/// The applications of a batch, or all, newest first.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database); [`Config`](crate::ErrorKind::Config) where `loader migrate` was not run.
pub async fn history(
    database: &crate::pg::Database,
    timeouts: Timeouts,
    loader_schema: &str,
    batch_id: Option<&str>,
) -> Result<Vec<Application>> {
    let session = Session::open_to_read(database, timeouts).await?;
    session.target(loader_schema).await?;
    ledger::applications(&session, loader_schema, batch_id).await
}

/// Which changes are asked for; all that is given must match.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AuditFilter {
    /// Of this batch.
    pub batch_id: Option<String>,
    /// Of this application.
    pub application: Option<String>,
    /// Of this table.
    pub table: Option<String>,
    /// Of the row with this natural key: its value, or a JSON array of several.
    pub key: Option<String>,
    /// At most so many, the newest.
    pub limit: u64,
    /// What is called sensitive, beside what was when the changes were made.
    pub config: Option<Config>,
}

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When, in UTC.
    pub changed_at: String,
    /// Who.
    pub changed_by: String,
    /// `INSERT`, `UPDATE`, `DELETE`, or `QUEUE` for the validation queue.
    pub operation: String,
    /// The table.
    pub table: String,
    /// The row's natural key.
    pub key: String,
    /// The natural key for people, where it refers to rows by their numbers: with the keys that these have now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// Of columns that are looked up, the rows to which their values refer now, by value and for people.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub referred: BTreeMap<String, BTreeMap<String, String>>,
    /// The batch.
    pub batch_id: String,
    /// The application.
    pub application: Option<String>,
    /// The object and position it came from, or what it took back.
    pub origin: Option<String>,
    /// When that was extracted from its source, in UTC, where it is known.
    pub extracted_at: Option<String>,
    /// The application that took it back, where one did.
    pub undone_by: Option<String>,
    /// The row before.
    pub before: Option<Row>,
    /// The row after.
    pub after: Option<Row>,
}

/// The changes that match, newest first, sensitive values masked.
///
/// # Errors
/// As [`history`].
pub async fn audit(
    database: &crate::pg::Database,
    timeouts: Timeouts,
    loader_schema: &str,
    filter: &AuditFilter,
) -> Result<Vec<Change>> {
    let session = Session::open_to_read(database, timeouts).await?;
    session.target(loader_schema).await?;
    let applications = ledger::applications(&session, loader_schema, None).await?;
    let mut record_ids = filter.key.as_deref().map_or(Vec::new(), record_ids);
    for table in applications.iter().flat_map(|a| &a.tables) {
        if filter
            .table
            .as_ref()
            .is_none_or(|name| *name == table.table)
        {
            let padded = record_ids.iter().filter_map(|id| padded(table, id));
            let new: Vec<_> = padded.filter(|id| !record_ids.contains(id)).collect();
            record_ids.extend(new);
        }
    }
    let only = audit::Filter {
        batch_id: filter.batch_id.as_deref(),
        application: filter.application.as_deref(),
        table: filter.table.as_deref(),
        record_ids: &record_ids,
    };
    let rows = audit::rows(&session, loader_schema, only, filter.limit).await?;
    let undone = undone_rows(&session, loader_schema, &applications, &rows).await?;
    let mask = mask(&session, &applications, filter.config.as_ref()).await;
    let image = |table: &str, json: Option<&str>| -> Option<Row> {
        // The images of others hold numbers and objects, too.
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(json?).ok()?;
        let mut values = object.into_iter().map(|(k, v)| (k, text_of(v))).collect();
        mask.row(table, &mut values);
        Some(values)
    };
    let mut names = BTreeMap::new();
    let tables: BTreeSet<&str> = rows.iter().map(|row| row.table.as_str()).collect();
    for table in tables {
        let images = rows.iter().filter(|row| row.table == table);
        let images = images.flat_map(|row| [row.before.as_deref(), row.after.as_deref()]);
        let images: Vec<Row> = images.filter_map(|json| image(table, json)).collect();
        let named = Named::find(&session, &applications, table, &images).await;
        names.extend(named.map(|named| (table.to_owned(), named)));
    }
    let changes = rows.into_iter().map(|row| {
        let before = image(&row.table, row.before.as_deref());
        let after = image(&row.table, row.after.as_deref());
        let names = names.get(&row.table);
        let images = [before.as_ref(), after.as_ref()];
        Change {
            named: names.and_then(|n| n.key(after.as_ref().or(before.as_ref())?)),
            referred: names.map_or_else(BTreeMap::new, |n| n.values(images.into_iter().flatten())),
            before,
            after,
            key: mask.record_id(&row.table, &row.record_id),
            undone_by: applications
                .iter()
                .find(|a| Some(&a.application) == row.application.as_ref())
                .and_then(|a| {
                    // What a rollback in part undid is undone by it, whoever undid the rest.
                    let mut in_part = in_part(&applications);
                    let of_row = in_part.find(|by| {
                        let row = (
                            by.application.clone(),
                            row.table.clone(),
                            row.record_id.clone(),
                        );
                        by.undoes_in_part.contains(&a.application) && undone.contains(&row)
                    });
                    let of_row = of_row.map(|by| by.application.clone());
                    of_row.or_else(|| a.undone_by.clone())
                }),
            changed_at: row.changed_at,
            changed_by: row.changed_by,
            operation: row.operation,
            table: row.table,
            batch_id: row.batch_id,
            application: row.application,
            origin: row.origin,
            extracted_at: row.extracted_at,
        }
    });
    Ok(changes.collect())
}

/// The rows that rollbacks in part undid: by which, of which table, and their names.
type UndoneInPart = BTreeSet<(String, String, String)>;

/// The rollbacks in part that are in effect.
fn in_part(applications: &[Application]) -> impl Iterator<Item = &Application> {
    let in_effect = applications.iter().filter(|a| a.undone_by.is_none());
    in_effect.filter(|a| !a.undoes_in_part.is_empty())
}

/// Those of `rows`.
async fn undone_rows(
    session: &Session,
    schema: &str,
    applications: &[Application],
    rows: &[audit::AuditRow],
) -> Result<UndoneInPart> {
    let mut undone = UndoneInPart::new();
    let record_ids: BTreeSet<&String> = rows.iter().map(|row| &row.record_id).collect();
    let record_ids: Vec<String> = record_ids.into_iter().cloned().collect();
    for by in in_part(applications).map(|by| &by.application) {
        let of = audit::Filter {
            application: Some(by),
            record_ids: &record_ids,
            ..audit::Filter::default()
        };
        for row in audit::rows(session, schema, of, u64::from(u32::MAX)).await? {
            if row.operation != "QUEUE" {
                undone.insert((by.clone(), row.table, row.record_id));
            }
        }
    }
    Ok(undone)
}

/// What a table's rows refer to, by name.
struct Named {
    natural_key: Vec<String>,
    columns: Vec<String>,
    referred: Referred,
}

impl Named {
    /// As the latest application of the table says that rows are looked up.
    async fn find(
        session: &Session,
        applications: &[Application],
        name: &str,
        images: &[Row],
    ) -> Option<Named> {
        let mut tables = applications.iter().flat_map(|a| &a.tables);
        let known = tables.find(|t| t.table == name && !t.config.references.is_empty())?;
        let table = catalog::relation(session, &known.relation).await.ok()?;
        let lookups = referred::lookups(session, &known.config, &table).await;
        let mut numbers = BTreeMap::new();
        for image in images {
            let values = image.iter().map(|(c, v)| (c.clone(), v.clone().into()));
            referred::collect(&table, &lookups, &values.collect(), &mut numbers);
        }
        Some(Named {
            natural_key: known.config.natural_key.clone(),
            columns: numbers.keys().cloned().collect(),
            referred: Referred::find(session, &table, &lookups, &numbers).await,
        })
    }

    /// The natural key of a row, if it refers to others.
    fn key(&self, image: &Row) -> Option<String> {
        let key = self.natural_key.iter();
        let key = key.map(|c| Some((c.clone(), image.get(c)?.clone().into())));
        let mut key: Values = key.collect::<Option<_>>()?;
        let before = key.clone();
        self.referred.put(&mut key);
        (key != before).then(|| display_key(&key))
    }

    /// The rows to which these images refer.
    fn values<'r>(
        &self,
        images: impl Iterator<Item = &'r Row>,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for image in images {
            for column in &self.columns {
                let number = image.get(column).and_then(Option::as_ref);
                let row = number.and_then(|n| Some((n, self.referred.row(column, n)?.words()?)));
                if let Some((number, words)) = row {
                    let of_column = found.entry(column.clone()).or_default();
                    of_column.insert(number.clone(), words.into_owned());
                }
            }
        }
        found
    }
}

/// The text of a value, where it is no single one as it is written.
fn text_of(value: &RawValue) -> Option<String> {
    scalar(value).unwrap_or_else(|| Some(value.get().to_owned()))
}

/// How the audit log may spell a key that was given: as it is, and, of a JSON array, with each of its
/// parts as the text that its column prints.
fn record_ids(key: &str) -> Vec<String> {
    let mut spellings = vec![key.to_owned()];
    if let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(key) {
        let parts: Vec<Option<String>> = parts.into_iter().map(text_of).collect();
        spellings.extend(match parts.as_slice() {
            [one] => one.clone(),
            several => serde_json::to_string(several).ok(),
        });
    }
    spellings
}

/// The same key of a row of `table` with the blanks that columns of a fixed length have behind their values, where it has
/// such columns.
fn padded(table: &LedgerTable, record_id: &str) -> Option<String> {
    let natural_key = &table.config.natural_key;
    let parts = referred::key_of(natural_key, record_id)?;
    let mut is_padded = false;
    let texts = natural_key.iter().map(|column| {
        let text = parts.get(column)?.own()?.to_owned();
        let length = table.types.get(column)?.strip_prefix("character(");
        let length = length.and_then(|length| length.strip_suffix(')')?.parse::<usize>().ok());
        let missing = length.unwrap_or(0).saturating_sub(text.chars().count());
        is_padded |= missing > 0;
        Some(text + &" ".repeat(missing))
    });
    let texts: Option<Vec<String>> = texts.collect();
    let id = match texts?.as_slice() {
        [one] => one.clone(),
        several => serde_json::to_string(several).ok()?,
    };
    is_padded.then_some(id)
}

/// Hides what any application of a table, or `config`, calls sensitive.
pub(super) async fn mask(
    session: &Session,
    applications: &[Application],
    config: Option<&Config>,
) -> Mask {
    let key = uuid::Uuid::new_v4();
    let mut mask = Mask::new(key.as_bytes(), []);
    for table in applications.iter().flat_map(|a| &a.tables) {
        mask.add(&table.table, &table.config);
    }
    for (name, config) in config.iter().flat_map(|c| &c.tables) {
        let mut config = config.clone();
        if !config.sensitive.is_empty()
            && let Ok(table) = catalog::table(session, name).await
        {
            config
                .sensitive
                .extend(table.computed_from(&config.sensitive));
        }
        mask.add(name, &config);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::record_ids;

    #[test]
    fn a_key_may_be_spelled_as_json() {
        for (given, spelled) in [
            ("G1", None),
            ("7", None),
            (r#"["O100",1]"#, Some(r#"["O100","1"]"#)),
            (
                r#"[ "O100" , true, null, 1.50 ]"#,
                Some(r#"["O100","true",null,"1.50"]"#),
            ),
            (r#"["G1"]"#, Some("G1")),
            ("[not json", None),
        ] {
            let found = record_ids(given);
            assert_eq!(found[0], given);
            assert_eq!(found.get(1).map(String::as_str), spelled, "{given}");
        }
    }
}
