//! The last line of a terminal: what goes on now. Without a terminal there is none, and nothing is lost: lines are lines.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The spinner's step; slow enough for a line over SSH.
const TICK: Duration = Duration::from_millis(120);

/// The layer that is shown, and its line.
static SHOWN: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);

/// Questions that wait for an answer: nothing is drawn over them.
static ASKING: AtomicUsize = AtomicUsize::new(0);

/// While it lives, somebody is being asked.
#[must_use]
pub struct Asking(());

/// Takes the line away, and keeps it away.
pub fn asking() -> Asking {
    ASKING.fetch_add(1, Ordering::Relaxed);
    clear();
    Asking(())
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether there is a terminal that shows what goes on.
pub fn is_shown() -> bool {
    std::io::stderr().is_terminal()
}

/// Shows what a layer does now; its time runs since the first of these. Nothing without a terminal.
pub fn show(layer: &str, doing: &str) {
    if !is_shown() || ASKING.load(Ordering::Relaxed) > 0 {
        return;
    }
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if shown.as_ref().is_none_or(|(of, _)| of != layer) {
        if let Some((_, bar)) = shown.take() {
            bar.finish_and_clear();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {spinner} {prefix:<10} {wide_msg} {elapsed:>6}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(layer.to_owned());
        bar.enable_steady_tick(TICK);
        *shown = Some((layer.to_owned(), bar));
    }
    if let Some((_, bar)) = shown.as_ref() {
        bar.set_message(doing.to_owned());
    }
}

/// Takes the line away: a layer is done, somebody is asked, the program ends.
pub fn clear() {
    if let Some((_, bar)) = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bar.finish_and_clear();
    }
}

/// Writes above the line.
pub fn above(write: impl FnOnce()) {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match shown.as_ref() {
        Some((_, bar)) => bar.suspend(write),
        None => write(),
    }
}
