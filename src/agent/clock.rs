//! The clock that `now()` and `strftime` read: the controller's, where Ansible evaluates. In what holds to a plan it stands still,
//! at the moment when the plan first read it: else the apply would do other things than were planned.

use std::time::{Duration, Instant};

use super::executor::Executor;
use super::frame::{Answer, Question};
use crate::program::Clock;
use crate::template::{Error, Result};

/// What the controller's clock was, and when that was heard.
#[derive(Debug)]
pub struct Told {
    clock: Clock,
    at: Instant,
}

impl Told {
    fn now(&self) -> Clock {
        let since = self.at.elapsed() + Duration::from_micros(u64::from(self.clock.microseconds));
        Clock { seconds: self.clock.seconds + since.as_secs() as i64, microseconds: since.subsec_micros(), ..self.clock.clone() }
    }
}

impl Executor {
    /// The controller is asked once in a session, and only where something reads a clock.
    pub fn clock(&self) -> Result<Clock> {
        let told = match self.controllers_clock.get() {
            Some(told) => told,
            None => match self.port.ask(Question::Clock) {
                Ok(Answer::Clock(clock)) => self.controllers_clock.get_or_init(|| Told { clock, at: Instant::now() }),
                Ok(_) => return Err(Error::failed("read the controller's clock: it did not tell it")),
                Err(ended) => return Err(Error::failed(format!("read the controller's clock: {ended}"))),
            },
        };
        Ok(self.predictions.moment(told.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_after_it_was_told() {
        let before = Instant::now();
        let Some(at) = before.checked_sub(Duration::from_millis(2500)) else { return };
        let clock = Told { clock: Clock { seconds: 10, microseconds: 600_000, ..Clock::default() }, at }.now();
        assert!(clock.seconds >= 13 && clock.microseconds >= 100_000 || clock.seconds > 13, "{clock:?}");
    }
}
