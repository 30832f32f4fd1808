//! `tables.yaml`: what the loader knows about each table beyond what the database says.

mod checked;
mod choices;
mod fields;
mod file;
mod place;
mod references;
mod resolved;
mod soft_delete;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::strict::unique_map;
use crate::table::complete::Complete;
use crate::table::delivery::{Csv, Envelope, Excel, Records};
use crate::table::limits::Limits;
use crate::table::reference::Reference;
use crate::table::schema::{Column, Identity, Table};
use crate::types::spelling::{Encoding, Epoch, Spelling, words};

pub use checked::Config;
pub use choices::{
    GivenNumbers, OnDuplicate, OnImmutable, OnInvalid, OnOlder, OnUnknown, Resolution, Stamp,
    Strategy,
};
pub use file::{DEFAULTS, json_schema};
pub use soft_delete::SoftDelete;

/// One table's configuration.
// In a plan it stands as it was in effect: with the default stamps filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["natural_key"]))]
pub struct TableConfig {
    /// The columns that identify a row.
    // Only what holds for all tables has none.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub natural_key: Vec<String>,
    /// Columns that may be set on insert and never changed.
    #[serde(default)]
    pub immutable_fields: Vec<String>,
    /// Columns that a record sets in a new row, and that it leaves alone in an existing one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub insert_only_fields: Vec<String>,
    /// Columns without which a record is left out: where they are absent, null or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_fields: Vec<String>,
    /// What becomes of fields that are no columns.
    #[serde(default, skip_serializing_if = "OnUnknown::is_default")]
    pub on_unknown: OnUnknown,
    /// Fields that have other names in the delivery than their columns, each with its column.
    #[serde(
        default,
        deserialize_with = "unique_map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub columns: BTreeMap<String, String>,
    /// What to do with existing and missing rows.
    #[serde(default)]
    pub update_strategy: Strategy,
    /// How an existing row and a record combine.
    #[serde(default)]
    pub conflict_resolution: Resolution,
    /// Whether before and after images are written to `audit_log`.
    #[serde(default = "yes")]
    pub audit_changes: bool,
    /// Whether deletes mark rows instead of removing them.
    #[serde(default)]
    pub soft_delete: SoftDelete,
    /// What a violation of an immutable column does.
    #[serde(default)]
    pub on_immutable: OnImmutable,
    /// What any other violation does.
    #[serde(default)]
    pub on_invalid: OnInvalid,
    /// What becomes of different records with one natural key.
    #[serde(default)]
    pub on_duplicate: OnDuplicate,
    /// What becomes of records that were extracted before data which changed their rows already.
    #[serde(default, skip_serializing_if = "OnOlder::is_default")]
    pub on_older: OnOlder,
    /// Columns that are looked up by a key of the table to which they refer.
    #[serde(
        default,
        deserialize_with = "unique_map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub references: BTreeMap<String, Reference>,
    /// Whether a delivery is the whole truth of the table, or of a part of it: then rows that it does not
    /// bring are deleted, and nulls empty their columns.
    #[serde(default, skip_serializing_if = "Complete::is_no")]
    pub complete: Complete,
    /// A column whose value stands beside every entry of a plan: counts and changes are shown by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub group_by: Option<String>,
    /// Tables that must be loaded before this one, beside those it refers to.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Incoming fields that are not columns and are dropped.
    #[serde(default)]
    pub ignore_fields: Vec<String>,
    /// Columns whose change since the plan is not drift, but where an update sets them.
    #[serde(default)]
    pub ignore_drift: Vec<String>,
    /// Columns set by every load, and to what; without this, `updated_at: now` where it exists.
    #[serde(default, with = "stamps", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, Stamp>")]
    pub stamps: Option<BTreeMap<String, Stamp>>,
    /// Columns masked wherever people look.
    #[serde(default)]
    pub sensitive: Vec<String>,
    /// The field of a JSON object that holds the record or the records; `false` where every object is a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Envelope")]
    pub envelope: Option<Envelope>,
    /// Where the records of a JSON file stand: a JSON pointer to their array, or the field into which the keys of an object of records are put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Records")]
    pub records: Option<Records>,
    /// How its files of delimited values are written.
    #[serde(default, skip_serializing_if = "Csv::is_default")]
    pub csv: Csv,
    /// Where records stand in its workbooks.
    #[serde(default, skip_serializing_if = "Excel::is_default")]
    pub excel: Excel,
    /// How dates and times are written, in the notation of strftime; then in no other way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formats: Option<Vec<String>>,
    /// The time zone of times without offset: a name of the time zone database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Times that are numbers count from 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Whether a comma stands before the decimals of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_comma: Option<bool>,
    /// How bytes are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Encoding>,
    /// Words that mean null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words")]
    pub null_words: Option<Vec<String>>,
    /// Words that mean true; beside them only `true` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words")]
    pub true_words: Option<Vec<String>>,
    /// Words that mean false; beside them only `false` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words")]
    pub false_words: Option<Vec<String>>,
    /// How single columns' values are spelled, where otherwise than the table's.
    #[serde(
        default,
        deserialize_with = "unique_map",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub spelling: BTreeMap<String, Spelling>,
    /// What becomes of values given for columns that a sequence numbers.
    #[serde(default, skip_serializing_if = "GivenNumbers::is_default")]
    pub given_numbers: GivenNumbers,
    /// Other tables whose rows this table's triggers and foreign-key actions may change.
    #[serde(default)]
    pub allow_side_effects: Vec<String>,
    /// The most rows that one plan may insert, update or delete; more is for `--max-inserts` and its siblings to allow.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

fn yes() -> bool {
    true
}

mod stamps {
    use super::*;

