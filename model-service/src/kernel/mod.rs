//! The folded-table kernel: this family's graph in microseconds, without a graph at run time.
//!
//! Embedding and convolution are linear and follow one another, so what an id adds to a feature at a place of the window is one
//! number: the table `[vocabulary][width][features]`, made at load. A position of the convolution is then `width` row additions,
//! and every window past the end of the URL gives the same row, which is computed once. Both are exact, rounding apart.

mod family;
mod fold;
mod scan;
#[cfg(test)]
mod tests;
mod walk;

use anyhow::Result;
use tract_onnx::pb::ModelProto;

use self::fold::Folded;
use crate::model::Runtime;
use crate::preprocessing::{PAD, POSITIONS};

/// A graph of the family, ready to be computed.
pub(crate) struct Kernel {
    folded: Folded,
}

impl Kernel {
    /// # Errors
    /// The graph is of another family, and in what it differs; tract may still run it.
    pub(crate) fn new(model: &ModelProto) -> Result<Self> {
        Ok(Self { folded: Folded::new(&family::read(model)?) })
    }

    /// Where the table's rows of each id begin: with the convolution's own padding, and as much of the URL as can make a difference.
    fn sequence(&self, ids: &[i32; POSITIONS], sequence: &mut Vec<u32>) {
        let folded = &self.folded;
        let end = ids.iter().rposition(|id| *id != PAD).map_or(0, |last| last + 1);
        let kept = POSITIONS.min(end + folded.width);
        let rows = folded.bias.len() * folded.width;
        let start = |id: u16| u32::from(id) * rows as u32;
        sequence.clear();
        sequence.extend(std::iter::repeat_n(start(folded.nothing), folded.left));
        sequence.extend(ids[..kept].iter().map(|id| start(*id as u16)));
        sequence.extend(std::iter::repeat_n(start(folded.nothing), folded.right));
    }
}

impl Runtime for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn probabilities(&self, ids: &[[i32; POSITIONS]]) -> Result<Vec<f32>> {
        Ok(self.log_odds(ids)?.into_iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect())
    }

    fn log_odds(&self, ids: &[[i32; POSITIONS]]) -> Result<Vec<f32>> {
        let (mut sequence, mut features) = (Vec::with_capacity(2 * POSITIONS), Vec::new());
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids {
            self.sequence(ids, &mut sequence);
            found.push(scan::logit(&self.folded, &sequence, &mut features));
        }
        Ok(found)
    }
}
