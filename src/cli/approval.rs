//! Whether a plan may be applied: by its hash, by a person at the terminal, or without an approval.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use super::colour;
use crate::error::{Error, Result};
use crate::ops::{self, ApplyRequest};
use crate::pg::ledger::Latest;
use crate::planfile::{Executable, PlanFile};
use crate::render::text::{self, Filter};
use crate::text::escape;

/// How a plan is approved.
#[derive(clap::Args, Debug, Clone)]
pub struct Approval {
    /// The hash of the plan that was approved
    #[arg(long, value_name = "HASH")]
    approve: Option<String>,
    /// Apply without approval; no other check is skipped
    #[arg(long)]
    force: bool,
    /// Apply again a plan whose application of this id was rolled back, or whose rows others took away since; it has to
    /// be approved by --approve or at the terminal
    #[arg(long, value_name = "APPLICATION")]
    again: Option<String>,
    /// Whether a plan must be approved
    #[arg(long, env = "REQUIRE_APPROVAL", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    require_approval: bool,
}

impl Approval {
    /// Whether this plan needs no approval. What was rolled back is never applied again without one.
    fn needs_none(&self, plan: &PlanFile) -> bool {
        let unasked = self.force || !self.require_approval || plan.header.summary.changes() == 0;
        self.again.is_none() && unasked
    }

    /// Whether this plan still needs the approval of a person.
    pub fn asks(&self, plan: &PlanFile) -> bool {
        self.approve.is_none() && !self.needs_none(plan)
    }

    /// Whether an approval is given by the plan's hash; `name` is that of its file.
    ///
    /// # Errors
    /// [`NotApproved`](crate::ErrorKind::NotApproved) where it is given for another plan.
    pub fn names(&self, plan: &PlanFile, name: &str) -> Result<bool> {
        match &self.approve {
            Some(hash) if !plan.is_named(hash) => Err(Error::not_approved(format!(
                "{name}: the approval is for {}, but this plan is {}; have this plan reviewed",
                escape(hash),
                plan.hash
            ))),
            approve => Ok(approve.is_some()),
        }
    }

    /// That the plan is approved; returns the rolled back application that the approval covers too.
    ///
    /// # Errors
    /// [`NotApproved`](crate::ErrorKind::NotApproved); what keeps the ledger from being read.
    pub async fn given(
        &self,
        plan: &Executable,
        request: &ApplyRequest,
        name: &str,
    ) -> Result<Option<String>> {
        let file = plan.plan();
        if self.names(file, name)? {
            return Ok(self.again.clone());
        }
        if self.needs_none(file) {
            return Ok(None);
        }
        // Who is asked must know what became of the plan.
        let before = ops::applied_before(plan, request).await?;
        if self.again.is_none() && before.as_ref().is_some_and(Latest::in_effect) {
            return Ok(None); // there is nothing to approve
        }
        if !attended() {
            let again = before.as_ref().map(|b| b.application.application.as_str());
            let was = before
                .as_ref()
                .map(|before| format!(", which was {before}"));
            return Err(Error::not_approved(format!(
                "{name}: nobody approved this plan{}; after its review: {}",
                was.unwrap_or_default(),
                command(file, again.or(self.again.as_deref()))
            )));
        }
        ask(file, before.as_ref(), name)?;
        let covered = before.map(|before| before.application.application);
        Ok(covered.or(self.again.clone()))
    }
}

/// Whether there is a person who can be asked.
pub fn attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// This command with an approval of the plan, and of applying it again after an application was rolled back.
pub fn command(plan: &PlanFile, again: Option<&str>) -> String {
    let mut words = vec!["loader".to_owned()];
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.as_str(), None),
        };
        match flag {
            "--force" => {}
            // A URL may hold a password.
            "--approve" | "--again" | "--database-url" => {
                if value.is_none() {
                    given.next();
                }
            }
            _ => words.push(quoted(&word)),
        }
    }
    if let Some(id) = again {
        words.extend(["--again".to_owned(), quoted(id)]);
    }
    words.extend(["--approve".to_owned(), plan.hash.clone()]);
    words.join(" ")
}

/// The command that applies the plan in the file `path` again after this application of it was rolled back.
pub fn again(plan: &PlanFile, path: &Path, application: &str) -> String {
    let identity = match &plan.masked_hash {
        Some(_) => " --identity FILE",
        None => "",
    };
    format!(
        "loader apply {}{identity} --again {application} --approve {}",
        quoted(&path.display().to_string()),
        plan.verified_hash()
    )
}

/// A word as a shell takes it, and a terminal.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", escape(word).replace('\'', r"'\''"))
}

/// Shows the plan, and what became of it before, and asks.
fn ask(plan: &PlanFile, before: Option<&Latest>, name: &str) -> Result<()> {
    let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
    let filter = Filter {
        limit: Some(20),
        ..Filter::default()
    };
    text::plan(plan, &filter, colour(&stderr), &mut stderr.lock())?;
    // What was typed before the question is no answer to it.
    #[cfg(unix)]
    rustix::termios::tcflush(&stdin, rustix::termios::QueueSelector::IFlush)
        .map_err(|e| Error::io("clearing what was typed before the question", e.into()))?;
    let question = match before {
        None => "Apply this plan?".to_owned(),
        Some(before) => format!("This plan was {before}.\nApply it again?"),
    };
    let mut answer = String::new();
    let _ = write!(std::io::stderr(), "\n{question} Type \"yes\" to apply it: ");
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::io("reading the answer", e))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Error::not_approved(format!(
            "{name}: not approved; nothing was written"
        )))
    }
}