    pub fn serialize<S: serde::Serializer>(
        map: &Option<BTreeMap<String, Stamp>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        map.serialize(s)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(
        d: D,
    ) -> Result<Option<BTreeMap<String, Stamp>>, D::Error> {
        unique_map(d).map(Some)
    }
}

impl TableConfig {
    /// Puts something else in the place of sensitive values which say what a delivery is all of: nothing needs them
    /// once the plan is made.
    pub fn hide_scope(&mut self, with: impl Fn(&str) -> String) {
        let Complete::Where(scope) = &mut self.complete else {
            return;
        };
        let sensitive = scope.iter_mut().filter(|(c, _)| self.sensitive.contains(c));
        sensitive.for_each(|(_, value)| *value = with(value));
    }

    /// The names that fields have which are columns of `table`.
    pub fn field_names<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t str> {
        let columns = table.columns.iter().map(|c| &c.name);
        columns.chain(self.columns.keys()).map(String::as_str)
    }

    /// The names of fields that say something of a record: [columns](Self::field_names), and those by which is looked up.
    pub fn known_fields<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t str> {
        let by = self.references.values().flat_map(Reference::fields);
        self.field_names(table).chain(by)
    }

    /// The fields by which may be looked up that a record's field of this name gives: that of its own name, and that of the
    /// column which it is, where `columns` names it and no other field has the column's name.
    pub fn looked_up_as<'n>(&'n self, field: &'n str) -> impl Iterator<Item = &'n str> + Clone {
        let column = self.columns.get(field).map(String::as_str);
        let column = column.filter(|column| !self.columns.contains_key(*column));
        [field].into_iter().chain(column)
    }

    /// Whether a row that is there keeps what it holds in a column, whatever records say.
    pub fn keeps(&self, column: &str) -> bool {
        let names = [
            &self.natural_key,
            &self.immutable_fields,
            &self.insert_only_fields,
        ];
        names.into_iter().flatten().any(|name| name == column)
    }

