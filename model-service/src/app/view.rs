//! An answer as the page shows it: its words, and the URL's characters by how they moved the model.

use serde_json::{Value, json};

use super::Variant;
use super::judge::Judged;

/// Shades each way.
const SHADES: f64 = 5.0;
/// Log-odds below which no character matters.
const FAINT: f64 = 0.05;
/// Pieces that are named each way.
const NAMED: usize = 3;
/// Characters of a named piece.
const LONGEST_PIECE: usize = 24;

/// The context of the template `answer`.
pub(super) fn answer(judged: &Judged, variant: Variant) -> Value {
    let phishing = judged.verdict == "phishing";
    let mut shown = json!({
        "id": judged.id,
        "url": judged.url,
        "verdict": judged.verdict,
        "title": if phishing { "Phishing" } else { "Legitimate" },
        "tone": if phishing { "bad" } else { "good" },
        "meaning": if phishing {
            "This URL looks like one made to deceive. Do not sign in or pay there unless you know who runs it."
        } else {
            "This URL looks like an ordinary one. That is no proof: look at the page before you trust it."
        },
        "model": judged.marks.get("x-model-id").and_then(|id| id.to_str().ok()).unwrap_or_default(),
    });
    if variant == Variant::V2 {
        shown["percent"] = json!(percent(judged.probability));
        shown["bar"] = json!(format!("{:.1}", judged.probability * 100.0));
        shown["drivers"] = judged.changes.as_ref().map_or(Value::Null, |changes| drivers(&judged.url, changes));
    }
    shown
}

/// No probability is told as certain.
fn percent(probability: f64) -> String {
    match probability * 100.0 {
        p if p < 0.1 => "under 0.1 %".into(),
        p if p > 99.9 => "over 99.9 %".into(),
        p => format!("{p:.1} %"),
    }
}

/// Runs of characters of one shade, and the pieces that moved the model most.
fn drivers(url: &str, changes: &[Option<f64>]) -> Value {
    let most = changes.iter().flatten().fold(0.0_f64, |most, change| most.max(change.abs()));
    let shade = |change: Option<f64>| match change {
        None => None,
        Some(_) if most < FAINT => Some(0),
        Some(change) => Some((change / most * SHADES).round() as i32),
    };
    let characters: Vec<(char, Option<i32>, f64)> =
        url.chars().zip(changes).map(|(character, change)| (character, shade(*change), change.unwrap_or_default())).collect();
    let runs: Vec<Value> = characters
        .chunk_by(|a, b| a.1 == b.1)
        .map(|run| {
            let class = match run[0].1 {
                None => "unread".to_owned(),
                Some(0) => String::new(),
                Some(shade) if shade > 0 => format!("up{shade}"),
                Some(shade) => format!("down{}", -shade),
            };
            json!({"class": class, "text": run.iter().map(|(character, ..)| character).collect::<String>()})
        })
        .collect();
    let unread = characters.iter().any(|(_, shade, _)| shade.is_none());
    json!({"runs": runs, "unread": unread, "up": pieces(&characters, 1), "down": pieces(&characters, -1)})
}

/// The strongest pieces of one direction, in the URL's order of strength; of at least two characters and a clear shade.
fn pieces(characters: &[(char, Option<i32>, f64)], direction: i32) -> Vec<String> {
    let mut found: Vec<(f64, String)> = characters
        .chunk_by(|a, b| a.1.map(i32::signum) == b.1.map(i32::signum))
        .filter(|run| {
            run.len() > 1
                && run[0].1.map(i32::signum) == Some(direction)
                && run.iter().any(|(_, shade, _)| shade.is_some_and(|s| s.abs() > 1))
        })
        .map(|run| {
            let text = run.iter().take(LONGEST_PIECE).map(|(character, ..)| character).collect();
            (run.iter().map(|(.., change)| change.abs()).sum(), text)
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(NAMED).map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_shaded_by_their_change_and_the_strongest_pieces_named() {
        let changes = [None, Some(0.0), Some(2.0), Some(1.9), Some(-1.0), Some(-0.3), Some(0.1)];
        let shown = drivers("/abcdxe", &changes);
        let runs: Vec<(&str, &str)> =
            shown["runs"].as_array().unwrap().iter().map(|run| (run["class"].as_str().unwrap(), run["text"].as_str().unwrap())).collect();
        assert_eq!(runs, [("unread", "/"), ("", "a"), ("up5", "bc"), ("down3", "d"), ("down1", "x"), ("", "e")]);
        assert_eq!((&shown["up"], &shown["down"], &shown["unread"]), (&json!(["bc"]), &json!(["dx"]), &json!(true)));
    }

    #[test]
    fn noise_is_not_shaded_and_nothing_is_called_certain() {
        assert_eq!(drivers("ab", &[Some(0.01), Some(-0.02)])["runs"], json!([{"class": "", "text": "ab"}]));
        assert_eq!((percent(1.0), percent(0.0), percent(0.973)), ("over 99.9 %".into(), "under 0.1 %".into(), "97.3 %".into()));
    }
}
