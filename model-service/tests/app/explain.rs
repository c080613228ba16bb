use std::collections::BTreeSet;

use model_service::explain::explain;
use model_service::model::{Model, Wanted};
use model_service::preprocessing;
use serde_json::json;

use crate::http::{PHISHING, Server};
use crate::shipped;

#[test]
fn each_change_is_the_models_own_with_that_character_hidden() {
    let model = Model::load(&shipped()).unwrap();
    let log_odds = |url: &str| f64::from(model.log_odds(&[url]).unwrap()[0]);
    // Scheme and surrounding blanks are not read, nor what comes after 200 bytes; ü is two bytes and one character.
    let url = format!(" hTTp://www.example.com/ü?{}tail", "ab/".repeat(61));
    let told = explain(&model, &url).unwrap();
    let characters: Vec<char> = url.chars().collect();
    assert_eq!(told.changes.len(), characters.len());
    let read: Vec<bool> = told.changes.iter().map(Option::is_some).collect();
    let (start, bytes) = (" hTTp://".len(), 200);
    // One character fewer than bytes, for ü.
    assert_eq!(read, (0..characters.len()).map(|place| (start..start + bytes - 1).contains(&place)).collect::<Vec<_>>());
    for place in [start, start + 4, start + 16, start + 17, start + 100, start + bytes - 2] {
        // Neither is in the vocabulary; the first would be trimmed as a blank behind the scheme.
        let other = if place == start { '\u{7f}' } else { '\u{1}' };
        let hidden: String = characters.iter().enumerate().map(|(at, c)| if at == place { other } else { *c }).collect();
        let hidden = if characters[place] == 'ü' { url.clone() } else { hidden };
        let expected = log_odds(&url) - log_odds(&hidden);
        assert!((told.changes[place].unwrap() - expected).abs() < 1e-4, "{place}: {:?} {expected}", told.changes[place]);
    }
    // Without its slash the host ends where it did: what is behind it is not read as host.
    let slash = start + "www.example.com".len();
    let mut ids = preprocessing::ids(url.as_bytes());
    ids[slash - start] = preprocessing::HOST_OTHER;
    let expected = log_odds(&url) - f64::from(model.log_odds_of(&[ids]).unwrap()[0]);
    assert!((told.changes[slash].unwrap() - expected).abs() < 1e-4, "{:?} {expected}", told.changes[slash]);
    assert_ne!(told.changes[start], Some(0.0));
    assert!(told.changes.iter().flatten().any(|change| change.abs() > 0.1));
    assert_eq!(told.probability, model.probabilities(&[&url]).unwrap()[0]);
}

/// Near 1 an f32 probability has few values: what is told must not be made of them.
#[test]
fn log_odds_are_the_probabilitys_and_finer() {
    let [kernel, tract] = [Wanted::Kernel, Wanted::Tract].map(|wanted| Model::load_with(&shipped(), wanted).unwrap());
    for url in ["http://www.bbc.co.uk/news/", "http://a.example/", "http://192.0.2.7/"] {
        let p = f64::from(kernel.probabilities(&[url]).unwrap()[0]);
        let expected = (p / (1.0 - p)).ln();
        for model in [&kernel, &tract] {
            assert!((f64::from(model.log_odds(&[url]).unwrap()[0]) - expected).abs() < 1e-3, "{url} {}", model.runtime());
        }
    }
    let changes = explain(&kernel, PHISHING).unwrap().changes;
    let told: BTreeSet<String> = changes.iter().flatten().map(|change| format!("{change:.4}")).collect();
    assert!(told.len() > 50, "{told:?}");
}

#[test]
fn service_explains_one_url_at_a_time() {
    let server = Server::start(&[]);
    let told = server.post("/explain", &json!({"url": PHISHING})).value();
    assert_eq!((&told["verdict"], told["changes"].as_array().unwrap().len()), (&json!("phishing"), PHISHING.len()));
    assert_eq!(server.post("/explain", &json!({"urls": ["a", "b"]})).code(), (422, "invalid_request".into()));
    assert_eq!(server.post("/explain", &json!({"url": ""})).code(), (422, "invalid_request".into()));
    let full = Server::start(&["--queue", "0"]);
    assert_eq!(full.post("/explain", &json!({"url": "a"})).code(), (503, "overloaded".into()));
}
