//! What `provision up` does, in order. Each line's result is the next line's argument.

use std::time::Instant;

use crate::run::plan::{Gathering, Plan};
use crate::run::prepare::Prepared;
use crate::run::session::{Results, Session};
use crate::run::{Happening, Inputs, RunMode};

/// Who sees it happen, and says whether it may.
pub trait Audience {
    fn planning(&mut self, happening: &Happening);
    fn planned(&mut self, plan: &Plan);
    /// Asked only where something may change.
    fn confirm(&mut self) -> impl Future<Output = bool>;
    fn applying(&mut self, happening: &Happening);
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// The plan proves that nothing is to be done.
    Unchanged(Plan),
    /// A host cannot be reached, or a task fails already in the plan: nothing was changed.
    Refused(Plan),
    NotConfirmed(Plan),
    Applied(Plan, Results),
}

/// Machines and releases will stand before and after the hosts here.
pub async fn up(prepared: Prepared, audience: &mut impl Audience) -> Outcome {
    let (mut session, plan) = plan(prepared.inputs, audience).await; // reads the world, changes nothing
    audience.planned(&plan);
    let outcome = if plan.proves_no_change() {
        Outcome::Unchanged(plan)
    } else if !plan.is_good() {
        Outcome::Refused(plan)
    } else if !audience.confirm().await {
        Outcome::NotConfirmed(plan)
    } else {
        session.apply(); // in the sessions that planned: each host does what it predicted, or stops
        let results = session.finished(&mut |happening| audience.applying(happening)).await;
        Outcome::Applied(plan, results)
    };
    session.end().await;
    outcome
}

/// What `up` would do; the sessions stay for it.
pub async fn plan(mut inputs: Inputs, audience: &mut impl Audience) -> (Session, Plan) {
    let start = Instant::now();
    inputs.mode = RunMode::Plan;
    let hosts: Vec<_> = inputs.programs.iter().map(|(name, _)| std::sync::Arc::clone(name)).collect();
    let mut session = Session::begin(inputs);
    let mut gathering = Gathering::default();
    let results = session
        .finished(&mut |happening| {
            gathering.hear(happening);
            audience.planning(happening);
        })
        .await;
    (session, gathering.plan(&hosts, results, start.elapsed()))
}
