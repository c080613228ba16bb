//! OpenSSH's configuration: `~/.ssh/config`, `/etc/ssh/ssh_config`, and the options of a command line.
//!
//! Source: ssh_config(5). The first value of a keyword wins, so layers are read from the strongest to the weakest.
//! What OpenSSH only shows, multiplexes or tunes is skipped; what changes who is reached or how and is not ours is
//! listed in [`Options::unsupported`], and such a host goes through the `ssh` program.

use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind, Result, plain};
use crate::program::glob::wildcards;

/// Keywords and their arguments, strongest first.
#[derive(Clone, Debug, Default)]
pub struct Options {
    entries: Vec<(String, Vec<String>)>,
    /// `-F`; `none` reads no file.
    pub file: Option<PathBuf>,
    /// What is asked for and not ours: ``BindAddress in /etc/ssh/ssh_config:12``.
    pub unsupported: Vec<String>,
}

/// Who asks: `Match` and `~` need it.
#[derive(Clone, Debug, Default)]
pub struct Person {
    pub home: PathBuf,
    pub name: String,
}

/// Read by [`super::target`].
const USED: &[&str] = &[
    "certificatefile",
    "connecttimeout",
    "globalknownhostsfile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "challengeresponseauthentication",
    "port",
    "preferredauthentications",
    "proxycommand",
    "proxyjump",
    "pubkeyauthentication",
    "stricthostkeychecking",
    "user",
    "userknownhostsfile",
];

/// Would reach another host, by another way, or with another proof, if it were skipped.
const CHANGES_WHO: &[&str] = &[
    "addressfamily",
    "bindaddress",
    "bindinterface",
    "canonicalizehostname",
    "hostbasedauthentication",
    "knownhostscommand",
    "pkcs11provider",
    "proxyusefdpass",
    "revokedhostkeys",
    "smartcarddevice",
];

