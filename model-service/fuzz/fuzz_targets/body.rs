//! Any bytes as the body of `/predict`, of `/add` and of the app's paths: URLs within the limits, fields, or a clear 4xx.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself, so that a target builds in seconds, without the model's runtime.
#[path = "../../src/request.rs"]
#[allow(dead_code, reason = "the service uses the rest")]
mod request;

#[path = "../../src/app/fields.rs"]
mod fields;

use request::{Format, LARGEST_BATCH, LONGEST_URL, Shape, asked, told};

fuzz_target!(|body: &[u8]| {
    for format in [Format::Json, Format::Form] {
        let fields = fields::read(format, body);
        if let Err(refusal) = &fields {
            assert!(refusal.status.is_client_error());
        }
        if std::str::from_utf8(body).is_err() {
            assert!(fields.as_ref().is_err_and(|refusal| refusal.code == "invalid_utf8"));
        }
        match asked(format, body) {
            Ok(asked) => {
                assert!((1..=LARGEST_BATCH).contains(&asked.urls.len()));
                assert!(asked.urls.iter().all(|url| !url.trim().is_empty() && url.len() <= LONGEST_URL));
                if asked.shape == Shape::Single || format == Format::Form {
                    assert_eq!(fields.unwrap().get("url"), asked.urls.last(), "the app reads the same URL");
                }
            }
            Err(refusal) => assert!(refusal.status.is_client_error()),
        }
    }
    if let Err(refusal) = told(body) {
        assert!(refusal.status.is_client_error());
    }
});
