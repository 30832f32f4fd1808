//! How the values of one column are read: as its type says, and as `tables.yaml` says of the delivery.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::plan::masking::is_stand_in;
use crate::record::Value;
use crate::record::value::column_text;
use crate::table::config::TableConfig;
use crate::table::schema::{Column, Shape};
use crate::types::{Kept, Refused, Spelled};

/// Reads the values of one column.
pub struct Reading<'a> {
    column: &'a Column,
    spelled: Spelled,
    /// For numbers and booleans of JSON and of workbooks.
    of_json: Spelled,
    /// For dates and times of workbooks.
    of_workbook: Spelled,
    /// Words that mean null.
    nulls: Vec<String>,
    /// Whether its values are hidden from people.
    sensitive: bool,
}

const HIDDEN: &str = "what stands for a sensitive value where people look, and not the value itself, which --rejects-plain \
                      would have written; deliver that";

const NO_DATE_IN_CELL: &str = "a number, whose cell in the workbook is not formatted as a date or time; format the \
                               column's cells as such";

/// What PostgreSQL is given for a value.
pub struct Taken<'v> {
    /// The text; `None` is null.
    pub text: Option<Cow<'v, str>>,
    /// What was given, where what is stored may be another value.
    pub asked: Option<Asked>,
}

/// A value of which it has to be seen whether it is stored as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// As it was given.
    pub given: String,
    /// What has to be compared with what is stored; `None` where the two differ in any case.
    pub text: Option<String>,
}

impl<'a> Reading<'a> {
    /// For `column` of a table under `config`, whose settings are right.
    pub fn new(column: &'a Column, config: &TableConfig) -> Reading<'a> {
        let spelling = config.spelling_of(&column.name);
        let spelled = Spelled::new(&spelling).unwrap_or_default();
        Reading {
            column,
            of_json: spelled.of_json(),
            of_workbook: spelled.of_workbook(),
            spelled,
            nulls: spelling.null_words.unwrap_or_default(),
            sensitive: config.sensitive.contains(&column.name),
        }
    }

    /// For `column` as PostgreSQL prints it, and as plans show it.
    pub fn printed(column: &'a Column) -> Reading<'a> {
        Reading {
            column,
            of_json: Spelled::default(),
            of_workbook: Spelled::default(),
            spelled: Spelled::default(),
            nulls: Vec::new(),
            sensitive: false,
        }
    }

    /// The same, whose values are hidden too where `sensitive`.
    #[must_use]
    pub fn also_hidden(mut self, sensitive: bool) -> Reading<'a> {
        self.sensitive |= sensitive;
        self
    }

    /// The column.
    pub fn column(&self) -> &'a Column {
        self.column
    }

    /// An array in a cell that is written as JSON writes it; PostgreSQL begins none with such a bracket but one that
    /// says its bounds, which is no JSON.
    fn json_in_cell<'v>(&self, value: &Value<'v>) -> Value<'v> {
        match *value {
            Value::Cell(cell)
                if matches!(self.column.shape, Shape::Array { .. })
                    && let Ok(raw) = serde_json::from_str::<&RawValue>(cell)
                    && raw.get().starts_with('[') =>
            {
                Value::Json(raw.get())
            }
            other => other,
        }
    }

    /// What PostgreSQL is given for `value`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn read<'v>(&self, value: &Value<'v>) -> Result<Taken<'v>, Refused> {
        let value = &self.json_in_cell(value);
        if self.sensitive && word(value).is_some_and(|word| is_stand_in(&word)) {
            return Err(Refused::because(HIDDEN));
        }
        if !self.nulls.is_empty()
            && let Some(word) = word(value).or_else(|| scalar(value))
            && let bare = self.column.kind.bare(&word)
            && self.nulls.iter().any(|null| *null == bare)
        {
            // They are meant as they are written; else a number would be stored that means null.
            if bare.len() < word.len() {
                let why = "a word that means null, with blanks around it";
                return Err(Refused::because(why));
            }
            let asked = Asked {
                given: word.into_owned(),
                text: None,
            };
            return Ok(Taken {
                text: None,
                asked: Some(asked),
            });
        }
        let text = column_text(value, self.column.shape);
        let text = text.map_err(|misfit| Refused::because(misfit.to_string()))?;
        let Some(text) = text else {
            return Ok(Taken {
                text: None,
                asked: None,
            });
        };
        let by = match value {
            // Arrays of numbers are JSON's own spelling, too.
            Value::Json(raw) if !raw.contains('"') => &self.of_json,
            Value::Number(_) => &self.of_json,
            Value::Moment(_) => &self.of_workbook,
            _ => &self.spelled,
        };
        let accepted = self.column.kind.given(text, by);
        let accepted = accepted.map_err(|refused| match value {
            Value::Number(_) if self.column.kind.is_date_or_time() => {
                Refused::because(NO_DATE_IN_CELL)
            }
            _ => refused,
        })?;
        let given = |text| Asked {
            given: as_given(value),
            text,
        };
        let asked = match accepted.kept {
            Kept::Surely => None,
            Kept::Unless => Some(given(Some(accepted.text.clone().into_owned()))),
            Kept::Otherwise => Some(given(None)),
        };
        Ok(Taken {
            text: Some(accepted.text),
            asked,
        })
    }
}

/// The text of a cell or of a JSON string.
pub fn word<'v>(value: &Value<'v>) -> Option<Cow<'v, str>> {
    match *value {
        Value::Cell(cell) | Value::Number(cell) | Value::Moment(cell) => Some(Cow::Borrowed(cell)),
        Value::Json(raw) if raw.starts_with('"') => {
            let inside = raw.trim_matches('"');
            if raw.contains('\\') {
                serde_json::from_str(raw).ok().map(Cow::Owned)
            } else {
                Some(Cow::Borrowed(inside))
            }
        }
        Value::Json(_) | Value::Blank => None,
    }
}

/// A number or boolean of JSON, as it is written.
fn scalar<'v>(value: &Value<'v>) -> Option<Cow<'v, str>> {
    match *value {
        Value::Json("null") => None,
        Value::Json(raw) if !raw.starts_with(['"', '{', '[']) => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

fn as_given(value: &Value<'_>) -> String {
    match (word(value), value) {
        (Some(word), _) => word.into_owned(),
        (None, Value::Json(raw)) => (*raw).to_owned(),
        (None, Value::Cell(cell) | Value::Number(cell) | Value::Moment(cell)) => (*cell).to_owned(),
        (None, Value::Blank) => String::new(),
    }
}
