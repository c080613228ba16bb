//! Host names with ports and ranges: `web[01:10].example.org:2222`.

use std::sync::LazyLock;

use fancy_regex::Regex;

/// The name (ranges not expanded) and the port of a host as written; `None` where it is no address.
///
/// Rules of Ansible's `parse_address`: a port follows an IPv4 address or a name, or brackets around anything.
pub fn parse(written: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match split_port(written) {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (written, None),
    };
    (is_ipv4(host) || is_ipv6(host) || is_name(host)).then(|| (host.to_owned(), port))
}

fn split_port(written: &str) -> Option<(&str, &str)> {
    let (host, port) = written.rsplit_once(':')?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'))
        && !inner.is_empty()
    {
        return Some((inner, port));
    }
    // Colons only inside of complete brackets.
    let mut rest = host;
    while let Some(start) = rest.find(['[', ']', ':']) {
        if !rest[start..].starts_with('[') {
            return None;
        }
        rest = &rest[start + rest[start..].find(']')? + 1..];
    }
    Some((host, port))
}

fn is_ipv4(text: &str) -> bool {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
        let part = r"(?:[01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5]|\[[0-9]+:[0-9]+(?::[0-9]+)?\])";
        regex(&format!(r"^(?:{part}\.){{3}}{part}$"))
    });
    matches(&PATTERN, text)
}

fn is_ipv6(text: &str) -> bool {
    // Each range stands for one component.
    static RANGE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]"));
    text.contains(':') && RANGE.replace_all(text, "1").parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_name(text: &str) -> bool {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
        let range = r"\[(?:[a-zA-Z]:[a-zA-Z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]";
        let label = format!(r"(?:\w|{range})(?:[\w-]|{range})*(?<![_-])");
        regex(&format!(r"^{label}(?:\.{label})*$"))
    });
    matches(&PATTERN, text)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a fixed pattern")
}

fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).unwrap_or(false)
}

/// All hosts of a written one, and its port. The error is a lowercase phrase.
pub fn expand(written: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (pattern, port) = parse(written).unwrap_or_else(|| (written.to_owned(), None));
    if port.is_none() && written.trim_end().ends_with(':') && !written.contains('[') {
        return Err("a colon at the end of a host name: what follows it is a port".to_owned());
    }
    let mut names = Vec::new();
    ranges(&pattern, &mut names)?;
    Ok((names, port))
}

/// How many hosts one line may stand for.
const MOST: usize = 100_000;

fn ranges(pattern: &str, names: &mut Vec<String>) -> Result<(), String> {
    let Some(open) = pattern.find('[') else {
        names.push(pattern.to_owned());
        return Ok(());
    };
    let (head, rest) = (&pattern[..open], &pattern[open + 1..]);
    let Some((range, tail)) = rest.split_once(']') else { return Err("a range that is not closed: expected `]`".to_owned()) };
    let bounds: Vec<&str> = range.split(':').collect();
    let (start, end, step) = match bounds.as_slice() {
        [start, end] => (*start, *end, "1"),
        [start, end, step] => (*start, *end, *step),
        _ => return Err(format!("`[{range}]` is no range: expected `[first:last]` or `[first:last:step]`")),
    };
    let start = if start.is_empty() { "0" } else { start };
    if end.is_empty() {
        return Err(format!("the range `[{range}]` has no end"));
    }
    let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(|| format!("`{step}` is no step of a range"))?;
    let width = if start.starts_with('0') && start.len() > 1 { start.len() } else { 0 };
    if width > 0 && width != end.len() {
        return Err(format!("the ends of the range `[{range}]` must be of equal length"));
    }
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    let index = |text: &str| {
        let mut characters = text.chars();
        let letter = characters.next()?;
        if characters.next().is_some() { None } else { letters.iter().position(|known| *known == letter) }
    };
    let values: Vec<String> = if let (Some(first), Some(last)) = (index(start), index(end)) {
        if first > last {
            return Err(format!("the range `[{range}]` runs backwards"));
        }
        letters[first..=last].iter().step_by(step).map(char::to_string).collect()
    } else {
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is no number or letter of a range"));
        let (first, last) = (number(start)?, number(end)?);
        if last.saturating_sub(first) / step > MOST {
            return Err(format!("the range `[{range}]` stands for more than {MOST} hosts"));
        }
        (first..=last).step_by(step).map(|value| format!("{value:0width$}")).collect()
    };
    for value in values {
        ranges(&format!("{head}{value}{tail}"), names)?;
        if names.len() > MOST {
            return Err(format!("one line stands for more than {MOST} hosts"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_ports_and_ranges() {
        let all = |written: &str| expand(written).map(|(names, port)| (names.join(" "), port));
        assert_eq!(all("web"), Ok(("web".into(), None)));
        assert_eq!(all("web:22"), Ok(("web".into(), Some(22))));
        assert_eq!(all("web[01:03].x:22"), Ok(("web01.x web02.x web03.x".into(), Some(22))));
        assert_eq!(all("db-[a:c]"), Ok(("db-a db-b db-c".into(), None)));
        assert_eq!(all("n[1:6:2]"), Ok(("n1 n3 n5".into(), None)));
        assert_eq!(all("r[1:2]-[a:b]"), Ok(("r1-a r1-b r2-a r2-b".into(), None)));
        assert_eq!(all("10.0.0.[1:2]:2222"), Ok(("10.0.0.1 10.0.0.2".into(), Some(2222))));
        assert_eq!(all("::1"), Ok(("::1".into(), None)));
        assert_eq!(all("[fe80::1]:22"), Ok(("fe80::1".into(), Some(22))));
        assert_eq!(all("a[:2]"), Ok(("a0 a1 a2".into(), None)));
        assert_eq!(all("a_host"), Ok(("a_host".into(), None)));
        for wrong in ["a[1:", "a[1]", "a[01:3]", "a[3:]", "a[c:a]", "web:", "a[1:x]", "a[0:9:0]", "a[0:99999999]"] {
            assert!(expand(wrong).is_err(), "{wrong}: {:?}", expand(wrong));
        }
    }
}
