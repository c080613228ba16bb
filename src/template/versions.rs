//! Versions compared: loosely, strictly, by semver and by PEP 440.

use std::cmp::Ordering;

use super::{Error, Result};

/// Compares two versions as `version_type` says.
pub fn compare(left: &str, right: &str, kind: &str) -> Result<Ordering> {
    match kind {
        "loose" => loose(left, right),
        "strict" => Ok(strict(left)?.cmp(&strict(right)?)),
        "semver" | "semantic" => semantic(left, right),
        "pep440" => Ok(pep440(left)?.cmp(&pep440(right)?)),
        other => {
            Err(Error::failed(format!("Invalid version type ({other}). Must be one of 'loose', 'strict', 'semver', 'semantic', 'pep440'")))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Number(u64),
    Text(String),
}

/// The parts of a loose version: runs of digits, runs of letters, dots fall out (distutils' `LooseVersion`).
fn parts(version: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let same = |letter: char| {
            if first.is_ascii_digit() {
                letter.is_ascii_digit()
            } else if first.is_ascii_lowercase() {
                letter.is_ascii_lowercase()
            } else {
                first != '.' && letter != '.' && !letter.is_ascii_digit() && !letter.is_ascii_lowercase()
            }
        };
        let end = rest.find(|letter| !same(letter)).unwrap_or(rest.len()).max(first.len_utf8());
        let (part, after) = rest.split_at(end);
        if part != "." {
            parts.push(part.parse().map_or_else(|_| Part::Text(part.to_owned()), Part::Number));
        }
        rest = after;
    }
    parts
}

fn loose(left: &str, right: &str) -> Result<Ordering> {
    let (a, b) = (parts(left), parts(right));
    for (a, b) in a.iter().zip(&b) {
        let order = match (a, b) {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::Text(a), Part::Text(b)) => a.cmp(b),
            _ => {
                return Err(Error::failed(format!(
                    "Version comparison failed: '<' not supported between instances of 'str' and 'int' ({left}, {right})"
                ))
                .hint("give a version_type, such as version(…, version_type='semver')"));
            }
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(a.len().cmp(&b.len()))
}

fn malformed(version: &str, kind: &str) -> Error {
    Error::failed(format!("Version comparison failed: invalid {kind} version '{version}'"))
}

/// Major, minor, patch, and the pre-release (none sorts after any).
type Strict = (u64, u64, u64, Option<(char, u64)>);

fn strict(version: &str) -> Result<(u64, u64, u64, bool, Option<(char, u64)>)> {
    let wrong = || Error::failed(format!("Version comparison failed: invalid version number '{version}'"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let (core, pre): (&str, Option<(char, u64)>) = match version.find(['a', 'b']) {
        Some(at) => (&version[..at], Some((if version[at..].starts_with('a') { 'a' } else { 'b' }, number(&version[at + 1..])?))),
        None => (version, None),
    };
    let numbers = core.split('.').map(number).collect::<Result<Vec<_>>>()?;
    let (major, minor, patch): (u64, u64, u64) = match numbers[..] {
        [major, minor] => (major, minor, 0),
        [major, minor, patch] => (major, minor, patch),
        _ => return Err(wrong()),
    };
    let _: Strict = (major, minor, patch, pre);
    Ok((major, minor, patch, pre.is_none(), pre))
}

fn semantic(left: &str, right: &str) -> Result<Ordering> {
    fn read(version: &str) -> Result<(Vec<u64>, Vec<String>)> {
        let wrong = || malformed(version, "semantic");
        let core = version.split_once('+').map_or(version, |(core, _)| core);
        let (core, pre) = core.split_once('-').map_or((core, None), |(core, pre)| (core, Some(pre)));
        let numbers = core.split('.').map(|part| part.parse::<u64>().map_err(|_| wrong())).collect::<Result<Vec<_>>>()?;
        if numbers.len() != 3 || pre == Some("") {
            return Err(wrong());
        }
        Ok((numbers, pre.map_or_else(Vec::new, |pre| pre.split('.').map(str::to_owned).collect())))
    }
    let ((a, a_pre), (b, b_pre)) = (read(left)?, read(right)?);
    let order = a.cmp(&b);
    if order != Ordering::Equal {
        return Ok(order);
    }
    match (a_pre.is_empty(), b_pre.is_empty()) {
        (true, true) => return Ok(Ordering::Equal),
        (true, false) => return Ok(Ordering::Greater),
        (false, true) => return Ok(Ordering::Less),
        (false, false) => {}
    }
    for (a, b) in a_pre.iter().zip(&b_pre) {
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(a_pre.len().cmp(&b_pre.len()))
}

/// The sort key of a PEP 440 version, as the `packaging` library builds it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pep440 {
    epoch: u64,
    release: Vec<u64>,
    /// `dev` without pre or post sorts first, no pre-release last.
    pre: (u8, u64),
    post: Option<u64>,
    dev: (bool, u64),
    local: Vec<(bool, u64, String)>,
}

fn pep440(version: &str) -> Result<Pep440> {
    let wrong = || malformed(version, "PEP 440");
    let lower = version.trim().to_lowercase();
    let text = lower.strip_prefix('v').unwrap_or(&lower);
    let (text, local) = text.split_once('+').map_or((text, None), |(text, local)| (text, Some(local)));
    let (epoch, text) = match text.split_once('!') {
        Some((epoch, text)) => (epoch.parse().map_err(|_| wrong())?, text),
        None => (0, text),
    };
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let core = text[..end].trim_end_matches('.');
    let mut rest = &text[core.len()..];
    let mut release = core.split('.').map(|part| part.parse::<u64>().map_err(|_| wrong())).collect::<Result<Vec<_>>>()?;
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let (mut pre, mut post, mut dev) = (None, None, None);
    while !rest.is_empty() {
        let body = rest.trim_start_matches(['.', '-', '_']);
        let word_end = body.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(body.len());
        let (word, after) = body.split_at(word_end);
        let digits_start = after.trim_start_matches(['.', '-', '_']);
        let digits_end = digits_start.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits_start.len());
        let (number, next) = if digits_end == 0 {
            (0, after)
        } else {
            (digits_start[..digits_end].parse().map_err(|_| wrong())?, &digits_start[digits_end..])
        };
        match word {
            "a" | "alpha" => pre = Some((0, number)),
            "b" | "beta" => pre = Some((1, number)),
            "c" | "rc" | "pre" | "preview" => pre = Some((2, number)),
            "post" | "rev" | "r" => post = Some(number),
            "dev" => dev = Some(number),
            "" if rest.starts_with('-') && digits_end > 0 => post = Some(number),
            _ => return Err(wrong()),
        }
        rest = next;
    }
    let local = local.map_or_else(Vec::new, |local| {
        local
            .split(['.', '-', '_'])
            .map(|part| part.parse::<u64>().map_or_else(|_| (false, 0, part.to_owned()), |number| (true, number, String::new())))
            .collect()
    });
    Ok(Pep440 {
        epoch,
        release,
        pre: match pre {
            Some((kind, number)) => (kind + 1, number),
            None if post.is_none() && dev.is_some() => (0, 0),
            None => (9, 0),
        },
        post,
        dev: (dev.is_none(), dev.unwrap_or(0)),
        local,
    })
}
