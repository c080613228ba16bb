//! `meta: clear_host_errors` as a host that failed sees it: it waits whether it is brought back, and goes on where ansible-core does.
//!
//! There (`executor/play_iterator.py`, 2.19) the word takes a host's failure from it, but not the end of the list of blocks that the
//! failure brought: a task that stands in a play's own list ends the play for the host, one inside a block or a file in that list
//! ends what it stands in, and one in a block with `always` what follows it.

use std::sync::Arc;

use super::executor::{Executor, Flow};
use super::frame::{Answer, Question};
use super::port::Ended;
use crate::program::{Origin, Play, Position, Step};

/// What the list of steps in hand is to a host that is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nesting {
    /// A play's own, or a role's of the play.
    #[default]
    Play,
    /// A file's, below another list.
    File,
    /// A block's.
    Block,
}

impl Nesting {
    pub fn inside(self, origin: Origin) -> Self {
        match origin {
            Origin::Block => Nesting::Block,
            Origin::Import => Nesting::File,
            Origin::Role => self,
        }
    }
}

fn is_block(step: &Step) -> bool {
    matches!(step, Step::Block(block) if block.origin == Origin::Block)
}

impl Executor {
    /// After a step that did not end well: the next one of the list, where the host is brought back and goes on in it.
    pub fn goes_on(&mut self, flow: Flow, steps: &[Step], index: usize, at: &Position) -> Result<usize, Flow> {
        if !self.clears || self.handling || self.given_up_here {
            return Err(flow);
        }
        let next = match (&flow, &steps[index], self.nesting) {
            (Flow::Ended(Ended::Unreachable(_)), Step::Task(_), _) => Some(index + 1),
            (Flow::Failed, ..) if self.catches > 0 => None,
            (Flow::Failed, Step::Block(block), Nesting::Play) if block.origin == Origin::Block && block.always.is_empty() => None,
            (Flow::Failed, step, _) if is_block(step) => Some(index + 1),
            // Tasks between two blocks of a file are a block to Ansible.
            (Flow::Failed, _, Nesting::File) => {
                Some(steps[index..].iter().position(is_block).map_or(steps.len(), |further| index + further))
            }
            _ => None,
        };
        let Some(next) = next else { return Err(flow) };
        let resumes = if next < steps.len() || self.nesting == Nesting::Play { at.child(next as u32) } else { at.after() };
        match self.await_clearing(&at.child(index as u32), Some(resumes), true) {
            Ok(true) => Ok(next),
            Ok(false) => Err(flow),
            Err(ended) => Err(Flow::Ended(ended)),
        }
    }

    /// At the end of a play in which, or before which, the host failed.
    pub fn is_brought_back(&mut self, play: &Play, is_new: bool) -> Result<bool, Flow> {
        if is_new && self.given_up_here {
            return Ok(false);
        }
        let at = Position(vec![play.index]);
        if let Some(ended) = self.port.ended(&at) {
            return Err(if matches!(ended, Ended::Stopped(_)) { Flow::Failed } else { Flow::Ended(ended) });
        }
        self.await_clearing(&at, None, is_new).map_err(Flow::Ended)
    }

    fn await_clearing(&mut self, position: &Position, resumes: Option<Position>, is_new: bool) -> Result<bool, Ended> {
        let question = Question::Failed { position: position.clone(), resumes, is_new };
        let Answer::Cleared(unknown) = self.port.ask(question)? else {
            self.given_up_here = true;
            return Ok(false);
        };
        self.port.turn_back();
        self.state.clear_errors();
        if let Some(cause) = unknown {
            // Whether it comes back at all is not known.
            self.predictions.taint(position, 0, &cause);
            self.absorb_opaque(&cause);
        }
        Ok(true)
    }

    /// The word itself: for all that failed in the batch before it.
    pub fn clear_host_errors(&mut self, at: &Position, unknown: Option<&Arc<str>>) -> Result<(), Ended> {
        if self.keeps_order() && self.finishing == 0 {
            self.port.reach(at, self.state.dirty)?;
        }
        self.clearings += 1;
        self.port.ask(Question::ClearErrors { position: at.clone(), unknown: unknown.cloned() }).map(drop)
    }
}