impl Options {
    /// Options as `ansible_ssh_common_args` and the like hold them, already split into words.
    pub fn from_arguments(words: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                return Err(Error::new(ErrorKind::Configuration, format!("ssh argument `{word}` is not an option")));
            };
            for (index, letter) in letters.char_indices() {
                if "aACfgGkKMnNqstTvVxXyY46".contains(letter) {
                    if "46".contains(letter) {
                        options.unsupported.push(format!("-{letter}"));
                    }
                    continue;
                }
                let rest = &letters[index + letter.len_utf8()..];
                let value = if rest.is_empty() { words.next().cloned() } else { Some(rest.to_owned()) };
                let Some(value) = value else {
                    return Err(Error::new(ErrorKind::Configuration, format!("ssh option `-{letter}` has no value")));
                };
                match letter {
                    'o' => options.line(&value, "-o")?,
                    'p' => options.add("port", vec![value], "-p"),
                    'l' => options.add("user", vec![value], "-l"),
                    'i' => options.add("identityfile", vec![value], "-i"),
                    'J' => options.add("proxyjump", vec![value], "-J"),
                    'F' => options.file = Some(PathBuf::from(value)),
                    // Multiplexing, logs, forwarding, ciphers: nothing that we would do otherwise.
                    'c' | 'D' | 'e' | 'E' | 'L' | 'm' | 'O' | 'P' | 'Q' | 'R' | 'S' | 'w' | 'W' => {}
                    _ => options.unsupported.push(format!("-{letter}")),
                }
                break;
            }
        }
        Ok(options)
    }

    /// Puts one option below those that are there.
    pub fn set(&mut self, keyword: &str, value: impl Into<String>) {
        self.add(&keyword.to_ascii_lowercase(), vec![value.into()], "");
    }

    /// Reads the files that apply to a host below what is there: `-F`, or the user's and the system's.
    pub fn read_files(&mut self, host: &str, person: &Person) -> Result<()> {
        match self.file.clone() {
            Some(file) if file == Path::new("none") => Ok(()),
            Some(file) => {
                if !file.exists() {
                    return Err(Error::new(ErrorKind::Configuration, format!("read {}: no such file or directory", file.display())));
                }
                self.read(&file, host, person, 0)
            }
            None => {
                self.read(&person.home.join(".ssh/config"), host, person, 0)?;
                self.read(Path::new("/etc/ssh/ssh_config"), host, person, 0)
            }
        }
    }

    fn read(&mut self, file: &Path, host: &str, person: &Person, depth: u8) -> Result<()> {
        let text = match std::fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::new(ErrorKind::Configuration, format!("read {}: {}", file.display(), plain(&error)))),
        };
        let mut applies = true;
        for (index, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), index + 1);
            let Some((keyword, arguments)) = split_line(line).map_err(|error| error.while_doing(&place))? else { continue };
            match &*keyword {
                "host" => applies = matches_host(&arguments, host),
                "match" => applies = self.matches(&arguments, host, person, &place),
                "include" if applies => {
                    // OpenSSH stops at 16.
                    if depth == 16 {
                        return Err(Error::new(ErrorKind::Configuration, format!("{place}: Include goes too deep")));
                    }
                    for included in arguments.iter().flat_map(|pattern| files_of(pattern, file, person)) {
                        self.read(&included, host, person, depth + 1)?;
                    }
                }
                _ if applies => self.add(&keyword, arguments, &place),
                _ => {}
            }
        }
        Ok(())
    }

    /// `Keyword value` or `Keyword=value`.
    fn line(&mut self, text: &str, place: &str) -> Result<()> {
        if let Some((keyword, arguments)) = split_line(text).map_err(|error| error.while_doing(format!("{place} {text}")))? {
            self.add(&keyword, arguments, place);
        }
        Ok(())
    }

    fn add(&mut self, keyword: &str, arguments: Vec<String>, place: &str) {
        let off = arguments.first().is_some_and(|value| matches!(&*value.to_ascii_lowercase(), "no" | "none" | "any"));
        if CHANGES_WHO.contains(&keyword) && !off {
            self.unsupported.push(format!("{keyword} in {place}"));
        } else if USED.contains(&keyword) && !arguments.is_empty() {
            self.entries.push((keyword.to_owned(), arguments));
        }
    }

    fn matches(&mut self, criteria: &[String], host: &str, person: &Person, place: &str) -> bool {
        let mut words = criteria.iter();
        while let Some(word) = words.next() {
            let (negated, criterion) = word.strip_prefix('!').map_or((false, &**word), |rest| (true, rest));
            let criterion = criterion.to_ascii_lowercase();
            let matched = match &*criterion {
                "all" => true,
                // Second passes over the files are not made, as OpenSSH makes none unless they are asked for.
                "canonical" | "final" => false,
                _ => {
                    let Some(patterns) = words.next() else { return false };
                    let patterns: Vec<String> = patterns.split(',').map(str::to_owned).collect();
                    match &*criterion {
                        "host" => matches_host(&patterns, &self.host_name(host)),
                        "originalhost" => matches_host(&patterns, host),
                        "user" => matches_host(&patterns, self.first("user").unwrap_or(&person.name)),
                        "localuser" => matches_host(&patterns, &person.name),
                        _ => {
                            self.unsupported.push(format!("Match {criterion} in {place}"));
                            return false;
                        }
                    }
                }
            };
            if matched == negated {
                return false;
            }
        }
        true
    }

    /// The address that `HostName` gives a name.
    pub fn host_name(&self, host: &str) -> String {
        self.first("hostname").map_or_else(|| host.to_owned(), |name| name.replace("%h", host).replace("%%", "%"))
    }

    pub fn first(&self, keyword: &str) -> Option<&str> {
        self.arguments(keyword)?.first().map(String::as_str)
    }

    /// The strongest value with all its words.
    pub fn arguments(&self, keyword: &str) -> Option<&[String]> {
        self.entries.iter().find(|(name, _)| name == keyword).map(|(_, arguments)| &arguments[..])
    }

    /// Every value, for the keywords that add up: `IdentityFile`, `CertificateFile`.
    pub fn all(&self, keyword: &str) -> Vec<&str> {
        self.entries.iter().filter(|(name, _)| name == keyword).filter_map(|(_, arguments)| arguments.first().map(String::as_str)).collect()
    }

    /// Which of two keywords was said first: `ProxyJump` and `ProxyCommand` exclude each other so.
    pub fn earlier<'a>(&self, keywords: [&'a str; 2]) -> Option<&'a str> {
        self.entries.iter().find_map(|(name, _)| keywords.into_iter().find(|keyword| name == keyword))
    }

    pub fn flag(&self, keyword: &str, default: bool) -> bool {
        self.first(keyword).map_or(default, |value| matches!(&*value.to_ascii_lowercase(), "yes" | "true"))
    }
}

fn matches_host(patterns: &[String], host: &str) -> bool {
    let host = host.to_lowercase();
    let mut matched = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcards(&pattern.to_lowercase(), &host) => return false,
            Some(_) => {}
            None => matched |= wildcards(&pattern.to_lowercase(), &host),
        }
    }
    matched
}

/// Keyword in small letters and its arguments; `ProxyCommand` and the like keep the rest of the line as one.
fn split_line(line: &str) -> Result<Option<(String, Vec<String>)>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|letter: char| letter.is_whitespace() || letter == '=').unwrap_or(line.len());
    let keyword = line[..end].to_ascii_lowercase();
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
    if matches!(&*keyword, "proxycommand" | "localcommand" | "remotecommand" | "knownhostscommand") {
        return Ok(Some((keyword, vec![rest.to_owned()])));
    }
    Ok(Some((keyword, split_words(rest)?)))
}

/// Words as ssh_config(5) splits them: quotes hold spaces together, `#` starts a comment before a word.
fn split_words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        match letters.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(letter) = letters.next_if(|letter| quote.is_some() || !letter.is_whitespace()) {
            match letter {
                '"' | '\'' if quote == Some(letter) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(letter),
                '\\' if letters.peek().is_some_and(|next| "\"'\\".contains(*next) || quote.is_none() && *next == ' ') => {
                    word.extend(letters.next());
                }
                letter => word.push(letter),
            }
        }
        if quote.is_some() {
            return Err(Error::new(ErrorKind::Configuration, "unmatched quote"));
        }
        words.push(word);
    }
}

