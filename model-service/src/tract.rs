//! The reference runtime: tract-onnx, single-threaded, shared between threads.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use crate::model::Runtime;
use crate::preprocessing::POSITIONS;

pub(crate) struct Tract {
    plan: Arc<TypedSimplePlan>,
}

impl Tract {
    /// The graph made ready for any batch size.
    pub(crate) fn new(model: &ModelProto) -> Result<Self> {
        let graph = tract_onnx::onnx().model_for_proto_model(model)?;
        Ok(Self { plan: graph.into_optimized().context("optimise the graph")?.into_runnable()? })
    }

    fn probability(&self, ids: &[i32; POSITIONS]) -> Result<f32> {
        let output = self.plan.run(tvec!(Tensor::from_shape(&[1, POSITIONS], ids)?.into()))?;
        let first = output.first().context("the graph has no output")?;
        first.to_plain_array_view::<f32>()?.iter().next().copied().context("the output is empty")
    }
}

impl Runtime for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    /// One URL at a time: what a run holds grows by 1.3 MB for each, and a batch of 256 would be 330 MB.
    fn probabilities(&self, ids: &[[i32; POSITIONS]]) -> Result<Vec<f32>> {
        ids.iter().map(|ids| self.probability(ids)).collect()
    }
}
