//! A table's configuration as it is in effect for the table found in the database, and whether it fits that.

use super::checked::Config;
use super::{Resolution, Stamp, TableConfig};
use crate::error::Result;
use crate::table::mark::Mark;
use crate::table::schema::Table;

impl Config {
    /// The configuration of `table` as it is in effect for the table found in the database.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where a name is not a column, or settings contradict each other or the
    /// table, with line and column.
    pub(crate) fn resolve(&self, name: &str, table: &Table) -> Result<TableConfig> {
        let said = self.tables.get(name).ok_or_else(|| self.unknown(name))?;
        let mut config = said.clone();
        self.narrow(name, &mut config, table);
        settle(&mut config, table);
        self.check_columns(name, &config, table)?;
        self.check_stamps(name, &config, table)?;
        self.check_mark(name, &config, table)?;
        self.check_given(name, &mut config, table)?;
        self.check_ignored(name, &config, table)?;
        self.check_group(name, &config)?;
        self.check_references(name, &config, table)?;
        Ok(config)
    }

    /// Leaves, of what holds for all tables, what is about the columns that this one has.
    fn narrow(&self, name: &str, config: &mut TableConfig, table: &Table) {
        let is_column = |column: &String| table.column(column).is_some();
        config.immutable_fields.retain(is_column);
        for (setting, columns) in [
            ("insert_only_fields", &mut config.insert_only_fields),
            ("required_fields", &mut config.required_fields),
            ("ignore_drift", &mut config.ignore_drift),
            ("sensitive", &mut config.sensitive),
        ] {
            if self.is_inherited(name, setting) {
                columns.retain(is_column);
            }
        }
        config
            .sensitive
            .retain(|c| is_column(c) || !self.sensitive.contains(c));
        if self.is_inherited(name, "stamps")
            && let Some(stamps) = &mut config.stamps
        {
            stamps.retain(|column, _| is_column(column));
        }
        if self.is_inherited(name, "group_by") {
            config.group_by = config.group_by.take().filter(is_column);
        }
        if self.is_inherited(name, "ignore_fields") {
            let mut fields = std::mem::take(&mut config.ignore_fields);
            fields.retain(|field| !is_loaded(config, field, table));
            config.ignore_fields = fields;
        }
    }

    /// That the columns that it names are there.
    fn check_columns(&self, name: &str, config: &TableConfig, table: &Table) -> Result<()> {
        let stamps = config.stamps().map(|(n, _)| n.to_owned());
        let columns = [
            ("natural_key", config.natural_key.clone()),
            ("insert_only_fields", config.insert_only_fields.clone()),
            ("required_fields", config.required_fields.clone()),
            ("columns", config.columns.values().cloned().collect()),
            ("ignore_drift", config.ignore_drift.clone()),
            ("sensitive", config.sensitive.clone()),
            ("references", config.references.keys().cloned().collect()),
            ("spelling", config.spelling.keys().cloned().collect()),
            ("stamps", stamps.collect()),
            ("complete", config.complete.columns()),
            ("group_by", config.group_by.iter().cloned().collect()),
            (
                "soft_delete",
                config
                    .soft_delete
                    .column()
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
            ),
        ];
        for (field, names) in &columns {
            for column in names {
                let Some(found) = table.column(column) else {
                    let hint = table.columns_like(column);
                    let what = format!("{field}: {column} is not a column of {name}; {hint}");
                    return Err(self.error(name, field, column, &what));
                };
                if found.generated && matches!(*field, "natural_key" | "stamps" | "soft_delete") {
                    let what = format!("{column} is a generated column of {name}");
                    return Err(self.error(name, field, column, &what));
                }
            }
        }
        Ok(())
    }

    /// That the column that marks deleted rows can, and that nothing else sets or keeps it.
    fn check_mark(&self, name: &str, config: &TableConfig, table: &Table) -> Result<()> {
        let Some(column) = config.soft_delete.column() else {
            return Ok(());
        };
        if let Some(Err(what)) = table.column(column).map(Mark::of) {
            let what = format!("soft_delete: {name}: {what}");
            return Err(self.error(name, "soft_delete", column, &what));
        }
        let others = [
            (
                "stamps",
                config
                    .stamps()
                    .any(|(c, by)| c == column && by != Stamp::Trigger),
                "every load would set it",
            ),
            (
                "insert_only_fields",
                config.insert_only_fields.iter().any(|c| c == column),
                "rows that come back could not get rid of it",
            ),
        ];
        if let Some((setting, _, why)) = others.iter().find(|(_, is, _)| *is) {
            let what = format!(
                "{column} of {name} marks rows as deleted, and cannot be in {setting}: {why}"
            );
            return Err(self.error(name, setting, column, &what));
        }
        Ok(())
    }

