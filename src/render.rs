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
