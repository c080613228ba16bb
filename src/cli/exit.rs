//! Exit codes, one meaning each.

use crate::run::HostResult;
use crate::run::plan::Plan;
use crate::run::session::Results;

/// What the process' exit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; with `--detailed-exitcode`: proven that nothing would change.
    Success,
    /// 1: an error that is none of the others.
    Error,
    /// 2: a task failed on a host.
    Failed,
    /// 2 of `plan --detailed-exitcode`: changes are certain or possible.
    Changes,
    /// 3: mistakes in the user's files; nothing was touched.
    Mistakes,
    /// 4: a host could not be reached.
    Unreachable,
    /// 5: the command line is wrong.
    Usage,
    /// 6: not confirmed: no terminal to ask on and no `--yes`, or the answer was no.
    NotConfirmed,
    /// 99: ended by Ctrl-C.
    Interrupted,
    /// `provision ssh`: the remote command's own status; 255 where ssh itself failed.
    Remote(u8),
}

impl Exit {
    /// How a run's hosts ended, the worst first.
    pub fn of(results: &Results) -> Self {
        Self::worst(results.values())
    }

    /// The same of a plan.
    pub fn of_plan(plan: &Plan) -> Self {
        Self::worst(plan.hosts.iter().map(|(_, host)| &host.result))
    }

    fn worst<'run>(results: impl Iterator<Item = &'run HostResult> + Clone) -> Self {
        let any = |is: fn(&HostResult) -> bool| results.clone().any(is);
        if any(|result| result.summary.cancelled) {
            Exit::Interrupted
        } else if any(|result| result.unreachable.is_some() || result.summary.unreachable) {
            Exit::Unreachable
        } else if any(|result| !result.is_good()) {
            Exit::Failed
        } else {
            Exit::Success
        }
    }

    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Error => 1,
            Exit::Failed | Exit::Changes => 2,
            Exit::Mistakes => 3,
            Exit::Unreachable => 4,
            Exit::Usage => 5,
            Exit::NotConfirmed => 6,
            Exit::Interrupted => 99,
            Exit::Remote(status) => status,
        }
    }
}
