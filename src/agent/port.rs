//! The executor's way to the controller. A trait, so that an executor runs in a test without any wire.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use super::frame::{Answer, Event, Question, Up};
use crate::program::{Map, Position};

/// Why nothing more comes from the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Ctrl-C.
    Cancelled,
    /// End of stream, or 20 s of silence.
    Lost,
    /// Another host's failure ends the play for all.
    Stopped(Arc<str>),
    /// Another host's failure is this one's too, and the block around has a `rescue`: the one whose tasks begin with this.
    Failed(Position),
    /// The controller could not do what was asked.
    Refused(String),
    /// The machine cannot be reached: this agent stands in for it.
    Gone(Arc<str>),
    /// The host that a task is delegated to cannot be reached.
    Unreachable(Arc<str>),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Cancelled => f.write_str("cancelled"),
            Ended::Lost => f.write_str("the link to the controller was lost"),
            Ended::Stopped(reason) => write!(f, "stopped: {reason}"),
            Ended::Failed(_) => f.write_str("another host failed, and any_errors_fatal is set"),
            Ended::Refused(message) => f.write_str(message),
            Ended::Gone(reason) | Ended::Unreachable(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Ended {}

/// What an executor needs of the controller.
pub trait Port: Send + Sync {
    fn event(&self, event: Event);
    fn send(&self, frame: Up);
    /// Asks and waits for the answer.
    fn ask(&self, question: Question) -> Result<Answer, Ended>;
    /// Fetches a file's content by its SHA-256 and writes it out.
    fn content(&self, sha256: &str, sink: &mut dyn Write) -> Result<(), Ended>;
    /// Says that all before the position is done, and waits until every other live host of the batch has said so.
    /// Answers whether one of them has changed anything before it.
    fn reach(&self, position: &Position, dirty: bool) -> Result<bool, Ended>;
    /// What comes next stands before where it was: order counts anew.
    fn turn_back(&self) {}
    /// Says so without waiting.
    fn passed(&self, position: &Position, dirty: bool);
    /// The failure of another host has been taken.
    fn rescued(&self) {}
    /// Sends variables that other hosts read, with the task that gave them.
    fn publish(&self, position: &Position, variables: Map);
    /// Whether the run must end before the position.
    fn ended(&self, position: &Position) -> Option<Ended>;
    /// Whether the work in hand must end now.
    fn cancel(&self) -> crate::system::Cancel;
}
