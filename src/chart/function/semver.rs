//! `semverCompare`: constraints of versions, as Masterminds' semver reads them.
//!
//! Source: github.com/Masterminds/semver/v3, constraints.go. A version before a release (`1.2.3-rc.1`) fits only a constraint that
//! has such a part itself (`>=1.2-0`).

use std::cmp::Ordering;

use super::{Fail, Function, exactly, text};

pub const FUNCTIONS: &[Function] = &[exactly("semverCompare", 2, |arguments| {
    let (constraint, version) = (text(arguments, 0)?, text(arguments, 1)?);
    let version = Version::read(&version).ok_or_else(|| Fail::argument(1, format!("`{version}` is no version")))?;
    fits(&constraint, &version)
        .map(Into::into)
        .ok_or_else(|| Fail::argument(0, format!("`{constraint}` is no constraint of versions")).hint("write `>=1.30-0`"))
})];

/// `v1.36.4-rc.1+build`; minor and patch may be missing.
#[derive(Debug, Default)]
struct Version {
    numbers: [u64; 3],
    before: String,
    /// How many numbers are written; `x` and `*` are not.
    written: usize,
}

impl Version {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, before) = text.split_once('-').map_or((text, ""), |(numbers, before)| (numbers, before));
        let mut version = Self { before: before.to_owned(), ..Self::default() };
        for (index, part) in numbers.split('.').enumerate() {
            if matches!(part, "x" | "X" | "*") {
                return Some(version);
            }
            *version.numbers.get_mut(index)? = part.parse().ok()?;
            version.written = index + 1;
        }
        Some(version)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let before = || match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => before_release(&self.before, &other.before),
        };
        self.numbers.cmp(&other.numbers).then_with(before)
    }

    /// The first version that is too high for one with the same first `kept` numbers.
    fn above(&self, kept: usize) -> Self {
        let mut numbers = [0; 3];
        numbers[..kept].copy_from_slice(&self.numbers[..kept]);
        numbers[kept - 1] += 1;
        Self { numbers, before: String::new(), written: 3 }
    }
}

fn before_release(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// `None`: not a constraint. `||` is or; commas and spaces are and; `1.2 - 1.4` is a range.
fn fits(constraint: &str, version: &Version) -> Option<bool> {
    let mut any = false;
    for alternative in constraint.split("||") {
        let ranged = alternative
            .split_once(" - ")
            .map_or_else(|| alternative.to_owned(), |(low, high)| format!(">={} <={}", low.trim(), high.trim()));
        let mut all = true;
        for part in separated(&ranged) {
            all &= one(&part, version)?;
        }
        any |= all;
    }
    Some(any)
}

/// `>= 1.2, <2` → `>=1.2`, `<2`.
fn separated(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match parts.last_mut().filter(|last| last.bytes().all(|byte| b"=!<>~^".contains(&byte))) {
            Some(operator) => operator.push_str(word),
            None => parts.push(word.to_owned()),
        }
    }
    parts
}

fn one(part: &str, version: &Version) -> Option<bool> {
    let start = part.find(|letter| !"=!<>~^".contains(letter)).unwrap_or(part.len());
    let (operator, wanted) = part.split_at(start);
    let wanted = Version::read(wanted)?;
    if !version.before.is_empty() && wanted.before.is_empty() {
        return Some(false);
    }
    let order = version.compare(&wanted);
    let open = wanted.written < 3;
    let below = |kept: usize| kept == 0 || version.compare(&wanted.above(kept)).is_lt();
    // `1.2` without more stands for every 1.2.x.
    let within = || order.is_ge() && (wanted.written == 0 || below(wanted.written));
    Some(match operator {
        "" | "=" | "==" if open => within(),
        "" | "=" | "==" => order.is_eq(),
        "!=" if open => !within(),
        "!=" => order.is_ne(),
        ">" if open => wanted.written > 0 && !below(wanted.written),
        ">" => order.is_gt(),
        ">=" | "=>" => order.is_ge(),
        "<" => order.is_lt(),
        "<=" | "=<" if open => wanted.written == 0 || below(wanted.written),
        "<=" | "=<" => order.is_le(),
        "~" | "~>" => order.is_ge() && below(wanted.written.min(2)),
        "^" => {
            let kept = wanted.numbers.iter().take(wanted.written).position(|number| *number > 0).map_or(wanted.written, |index| index + 1);
            order.is_ge() && below(kept)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_read_as_helm_reads_them() {
        let cases = [
            (">=1.19-0", "v1.36.4", true),
            (">=1.19-0", "v1.18.9", false),
            (">= 1.2, < 1.4", "1.3.9", true),
            ("<1.2 || >2", "1.5.0", false),
            ("^1.2.3", "1.9.0", true),
            ("^1.2.3", "2.0.0", false),
            ("^0.2.3", "0.3.0", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2", "1.3.0", false),
            ("1.2.x", "1.2.7", true),
            ("1.2", "1.3.0", false),
            ("*", "4.5.6", true),
            ("1.2 - 1.4.5", "1.4.5", true),
            (">=1.2.3", "1.3.0-rc.1", false),
            (">=1.2.3-0", "1.3.0-rc.1", true),
            ("!=1.2.3", "1.2.4", true),
            (">1.2", "1.2.9", false),
            (">1.2", "1.3.0", true),
            ("<=1.2", "1.2.9", true),
            (">1.2.3-rc.2", "1.2.3-rc.10", true),
        ];
        for (constraint, version, expected) in cases {
            let version_read = Version::read(version).expect("a version");
            assert_eq!(fits(constraint, &version_read), Some(expected), "{constraint} {version}");
        }
        assert_eq!(fits("=>=1", &Version::default()), None);
        assert!(Version::read("latest").is_none());
    }
}
