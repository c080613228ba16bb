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
}

impl Runtime for Tract {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn probabilities(&self, ids: &[[i32; POSITIONS]]) -> Result<Vec<f32>> {
        let input = Tensor::from_shape(&[ids.len(), POSITIONS], ids.as_flattened())?;
        let output = self.plan.run(tvec!(input.into()))?;
        let first = output.first().context("the graph has no output")?;
        Ok(first.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}
