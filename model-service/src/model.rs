//! A model: its file, what the file says of itself, and the runtime that computes it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::info;
use tract_onnx::pb::ModelProto;

use crate::kernel::Kernel;
use crate::metrics::Reference;
use crate::preprocessing;
use crate::tract::Tract;

/// Probability from which a URL is called phishing.
pub const THRESHOLD: f32 = 0.5;
/// Largest difference between the trainer's answer (onnxruntime) and ours; 5.4e-7 was measured.
const TOLERANCE: f32 = 1e-5;

/// What computes the graph: tract any ONNX, the kernel of our own this family only, and much faster.
pub trait Runtime: Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether a URL takes microseconds, so that handing it to another thread would cost more than it.
    fn is_quick(&self) -> bool {
        false
    }

    /// P(phishing), calibrated, one for each row of ids.
    fn probabilities(&self, ids: &[[i32; preprocessing::POSITIONS]]) -> Result<Vec<f32>>;

    /// ln(P / (1 − P)) of the same. From the probabilities it is coarse near 0 and 1, where f32 tells little apart.
    fn log_odds(&self, ids: &[[i32; preprocessing::POSITIONS]]) -> Result<Vec<f32>> {
        let edge = f32::EPSILON / 2.0;
        let log_odds = |p: f32| (p.clamp(edge, 1.0 - edge) / (1.0 - p.clamp(edge, 1.0 - edge))).ln();
        Ok(self.probabilities(ids)?.into_iter().map(log_odds).collect())
    }
}

/// Which runtime is to be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Wanted {
    /// The kernel where it knows the graph, else tract
    #[default]
    Auto,
    Tract,
    Kernel,
}

impl Wanted {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tract => "tract",
            Self::Kernel => "kernel",
        }
    }

    fn open(self, model: &ModelProto) -> Result<Box<dyn Runtime>> {
        if self == Self::Tract {
            return Ok(Box::new(Tract::new(model)?));
        }
        match Kernel::new(model) {
            Ok(kernel) => Ok(Box::new(kernel)),
            Err(reason) if self == Self::Kernel => {
                Err(reason.context("the kernel does not compute this graph; hint: serve it with --runtime tract"))
            }
            Err(reason) => {
                info!(reason = format!("{reason:#}"), "the kernel does not compute this graph: tract does");
                Ok(Box::new(Tract::new(model)?))
            }
        }
    }
}

/// What the file says of itself (ONNX metadata).
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// SHA-256 of the file, hex.
    pub id: String,
    pub name: String,
    pub version: String,
    pub preprocessing: String,
    /// The split whose training part it learned from.
    pub split: String,
    /// How the training's inputs and scores are distributed; drift is measured against it.
    #[serde(skip)]
    pub reference: Option<Reference>,
    #[serde(skip)]
    self_test: Vec<Known>,
}

/// A URL and the trainer's answer for it.
#[derive(Debug, Clone, Deserialize)]
struct Known {
    url: String,
    probability: f32,
}

pub struct Model {
    pub about: About,
    runtime: Box<dyn Runtime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Phishing,
    Legitimate,
}

impl Verdict {
    pub fn of(probability: f32) -> Self {
        if probability >= THRESHOLD { Self::Phishing } else { Self::Legitimate }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Phishing => "phishing",
            Self::Legitimate => "legitimate",
        }
    }
}