    /// What is wrong where a delivery is the whole truth of rows that another setting leaves as they are.
    pub fn contradicts_complete(&self, table: &str) -> Option<String> {
        let keeps = match (self.update_strategy, self.conflict_resolution) {
            (Strategy::InsertOnly, _) => "update_strategy: insert_only",
            (_, Resolution::Skip) => "conflict_resolution: skip",
            (Strategy::UpdateOnly, _) if matches!(self.complete, Complete::OfEach(_)) => {
                return Some(format!(
                    "complete: of_each deletes what records of {table} take the place of, and with update_strategy: \
                     update_only new rows do not come"
                ));
            }
            _ => return None,
        };
        let what = format!(
            "complete says that rows of {table} are deleted and changed, and {keeps} that none is"
        );
        (!self.complete.is_no()).then_some(what)
    }

    /// The stamps in effect.
    pub fn stamps(&self) -> impl Iterator<Item = (&str, Stamp)> {
        self.stamps
            .iter()
            .flatten()
            .map(|(name, stamp)| (name.as_str(), *stamp))
    }

    /// How the table's values are spelled, where nothing else is said of their column.
    pub fn own_spelling(&self) -> Spelling {
        Spelling {
            formats: self.formats.clone(),
            time_zone: self.time_zone.clone(),
            epoch: self.epoch,
            decimal_comma: self.decimal_comma,
            bytes: self.bytes,
            null_words: self.null_words.clone(),
            true_words: self.true_words.clone(),
            false_words: self.false_words.clone(),
        }
    }

    /// How the values of `column` are spelled.
    pub fn spelling_of(&self, column: &str) -> Spelling {
        let table = self.own_spelling();
        match self.spelling.get(column) {
            Some(own) => own.or(&table),
            None => table,
        }
    }

    /// Whether a record may give a value for a column.
    pub fn takes(&self, column: &Column) -> bool {
        let refused = self.given_numbers == GivenNumbers::Refuse && column.sequence.is_some();
        // What finds a row need not be written.
        let finds = column.identity == Identity::Always
            && self.update_strategy == Strategy::UpdateOnly
            && self.natural_key.contains(&column.name);
        column.writable() && !refused || finds
    }

