//! What `provision up` does, in order. Each line's result is the next line's argument.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::ReleasePlan;
use crate::delivery::{self, Delivery, Failure, Step};
use crate::run::plan::{Gathering, HostPlan, Plan, Word};
use crate::run::prepare::Prepared;
use crate::run::reach::Reach;
use crate::run::session::{Results, Session, interrupted};
use crate::run::{Happening, HostResult, Inputs, RunMode};

/// Who sees it happen, and says whether it may.
pub trait Audience: Send {
    fn begins(&mut self, _prepared: &Prepared) {}
    fn planning(&mut self, happening: &Happening);
    fn planned(&mut self, planned: &Planned);
    /// Asked only where something may change.
    fn confirm(&mut self) -> impl Future<Output = bool>;
    fn applying(&mut self, happening: &Happening);
    fn delivering(&mut self, step: Step);
}

/// What hosts stand on: packages of this workstation, artifacts, machines. What goes wrong there is told there.
pub trait Foundations: Sized {
    type Wanted: Wanted;
    type Stop;
    /// Compares and tells; changes nothing.
    fn plan(&mut self, audience: &mut impl Audience) -> impl Future<Output = Result<Self::Wanted, Self::Stop>>;
    /// Nothing of it is to be done.
    fn leave(&mut self, wanted: Self::Wanted) -> impl Future<Output = ()>;
    /// Does it.
    fn make(self, wanted: Self::Wanted) -> impl Future<Output = Result<Standing, Self::Stop>>;
}

/// What is to be done to foundations.
pub trait Wanted {
    fn is_empty(&self) -> bool;
    /// Hosts that do not exist before.
    fn fresh(&self) -> Vec<Arc<str>>;
}

/// Foundations that stand: how to reach hosts, their programs, what goes above them.
pub struct Standing {
    pub prepared: Prepared,
    pub delivery: Option<Delivery>,
    /// How many machines are ours.
    pub machines: usize,
}

/// What is to be done to hosts, and to the cluster on them.
#[derive(Debug)]
pub struct Planned {
    pub hosts: Plan,
    /// `None`: nothing stands above the hosts.
    pub delivery: Option<delivery::Planned>,
    /// Files' names, by their number in spans.
    pub sources: Vec<Arc<str>>,
}

impl Planned {
    pub fn proves_no_change(&self) -> bool {
        self.hosts.proves_no_change() && self.delivery.as_ref().is_none_or(delivery::Planned::proves_no_change)
    }

    /// Whether all that would change is on these hosts: nothing on others, nothing in a cluster that is there.
    pub fn changes_only(&self, hosts: &[Arc<str>]) -> bool {
        let changes = |plan: &HostPlan| plan.count(Word::Change) + plan.count(Word::Unknown) > 0;
        let above = self.delivery.as_ref().is_none_or(|delivery| delivery.releases.iter().all(ReleasePlan::is_unchanged));
        !hosts.is_empty() && above && self.hosts.hosts.iter().all(|(name, plan)| !changes(plan) || hosts.contains(name))
    }

    /// It ends well, as far as can be seen.
    pub fn is_good(&self) -> bool {
        self.hosts.is_good() && self.delivery.as_ref().is_none_or(delivery::Planned::is_good)
    }
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// The plan proves that nothing is to be done.
    Unchanged,
    /// A host cannot be reached, or a task fails already in the plan: nothing was changed.
    Refused(Planned),
    NotConfirmed,
    /// Hosts are done; what followed is `None` where a host failed or nothing stands above them, else the number of objects written.
    Applied {
        results: Results,
        delivered: Option<Result<usize, Failure>>,
    },
    /// Ctrl-C while the cluster and its releases were made or waited for.
    Interrupted(Results),
}

/// How it ended, and for what.
pub struct Ended {
    pub outcome: Outcome,
    pub machines: usize,
    pub delivery: Option<Delivery>,
}

/// Machines and artifacts, hosts, the cluster and its releases.
pub async fn up<F: Foundations>(mut foundations: F, audience: &mut impl Audience) -> Result<Ended, F::Stop> {
    let wanted = foundations.plan(audience).await?; // what this workstation, its cache and the machines lack
    if !wanted.is_empty() && !audience.confirm().await {
        foundations.leave(wanted).await;
        return Ok(Ended { outcome: Outcome::NotConfirmed, machines: 0, delivery: None });
    }
    let fresh = wanted.fresh();
    let Standing { prepared, delivery, machines } = foundations.make(wanted).await?; // nodes answer by their pinned keys, artifacts are verified
    audience.begins(&prepared);
    let Prepared { inputs, reach, sources, .. } = prepared;
    let (mut session, planned) = plan(inputs, sources, delivery.as_ref(), audience).await; // reads the world, changes nothing
    audience.planned(&planned);
    let outcome = if planned.proves_no_change() {
        Outcome::Unchanged
    } else if !planned.is_good() {
        Outcome::Refused(planned)
    } else if !planned.changes_only(&fresh) && !audience.confirm().await {
        Outcome::NotConfirmed // machines that were confirmed are to become what the folder says: no second question for them
    } else {
        session.apply(); // in the sessions that planned: each host does what it predicted, or stops
        let results = session.finished(&mut |happening| audience.applying(happening)).await;
        deliver(results, delivery.as_ref().zip(planned.delivery), &reach, audience).await // named conditions, then what the plan showed
    };
    session.end().await;
    Ok(Ended { outcome, machines, delivery })
}

/// The cluster and its releases, where all hosts are as they should be.
async fn deliver(results: Results, above: Option<(&Delivery, delivery::Planned)>, reach: &Reach, audience: &mut impl Audience) -> Outcome {
    let Some((delivery, planned)) = above.filter(|_| results.values().all(HostResult::is_good)) else {
        return Outcome::Applied { results, delivered: None };
    };
    let mut told = |step| audience.delivering(step);
    tokio::select! {
        made = delivery.make(reach, &planned, &mut told) => Outcome::Applied { results, delivered: Some(made) },
        () = interrupted() => Outcome::Interrupted(results),
    }
}

/// What `up` would do; the sessions stay for it.
pub async fn plan(
    mut inputs: Inputs,
    sources: Vec<Arc<str>>,
    delivery: Option<&Delivery>,
    audience: &mut impl Audience,
) -> (Session, Planned) {
    let start = Instant::now();
    inputs.mode = RunMode::Plan;
    let names: Vec<_> = inputs.programs.iter().map(|(name, _)| Arc::clone(name)).collect();
    let mut session = Session::begin(inputs);
    let mut gathering = Gathering::default();
    let mut hear = |happening: &Happening| {
        gathering.hear(happening);
        audience.planning(happening);
    };
    let above = async {
        match delivery {
            Some(delivery) => Some(delivery.plan().await),
            None => None,
        }
    };
    let (results, delivery) = tokio::join!(session.finished(&mut hear), above); // the cluster answers while the hosts do
    (session, Planned { hosts: gathering.plan(&names, results, start.elapsed()), delivery, sources })
}
