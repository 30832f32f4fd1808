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
    /// Makes the plan of `request` again, which must be the one that `decisions` are about, and finds in it all
    /// that is decided about.
    ///
    /// # Errors
    /// As [`plan`]; [`PlanRefused`](crate::ErrorKind::PlanRefused) where another plan comes of it now;
    /// [`Config`](crate::ErrorKind::Config) with decisions about what is not in it.
    pub async fn new(
        request: &PlanRequest,
        decisions: &Decisions,
        events: OnProgress<'_>,
    ) -> Result<Reviewed> {
        let file = tempfile::tempfile()
            .map_err(|e| Error::io("making a temporary file for the plan", e))?;
        plan(request, &file, events).await?;
        let plan = PlanFile::verify(file, "the plan as it was reviewed".into())?;
        if !plan.is_named(&decisions.plan_hash()) {
            return Err(another_plan(decisions, &plan));
        }
        let found = Found::of(&plan, decisions)?;
        let request = PlanRequest {
            decided: Decided {
                plan_hash: plan.hash.clone(),
                left_out: found.left_out.clone(),
            },
            ..request.clone()
        };
        Ok(Reviewed {
            plan,
            request,
            found,
        })
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

fn another_plan(decisions: &Decisions, plan: &PlanFile) -> Error {
    let sealed = if plan.header.has_sensitive() {
        "\nAn encrypted plan cannot be made again with the hash it had; what was decided about one is planned with --leave-out"
    } else {
        ""
    };
    Error::plan_refused(format!(
        "{}: the decisions are about plan {}, and the batch makes plan {} now: the batch, the database or the settings \
         have changed since, or the decisions are for another plan\nmake the plan anew, compare it with `loader show OLD \
         NEW`, and review what differs{sealed}",
        decisions.files(),
        decisions.plan_hash(),
        plan.hash
    ))
}
