//! Ansible's `linear` order over hosts that run ahead: who may act, and who must wait for whom.

use std::cmp::Ordering;

use crate::program::Position;

/// Section index of a play's end; see [`Position`].
const END: u32 = 8;

/// Where a host is: everything before is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub position: Position,
    /// Its batch in the play it is in (`serial`).
    pub batch: u32,
    /// How often it was brought back in this play (`meta: clear_host_errors`): it comes after all that never left.
    pub lap: u32,
}

impl Place {
    /// Batches of one play come after each other; a host at the play's end is past all of them.
    fn key(&self) -> (u32, u32, u32, &[u32]) {
        match self.position.0.split_first() {
            None => (0, 0, 0, &[]),
            Some((play, [END, ..])) => (*play, u32::MAX, 0, &[]),
            Some((play, rest)) => (*play, self.batch, self.lap, rest),
        }
    }

    /// Whether a host here has done everything before `other`.
    pub fn is_past(&self, other: &Place) -> bool {
        self.key().cmp(&other.key()) != Ordering::Less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &[u32], batch: u32) -> Place {
        Place { position: Position(path.to_vec()), batch, lap: 0 }
    }

    #[test]
    fn later_tasks_are_past_earlier_ones() {
        assert!(place(&[0, 4, 3], 0).is_past(&place(&[0, 4, 3], 0)));
        assert!(place(&[0, 4, 4], 0).is_past(&place(&[0, 4, 3, 7], 0)));
        assert!(!place(&[0, 4, 3], 0).is_past(&place(&[0, 4, 3, 0], 0)), "an include's tasks come after the include");
    }

    #[test]
    fn batches_follow_each_other_and_plays_wait_for_all_batches() {
        assert!(!place(&[0, 4, 9], 0).is_past(&place(&[0, 0], 1)), "the first batch is still in its play");
        assert!(place(&[0, END], 0).is_past(&place(&[0, 0], 1)), "the first batch is through");
        assert!(!place(&[0, 0], 1).is_past(&place(&[1, 4, 0], 0)), "the next play waits for the second batch");
        assert!(place(&[0, 4, 0], 1).is_past(&place(&[0, 4, 5], 0)), "a second batch never holds up the first");
    }

    #[test]
    fn who_was_brought_back_comes_after_its_batch_and_before_the_next() {
        let back = |path: &[u32], batch| Place { lap: 1, ..place(path, batch) };
        assert!(back(&[0], 0).is_past(&place(&[0, 7, 9], 0)) && !place(&[0, 7, 9], 0).is_past(&back(&[0], 0)));
        assert!(place(&[0, 0], 1).is_past(&back(&[0, 7, 9], 0)) && !back(&[0, 7, 9], 0).is_past(&place(&[0, 0], 1)));
        assert!(place(&[0, END], 0).is_past(&back(&[0, 7, 9], 0)), "the others are through");
    }
}
