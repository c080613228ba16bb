//! Have inputs moved away from what the model was trained on? The population stability index of lengths and scores.
//!
//! PSI = Σ (a − e) · ln(a / e) over bins, a being the share of the last predictions and e that of the training reference; a share
//! of nothing counts as `LEAST`, as `training/phishing/reference.py` has it. Below 0.1 is read as the same population, above 0.25 as another
//! (N. Siddiqi, Credit Risk Scorecards, 2006). By chance alone it is near (bins − 1) / window (B. Yurdakul, 2018).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Predictions that are looked at, and how few tell nothing.
const WINDOW: usize = 1000;
const FEWEST: usize = 200;
/// Or one URL in a bin without a row would be infinite drift.
const LEAST: f64 = 1e-4;

/// The model's metadata key `reference`: how the training's lengths (bytes of the URL) and scores are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    pub length: Distribution,
    pub score: Distribution,
}

/// `bounds` rise; a value belongs to the first bin whose bound it does not exceed, the last share is of what exceeds all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    pub bounds: Vec<f64>,
    pub shares: Vec<f64>,
}

impl Reference {
    /// # Errors
    /// What makes it no distribution.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, Distribution { bounds, shares }) in [("length", &self.length), ("score", &self.score)] {
            anyhow::ensure!(bounds.is_sorted_by(|a, b| a < b) && (1..=100).contains(&bounds.len()), "the bounds of `{name}` do not rise");
            anyhow::ensure!(shares.len() == bounds.len() + 1, "`{name}` has {} shares for {} bounds", shares.len(), bounds.len());
            anyhow::ensure!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "a share of `{name}` is none");
            anyhow::ensure!((shares.iter().sum::<f64>() - 1.0).abs() < 0.01, "the shares of `{name}` do not add up to 1");
        }
        Ok(())
    }
}

impl Distribution {
    fn bin(&self, value: f64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    fn index(&self, bins: impl Iterator<Item = u8>) -> f64 {
        let mut counts = vec![0.0_f64; self.shares.len()];
        let mut total = 0.0;
        for bin in bins {
            counts[usize::from(bin)] += 1.0;
            total += 1.0;
        }
        counts
            .iter()
            .zip(&self.shares)
            .map(|(count, share)| ((count / total).max(LEAST), share.max(LEAST)))
            .map(|(a, e)| (a - e) * (a / e).ln())
            .sum()
    }
}

/// The last predictions of one model.
pub struct Drift {
    reference: Option<Reference>,
    recent: Mutex<VecDeque<(u8, u8)>>,
}

impl Drift {
    pub fn new(reference: Option<Reference>) -> Self {
        Self { reference, recent: Mutex::default() }
    }

    pub fn observe(&self, length: usize, score: f32) {
        let Some(Reference { length: lengths, score: scores }) = &self.reference else { return };
        let bins = (lengths.bin(length as f64) as u8, scores.bin(f64::from(score)) as u8);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == WINDOW {
            recent.pop_front();
        }
        recent.push_back(bins);
    }

    /// The indices of length and score; none while too little was seen, or the model has no reference.
    pub fn indices(&self) -> Option<[(&'static str, f64); 2]> {
        let reference = self.reference.as_ref()?;
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        (recent.len() >= FEWEST).then(|| {
            [
                ("length", reference.length.index(recent.iter().map(|(length, _)| *length))),
                ("score", reference.score.index(recent.iter().map(|(_, score)| *score))),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        Reference {
            length: Distribution { bounds: vec![20.0, 50.0], shares: vec![0.25, 0.5, 0.25] },
            score: Distribution { bounds: vec![0.5], shares: vec![0.5, 0.5] },
        }
    }

    fn after(count: usize, seen: impl Fn(usize) -> (usize, f32)) -> Option<[(&'static str, f64); 2]> {
        let drift = Drift::new(Some(reference()));
        (0..count).map(seen).for_each(|(length, score)| drift.observe(length, score));
        drift.indices()
    }

    #[test]
    fn nothing_is_told_of_few_predictions_or_without_a_reference() {
        assert_eq!(after(199, |_| (20, 0.1)), None);
        let drift = Drift::new(None);
        (0..500).for_each(|_| drift.observe(1, 0.5));
        assert_eq!(drift.indices(), None);
    }

    #[test]
    fn same_distribution_has_index_zero_and_another_the_formulas() {
        let same = after(400, |at| ([10, 30, 50, 60][at % 4], [0.2, 0.8][at % 2])).unwrap_or_default();
        assert!(same.iter().all(|(_, index)| index.abs() < 1e-12), "{same:?}");
        let moved = after(1000, |at| ([10, 30, 50, 60][at % 4], if at % 5 == 0 { 0.2 } else { 0.8 })).unwrap_or_default();
        // (.2 − .5) ln(.2/.5) + (.8 − .5) ln(.8/.5)
        assert!((moved[1].1 - 0.415_888).abs() < 1e-5 && moved[0].1.abs() < 1e-12, "{moved:?}");
    }

    #[test]
    fn window_forgets_what_was_before_it() {
        let moved =
            after(2000, |at| if at < 1000 { (500, 0.9) } else { ([10, 30, 50, 60][at % 4], [0.2, 0.8][at % 2]) }).unwrap_or_default();
        assert!(moved.iter().all(|(_, index)| index.abs() < 1e-12), "{moved:?}");
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        assert!(reference().check().is_ok());
        let mut wrong = reference();
        wrong.length.bounds.reverse();
        assert!(wrong.check().is_err());
        let mut wrong = reference();
        wrong.score.shares = vec![0.5];
        assert!(wrong.check().is_err());
        let mut wrong = reference();
        wrong.score.shares = vec![0.5, 0.9];
        assert!(wrong.check().is_err());
    }
}
