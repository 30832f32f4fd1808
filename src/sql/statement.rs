//! A statement: what it is for, its text, and the values bound to it.

use std::fmt;

use super::print;

/// A value that is bound to a statement. It is sent as text: `$1::uuid` casts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// One text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
}

/// The place of a bound value in the text of a statement, displayed as `$1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.0)
    }
}

/// The values of a statement that is being put together. Its parts share one of these, so that each
/// value keeps its place wherever a part comes to stand.
#[derive(Debug, Clone, Default)]
pub struct Values(Vec<Bound>);

impl Values {
    /// The place of this text.
    pub fn text(&mut self, value: impl Into<String>) -> Place {
        self.bind(Bound::Text(value.into()))
    }

    /// The place of the array of these texts.
    pub fn texts<T: Into<String>>(&mut self, values: impl IntoIterator<Item = T>) -> Place {
        self.bind(Bound::Texts(values.into_iter().map(Into::into).collect()))
    }

    fn bind(&mut self, value: Bound) -> Place {
        let known = self.0.iter().position(|bound| *bound == value);
        let at = known.unwrap_or_else(|| {
            self.0.push(value);
            self.0.len() - 1
        });
        Place(at + 1)
    }
}

/// One SQL statement, or several without values. `Display` lays it out for people, its values below.
#[derive(Debug, Clone)]
pub struct Statement {
    doing: String,
    text: String,
    values: Vec<Bound>,
    at_once: bool,
}

impl Statement {
    /// A statement without values; `doing` says what for, as messages begin: `updating table lcl`.
    pub fn new(doing: impl Into<String>, text: impl Into<String>) -> Statement {
        Statement::with(doing, text, Values::default())
    }

    /// A statement with `values`, whose places stand in its text.
    pub fn with(doing: impl Into<String>, text: impl Into<String>, values: Values) -> Statement {
        Statement {
            doing: doing.into(),
            text: text.into(),
            values: values.0,
            at_once: false,
        }
    }

    /// The same, whose tables are joined as a whole and not row by row (`enable_nestloop`, `enable_mergejoin`): for tables of whose
    /// newest rows the planner knows nothing, so that it thinks them few.
    #[must_use]
    pub fn at_once(mut self) -> Statement {
        self.at_once = true;
        self
    }

    /// Whether its tables are joined as a whole.
    pub fn is_at_once(&self) -> bool {
        self.at_once
    }

    /// What it is for.
    pub fn doing(&self) -> &str {
        &self.doing
    }

    /// Its text as it is sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its values, `$1` first.
    pub fn values(&self) -> &[Bound] {
        &self.values
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.at_once { ", at once" } else { "" };
        write!(f, "-- {}{how}\n{}", self.doing, print::layout(&self.text))?;
        for (i, value) in self.values.iter().enumerate() {
            match value {
                Bound::Text(text) => write!(f, "\n-- ${} = {text:?}", i + 1)?,
                Bound::Texts(texts) => write!(f, "\n-- ${} = {texts:?}", i + 1)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_place() {
        let mut values = Values::default();
        let places = [values.text("a"), values.texts(["a"]), values.text("a")];
        assert_eq!(places.map(|p| p.to_string()), ["$1", "$2", "$1"]);
        let statement = Statement::with("testing", "SELECT $1, $2", values);
        assert_eq!(
            statement.to_string(),
            "-- testing\nSELECT $1, $2\n-- $1 = \"a\"\n-- $2 = [\"a\"]"
        );
    }
}
