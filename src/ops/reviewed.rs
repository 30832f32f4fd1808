//! What reviewers decided about a plan, made another plan of the same batch: in it nothing differs but what
//! was decided, and what follows from that.

mod compared;
mod found;

use super::plan::Decided;
use super::{OnProgress, PlanRequest, plan};
use crate::error::{Error, Result};
use crate::plan::Decisions;
use crate::planfile::PlanFile;

pub use compared::Followed;
use found::Found;

/// A plan that was made again as it was reviewed, and what is decided about it.
#[derive(Debug)]
pub struct Reviewed {
    plan: PlanFile,
    request: PlanRequest,
    found: Found,
}

impl Reviewed {
    /// Makes the plan of `request` again, which must be one that some of the `decisions` are about, and finds in it all
    /// that is decided about. Where others are about the plan that comes of these, that is made and looked at in turn.
    ///
    /// # Errors
    /// As [`plan`]; [`PlanRefused`](crate::ErrorKind::PlanRefused) where another plan comes of it now;
    /// [`Config`](crate::ErrorKind::Config) with decisions about what is not in it.
    pub async fn new(
        request: &PlanRequest,
        mut decisions: Vec<Decisions>,
        events: OnProgress<'_>,
    ) -> Result<Reviewed> {
        let mut request = request.clone();
        loop {
            let file = tempfile::tempfile()
                .map_err(|e| Error::io("making a temporary file for the plan", e))?;
            plan(&request, &file, events).await?;
            let plan = PlanFile::verify(file, "the plan as it was reviewed".into())?;
            let about_it = decisions.iter().position(|d| plan.is_named(&d.plan_hash()));
            let Some(about_it) = about_it else {
                return Err(another_plan(&decisions, &plan));
            };
            let found = Found::of(&plan, &decisions.remove(about_it))?;
            let Decided {
                plan_hashes,
                left_out,
            } = &mut request.decided;
            // One that is accepted as it is, is the next one.
            if !found.left_out.is_empty() {
                plan_hashes.push(plan.hash.clone());
                left_out.extend(found.left_out.iter().cloned());
            }
            if decisions.is_empty() {
                return Ok(Reviewed {
                    plan,
                    request,
                    found,
                });
            }
        }
    }

    /// The request for the plan without what is left out.
    pub fn request(&self) -> &PlanRequest {
        &self.request
    }

    /// What follows from the decisions in `made`, the plan of [`Reviewed::request`].
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) where it differs in more than that from the plan that was reviewed.
    pub fn compare(&self, made: &PlanFile) -> Result<Followed> {
        compared::compare(&self.plan, made, &self.found)
    }
}

fn another_plan(decisions: &[Decisions], plan: &PlanFile) -> Error {
    let files: Vec<&str> = decisions.iter().map(Decisions::files).collect();
    let about: Vec<String> = decisions.iter().map(Decisions::plan_hash).collect();
    let sealed = if plan.header.has_sensitive() {
        "\nAn encrypted plan cannot be made again with the hash it had; what was decided about one is planned with --leave-out"
    } else {
        ""
    };
    Error::plan_refused(format!(
        "{}: the decisions are about plan {}, and the batch makes plan {} now: the batch, the database or the settings \
         have changed since, or the decisions are for another plan: one that was made by decisions (name those, too), one with \
         other limits or settings on the command line (give the same), or a rollback (none are taken about its rows)\nmake the plan anew, compare it with `loader show OLD \
         NEW`, and review what differs{sealed}",
        files.join(", "),
        about.join(" and "),
        plan.hash
    ))
}
