//! Mistakes that Ansible meets only where a host reaches them. What is surely reached is an error before anything is touched; what a
//! condition may leave out is a warning, and the program carries the mistake to the host that does reach it. A word with a letter off is
//! always an error: it is never what was meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::loader::Loader;
use super::task::Context;
use crate::program::Mistake;
use crate::source::{Diagnostic, Severity};

/// A mistake that may be met.
pub struct Doubt {
    mistake: Diagnostic,
    /// Where it stands: [`Context::place`].
    place: Arc<str>,
    /// It is met wherever its place is run.
    sure: bool,
    /// What it hides could define variables.
    hides: bool,
}

/// What a warning of a mistake ends with.
const REACHED: &str = ": the task fails on a host that reaches it";

/// The mistake as the agent tells it.
fn carried(mistake: &Diagnostic, is_of_text: bool) -> Mistake {
    let hints: Vec<&str> = mistake.label.iter().chain(&mistake.hint).map(String::as_str).collect();
    let hint = (!hints.is_empty()).then(|| hints.join("; ").into());
    Mistake { message: mistake.message.as_str().into(), hint, span: mistake.span, is_of_text }
}

impl Loader<'_> {
    /// Does what finds mistakes of the run, not of the reading. Answers the first of them, for the program.
    pub fn in_doubt<T>(&mut self, context: &Context, read: impl FnOnce(&mut Self) -> T) -> (T, Option<Mistake>) {
        let before = std::mem::take(&mut self.files.diagnostics);
        let hid = std::mem::replace(&mut self.incomplete, false);
        let done = read(self);
        let hides = std::mem::replace(&mut self.incomplete, hid);
        let mut found = std::mem::replace(&mut self.files.diagnostics, before);
        let mut first = None;
        for mistake in found.drain() {
            if mistake.severity == Severity::Warning {
                self.mistake(mistake);
                continue;
            }
            // What is not there hides something.
            first.get_or_insert_with(|| carried(&mistake, !hides));
            let (place, sure) = (Arc::clone(&context.place), !context.may_be_left_out && !context.handlers);
            self.doubts.push(Doubt { mistake, place, sure, hides });
        }
        (done, first)
    }

    /// Tells what was found so far. `certain`: places that are run in every run.
    pub fn settle(&mut self, certain: &BTreeSet<Arc<str>>) {
        let doubts = std::mem::take(&mut self.doubts).into_iter();
        let (surely, perhaps): (Vec<Doubt>, Vec<Doubt>) = doubts.partition(|doubt| doubt.sure && certain.contains(&doubt.place));
        for doubt in surely {
            self.incomplete |= doubt.hides;
            self.mistake(doubt.mistake);
        }
        for doubt in perhaps {
            self.files.doubted.push(doubt.mistake.span);
            self.perhaps(doubt.mistake);
        }
    }

    /// Does what finds mistakes of files that nobody need mean: they are warnings, whatever they are.
    pub fn guessing<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::take(&mut self.files.diagnostics);
        let done = read(self);
        let mut found = std::mem::replace(&mut self.files.diagnostics, before);
        for mut mistake in found.drain() {
            if mistake.severity == Severity::Error {
                mistake.message.push_str(REACHED);
                mistake = mistake.as_warning();
            }
            self.mistake(mistake);
        }
        done
    }

    /// A mistake that a host may meet: a warning, unless the same one is met for sure, or it is a slip of the pen.
    pub fn perhaps(&mut self, mut mistake: Diagnostic) {
        if mistake.is_slip {
            return self.mistake(mistake);
        }
        let is_same = |told: &Diagnostic| told.severity == Severity::Error && told.span == mistake.span && told.message == mistake.message;
        if self.files.diagnostics.iter().any(is_same) {
            return;
        }
        mistake.message.push_str(REACHED);
        self.mistake(mistake.as_warning());
    }
}
