//! What pip is asked for by name: `django[argon2]>=4,<5; python_version >= "3.8"` (PEP 508).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};

/// A distribution by name. What is asked for by address or path is none.
#[derive(Clone, Debug)]
pub struct Requirement {
    pub name: String,
    pub extras: Vec<String>,
    pub specifiers: VersionSpecifiers,
    /// Each as written, without spaces, sorted: as Python's own library shows them.
    shown: Vec<String>,
    marker: Option<String>,
}

/// Whether a condition of the environment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Yes,
    No,
    NotSure,
}

impl Requirement {
    pub fn parse(text: &str) -> Option<Self> {
        let (text, marker) = match text.split_once(';') {
            Some((text, marker)) => (text.trim(), Some(marker.trim().to_owned())),
            None => (text.trim(), None),
        };
        let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter))).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let is_edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
        if !is_edge(name.chars().next()) || !is_edge(name.chars().last()) {
            return None;
        }
        let rest = rest.trim();
        let (extras, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let rest = rest.trim();
        let written = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
        let specifiers = VersionSpecifiers::from_str(written).ok()?;
        let mut extras: Vec<String> = extras.split(',').map(str::trim).filter(|extra| !extra.is_empty()).map(str::to_owned).collect();
        extras.sort();
        let without_spaces = |part: &str| part.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        let mut shown: Vec<String> = written.split(',').map(without_spaces).filter(|part| !part.is_empty()).collect();
        shown.sort();
        shown.dedup();
        Some(Self { name: name.to_owned(), extras, specifiers, shown, marker })
    }

    pub fn is_met_by(&self, version: &str) -> bool {
        Version::from_str(version).is_ok_and(|version| self.specifiers.contains(&version))
    }

    pub fn has_specifiers(&self) -> bool {
        !self.shown.is_empty()
    }

    /// Whether it is wanted at all, with these extras of whoever wants it.
    pub fn applies(&self, variables: &BTreeMap<&str, String>, extras: &[String]) -> Holds {
        let Some(marker) = &self.marker else { return Holds::Yes };
        let clauses: Vec<Holds> = marker.split(" and ").map(|clause| holds(clause, variables, extras)).collect();
        let is_plain = !marker.contains(['(', ')']) && !marker.contains(" or ");
        match () {
            () if !is_plain => Holds::NotSure,
            () if clauses.contains(&Holds::No) => Holds::No,
            () if clauses.contains(&Holds::NotSure) => Holds::NotSure,
            () => Holds::Yes,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.extras.is_empty() {
            write!(f, "[{}]", self.extras.join(","))?;
        }
        f.write_str(&self.shown.join(","))?;
        self.marker.as_ref().map_or(Ok(()), |marker| write!(f, "; {marker}"))
    }
}

/// `python_version >= "3.8"`.
fn holds(clause: &str, variables: &BTreeMap<&str, String>, extras: &[String]) -> Holds {
    let of = |is: bool| if is { Holds::Yes } else { Holds::No };
    let clause = clause.trim();
    let end = clause.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(clause.len());
    let (variable, rest) = clause.split_at(end);
    let Some((operator, value)) = rest.split_once(['"', '\'']) else { return Holds::NotSure };
    let (operator, value) = (operator.trim(), value.trim_end_matches(['"', '\'']));
    if variable == "extra" {
        return if operator == "==" { of(extras.iter().any(|extra| canonical(extra) == canonical(value))) } else { Holds::NotSure };
    }
    let Some(known) = variables.get(variable) else { return Holds::NotSure };
    if variable.starts_with("python") {
        let specifiers = VersionSpecifiers::from_str(&format!("{operator}{value}"));
        return match (specifiers, Version::from_str(known)) {
            (Ok(specifiers), Ok(version)) => of(specifiers.contains(&version)),
            _ => Holds::NotSure,
        };
    }
    match operator {
        "==" => of(known == value),
        "!=" => of(known != value),
        _ => Holds::NotSure,
    }
}

/// Names that differ in case, dots, dashes and underscores are the same (PEP 503).
pub fn canonical(name: &str) -> String {
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_lowercase()
}

/// Names as a playbook gives them, whose commas may stand between names or between bounds of one.
pub fn joined(given: &[String]) -> Vec<String> {
    const OPERATORS: [&str; 7] = [">=", "<=", ">", "<", "==", "!=", "~="];
    let mut names: Vec<String> = Vec::new();
    let mut in_brackets = false;
    for part in given.iter().flat_map(|name| name.split(',')) {
        let goes_on = in_brackets || OPERATORS.iter().any(|operator| part.trim_start().starts_with(operator));
        match names.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.push(',');
                last.push_str(part);
            }
            None => names.push(part.to_owned()),
        }
        in_brackets = (in_brackets || part.contains('[')) && !part.contains(']');
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_shown_as_pythons_library_shows_them() {
        for (given, shown) in [
            ("six", "six"),
            ("Django >1.11, <1.12", "Django<1.12,>1.11"),
            ("a.b[z, y] (==1.0)", "a.b[y,z]==1.0"),
            ("x ; python_version<'3'", "x; python_version<'3'"),
        ] {
            assert_eq!(Requirement::parse(given).expect("is one").to_string(), shown);
        }
        for address in ["./a.whl", "git+https://h/x", "https://h/x.whl", "a @ https://h/x", "-e x", "/srv/x"] {
            assert!(Requirement::parse(address).is_none(), "{address}");
        }
    }

    #[test]
    fn commas_stand_between_names_or_bounds() {
        let joined = |names: &[&str]| joined(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(joined(&["django>1.11.1", "<1.11.3", "x"]), ["django>1.11.1,<1.11.3", "x"]);
        assert_eq!(joined(&["django>1.11.1,<1.11.3,x", "y[a,b]>1"]), ["django>1.11.1,<1.11.3", "x", "y[a,b]>1"]);
    }

    #[test]
    fn conditions_are_known_or_not() {
        let variables = BTreeMap::from([("python_version", "3.11".to_owned()), ("sys_platform", "linux".to_owned())]);
        for (marker, holds) in [
            ("python_version >= '3.8'", Holds::Yes),
            ("python_version<\"3.8\"", Holds::No),
            ("sys_platform == 'win32' and platform_machine == 'x'", Holds::No),
            ("platform_machine == 'x'", Holds::NotSure),
            ("extra == 'Socks'", Holds::Yes),
            ("extra == 'other'", Holds::No),
            ("python_version < '3' or sys_platform == 'linux'", Holds::NotSure),
        ] {
            let requirement = Requirement::parse(&format!("x; {marker}")).expect("is one");
            assert_eq!(requirement.applies(&variables, &["socks".to_owned()]), holds, "{marker}");
        }
    }
}