impl Model {
    /// Read the file, check that we speak its pre-processing, and compare its known answers with ours.
    ///
    /// # Errors
    /// Says which of these failed. tract may panic on a graph it cannot optimise: who swaps models at run time runs
    /// `model-service check` first, as a process of its own, which holds under `panic = "abort"` too.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, Wanted::Auto)
    }

    pub fn load_with(path: &Path, wanted: Wanted) -> Result<Self> {
        let file = std::fs::read(path).with_context(|| format!("read model `{}`", path.display()))?;
        Self::from_bytes_with(&file, wanted).with_context(|| format!("load model `{}`", path.display()))
    }

    pub fn from_bytes(file: &[u8]) -> Result<Self> {
        Self::from_bytes_with(file, Wanted::Auto)
    }

    pub fn from_bytes_with(file: &[u8], wanted: Wanted) -> Result<Self> {
        let proto = ModelProto::decode(file).context("this is no ONNX file")?;
        let told: BTreeMap<&str, &str> = proto.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        let say =
            |key: &str| told.get(key).map(|value| (*value).to_owned()).with_context(|| format!("the model's metadata has no `{key}`"));
        let about = About {
            id: hex::encode(Sha256::digest(file)),
            name: say("name")?,
            version: say("version")?,
            preprocessing: say("preprocessing")?,
            split: say("split")?,
            reference: told.get("reference").map(|text| serde_json::from_str(text).context("read the model's `reference`")).transpose()?,
            self_test: serde_json::from_str(&say("self_test")?).context("read the model's `self_test`")?,
        };
        if about.preprocessing != preprocessing::VERSION {
            bail!("the model needs pre-processing `{}`, this service speaks `{}`", about.preprocessing, preprocessing::VERSION);
        }
        // It goes on every answer as a header.
        ensure!(about.version.bytes().all(|byte| byte.is_ascii_graphic()), "the model's version `{}` is not visible ASCII", about.version);
        if let Some(reference) = &about.reference {
            reference.check().context("read the model's `reference`")?;
        }
        let model = Self { about, runtime: wanted.open(&proto)? };
        model.self_test()?;
        Ok(model)
    }

    /// Compare our answers with the trainer's, one by one and as a batch.
    pub fn self_test(&self) -> Result<()> {
        let known = &self.about.self_test;
        ensure!(!known.is_empty(), "the model has no known answers to be tested with");
        let urls: Vec<&str> = known.iter().map(|known| known.url.as_str()).collect();
        let batch = self.probabilities(&urls)?;
        for (known, in_batch) in known.iter().zip(batch) {
            let alone = self.probabilities(&[&known.url])?[0];
            for ours in [alone, in_batch] {
                let difference = (ours - known.probability).abs();
                ensure!(difference <= TOLERANCE, "self-test: `{}` gives {ours}, the trainer had {}", known.url, known.probability);
            }
        }
        Ok(())
    }

    /// P(phishing) of each URL.
    pub fn probabilities<U: AsRef<[u8]>>(&self, urls: &[U]) -> Result<Vec<f32>> {
        let ids: Vec<_> = urls.iter().map(|url| preprocessing::ids(url.as_ref())).collect();
        let found = self.runtime.probabilities(&ids)?;
        ensure!(found.len() == urls.len(), "the model answered {} rows for {} URLs", found.len(), urls.len());
        ensure!(found.iter().all(|p| (0.0..=1.0).contains(p)), "the model answered what is no probability");
        Ok(found)
    }

    /// ln(P / (1 − P)) of each URL.
    pub fn log_odds<U: AsRef<[u8]>>(&self, urls: &[U]) -> Result<Vec<f32>> {
        self.log_odds_of(&urls.iter().map(|url| preprocessing::ids(url.as_ref())).collect::<Vec<_>>())
    }

    /// The same, of URLs as the model reads them.
    pub fn log_odds_of(&self, ids: &[[i32; preprocessing::POSITIONS]]) -> Result<Vec<f32>> {
        let found = self.runtime.log_odds(ids)?;
        ensure!(found.len() == ids.len() && found.iter().all(|odds| odds.is_finite()), "the model answered what are no log-odds");
        Ok(found)
    }

    pub fn is_quick(&self) -> bool {
        self.runtime.is_quick()
    }

    pub fn runtime(&self) -> &'static str {
        self.runtime.name()
    }

    /// The same file, computed by something else.
    #[cfg(test)]
    pub(crate) fn computed_by(self, runtime: impl Runtime + 'static) -> Self {
        Self { about: self.about, runtime: Box::new(runtime) }
    }
}
