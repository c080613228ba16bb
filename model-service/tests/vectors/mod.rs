use model_service::preprocessing::{PAD, POSITIONS, VERSION, VOCABULARY, ids};
use serde::Deserialize;

#[derive(Deserialize)]
struct Shared {
    version: String,
    positions: usize,
    vocabulary: usize,
    vectors: Vec<(String, Vec<i32>)>,
}

#[test]
fn pre_processing_meets_the_vectors_of_the_training() {
    let shared: Shared = serde_json::from_str(include_str!("../../vectors/preprocessing.json")).unwrap();
    assert_eq!((shared.version.as_str(), shared.positions, shared.vocabulary), (VERSION, POSITIONS, VOCABULARY));
    assert!(shared.vectors.len() > 600, "{} vectors", shared.vectors.len());
    for (url, expected) in shared.vectors {
        let mut padded = expected.clone();
        padded.resize(POSITIONS, PAD);
        assert_eq!(ids(&hex::decode(&url).unwrap()).as_slice(), padded, "{url}");
    }
}
