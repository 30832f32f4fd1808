//! What reviewers decided about the rows of a plan: read from their files, joined, and refused where they
//! disagree or have questions.

pub(crate) mod name;
pub(crate) mod sheet;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::masking::as_seen;
use super::{Row, Why};
use crate::error::{Error, Result};
use crate::strict::unique_map;
use crate::text::escape;

/// The format that this version reads and writes.
pub const FORMAT: &str = "table-loader-decisions/1";

/// The longest comment and the longest name of a reviewer, in characters.
const LONGEST_COMMENT: usize = 4_000;
const LONGEST_NAME: usize = 200;
/// At most so many rows are named in a message.
const NAMED: usize = 10;

/// What becomes of a row, as its reviewer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As the plan says.
    Accept,
    /// It is left out.
    LeaveOut,
    /// Somebody must answer first.
    Question,
}

impl Verdict {
    /// All there are.
    pub const ALL: [Verdict; 3] = [Verdict::Accept, Verdict::LeaveOut, Verdict::Question];

    /// The word in a file.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::LeaveOut => "leave_out",
            Verdict::Question => "question",
        }
    }
}

/// A key in a file: as the plan has it, or with the words of the rows to which it refers.
fn key<'de, D: Deserializer<'de>>(from: D) -> Result<Row, D::Error> {
    unique_map(from).map(|key| name::key_of(&key))
}

/// The decision about one row or record of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Its table.
    pub table: String,
    /// Its key, as the plan shows it.
    #[serde(deserialize_with = "key")]
    pub key: Row,
    /// What becomes of it.
    pub decision: Verdict,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Where it comes from, as the plan shows that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// What one reviewer decided about the rows of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    format: String,
    /// The hash of the plan, as it was shown.
    pub plan_hash: String,
    /// Who decided.
    pub reviewer: String,
    /// At most one for each row or record.
    pub decisions: Vec<Decision>,
}

impl Review {
    /// A review of the plan with this hash; `name` is the file's, for messages.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the reviewer is nobody, or a text is longer than it may be.
    pub fn new(
        name: &str,
        plan_hash: String,
        reviewer: String,
        decisions: Vec<Decision>,
    ) -> Result<Review> {
        let format = FORMAT.to_owned();
        Review {
            format,
            plan_hash,
            reviewer,
            decisions,
        }
        .checked(name)
    }

    /// The review that `json`, the content of the file `name`, is.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where it is none, or has fields that are not known.
    pub fn parse(name: &str, json: &str) -> Result<Review> {
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        if json.trim().is_empty() {
            return Err(Error::config(format!(
                "{name}: the file is empty; save the decisions again"
            )));
        }
        let review: Review = serde_json::from_str(json)
            .map_err(|e| Error::config(format!("{name}: it has no decisions about a plan: {e}")))?;
        if review.format != FORMAT {
            return Err(Error::config(format!(
                "{name}: its format is \"{}\", and this version reads {FORMAT}",
                escape(&review.format)
            )));
        }
        review.checked(name)
    }

    /// The review that `bytes`, the content of the file `name`, is: JSON, a workbook, or delimited values.
    ///
    /// # Errors
    /// As [`Review::parse`]; and where a row was changed without the rest of it.
    pub fn read(name: &str, bytes: &[u8]) -> Result<Review> {
        if bytes.starts_with(b"PK") {
            return sheet::workbook(name, bytes);
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        match (text.trim_ascii_start().first(), std::str::from_utf8(bytes)) {
            (None | Some(b'{' | b'['), Ok(text)) => Review::parse(name, text),
            _ => sheet::delimited(name, bytes),
        }
    }

    fn checked(mut self, name: &str) -> Result<Review> {
        let wrong = |what: String| Err(Error::config(format!("{name}: {what}")));
        self.reviewer = self.reviewer.trim().to_owned();
        if self.reviewer.is_empty() {
            return wrong("nobody is named as its reviewer".into());
        }
        if self.reviewer.chars().count() > LONGEST_NAME
            || self.reviewer.chars().any(char::is_control)
        {
            return wrong(format!(
                "the reviewer's name must be one line of at most {LONGEST_NAME} characters"
            ));
        }
        for decision in &mut self.decisions {
            let comment = decision.comment.take();
            let comment = comment.map(|c| c.trim().to_owned());
            decision.comment = comment.filter(|c| !c.is_empty());
            let Some(comment) = &decision.comment else {
                continue;
            };
            if comment.chars().count() > LONGEST_COMMENT || comment.contains('\0') {
                let subject = Subject::of(decision);
                return wrong(format!(
                    "{subject}: the comment must have at most {LONGEST_COMMENT} characters, and none of them U+0000"
                ));
            }
        }
        Ok(self)
    }
}

/// What a decision is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) table: String,
    pub(crate) from: Vec<String>,
    pub(crate) key: Row,
}

impl Subject {
    fn of(decision: &Decision) -> Subject {
        Subject {
            table: decision.table.clone(),
            from: decision.from.clone(),
            key: decision.key.clone(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escape(&self.table))?;
        for (i, (column, value)) in self.key.iter().enumerate() {
            let value = value
                .as_deref()
                .map_or("null".into(), |v| escape(&as_seen(v)));
            let before = if i == 0 { " " } else { ", " };
            write!(f, "{before}{}={value}", escape(column))?;
        }
        match self.from.as_slice() {
            [] => Ok(()),
            from => write!(f, " ({})", escape(&from.join(", "))),
        }
    }
}

/// One reviewer's word about one subject.
#[derive(Debug, Clone)]
struct Word {
    verdict: Verdict,
    reviewer: String,
    comment: Option<String>,
    file: String,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reviewer, file) = (escape(&self.reviewer), escape(&self.file));
        write!(f, "{reviewer} says {} ({file}", self.verdict.word())?;
        match &self.comment {
            Some(comment) => write!(f, ": {})", escape(comment)),
            None => f.write_str(")"),
        }
    }
}

