//! Whether this process keeps up with what its connections bring: work that waits in the runtime is in no queue of ours.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

const BEAT: Duration = Duration::from_millis(10);
/// How late a beat may be.
const LATE: Duration = Duration::from_millis(100);
/// Late beats in a row from which it is behind: one alone is a machine that stood still, and waiting requests are answered soonest.
const IN_A_ROW: u32 = 2;

#[derive(Default)]
pub(crate) struct Pulse(AtomicBool);

impl Pulse {
    pub fn is_behind(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A beat is run when its turn comes among all other work, so it is as late as that.
    pub async fn beat(&self) {
        let mut late = 0;
        loop {
            let due = Instant::now() + BEAT;
            sleep_until(due).await;
            late = if due.elapsed() > LATE { late + 1 } else { 0 };
            self.0.store(late >= IN_A_ROW, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The test has the runtime's only thread, and gives it away now and then.
    #[tokio::test]
    async fn work_that_holds_up_the_rest_is_seen_once_it_lasts() {
        let pulse = Arc::new(Pulse::default());
        let beating = Arc::clone(&pulse);
        tokio::spawn(async move { beating.beat().await });
        tokio::time::sleep(3 * BEAT).await;
        let mut seen = Vec::new();
        for _ in 0..IN_A_ROW {
            seen.push(pulse.is_behind());
            std::thread::sleep(BEAT + LATE + BEAT);
            tokio::time::sleep(BEAT / 2).await;
        }
        seen.push(pulse.is_behind());
        assert_eq!(seen, [false, false, true]);
        while pulse.is_behind() {
            tokio::time::sleep(BEAT).await;
        }
    }
}
