//! Plans for people: text, markdown, HTML, JSON.

use crate::planfile::PlanFile;

pub mod diff;
pub mod drift;
pub mod graph;
pub mod groups;
pub mod html;
pub mod json;
pub mod markdown;
pub mod profile;
pub mod rejects;
pub mod select;
pub mod sheet;
pub mod text;
pub mod unusual;
mod verdict;

pub(crate) use verdict::plural;

/// What is said to whoever would decide about single rows, where none are decided about.
fn takes_no_decisions(plan: &PlanFile) -> Option<&'static str> {
    let is_encrypted = plan.is_salted() || plan.sealed_for().is_some();
    let sealed = is_encrypted.then_some(
        "Rows of an encrypted plan are not decided about: it has another hash each time it is made. Decide about a plan of \
         the batch that is not encrypted, or name rows with loader plan --leave-out; the new plan can be encrypted.",
    );
    plan.header.kind.takes_no_decisions().or(sealed)
}

/// What is said of a plan whose sensitive values are encrypted and that was not opened.
fn sealed(plan: &PlanFile) -> Vec<String> {
    let Some(recipients) = plan.sealed_for() else {
        return Vec::new();
    };
    vec![
        format!(
            "Sensitive values are encrypted and stand as •••, equal ones alike. The hash above covers them and can only \
             be verified with the key of {}.",
            recipients.join(" or ")
        ),
        format!(
            "What is shown was verified; its hash, for an approval, is {}",
            plan.verified_hash()
        ),
    ]
}
