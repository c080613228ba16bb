//! What the plan said, to hold the apply to it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::program::Position;

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
}

impl Predictions {
    /// An empty plan, to be filled.
    pub fn begin() -> Self {
        Self { items: Some(HashMap::new()), tainted: None }
    }

    pub fn record(&mut self, position: &Position, item: u32, prediction: Prediction) {
        if let Some(items) = &mut self.items {
            items.entry(position.clone()).or_default().insert(item, prediction);
        }
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
