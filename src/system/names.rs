//! Names: of hosts as /etc/hosts has them, and shell patterns of names.

/// The first name with a domain that the file has for a host's address, as `socket.getfqdn` finds it there; else the
/// address's first name; else the name itself. No name server is asked: this must not wait for the network.
pub fn full_name(nodename: &str, hosts: &str) -> String {
    let lines: Vec<Vec<&str>> = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace().collect()).collect();
    let address = lines.iter().find(|words| words.iter().skip(1).any(|name| *name == nodename)).and_then(|words| words.first());
    let names = address.and_then(|address| lines.iter().find(|words| words.first() == Some(address))).map(|words| &words[1..]);
    let Some(names) = names else { return nodename.to_owned() };
    names.iter().find(|name| name.contains('.')).or(names.first()).map_or(nodename, |name| name).to_owned()
}

/// fnmatch(3) as Python has it: `*`, `?`, `[abc]`, `[!abc]`. For many names: a [`Pattern`].
pub fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).matches(name)
}

/// Such a pattern, made once for many names.
pub struct Pattern(Option<fancy_regex::Regex>);

impl Pattern {
    pub fn new(pattern: &str) -> Self {
        Self(fancy_regex::Regex::new(&regex_of(pattern)).ok())
    }

    pub fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(name).unwrap_or(false))
    }
}

fn regex_of(pattern: &str) -> String {
    let mut regex = String::from("^(?s:");
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' if letters.clone().any(|later| later == ']') => {
                regex.push('[');
                if letters.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
                for letter in letters.by_ref() {
                    if letter == ']' {
                        break;
                    }
                    if matches!(letter, '\\' | '[' | '^') {
                        regex.push('\\');
                    }
                    regex.push(letter);
                }
                regex.push(']');
            }
            other => regex.push_str(&fancy_regex::escape(&other.to_string())),
        }
    }
    regex.push_str(")$");
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_leads_to_the_name_with_a_domain() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 web web.example.com # ours\n10.0.0.9 db\n";
        assert_eq!(full_name("web", hosts), "web.example.com");
        assert_eq!(full_name("db", hosts), "db");
        assert_eq!(full_name("other", hosts), "other");
        assert_eq!(full_name("vm", "127.0.0.1 localhost\n127.0.0.1 vm\n"), "localhost");
    }
}
