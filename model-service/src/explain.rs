//! Which characters of a URL drove the answer: exact, by asking the model without each of them.

use anyhow::{Context as _, Result};

use crate::model::Model;
use crate::preprocessing::{POSITIONS, without_scheme};

/// Stands for a hidden character: one byte that the model reads as `OTHER`, and that no rule of pre-processing cuts off.
const HIDDEN: &str = "\u{7f}";
/// Closest to 0 or 1 that a probability is taken to be: f32 tells no more apart near 1.
const EDGE: f64 = 1e-7;

#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub probability: f32,
    /// For each character (Unicode scalar value) of the URL: by how much its log-odds are higher than with that character hidden.
    /// Positive speaks for phishing. `None` where the model does not read: scheme, surrounding blanks, what comes after `POSITIONS` bytes.
    pub changes: Vec<Option<f64>>,
}

/// One batch: the URL, and the URL with each character hidden that is read.
pub fn explain(model: &Model, url: &str) -> Result<Explanation> {
    let read = read_part(url);
    let places: Vec<(usize, char)> = url.char_indices().collect();
    let mut batch = vec![url.to_owned()];
    for (place, character) in places.iter().filter(|(place, _)| read.contains(place)) {
        let hidden = HIDDEN.repeat(character.len_utf8());
        batch.push(format!("{}{hidden}{}", &url[..*place], &url[place + character.len_utf8()..]));
    }
    let mut found = model.probabilities(&batch)?.into_iter();
    let probability = found.next().context("the model answered nothing")?;
    let whole = log_odds(probability);
    let mut change = |(place, _): &(usize, char)| if read.contains(place) { Some(whole - log_odds(found.next()?)) } else { None };
    Ok(Explanation { probability, changes: places.iter().map(&mut change).collect() })
}

/// The bytes of the URL that the model reads.
fn read_part(url: &str) -> std::ops::Range<usize> {
    let read = without_scheme(url.as_bytes());
    let start = read.as_ptr().addr() - url.as_ptr().addr();
    start..start + read.len().min(POSITIONS)
}

fn log_odds(probability: f32) -> f64 {
    let p = f64::from(probability).clamp(EDGE, 1.0 - EDGE);
    (p / (1.0 - p)).ln()
}
