//! Any bytes as a URL: ids of the vocabulary, padding only behind.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/preprocessing.rs"]
#[allow(dead_code, reason = "the service uses the rest")]
mod preprocessing;

use preprocessing::{OTHER, PAD, POSITIONS, VOCABULARY, hidden, ids, without_scheme};

fuzz_target!(|url: &[u8]| {
    let found = ids(url);
    let length = without_scheme(url).len().min(POSITIONS);
    assert!(found[..length].iter().all(|id| (OTHER..VOCABULARY as i32).contains(id)));
    assert!(found[length..].iter().all(|id| *id == PAD));
    assert!(found.is_sorted_by_key(|id| hidden(*id) == OTHER), "the host's ids stand together, in front");
});
