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
    /// The first position after which the machine may differ from the plan's picture, and because of what: an unknown,
    /// or a command whose effects cannot be seen beforehand.
    tainted: Option<(Position, Arc<str>)>,
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

    /// From this position on the plan's picture is uncertain.
    pub fn taint(&mut self, position: &Position, cause: &str) {
        match &self.tainted {
            Some((earlier, _)) if earlier <= position => {}
            _ => self.tainted = Some((position.clone(), cause.into())),
        }
    }

    /// Whether these actions were predicted, or lie downstream of an unknown; the error is the sentence for the user.
    pub fn allows(&self, position: &Position, item: u32, digests: &[Arc<str>]) -> Result<(), String> {
        let Some(items) = &self.items else { return Ok(()) };
        if digests.is_empty() || self.tainted.as_ref().is_some_and(|(from, _)| from <= position) {
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
    fn the_clock_stands_still_in_what_holds_to_a_plan() {
        let at = |seconds| Clock { seconds, ..Clock::default() };
        let (free, bound) = (Predictions::default(), Predictions::begin());
        assert_eq!((free.moment(at(1)).seconds, free.moment(at(5)).seconds), (1, 5));
        assert_eq!((bound.moment(at(1)).seconds, bound.moment(at(5)).seconds), (1, 1));
    }
}
