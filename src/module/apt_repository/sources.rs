//! Files of sources in apt's one-line form: sources.list(5).

use std::path::PathBuf;

use super::Change;

/// One line.
pub(super) struct Line {
    /// As it is written, without its end.
    written: String,
    /// The source with single spaces, if it is one.
    pub source: Option<String>,
    pub enabled: bool,
    comment: String,
    /// What was taken for the source.
    pub read: String,
}

/// `# deb  http://x y z  # why` is a source that is not enabled.
pub(super) fn parse(written: &str) -> Line {
    let mut read = written.trim();
    let enabled = !read.starts_with('#');
    read = read.strip_prefix('#').unwrap_or(read);
    let mut comment = "";
    if let Some(index) = read.find('#').filter(|index| *index > 0) {
        (read, comment) = (&read[..index], read[index + 1..].trim());
    }
    let words: Vec<&str> = read.split_whitespace().collect();
    let source = matches!(words.first(), Some(&("deb" | "deb-src"))).then(|| words.join(" "));
    Line { written: written.to_owned(), source, enabled, comment: comment.to_owned(), read: read.to_owned() }
}

/// One file.
pub(super) struct List {
    pub path: PathBuf,
    pub lines: Vec<Line>,
    former: Option<Vec<u8>>,
}

impl List {
    pub fn new(path: PathBuf) -> Self {
        Self { path, lines: Vec::new(), former: None }
    }

    pub fn read(path: PathBuf, content: Vec<u8>) -> Self {
        let lines = String::from_utf8_lossy(&content).lines().map(parse).collect();
        Self { path, lines, former: Some(content) }
    }

    /// With every such source enabled; `None`: it is so.
    pub fn enabled(mut self, source: &str) -> Option<Change> {
        let mut is_changed = false;
        for line in self.lines.iter_mut().filter(|line| !line.enabled && line.source.as_deref() == Some(source)) {
            let comment = if line.comment.is_empty() { String::new() } else { format!(" # {}", line.comment) };
            line.written = format!("{source}{comment}");
            is_changed = true;
        }
        is_changed.then(|| self.changed(false))
    }

    /// With the source as its last line.
    pub fn and(mut self, source: &str) -> Change {
        self.lines.push(parse(source));
        self.changed(true)
    }

    /// Without such sources that are enabled; `None`: there are none. A file without lines goes.
    pub fn without(mut self, source: &str) -> Option<Change> {
        let before = self.lines.len();
        self.lines.retain(|line| !line.enabled || line.source.as_deref() != Some(source));
        (self.lines.len() < before).then(|| self.changed(false))
    }

    fn changed(self, is_new: bool) -> Change {
        let text: String = self.lines.iter().map(|line| format!("{}\n", line.written)).collect();
        Change { path: self.path, former: self.former, content: (!text.is_empty()).then_some(text), is_new }
    }
}

/// The name of the file that a new source goes to: of its address, as Ansible makes it.
pub(super) fn file_name(source: &str, given: Option<&str>) -> String {
    if let Some(given) = given {
        return format!("{given}.list");
    }
    let mut text = String::new();
    let mut rest = source;
    // Options in brackets are left out.
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']').filter(|close| *close > 1) else { break };
        text.push_str(&rest[..open]);
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    let address = text.split_whitespace().find(|word| !matches!(*word, "deb" | "deb-src")).unwrap_or_default();
    let address = address.split_once("://").map_or(address, |(_, behind)| behind);
    let address = address.split_once('@').map_or(address, |(_, behind)| behind);
    let words: Vec<&str> = address.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}.list", words.join("_"))
}

#[cfg(test)]
mod tests {
    use super::{file_name, parse};

    #[test]
    fn a_file_is_named_by_the_address() {
        for (source, name) in [
            ("deb http://archive.canonical.com/ubuntu hardy partner", "archive_canonical_com_ubuntu.list"),
            ("deb [arch=amd64 signed-by=/etc/x.asc] https://download.docker.com/linux/debian bookworm stable", "download_docker_com_linux_debian.list"),
            ("deb-src https://user:secret@repo.example.org:8443/a-b/ ./", "repo_example_org_8443_a_b.list"),
        ] {
            assert_eq!(file_name(source, None), name);
        }
        assert_eq!(file_name("deb http://x y", Some("mine")), "mine.list");
    }

    #[test]
    fn a_line_is_read_as_apt_reads_it() {
        let line = parse("#  deb   http://x  y z # why");
        assert_eq!((line.source.as_deref(), line.enabled, line.comment.as_str()), (Some("deb http://x y z"), false, "why"));
        assert_eq!(parse("# Debian 12").source, None);
        assert_eq!(parse("").source, None);
    }
}
