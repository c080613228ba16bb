//! The lines of authorized_keys: sshd(8), AUTHORIZED_KEYS FILE FORMAT.

use std::collections::BTreeMap;

/// Words that say that a key follows.
const TYPES: [&str; 10] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-dss",
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-xmss@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
];
/// What a certificate's type ends with.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// Options as they are written, in order; some have values.
type Options = Vec<(String, Option<String>)>;

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Which key it is: its Base64.
    id: String,
    kind: String,
    pub options: Options,
    pub comment: String,
}

impl Key {
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.replace("\\#", "#");
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_none_or(|first| first.starts_with('#')) {
            return None;
        }
        let at = words.iter().position(|word| TYPES.contains(word) || word.ends_with(CERTIFICATE))?;
        let id = (*words.get(at + 1)?).to_owned();
        Some(Self { id, kind: words[at].to_owned(), options: options(&words[..at].join(" ")), comment: words[at + 2..].join(" ") })
    }

    fn is_like(&self, other: &Self) -> bool {
        let by_name = |options: &Options| {
            let mut found: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
            options.iter().for_each(|(name, value)| found.entry(name.clone()).or_default().push(value.clone()));
            found
        };
        self.kind == other.kind && self.comment == other.comment && by_name(&self.options) == by_name(&other.options)
    }

    fn line(&self) -> String {
        let options: Vec<String> =
            self.options.iter().map(|(name, value)| value.as_ref().map_or(name.clone(), |value| format!("{name}={value}"))).collect();
        let words = [options.join(","), self.kind.clone(), self.id.clone(), self.comment.clone()];
        words.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// `no-pty,from="10.0.0.1,10.0.0.2"`: commas within quotes divide nothing.
pub(super) fn options(text: &str) -> Options {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for letter in text.chars() {
        match (quote, letter) {
            (None, ',') => parts.push(String::new()),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        if letter != ',' || quote.is_some() {
            parts.last_mut().expect("there is one").push(letter);
        }
    }
    let option = |part: String| match part.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (part, None),
    };
    parts.into_iter().filter(|part| !part.is_empty()).map(option).collect()
}

/// A file's lines, each as it is written, with its key.
pub(super) struct Lines(Vec<(String, Option<Key>)>);

impl Lines {
    pub fn read(text: &str) -> Self {
        Self(text.lines().map(|line| (line.to_owned(), Key::parse(line))).collect())
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|(line, _)| format!("{line}\n")).collect()
    }

    /// With these keys, and nothing else if they are to be `alone`; whether that is a change. One that is there with other words is
    /// replaced by a line at the end.
    pub fn with(&mut self, wanted: &[Key], alone: bool) -> bool {
        let mut changed = false;
        for key in wanted {
            // Of several lines with one key the last counts.
            let found = self.0.iter().rev().find_map(|(_, found)| found.as_ref().filter(|found| found.id == key.id));
            if found.is_some_and(|found| found.is_like(key)) {
                continue;
            }
            self.0.retain(|(_, found)| found.as_ref().is_none_or(|found| found.id != key.id));
            self.0.push((key.line(), Some(key.clone())));
            changed = true;
        }
        if alone {
            let before = self.0.len();
            self.0.retain(|(_, found)| found.as_ref().is_some_and(|found| wanted.iter().any(|key| key.id == found.id)));
            changed |= self.0.len() < before;
        }
        changed
    }

    /// Without these keys, whatever their options; whether that is a change.
    pub fn without(&mut self, wanted: &[Key]) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, found)| found.as_ref().is_none_or(|found| wanted.iter().all(|key| key.id != found.id)));
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, options};

    #[test]
    fn a_key_is_found_behind_its_options() {
        let key = Key::parse(r#"no-pty,command="echo, hi  there" ssh-ed25519 AAAA me at home"#).unwrap();
        assert_eq!((key.id.as_str(), key.kind.as_str(), key.comment.as_str()), ("AAAA", "ssh-ed25519", "me at home"));
        assert_eq!(key.options, [("no-pty".to_owned(), None), ("command".to_owned(), Some("\"echo, hi there\"".to_owned()))]);
        assert_eq!(key.line(), r#"no-pty,command="echo, hi there" ssh-ed25519 AAAA me at home"#);
        assert!(Key::parse("ssh-ed25519").is_none());
        assert!(Key::parse("# ssh-rsa AAAA").is_none());
        assert!(Key::parse("hello").is_none());
        assert_eq!(options(""), []);
    }

    #[test]
    fn options_may_stand_in_any_order() {
        let key = |line: &str| Key::parse(line).unwrap();
        assert!(key("a,b=\"1\" ssh-rsa X c").is_like(&key("b=\"1\",a ssh-rsa X c")));
        assert!(!key("a ssh-rsa X c").is_like(&key("ssh-rsa X c")));
        assert!(!key("ssh-rsa X c").is_like(&key("ssh-rsa X d")));
    }
}