/// The files of an `Include`, in order; `*` and `?` in the last part only, as configurations use it.
fn files_of(pattern: &str, from: &Path, person: &Person) -> Vec<PathBuf> {
    let path = expand_home(pattern, person);
    let base =
        if from.starts_with(&person.home) || !from.starts_with("/etc") { person.home.join(".ssh") } else { PathBuf::from("/etc/ssh") };
    let path = base.join(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return Vec::new() };
    if !name.contains(['*', '?']) {
        return vec![path];
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<_> =
        names.filter(|entry| !entry.starts_with('.') && wildcards(name, entry)).map(|entry| folder.join(entry)).collect();
    files.sort();
    files
}

/// `~/…` and `~`.
pub fn expand_home(path: &str, person: &Person) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => person.home.clone(),
        Some(rest) if rest.starts_with('/') => person.home.join(&rest[1..]),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, host: &str) -> Options {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("config");
        std::fs::write(&file, text).expect("write");
        let mut options = Options { file: Some(file), ..Options::default() };
        let person = Person { home: folder.path().to_owned(), name: "me".to_owned() };
        options.read_files(host, &person).expect("a valid configuration");
        options
    }

    const TEXT: &str = "User first\nHost web-* !web-9\n  HostName %h.example.org\n  Port=2222\n  IdentityFile \"~/my keys/web\"\nHost *\n  User second\n  IdentityFile ~/.ssh/all # comment\n  ProxyCommand ssh -W %h:%p gate # not a comment\n";

    #[test]
    fn first_value_of_a_keyword_wins() {
        let options = read(TEXT, "web-1");
        assert_eq!(options.first("user"), Some("first"));
        assert_eq!(options.first("port"), Some("2222"));
        assert_eq!(options.host_name("web-1"), "web-1.example.org");
    }

    #[test]
    fn identity_files_add_up_and_keep_quoted_spaces() {
        assert_eq!(read(TEXT, "web-1").all("identityfile"), ["~/my keys/web", "~/.ssh/all"]);
    }

    #[test]
    fn negated_pattern_excludes_a_host() {
        assert_eq!(read(TEXT, "web-9").first("port"), None);
    }

    #[test]
    fn a_proxy_command_is_the_rest_of_its_line() {
        assert_eq!(read(TEXT, "x").first("proxycommand"), Some("ssh -W %h:%p gate # not a comment"));
    }

    #[test]
    fn match_host_sees_the_name_after_hostname() {
        let text = "Host short\n HostName long.example.org\nMatch host *.example.org user me\n Port 7\nMatch originalhost short\n HostKeyAlias a\n";
        let options = read(text, "short");
        assert_eq!((options.first("port"), options.first("hostkeyalias")), (Some("7"), Some("a")));
    }

    #[test]
    fn match_exec_is_listed_as_unsupported() {
        let options = read("Match exec \"true\"\n Port 9\n", "x");
        assert_eq!(options.first("port"), None);
        assert!(options.unsupported[0].starts_with("Match exec in "), "{:?}", options.unsupported);
    }

    #[test]
    fn included_files_are_read_in_place() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let ssh = folder.path().join(".ssh");
        std::fs::create_dir_all(ssh.join("conf.d")).expect("folder");
        std::fs::write(ssh.join("conf.d/b.conf"), "Port 2\n").expect("write");
        std::fs::write(ssh.join("conf.d/a.conf"), "Port 1\n").expect("write");
        std::fs::write(ssh.join("config"), "Include conf.d/*.conf\nPort 3\n").expect("write");
        let mut options = Options::default();
        options.read_files("x", &Person { home: folder.path().to_owned(), name: "me".to_owned() }).expect("valid");
        assert_eq!(options.first("port"), Some("1"));
    }

    #[test]
    fn command_line_options_are_read_in_every_form() {
        let words: Vec<String> =
            ["-C", "-o", "ControlMaster=auto", "-oPort=7", "-qi", "key", "-J", "gate", "-o", "UserKnownHostsFile /dev/null"]
                .map(String::from)
                .into();
        let options = Options::from_arguments(&words).expect("valid");
        assert_eq!(options.first("port"), Some("7"));
        assert_eq!(options.first("identityfile"), Some("key"));
        assert_eq!(options.first("proxyjump"), Some("gate"));
        assert_eq!(options.first("userknownhostsfile"), Some("/dev/null"));
        assert!(options.unsupported.is_empty());
    }

    #[test]
    fn an_option_that_changes_the_way_is_listed() {
        let words: Vec<String> = ["-o", "BindAddress=10.0.0.1", "-o", "BindInterface=none"].map(String::from).into();
        assert_eq!(Options::from_arguments(&words).expect("valid").unsupported, ["bindaddress in -o"]);
    }
}
