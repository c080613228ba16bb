//! Which characters of a URL drove the answer: exact, by asking the model without each of them.

use anyhow::{Context as _, Result};

use crate::model::Model;
use crate::preprocessing::{POSITIONS, hidden, ids, without_scheme};

#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub probability: f32,
    /// For each character (Unicode scalar value) of the URL: by how much its log-odds are higher than with that character hidden.
    /// Positive speaks for phishing. `None` where the model does not read: scheme, surrounding blanks, what comes after `POSITIONS` bytes.
    pub changes: Vec<Option<f64>>,
}

/// One batch: the URL, and the URL with each character hidden that is read. Where the host ends stays as it is, also without its slash.
pub fn explain(model: &Model, url: &str) -> Result<Explanation> {
    let (read, whole) = (read_part(url), ids(url.as_bytes()));
    let places: Vec<(usize, char)> = url.char_indices().collect();
    let mut batch = vec![whole];
    for (place, character) in places.iter().filter(|(place, _)| read.contains(place)) {
        let mut without = whole;
        without.iter_mut().skip(place - read.start).take(character.len_utf8()).for_each(|id| *id = hidden(*id));
        batch.push(without);
    }
    let mut found = model.log_odds_of(&batch)?.into_iter().map(f64::from);
    let whole = found.next().context("the model answered nothing")?;
    let mut change = |(place, _): &(usize, char)| if read.contains(place) { Some(whole - found.next()?) } else { None };
    let changes = places.iter().map(&mut change).collect();
    let probability = model.probabilities(&[url])?.pop().context("the model answered nothing")?;
    Ok(Explanation { probability, changes })
}

/// The bytes of the URL that the model reads.
fn read_part(url: &str) -> std::ops::Range<usize> {
    let read = without_scheme(url.as_bytes());
    let start = read.as_ptr().addr() - url.as_ptr().addr();
    start..start + read.len().min(POSITIONS)
}
