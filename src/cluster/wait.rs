//! Waiting for a condition: it has a name, an interval, a limit, and tells the last reason that it saw.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::condition::Standing;
use super::{Cluster, Condition, Error, ErrorKind, Result};

/// How often it looks, if no watch says earlier that there is something to see.
const INTERVAL: Duration = Duration::from_secs(1);
/// Changes come in flocks: one look for all of them.
const FLOCK: Duration = Duration::from_millis(50);

impl Cluster {
    /// Waits until the condition holds; `reason` hears each new reason why it does not. At the limit the error
    /// ([`ErrorKind::TimedOut`]) has the last one. Dropping the future ends the wait.
    pub async fn wait(&self, condition: &Condition, limit: Duration, reason: &mut (dyn FnMut(&str) + Send)) -> Result<()> {
        let end = Instant::now() + limit;
        let mut last = String::new();
        let mut stirrings = self.stirrings(condition);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.standing(condition)).await {
                Ok(Ok(Standing::Holds)) => return Ok(()),
                Ok(Ok(Standing::Not(why))) => {
                    if why != last {
                        reason(&why);
                        last = why;
                    }
                }
                Ok(Err(error)) => return Err(error),
                Err(_) if last.is_empty() => "the API server has not answered".clone_into(&mut last),
                Err(_) => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late =
                    Error::new(ErrorKind::TimedOut, format!("wait until {condition}")).because(format!("not within {}", seconds(limit)));
                return Err(late.because(last).hint(condition.hint()));
            }
            tokio::select! {
                stirred = stirrings.next() => {
                    if stirred.is_some() {
                        sleep(FLOCK.min(left)).await;
                    } else {
                        // The watch ended: the interval first, so that a server that ends them at once is not flooded.
                        sleep(INTERVAL.min(left)).await;
                        stirrings = self.stirrings(condition);
                    }
                }
                () = sleep(INTERVAL.min(left)) => {}
            }
        }
    }
}

/// `90 s`, `300 ms`.
pub(super) fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
