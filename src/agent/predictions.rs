//! What the plan said, to hold the apply to it.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::program::{Clock, Position};

/// The plan's word for one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prediction {
    Unchanged,
    /// Digests of the actions.
    Actions(Vec<Arc<str>>),
    Unknown(Arc<str>),
}

/// The plan's word for every item of a host's run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Predictions {
    /// `None`: no plan was made (`provision playbook`); then everything is allowed.
    items: Option<HashMap<Position, HashMap<u32, Prediction>>>,
    /// The first item after which the machine may differ from the plan's picture, and because of what: an unknown,
    /// or a command whose effects cannot be seen beforehand.
    tainted: Option<(Position, u32, Arc<str>)>,
    /// When a clock was first read: seconds and microseconds.
    moment: Cell<Option<(i64, u32)>>,
}

impl Predictions {
    /// An empty plan, to be filled.
    pub fn begin() -> Self {
        Self { items: Some(HashMap::new()), ..Self::default() }
    }

    pub fn record(&mut self, position: &Position, item: u32, prediction: Prediction) {
        if let Some(items) = &mut self.items {
            items.entry(position.clone()).or_default().insert(item, prediction);
        }
    }

    /// What a clock shows that is `now`: with a plan, what it showed when it was first read.
    pub fn moment(&self, now: Clock) -> Clock {
        if self.items.is_none() {
            return now;
        }
        let (seconds, microseconds) = self.moment.get().unwrap_or((now.seconds, now.microseconds));
        self.moment.set(Some((seconds, microseconds)));
        Clock { seconds, microseconds, ..now }
    }

    /// After this item the plan's picture is uncertain.
    pub fn taint(&mut self, position: &Position, item: u32, cause: &str) {
        match &self.tainted {
            Some((earlier, first, _)) if (earlier, *first) <= (position, item) => {}
            _ => self.tainted = Some((position.clone(), item, cause.into())),
        }
    }

    /// Whether these actions were predicted, or lie downstream of an unknown; the error is the sentence for the user.
    ///
    /// Downstream is all that comes after it on this host. What it did may be what a later task looks at (a file that was
    /// planned to be there is written again), what a condition or a loop reads, what makes a task fail and its rescue run:
    /// neither `Unchanged` nor absence from the plan tells any of these from a machine that somebody else changed. The item
    /// itself is not downstream of itself: a command does what was planned, or nothing.
    pub fn allows(&self, position: &Position, item: u32, digests: &[Arc<str>]) -> Result<(), String> {
        let Some(items) = &self.items else { return Ok(()) };
        if digests.is_empty() || self.tainted.as_ref().is_some_and(|(from, first, _)| (from, *first) < (position, item)) {
            return Ok(());
        }
        match items.get(position).and_then(|items| items.get(&item)) {
            Some(Prediction::Unknown(_)) => Ok(()),
            Some(Prediction::Actions(planned)) if digests.iter().all(|digest| planned.contains(digest)) => Ok(()),
            Some(Prediction::Actions(_)) => {
                Err("the machine changed since the plan: what would be done now differs from what was planned".to_owned())
            }
            Some(Prediction::Unchanged) => Err("the machine changed since the plan: this task was planned to change nothing".to_owned()),
            None => Err("this task was not in the plan".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_after_an_unknown_may_differ_from_the_plan() {
        let at = |path: &[u32]| Position(path.to_vec());
        let digests = |names: &[&str]| -> Vec<Arc<str>> { names.iter().map(|name| Arc::from(*name)).collect() };
        let mut predictions = Predictions::begin();
        for task in [0, 1, 3] {
            predictions.record(&at(&[0, 4, task]), 0, Prediction::Unchanged);
        }
        for item in 0..3 {
            predictions.record(&at(&[0, 4, 2]), item, Prediction::Actions(digests(&["run it", "and this"])));
        }
        let allows =
            |predictions: &Predictions, path: &[u32], item, names: &[&str]| predictions.allows(&at(path), item, &digests(names)).is_ok();
        assert!(!allows(&predictions, &[0, 4, 3], 0, &["write"]) && !allows(&predictions, &[0, 4, 4], 0, &["write"]), "no unknown");
        // The second of three commands is the first whose effects cannot be seen; what comes later changes nothing of that.
        predictions.taint(&at(&[0, 4, 2]), 2, "run it");
        predictions.taint(&at(&[0, 4, 2]), 1, "run it");
        predictions.taint(&at(&[0, 4, 3]), 0, "run it");
        for (path, item, names, is_allowed, what) in [
            (&[0, 4, 1][..], 0, &["write"][..], false, "before, unchanged"),
            (&[0, 4, 1], 0, &[], true, "before, as planned"),
            (&[0, 4, 1, 0], 0, &["write"], false, "before, absent"),
            (&[0, 4, 2], 0, &["run another"], false, "an item before"),
            (&[0, 4, 2], 1, &["run another"], false, "the unknown itself is held to its plan"),
            (&[0, 4, 2], 1, &["run it"], true, "the unknown itself, less than planned"),
            (&[0, 4, 2], 2, &["run another"], true, "an item after"),
            (&[0, 4, 2], 3, &["run it"], true, "an item more than planned"),
            (&[0, 4, 3], 0, &["write"], true, "after, unchanged: it may look at what the command did"),
            (&[0, 4, 4], 0, &["write"], true, "after, absent: a rescue, a handler, an include"),
        ] {
            assert_eq!(allows(&predictions, path, item, names), is_allowed, "{what}");
        }
        predictions.record(&at(&[0, 4, 0]), 0, Prediction::Unknown("its output".into()));
        predictions.taint(&at(&[0, 4, 0]), 0, "its output");
        assert!(allows(&predictions, &[0, 4, 0], 0, &["write"]) && allows(&predictions, &[0, 4, 1], 0, &["write"]), "the earliest counts");
    }

    #[test]
    fn the_clock_stands_still_in_what_holds_to_a_plan() {
        let at = |seconds| Clock { seconds, ..Clock::default() };
        let (free, bound) = (Predictions::default(), Predictions::begin());
        assert_eq!((free.moment(at(1)).seconds, free.moment(at(5)).seconds), (1, 5));
        assert_eq!((bound.moment(at(1)).seconds, bound.moment(at(5)).seconds), (1, 1));
    }
}