    /// Whether `column` is set by a stamp.
    pub fn is_stamp(&self, column: &str) -> bool {
        self.stamps.as_ref().is_some_and(|s| s.contains_key(column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse("tables.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_original_json_loads_as_it_stands() {
        let json = r#"{
          "lcl": {
            "natural_key": ["global_subject_id", "niddk_no"],
            "immutable_fields": ["created_at", "created_by"],
            "update_strategy": "upsert",
            "conflict_resolution": "merge",
            "audit_changes": true,
            "soft_delete": false
          },
          "specimen": {
            "natural_key": ["sample_id"],
            "immutable_fields": ["created_at"],
            "update_strategy": "upsert",
            "conflict_resolution": "replace",
            "audit_changes": true,
            "soft_delete": false
          }
        }"#;
        let config = Config::parse("tables.json", json).unwrap();
        assert_eq!(
            config.tables["specimen"].conflict_resolution,
            Resolution::Replace
        );
        assert_eq!(config.tables["lcl"].soft_delete, SoftDelete::Off);
    }

    #[test]
    fn a_table_spells_its_values_as_a_column_does() {
        let settings = |schema: schemars::Schema| schema.to_value()["properties"].clone();
        let table = settings(schemars::schema_for!(TableConfig));
        let column = settings(schemars::schema_for!(Spelling));
        for (name, setting) in column.as_object().unwrap() {
            assert_eq!(&table[name], setting, "{name}");
        }
        let words =
            "a: {natural_key: [id], null_words: [-999, NA], true_words: [1], false_words: [0]}";
        let of_table = Config::parse("tables.yaml", words).unwrap().tables["a"].own_spelling();
        assert_eq!(of_table.null_words.unwrap(), ["-999", "NA"]);
    }

    #[test]
    fn errors_name_place_and_nearest_name() {
        let e = error("lcl:\n  natural_key: [id]\n  imutable_fields: [x]\n");
        assert!(
            e.contains("line 3 column 3") && e.contains("did you mean `immutable_fields`?"),
            "{e}"
        );
        let e = error("lcl:\n  natural_key: [id]\n  update_strategy: upsrt\n");
        assert!(e.contains("did you mean `upsert`?"), "{e}");
        for (text, expected) in [
            (
                "lcl: x",
                "lcl: invalid type: string \"x\", expected settings: {natural_key: [id]} at line 1 column 6",
            ),
            (
                "lcl: {natural_key: id}",
                "lcl.natural_key: invalid type: string \"id\", expected a list: [a, b] at line 1 column 20",
            ),
            (
                "lcl: {natural_key: [id], limits: 5}",
                "lcl.limits: invalid type: integer `5`, expected settings: {name: value} at line 1 column 34",
            ),
            (
                "lcl: {natural_key: [id], complete: {where: s}}",
                "lcl.complete.where: invalid type: string \"s\", expected names with their values: {a: b} at line 1 column 44",
            ),
            (
                "- lcl",
                "invalid type: sequence, expected tables with their settings: {samples: {natural_key: [id]}}",
            ),
            (
                "lcl:\n\tnatural_key: [id]",
                "; YAML is indented with spaces, not with tabs",
            ),
        ] {
            let e = error(text);
            assert!(e.ends_with(expected), "{text}: {e}");
        }
        let e = error("a:\n  natural_key: [id]\na:\n  natural_key: [id]\n");
        assert!(e.contains("`a` stands twice"), "{e}");
        let e = error(
            "lcl:\n  natural_key: [id]\n  depends_on: [subject]\nsubjects:\n  natural_key: [id]\n",
        );
        assert_eq!(
            e,
            "tables.yaml: 3:16: lcl depends on subject, which is not configured; did you mean subjects?"
        );
        let e = error("lcl:\n  natural_key: []\n");
        assert!(e.contains("2:3: lcl has no natural_key"), "{e}");
    }

    #[test]
    fn what_a_column_says_goes_before_its_table_and_that_before_all_tables() {
        let text = "defaults: {time_zone: UTC, null_words: [NA]}\n\
                    a: {natural_key: [id]}\n\
                    b: {natural_key: [id], time_zone: Europe/Berlin, spelling: {c: {null_words: []}}}\n";
        let config = Config::parse("t", text).unwrap();
        let of = |table: &str, column: &str| {
            let spelling = config.tables[table].spelling_of(column);
            format!(
                "{} {:?}",
                spelling.time_zone.unwrap(),
                spelling.null_words.unwrap()
            )
        };
        assert_eq!(of("a", "c"), "UTC [\"NA\"]");
        assert_eq!(of("b", "c"), "Europe/Berlin []");
        assert_eq!(of("b", "d"), "Europe/Berlin [\"NA\"]");
        assert_eq!(
            error("defaults: {time_zone: CEST}\na: {natural_key: [id]}"),
            "tables.yaml: 1:12: time_zone: CEST is not a name of the time zone database, as Europe/Berlin or UTC"
        );
        let e = error("a:\n  natural_key: [id]\n  formats: [\"%Q9\", \"%H:%\"]");
        assert!(e.starts_with("tables.yaml: 3:3: formats: %"), "{e}");
        let e = error("a: {natural_key: [id], spelling: {c: {timezone: UTC}}}");
        assert!(e.contains("did you mean `time_zone`?"), "{e}");
    }

    #[test]
    fn signs_that_records_would_be_lost_by_are_refused() {
        for (csv, says) in [
            (
                "comment: ''",
                "comment of a is \"\", with which every row begins",
            ),
            (
                "comment: '\"'",
                "with which a row whose first cell is quoted begins",
            ),
            (
                "comment: ','",
                "with which a row whose first cell is empty begins",
            ),
            ("delimiter: ;, comment: ';x'", "whose first cell is empty"),
            ("delimiter: '\"'", "quote of a is what stands between cells"),
            ("quote: ','", "quote of a is what stands between cells"),
            (
                "delimiter: '|', escape: '|'",
                "escape of a is what stands between cells",
            ),
        ] {
            let e = error(&format!("a: {{natural_key: [id], csv: {{{csv}}}}}"));
            assert!(e.contains(says), "{csv}: {e}");
        }
        let fine = "a: {natural_key: [id], csv: {quote: false, comment: '\"', delimiter: ;}}";
        assert!(Config::parse("t", fine).is_ok());
    }

    #[test]
    fn what_holds_for_all_tables_can_be_all_but_what_is_one_tables_own() {
        let text = "defaults: {on_invalid: reject, immutable_fields: [created_at], csv: {delimiter: ;}, limits: {delete: 0}, \
                      on_older: block, stamps: {updated_by: actor}}\n\
                    a: {natural_key: [id]}\n\
                    b: {natural_key: [id], on_invalid: block, immutable_fields: [], csv: {}, on_older: note}\n";
        let config = Config::parse("t", text).unwrap();
        let (a, b) = (&config.tables["a"], &config.tables["b"]);
        assert_eq!(a.on_invalid, OnInvalid::Reject);
        assert_eq!(a.immutable_fields, ["created_at"]);
        assert_eq!((a.on_older, b.on_older), (OnOlder::Block, OnOlder::Note));
        assert!(!a.csv.is_default() && b.csv.is_default() && b.immutable_fields.is_empty());
        assert_eq!(b.on_invalid, OnInvalid::Block);
        assert!(!b.limits.is_empty());
        assert_eq!(b.stamps().count(), 1);
        let e = error("defaults:\n  natural_key: [id]\na: {natural_key: [id]}");
        assert_eq!(
            e,
            "tables.yaml: 2:3: defaults: natural_key is for each table to say"
        );
        let e = error("defaults:\n  on_invalidd: reject\na: {natural_key: [id]}");
        assert!(
            e.contains("line 2 column 3") && e.contains("did you mean `on_invalid`?"),
            "{e}"
        );
        let e = error("lcl:\n  on_invalid: reject\n");
        assert!(e.contains("1:1: lcl has no natural_key"), "{e}");
    }

    #[test]
    fn what_a_table_expects_contradicts_nothing() {
        for (said, says) in [
            (
                "immutable_fields: [v], insert_only_fields: [v]",
                "v stands in both immutable_fields and insert_only_fields of a",
            ),
            (
                "insert_only_fields: [id]",
                "id is in the natural key of a and never changes; take it out of insert_only_fields",
            ),
            (
                "required_fields: [v, v]",
                "v stands twice in required_fields of a",
            ),
            (
                "columns: {x: v, y: v}",
                "columns: x and y are both v of a; name one field",
            ),
            (
                "envelope: data, records: /x",
                "records and envelope of a both say where records stand",
            ),
            ("records: items", "is not a JSON pointer"),
            ("records: {key_in: x}", "unknown field `key_in`"),
        ] {
            let e = error(&format!(
                "a:\n  natural_key: [id]\n  {}\n",
                said.replace(", s", "\n  s")
                    .replace(", i", "\n  i")
                    .replace(", r", "\n  r")
            ));
            assert!(
                e.contains(says)
                    && (e.contains("tables.yaml: 3:")
                        || e.contains("tables.yaml: 4:")
                        || e.contains("line 3")),
                "{said}: {e}"
            );
        }
    }

    #[test]
    fn soft_delete_is_a_flag_or_a_column() {
        let config = Config::parse("t", "a: {natural_key: [id], soft_delete: gone_at}").unwrap();
        assert_eq!(config.tables["a"].soft_delete.column(), Some("gone_at"));
        assert!(error("a: {natural_key: [id], soft_delete: [1]}").contains("true, false or"));
    }
}