    /// That records can give what is required of them; what is required of all tables, where they can.
    fn check_given(&self, name: &str, config: &mut TableConfig, table: &Table) -> Result<()> {
        let given = |c: &String| {
            !config.is_stamp(c) && table.column(c).is_some_and(|column| !column.generated)
        };
        let required = config.required_fields.iter().filter(|c| !given(c));
        let required: Vec<String> = required.cloned().collect();
        let never = [
            (
                "required_fields",
                (required.first().cloned()).filter(|_| !self.is_inherited(name, "required_fields")),
            ),
            (
                "complete",
                config.complete.given().into_iter().find(|c| !given(c)),
            ),
        ];
        for (setting, column) in never {
            if let Some(column) = column {
                let what = format!(
                    "{setting}: no record gives {column} of {name}, which the load or the database sets"
                );
                return Err(self.error(name, setting, &column, &what));
            }
        }
        config.required_fields.retain(|c| !required.contains(c));
        Ok(())
    }

    /// That no field is ignored of which a column is loaded.
    fn check_ignored(&self, name: &str, config: &TableConfig, table: &Table) -> Result<()> {
        let mut fields = config.ignore_fields.iter();
        if let Some(field) = fields.find(|field| is_loaded(config, field, table)) {
            let is = config.columns.get(field);
            let is = is.map(|c| format!("is loaded into {c} of {name}, as `columns` says"));
            let is = is.unwrap_or_else(|| format!("is a column of {name}"));
            let what = format!("{field} {is}; ignore_fields is for fields that cannot be loaded");
            return Err(self.error(name, "ignore_fields", field, &what));
        }
        Ok(())
    }

    /// That rows are grouped by values of their own.
    fn check_group(&self, name: &str, config: &TableConfig) -> Result<()> {
        let group = config.group_by.as_ref();
        if let Some(column) = group.filter(|c| config.references.contains_key(*c)) {
            let what = format!(
                "group_by: {column} of {name} is looked up by a key; group by a column that has its own values"
            );
            return Err(self.error(name, "group_by", column, &what));
        }
        Ok(())
    }

    /// That what is looked up can be stored.
    fn check_references(&self, name: &str, config: &TableConfig, table: &Table) -> Result<()> {
        for column in config.references.keys() {
            let what = match table.column(column) {
                Some(c) if config.is_stamp(&c.name) => "is a stamp",
                Some(c) if config.ignore_fields.contains(&c.name) => "is in ignore_fields",
                Some(c) if !config.takes(c) => "takes no value from a record",
                _ => continue,
            };
            let what = format!("references: {column} of {name} {what}, and cannot be looked up");
            return Err(self.error(name, "references", column, &what));
        }
        Ok(())
    }
}

/// Whether a field of the delivery is loaded into a column.
fn is_loaded(config: &TableConfig, field: &str, table: &Table) -> bool {
    let column = config.columns.get(field).map_or(field, String::as_str);
    table.column(column).is_some_and(|c| config.takes(c))
}

/// Puts in what follows from the table and from other settings.
fn settle(config: &mut TableConfig, table: &Table) {
    if config.stamps.is_none() {
        let updated_at = table
            .column("updated_at")
            .filter(|c| c.is_timestamp() && !config.natural_key.contains(&c.name));
        config.stamps = Some(
            updated_at
                .map(|c| (c.name.clone(), Stamp::Now))
                .into_iter()
                .collect(),
        );
    }
    // What is the whole truth says null where it means it.
    if !config.complete.is_no() && config.conflict_resolution == Resolution::Merge {
        config.conflict_resolution = Resolution::Replace;
    }
    // What is computed from a sensitive value tells it.
    let computed = table.computed_from(&config.sensitive);
    config.sensitive.extend(computed);
}
