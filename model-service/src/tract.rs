//! The reference runtime: tract-onnx, single-threaded, shared between threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tract_onnx::prelude::*;

use crate::model::Runtime;
use crate::preprocessing::POSITIONS;

struct Tract {
    plan: Arc<TypedSimplePlan>,
}

/// The file's metadata, and its graph made ready for any batch size.
pub(crate) fn open(mut file: &[u8]) -> Result<(BTreeMap<String, String>, Box<dyn Runtime>)> {
    let onnx = tract_onnx::onnx();
    let proto = onnx.proto_model_for_read(&mut file).context("this is no ONNX file")?;
    let told = proto.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    let plan = onnx.model_for_proto_model(&proto)?.into_optimized().context("optimise the graph")?.into_runnable()?;
    Ok((told, Box::new(Tract { plan })))
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
