//! What a line says. Keys only ever come: who reads old journals need not know when they were written.

use clap::ValueEnum;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What the model said
    Predictions,
    /// What people said of it, where they said of which URL: the training's input
    Feedback,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    Prediction(Prediction),
    Feedback(Feedback),
}

#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// Milliseconds since 1970.
    pub at: u64,
    pub url: String,
    pub verdict: &'static str,
    pub probability: f64,
    /// SHA-256 of the model's file.
    pub model: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Feedback {
    /// Milliseconds since 1970.
    pub at: u64,
    /// The answer's; a second feedback to the same answer is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the model had said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// `yes`: the verdict is right.
    pub feedback: String,
    /// The app's variant, `v1` or `v2`; none where it came to the model service itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The model that answered, where the page told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Kind {
    /// Whether a line is one to export.
    pub fn fits(self, line: &serde_json::Value) -> bool {
        let text = |key: &str| line[key].as_str();
        match self {
            Self::Predictions => text("kind") == Some("prediction"),
            Self::Feedback => text("kind") == Some("feedback") && text("url").is_some() && text("verdict").is_some(),
        }
    }
}
