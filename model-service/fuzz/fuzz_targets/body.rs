//! Any bytes as the body of `/predict` and `/add`: URLs within the limits, or a clear 4xx.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself, so that a target builds in seconds, without the model's runtime.
#[path = "../../src/request.rs"]
#[allow(dead_code, reason = "the service uses the rest")]
mod request;

use request::{Format, LARGEST_BATCH, LONGEST_URL, asked, told};

fuzz_target!(|body: &[u8]| {
    for format in [Format::Json, Format::Form] {
        match asked(format, body) {
            Ok(asked) => {
                assert!((1..=LARGEST_BATCH).contains(&asked.urls.len()));
                assert!(asked.urls.iter().all(|url| !url.trim().is_empty() && url.len() <= LONGEST_URL));
            }
            Err(refusal) => assert!(refusal.status.is_client_error()),
        }
    }
    if let Err(refusal) = told(body) {
        assert!(refusal.status.is_client_error());
    }
});
