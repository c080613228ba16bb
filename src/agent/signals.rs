//! Ends on request: TERM, INT and HUP are a cancel.

use nix::sys::signal::{SigSet, Signal};

/// The signals that end a run, held back from now on. Call before any other thread starts: the mask is inherited. (Programs
/// that are started get an empty one.)
pub fn hold_back() -> SigSet {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    // Where it cannot be done they end the process at once, as they always did.
    let _ = set.thread_block();
    set
}

/// Runs `cancel` on each of them.
pub fn on_any(set: SigSet, cancel: impl Fn() + Send + 'static) {
    std::thread::spawn(move || {
        while set.wait().is_ok() {
            cancel();
        }
    });
}
