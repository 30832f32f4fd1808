//! `tables.yaml` read, and checked by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::file::{DEFAULTS, File, OWN, Said, with_defaults};
use super::place::{in_plain_words, locate};
use super::{OnDuplicate, OnImmutable, OnInvalid, OnOlder, TableConfig};
use crate::error::{Error, Remedy, Result};
use crate::sql::ident::did_you_mean;
use crate::table::complete::Complete;
use crate::table::schema::Table;
use crate::types::Spelled;
use crate::types::spelling::Spelling;

/// All of `tables.yaml`, with its text for messages that point into it.
#[derive(Debug, Clone)]
pub struct Config {
    path: String,
    text: String,
    /// Configuration by table name as written.
    pub tables: BTreeMap<String, TableConfig>,
    /// What is sensitive in whichever table has it.
    pub(super) sensitive: Vec<String>,
    /// The settings of each table that it has only because they hold for all.
    inherited: BTreeMap<String, BTreeSet<String>>,
}

impl Config {
    /// The configuration in the file `path`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with file, line and column.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::config(format!(
                "{}: cannot read the table configuration: {e}",
                path.display()
            ))
            .with_remedy(Remedy::NoConfig)
        })?;
        Config::parse(&path.display().to_string(), &text)
    }

    /// The configuration in `text`; `path` is for messages.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with file, line and column.
    pub fn parse(path: &str, text: &str) -> Result<Config> {
        let wrong = |e: serde_yaml::Error| {
            Error::config(format!("{path}: {}", in_plain_words(&e.to_string())))
        };
        let File { defaults, tables } = serde_yaml::from_str::<File>(text).map_err(wrong)?;
        let mut config = Config {
            path: path.to_owned(),
            text: text.to_owned(),
            tables,
            sensitive: Vec::new(),
            inherited: BTreeMap::new(),
        };
        if let Some(defaults) = defaults {
            config.inherit(&defaults, &serde_yaml::from_str(text).map_err(wrong)?)?;
        }
        config.hide_references();
        for (name, table) in &config.tables {
            config.check_names(name, table)?;
        }
        Ok(config)
    }

    /// Gives the tables what holds for all of them and they do not say themselves.
    fn inherit(&mut self, defaults: &TableConfig, said: &Said) -> Result<()> {
        let nothing = BTreeMap::new();
        let of_all = said.get(DEFAULTS).unwrap_or(&nothing);
        if let Some(own) = OWN.iter().find(|own| of_all.contains_key(**own)) {
            let what = format!("{DEFAULTS}: {own} is for each table to say");
            return Err(self.error(DEFAULTS, own, "", &what));
        }
        self.check_spelling(DEFAULTS, &defaults.own_spelling())?;
        self.sensitive.clone_from(&defaults.sensitive);
        for (name, table) in &mut self.tables {
            let own = said.get(name).unwrap_or(&nothing);
            *table = with_defaults(table, own, defaults, of_all.keys())
                .map_err(|e| Error::config(format!("{}: {DEFAULTS}: {e}", self.path)))?;
            // What is sensitive everywhere is so also where more is.
            let more = defaults.sensitive.iter();
            let more = more.filter(|c| !table.sensitive.contains(c));
            let more: Vec<String> = more.cloned().collect();
            table.sensitive.extend(more);
            // What a table says itself of a column goes before what holds for all.
            let (immutable, insert_only) = ("immutable_fields", "insert_only_fields");
            if own.contains_key(insert_only) && !own.contains_key(immutable) {
                let other = &table.insert_only_fields;
                table.immutable_fields.retain(|c| !other.contains(c));
            }
            if !own.contains_key(insert_only) {
                let own_immutable = own.contains_key(immutable);
                let said = |c: &String| {
                    table.natural_key.contains(c)
                        || own_immutable && table.immutable_fields.contains(c)
                };
                let rest = table.insert_only_fields.iter().filter(|c| !said(c));
                table.insert_only_fields = rest.cloned().collect();
            }
            let inherited = of_all.keys().filter(|s| !own.contains_key(*s));
            self.inherited
                .insert(name.clone(), inherited.cloned().collect());
        }
        Ok(())
    }

    /// Whether a table has a setting only because it holds for all.
    pub(super) fn is_inherited(&self, table: &str, setting: &str) -> bool {
        let inherited = self.inherited.get(table);
        inherited.is_some_and(|settings| settings.contains(setting))
    }

    /// What should be known of the immutable fields of a table: those that are no columns of it protect
    /// nothing.
    pub(crate) fn no_columns(&self, name: &str, table: &Table) -> Vec<String> {
        let own = self
            .tables
            .get(name)
            .filter(|_| !self.is_inherited(name, "immutable_fields"));
        let fields = own.iter().flat_map(|config| &config.immutable_fields);
        let fields = fields.filter(|field| table.column(field).is_none());
        let note = |field: &String| {
            let near = did_you_mean(field, table.columns.iter().map(|c| c.name.as_str()));
            format!("immutable_fields: {field} is not a column of the table{near}")
        };
        fields.map(note).collect()
    }

    /// What should be known of `defaults` where `tables` are all that there are: columns that none of them has,
    /// of which nothing holds.
    pub(crate) fn of_no_table(&self, tables: &[&Table]) -> Vec<String> {
        let all = || tables.iter().flat_map(|t| &t.columns);
        let mut notes = BTreeSet::new();
        for (name, config) in &self.tables {
            for (setting, columns) in [
                ("immutable_fields", &config.immutable_fields),
                ("insert_only_fields", &config.insert_only_fields),
                ("required_fields", &config.required_fields),
                ("ignore_drift", &config.ignore_drift),
                ("sensitive", &config.sensitive),
            ] {
                let inherited = self.is_inherited(name, setting);
                let everywhere = |c: &&String| setting == "sensitive" && self.sensitive.contains(c);
                let columns = columns.iter().filter(|c| inherited || everywhere(c));
                for column in columns.filter(|column| all().all(|c| c.name != **column)) {
                    let near = did_you_mean(column, all().map(|c| c.name.as_str()));
                    notes.insert(format!(
                        "{DEFAULTS}: {setting}: {column} is a column of no table{near}"
                    ));
                }
            }
        }
        notes.into_iter().collect()
    }

    /// The endings that files of delimited values of `table` have, beside the usual ones.
    pub fn extensions(&self, table: &str) -> &[String] {
        match self.tables.get(table) {
            Some(table) => &table.csv.extensions,
            None => &[],
        }
    }

    /// The error for a table that is not configured, with the nearest name that is.
    pub fn unknown(&self, table: &str) -> Error {
        let hint = did_you_mean(table, self.tables.keys().map(String::as_str));
        Error::config(format!(
            "{}: table {table} is not configured{hint}",
            self.path
        ))
    }

    /// What needs no database: keys that are empty, repeated or contradict each other.
    fn check_names(&self, name: &str, table: &TableConfig) -> Result<()> {
        if table.natural_key.is_empty() {
            let what = format!("{name} has no natural_key; name the columns that identify a row");
            return Err(self.error(name, "natural_key", "", &what));
        }
        let lists = [
            ("natural_key", &table.natural_key),
            ("immutable_fields", &table.immutable_fields),
            ("insert_only_fields", &table.insert_only_fields),
            ("required_fields", &table.required_fields),
            ("depends_on", &table.depends_on),
            ("ignore_fields", &table.ignore_fields),
        ];
        for (field, names) in lists {
            for (i, column) in names.iter().enumerate() {
                if names[..i].contains(column) {
                    let what = format!("{column} stands twice in {field} of {name}");
                    return Err(self.error(name, field, column, &what));
                }
            }
        }
        self.check_fields(name, table)?;
        self.check_spelling(name, &table.own_spelling())?;
        for spelling in table.spelling.values() {
            self.check_spelling(name, spelling)?;
        }
        for (stamp, _) in table.stamps() {
            if table.natural_key.iter().any(|k| k == stamp) {
                let what = format!("{stamp} is in the natural key of {name} and cannot be a stamp");
                return Err(self.error(name, "stamps", stamp, &what));
            }
        }
        if let Some(what) = table.contradicts_complete(name) {
            return Err(self.error(name, "complete", "", &what));
        }
        if let Some((setting, what)) = table.csv.contradiction() {
            let what = format!("csv: {setting} of {name} {what}");
            return Err(self.error(name, "csv", setting, &what));
        }
        // What its record would replace is not known to be replaced where that may be left out.
        let may_be_left_out = table.on_invalid == OnInvalid::Reject
            || table.on_duplicate == OnDuplicate::Reject
            || table.on_immutable == OnImmutable::Reject
            || table.on_older == OnOlder::Reject;
        if matches!(table.complete, Complete::OfEach(_)) && may_be_left_out {
            let what = format!(
                "complete: of_each deletes what records of {name} take the place of, and some of them may be left out \
                 (reject): say block for this table"
            );
            return Err(self.error(name, "complete", "", &what));
        }
        for (column, reference) in &table.references {
            if reference.by.is_empty() {
                let what = format!("references: {column} of {name}: by names no column");
                return Err(self.error(name, "references", column, &what));
            }
        }
        for parent in &table.depends_on {
            if !self.tables.contains_key(parent) {
                let hint = did_you_mean(parent, self.tables.keys().map(String::as_str));
                let what = format!("{name} depends on {parent}, which is not configured{hint}");
                return Err(self.error(name, "depends_on", parent, &what));
            }
        }
        Ok(())
    }

    /// That formats and time zones are some.
    fn check_spelling(&self, name: &str, spelling: &Spelling) -> Result<()> {
        match Spelled::new(spelling) {
            Ok(_) => Ok(()),
            Err((field, why)) => Err(self.error(name, field, "", &format!("{field}: {why}"))),
        }
    }

    /// An error that points at the place where `word` stands in `field` of `table`.
    pub(super) fn error(&self, table: &str, field: &str, word: &str, what: &str) -> Error {
        let place = locate(&self.text, &[table, field, word])
            .map(|(line, column)| format!("{line}:{column}: "))
            .unwrap_or_default();
        Error::config(format!("{}: {place}{what}", self.path))
    }
}