/// What several reviewers decided about one plan, and agree on.
#[derive(Debug, Clone)]
pub struct Decisions {
    plan_hash: String,
    /// The files, for messages.
    files: String,
    words: BTreeMap<Subject, Vec<Word>>,
}

impl Decisions {
    /// Joins reviews, each with its file's name: those of one plan. A plan that was made by decisions may be reviewed
    /// in turn.
    ///
    /// # Errors
    /// [`NotApproved`](crate::ErrorKind::NotApproved) where they disagree about a row, or leave a question open.
    pub fn join(reviews: Vec<(String, Review)>) -> Result<Vec<Decisions>> {
        let mut of_plans: Vec<Decisions> = Vec::new();
        for (file, review) in reviews {
            let hash = bare(&review.plan_hash);
            let at = of_plans.iter().position(|d| d.plan_hash == hash);
            let at = at.unwrap_or_else(|| {
                of_plans.push(Decisions {
                    plan_hash: hash.to_owned(),
                    files: String::new(),
                    words: BTreeMap::new(),
                });
                of_plans.len() - 1
            });
            let joined = &mut of_plans[at];
            let between = if joined.files.is_empty() { "" } else { ", " };
            joined.files += &format!("{between}{}", escape(&file));
            for decision in review.decisions {
                let words = joined.words.entry(Subject::of(&decision)).or_default();
                words.push(Word {
                    verdict: decision.decision,
                    reviewer: review.reviewer.clone(),
                    comment: decision.comment,
                    file: file.clone(),
                });
            }
        }
        of_plans.into_iter().map(Decisions::agreed).collect()
    }

    /// That nobody disagrees, and no question is open.
    fn agreed(self) -> Result<Decisions> {
        let disagreeing = self.words.iter().filter(|(_, words)| {
            let mut verdicts = words.iter().map(|w| w.verdict);
            let first = verdicts.next();
            verdicts.any(|v| Some(v) != first)
        });
        let disagreeing = disagreeing.map(|(subject, words)| {
            let words: Vec<String> = words.iter().map(Word::to_string).collect();
            format!("{subject}: {}", words.join(", "))
        });
        let disagreeing: Vec<String> = disagreeing.collect();
        if !disagreeing.is_empty() {
            return Err(Error::not_approved(format!(
                "{}: {} decided differently:{}\nsettle it, and save the files anew",
                self.files,
                rows(disagreeing.len()),
                listed(&disagreeing)
            )));
        }
        let open = self.words.iter();
        let open = open.filter(|(_, words)| words.iter().any(|w| w.verdict == Verdict::Question));
        let open = open.map(|(subject, words)| {
            let words: Vec<String> = words.iter().map(Word::to_string).collect();
            format!("{subject}: {}", words.join(", "))
        });
        let open: Vec<String> = open.collect();
        if open.is_empty() {
            return Ok(self);
        }
        let are = match open.len() {
            1 => "1 question is".to_owned(),
            n => format!("{n} questions are"),
        };
        Err(Error::not_approved(format!(
            "{}: {are} open:{}\nanswer them, and mark these rows accept or leave_out",
            self.files,
            listed(&open)
        )))
    }

    /// The names of the files, for messages.
    pub(crate) fn files(&self) -> &str {
        &self.files
    }

    /// The hash of the plan that they are about.
    pub fn plan_hash(&self) -> String {
        format!("sha256:{}", self.plan_hash)
    }

    /// What is decided about, and of what is left out why.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (&Subject, Option<Why>)> {
        self.words.iter().map(|(subject, words)| {
            let left_out = words.iter().any(|w| w.verdict == Verdict::LeaveOut);
            (subject, left_out.then(|| why(words)))
        })
    }
}

/// The reasons and names of all who decided the same.
fn why(words: &[Word]) -> Why {
    let joined = |texts: Vec<&String>, between: &str| {
        let mut distinct: Vec<&str> = Vec::new();
        for text in texts {
            if !distinct.contains(&text.as_str()) {
                distinct.push(text);
            }
        }
        (!distinct.is_empty()).then(|| distinct.join(between))
    };
    Why {
        reason: joined(
            words.iter().filter_map(|w| w.comment.as_ref()).collect(),
            "; ",
        ),
        by: joined(words.iter().map(|w| &w.reviewer).collect(), ", "),
    }
}

fn bare(hash: &str) -> &str {
    let hash = hash.trim();
    hash.strip_prefix("sha256:").unwrap_or(hash)
}

fn rows(n: usize) -> String {
    match n {
        1 => "1 row is".to_owned(),
        n => format!("{n} rows are"),
    }
}

/// The first of some lines, and how many more there are.
pub(crate) fn listed(lines: &[String]) -> String {
    let shown = lines.iter().take(NAMED).map(|line| format!("\n  {line}"));
    let mut text: String = shown.collect();
    if lines.len() > NAMED {
        text += &format!("\n  and {} more", lines.len() - NAMED);
    }
    text
}

#[cfg(test)]
mod tests;
