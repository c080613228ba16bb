//! "Did you mean": the nearest known word.

/// The candidate that `word` is most likely a slip of: an edit distance (insert, delete, replace, swap of neighbours)
/// of at most a third of its length, case and `-`/`_` counting for nothing. `None` where nothing is near.
pub fn suggest<'word>(word: &str, candidates: impl IntoIterator<Item = &'word str>) -> Option<&'word str> {
    let wanted = folded(word);
    let limit = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word && !candidate.is_empty())
        .map(|candidate| (distance(&wanted, &folded(candidate)), candidate))
        // A word of one or two letters is near everything: only its other spelling is offered.
        .filter(|(distance, _)| *distance <= limit && (*distance == 0 || wanted.len() > 2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Whether the words differ so little that one was surely meant for the other: by a letter or two.
pub fn is_slip_of(word: &str, other: &str) -> bool {
    let (word, other) = (folded(word), folded(other));
    distance(&word, &other) <= if word.len() > 5 { 2 } else { 1 }
}

/// ``did you mean `memory`?``, if something is near.
pub fn did_you_mean<'word>(word: &str, candidates: impl IntoIterator<Item = &'word str>) -> Option<String> {
    suggest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

fn folded(word: &str) -> Vec<char> {
    word.chars().map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect()
}

/// Optimal string alignment: Levenshtein's distance with neighbours swapped at cost one.
fn distance(a: &[char], b: &[char]) -> usize {
    if a.len().abs_diff(b.len()) > a.len().max(3) {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(left != right)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let words = ["memory", "cpus", "image", "groups", "address"];
        for (slip, word) in [("memroy", "memory"), ("cpu", "cpus"), ("adress", "address"), ("Image", "image"), ("grup", "groups")] {
            assert_eq!(suggest(slip, words), if slip == "grup" { None } else { Some(word) }, "{slip}");
        }
    }

    #[test]
    fn another_spelling_is_always_near() {
        assert_eq!(suggest("control-plane", ["control_plane", "workers"]), Some("control_plane"));
        assert_eq!(suggest("IP", ["ip", "id"]), Some("ip"));
    }

    #[test]
    fn what_is_far_is_not_offered() {
        assert_eq!(suggest("banana", ["memory", "cpus"]), None);
        assert_eq!(suggest("ab", ["cd", "ac"]), None);
    }

    #[test]
    fn the_nearest_wins_then_the_alphabet() {
        assert_eq!(suggest("worker", ["workers", "workes"]), Some("workers"));
        assert_eq!(suggest("web2", ["web1", "web3"]), Some("web1"));
    }
}
