//! Entries of the plan from what the comparison found.

use std::collections::BTreeMap;

use super::Comparison;
use super::answer::{
    DIFFERS, EXTRACTED, FIRST, GOES, LAST, N, OBJECT, OTHER_OBJECT, OTHER_POSITION, POSITION,
    VARIANTS,
};
use super::found_row::Texts;
use super::pending::Pending;
use crate::error::{Error, Result};
use crate::plan::decision::{
    Current, Decision, Fate, Given, Wins, decide, decide_delete, invalid_effect,
};
use crate::plan::{
    Action, Effect, Entry, Fingerprint, Other, Skip, Value, Values, Violation, ViolationKind, What,
};
use crate::sql::copytext::CopyRow;
use crate::table::config::OnDuplicate;

impl Comparison<'_> {
    /// Takes one line of the answer, leaving another row for the next.
    pub(super) fn row(&mut self, line: &mut CopyRow) -> Result<()> {
        let n = self.parsed(line, N)?;
        if self.pending.as_ref().is_some_and(|p| p.n != n) {
            self.flush()?;
        }
        let spare = self.spare.pop();
        match &mut self.pending {
            Some(pending) => pending.add(line, spare),
            None => {
                let first = std::mem::replace(line, spare.unwrap_or_default());
                self.pending = Some(Pending::new(n, first));
            }
        }
        Ok(())
    }

    /// Decides about the pending record.
    pub(super) fn flush(&mut self) -> Result<()> {
        let Some(record) = self.pending.take() else {
            return Ok(());
        };
        let line = &record.first;
        let left_out = self.left_out(line)?;
        let mut violations = self.findings(line)?;
        // Of rows that are marked already, a record which says that they go is true of each.
        let all_gone = line.get(GOES) == Some("t") && record.deleted();
        if record.found() && record.ambiguous() && !all_gone {
            violations.push(self.violation(
                ViolationKind::AmbiguousKey,
                "several rows of the table have this key; a unique index on it would prevent that",
            ));
        }
        let row = self.found_row.texts(line)?;
        let digest = row.as_ref().map(|row| self.found_row.digest(row));
        let given = self.given(line, row.as_ref());
        let current = row.as_ref().zip(digest.as_ref());
        let current = current.map(|(row, digest)| self.current(line, row, digest));
        violations.extend(self.uncertain(line, &given)?);
        let duplicate = self.duplicate(line, record.n, &mut violations)?;
        let mut decision = match left_out.or(duplicate) {
            Some(skip @ Skip::LeftOut(_)) => Decision {
                fate: Fate::Skip(skip),
                violations: Vec::new(),
            },
            Some(skip) if violations.is_empty() => Decision {
                fate: Fate::Skip(skip),
                violations,
            },
            _ if line.get(GOES) == Some("t") => {
                decide_delete(self.config, current.as_ref(), violations)
            }
            _ => decide(
                self.config,
                &self.rules,
                &given,
                current.as_ref(),
                violations,
            ),
        };
        let (object, position) = (self.parsed(line, OBJECT)?, self.parsed(line, POSITION)?);
        let mut from = vec![(self.origin)(object, position)];
        let looked_up = self.looked_up(line)?;
        let mut key = self.key(&given, current.as_ref());
        for found in &looked_up {
            let named = found.value.as_ref().or(found.old.as_ref());
            // A row that is there has its key, whatever row is new that is named by it.
            let is_known = |value: &&Value| current.is_none() || !matches!(value, Value::New(_));
            let named = named.filter(is_known);
            if let (Some(known), Some(value)) = (key.get_mut(found.column), named) {
                *known = value.clone();
            }
        }
        let mut rounded = self.rounded(line, &given)?;
        let mut what = match decision.fate {
            Fate::Delete => Some(self.delete(row.as_ref(), digest.as_ref())?),
            _ => self.what(
                &mut decision,
                &mut rounded,
                &given,
                current.as_ref(),
                row.as_ref(),
            )?,
        };
        for found in &looked_up {
            found.put(what.as_mut(), &mut decision.violations);
        }
        note_rounded(&mut rounded, &mut key);
        // What is left out in any case blocks nothing.
        let mut found = decision.violations.iter();
        if found.any(|v| v.kind == ViolationKind::RequiredField) {
            for violation in &mut decision.violations {
                violation.effect = Effect::Reject;
            }
        }
        let is_loaded = matches!(
            what,
            Some(What::Update { .. } | What::Skip(Skip::Unchanged(_)))
        );
        // The record is counted by the gravest of its violations, which stands first.
        decision.violations.sort_by_key(|v| v.effect);
        for violation in decision.violations.iter_mut().skip(1) {
            violation.further = true;
        }
        let violations = decision.violations.into_iter().map(What::Violation);
        let mut whats = what.into_iter().chain(violations).peekable();
        let mut order = self.order(line, row.as_ref(), record.n, &looked_up)?;
        let of_record = order.len();
        let mut i: u64 = 0;
        while let Some(what) = whats.next() {
            let (key, from) = match whats.peek() {
                Some(_) => (key.clone(), from.clone()),
                None => (std::mem::take(&mut key), std::mem::take(&mut from)),
            };
            let group = self.group(line, row.as_ref(), what.action());
            let extracted = match what.action() {
                Action::Insert | Action::Update | Action::Delete => {
                    record.first.get(EXTRACTED).map(str::to_owned)
                }
                Action::Skip | Action::Violation => None,
            };
            let entry = Entry {
                table: self.stage.target.name.to_owned(),
                key,
                what,
                extracted,
                from,
                group,
            };
            order.truncate(of_record);
            order.extend_from_slice(&i.to_be_bytes());
            (self.sink)(&order, entry)?;
            i += 1;
        }
        let ignored = row.as_ref().filter(|_| is_loaded);
        let ignored = ignored.map(|row| self.ignored(line, row).collect());
        self.count_passed_over(&record, ignored.unwrap_or_default())?;
        self.spare.extend(record.into_lines());
        Ok(())
    }

    /// Counts the row that a record found, and the columns whose nulls do not win over what it holds.
    fn count_passed_over(&mut self, record: &Pending, ignored: Vec<usize>) -> Result<()> {
        let line = &record.first;
        let stands_for_key = match line.get(FIRST) {
            None => true,
            Some(_) => self.parsed::<u64>(line, FIRST)? == record.n,
        };
        if stands_for_key && record.found() && !record.deleted() {
            self.found_rows += 1;
        }
        for column in ignored {
            *self.ignored.entry(column).or_default() += 1;
        }
        Ok(())
    }

    /// What follows from other records with the same key: `None` if this one stands for the key.
    fn duplicate(
        &self,
        line: &CopyRow,
        n: u64,
        violations: &mut Vec<Violation>,
    ) -> Result<Option<Skip>> {
        if line.get(FIRST).is_none() {
            return Ok(None);
        }
        let number = |i: usize| self.parsed::<u64>(line, i);
        if number(VARIANTS)? == 1 {
            return Ok((n != number(FIRST)?).then_some(Skip::Duplicate));
        }
        let effect = match self.config.on_duplicate {
            OnDuplicate::Last => return Ok((n != number(LAST)?).then_some(Skip::Superseded)),
            OnDuplicate::Block => Effect::Block,
            OnDuplicate::Reject => Effect::Reject,
        };
        let mut violation = self.violation(
            ViolationKind::DuplicateKey,
            "different records of the batch have this key; keep one of them, or set on_duplicate",
        );
        violation.effect = effect;
        let (values, of_other) = self.difference(line)?;
        violation.values = values;
        violation.other = Some(Other {
            from: (self.origin)(
                self.parsed(line, OTHER_OBJECT)?,
                self.parsed(line, OTHER_POSITION)?,
            ),
            values: of_other,
        });
        violations.push(violation);
        Ok(None)
    }

    /// What the record and the other one with its key give in the columns in which they differ.
    fn difference(&self, line: &CopyRow) -> Result<(Values, Values)> {
        type Differs = (String, bool, Option<String>, bool, Option<String>);
        let differs: Vec<Differs> = match line.get(DIFFERS) {
            None => Vec::new(),
            Some(json) => serde_json::from_str(json)
                .map_err(|e| Error::local("reading back how records differ").caused_by(e))?,
        };
        let (mut own, mut other) = (Values::new(), Values::new());
        for (column, own_given, own_value, other_given, other_value) in differs {
            let value = |text: Option<String>| match text {
                Some(json) if self.config.references.contains_key(&column) => {
                    self.as_planned(&json)
                }
                text => Ok(text.into()),
            };
            if own_given {
                own.insert(column.clone(), value(own_value)?);
            }
            if other_given {
                let other_value = value(other_value)?;
                other.insert(column, other_value);
            }
        }
        Ok((own, other))
    }

    /// Values that are read as others, and perhaps as others tomorrow.
    fn uncertain(&self, line: &CopyRow, given: &[Given<'_>]) -> Result<Vec<Violation>> {
        let rounded = self.rounded(line, given)?.into_iter();
        let uncertain = rounded.filter_map(|(column, text)| {
            let at = self.rules.iter().position(|rule| rule.name == column)?;
            let Given::Value(stored) = given[at] else {
                return None;
            };
            let sent = !self.alike(line, at) && self.kind(at).is_uncertain();
            sent.then(|| Violation {
                field: Some(column),
                given: Some(text),
                instead: Some(stored.to_owned()),
                ..self.violation(
                    ViolationKind::InvalidValue,
                    "it is printed otherwise, and its type may read more than the text",
                )
            })
        });
        Ok(uncertain.collect())
    }

    fn violation(&self, kind: ViolationKind, message: &str) -> Violation {
        Violation::new(kind, invalid_effect(self.config), message)
    }

    /// The key as the row spells it, with what was given for it where that is spelled otherwise; else as given.
    fn key(&self, given: &[Given<'_>], current: Option<&Current<'_>>) -> Values {
        let rules = self.rules.iter().enumerate();
        let keys = rules.filter(|(_, rule)| rule.wins == Wins::Never);
        keys.filter_map(|(i, rule)| {
            let value: Value = match (current, given[i]) {
                (Some(row), Given::Value(v)) if row.values[i] != Some(v) => {
                    Value::from(row.values[i]).rounded_from(v.to_owned())
                }
                (Some(row), _) => row.values[i].into(),
                (None, Given::Value(v)) => v.into(),
                (None, Given::Null) => Value::Null,
                (None, Given::Absent | Given::Blank) => return None,
            };
            Some((rule.name.clone(), value))
        })
        .collect()
    }

    /// What a row holds beside its key.
    fn beside_key<'r>(
        &'r self,
        row: &'r Texts<'_>,
    ) -> impl Iterator<Item = (&'r String, Option<&'r str>)> {
        let columns = self.stage.target.table.columns.iter().enumerate();
        let beside_key = columns.filter(|(_, c)| !self.config.natural_key.contains(&c.name));
        beside_key.map(|(i, c)| (&c.name, self.found_row.text(row, i)))
    }

    /// The columns that a record gives as its row holds them, where triggers could change them when it is updated.
    fn stays(
        &self,
        given: &[Given<'_>],
        row: &Current<'_>,
        set: &BTreeMap<String, (Value, Value)>,
    ) -> Vec<String> {
        if !self.stage.target.may_be_set() {
            return Vec::new();
        }
        let rules = self.rules.iter().zip(given);
        // That immutable ones stay is asked of every row.
        let given = rules.filter(|(rule, given)| {
            !rule.immutable && rule.wins.over(**given, row.deleted).is_some()
        });
        let names = given.map(|(rule, _)| &rule.name);
        names
            .filter(|name| !set.contains_key(*name))
            .cloned()
            .collect()
    }

    /// The delete of the row that a record found.
    fn delete(&self, row: Option<&Texts<'_>>, digest: Option<&String>) -> Result<What> {
        let (row, expect) = row
            .zip(digest)
            .ok_or_else(|| Error::local("a delete without a row"))?;
        let values = self.beside_key(row);
        let values = values.map(|(name, value)| (name.clone(), value.into()));
        Ok(What::Delete {
            expect: Fingerprint(expect.clone()),
            values: values.collect(),
            soft: self.stage.target.mark().is_some(),
        })
    }

    fn what(
        &self,
        decision: &mut Decision,
        rounded: &mut BTreeMap<String, String>,
        given: &[Given<'_>],
        current: Option<&Current<'_>>,
        found: Option<&Texts<'_>>,
    ) -> Result<Option<What>> {
        let action = std::mem::replace(&mut decision.fate, Fate::LeaveOut);
        Ok(match action {
            Fate::LeaveOut | Fate::Delete => None,
            Fate::Skip(skip) => Some(What::Skip(skip)),
            Fate::Insert => {
                let mut values: Values = self
                    .rules
                    .iter()
                    .zip(given)
                    .filter(|(rule, _)| rule.wins != Wins::Never)
                    .filter_map(|(rule, given)| match given {
                        Given::Absent | Given::Blank => None,
                        Given::Null => Some((rule.name.clone(), Value::Null)),
                        Given::Value(v) => Some((rule.name.clone(), Value::from(*v))),
                    })
                    .collect();
                note_rounded(rounded, &mut values);
                Some(What::Insert { values })
            }
            Fate::Update { set, revives } => {
                let row = current.ok_or_else(|| Error::local("an update without a row"))?;
                let set: BTreeMap<_, _> = set
                    .into_iter()
                    .map(|(i, new)| {
                        let old = Value::from(row.values[i]);
                        let name = &self.rules[i].name;
                        let new = match (rounded.remove(name), Value::from(new)) {
                            (Some(given), new) => new.rounded_from(given),
                            (None, new) => new,
                        };
                        (name.clone(), (old, new))
                    })
                    .collect();
                let all = found.filter(|_| revives).map(|found| {
                    let rest = self.beside_key(found);
                    let rest = rest.filter(|(name, _)| !set.contains_key(*name));
                    let rest = rest.filter_map(|(name, value)| Some((name.clone(), value?.into())));
                    rest.collect()
                });
                Some(What::Update {
                    stays: self.stays(given, row, &set),
                    set,
                    expect: Fingerprint(row.digest.to_owned()),
                    revives: all,
                })
            }
        })
    }
}

/// Puts beside each value what was given for it, where that was rounded.
fn note_rounded(rounded: &mut BTreeMap<String, String>, values: &mut Values) {
    rounded.retain(|column, given| match values.get_mut(column) {
        Some(value) => {
            let stored = std::mem::replace(value, Value::Null);
            *value = stored.rounded_from(std::mem::take(given));
            false
        }
        None => true,
    });
}
