//! `find`: files and folders by name, age, size, mode and content.

use std::path::{Path, PathBuf};

use super::arguments::PathText;
use super::copy::plain;
use super::encoding::Encoding;
use crate::program::glob::glob;
use super::file_arguments::{followed, fresh, is_directory, resolve_mode, text};
use super::stat::{Algorithm, known, lstat};
use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::{Map, Value};
use crate::system::{Error, ErrorKind, FileKind, Metadata, Result, System};
use crate::template::regex;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Find>(&["find", "ansible.builtin.find"]);

arguments! {
    /// Find files and folders of the node. Arguments and results as in `ansible.builtin.find`; in every folder in the order of
    /// names.
    pub struct Find {
        /// Folders to look in.
        paths: Vec<PathText> [required, aliases(&["name", "path"])],
        /// Shell patterns of names, patterns of Python with `use_regex`; default: all.
        patterns: Vec<String> [default(""), aliases(&["pattern"])],
        /// The same for what is left out.
        excludes: Option<Vec<String>> [aliases(&["exclude"])],
        /// A pattern that a line of the file begins with; only with `file_type: file`.
        contains: Option<String> [checked(check_pattern)],
        /// Look for `contains` anywhere in the whole file.
        read_whole_file: bool [default("no")],
        /// What is looked for.
        file_type: FileType [default("file")],
        /// So old at least, as `2h`; with a minus at most. Units s, m, h, d, w.
        age: Option<String> [checked(check_age)],
        /// By which time.
        age_stamp: AgeStamp [default("mtime")],
        /// So big at least, as `10m`; with a minus at most. Units b, k, m, g, t.
        size: Option<String> [checked(check_size)],
        /// Look in folders below, too.
        recurse: bool [default("no")],
        /// Find names that begin with a dot, too.
        hidden: bool [default("no")],
        /// Follow links to folders.
        follow: bool [default("no")],
        /// Return a checksum of each file.
        get_checksum: bool [default("no")],
        /// Digest of the checksum.
        checksum_algorithm: Algorithm [default("sha1"), aliases(&["checksum", "checksum_algo"])],
        /// Patterns are Python's.
        use_regex: bool [default("no")],
        /// How far below to look.
        depth: Option<i64>,
        /// Permissions: octal in quotes or symbolic.
        mode: Option<Value>,
        /// Exactly these permissions; else any of them.
        exact_mode: bool [default("yes")],
        /// How files are encoded that `contains` looks into; default UTF-8.
        encoding: Option<String> [checked(super::encoding::check)],
        /// So many at most.
        limit: Option<i64>,
    }
}

choices! {
    /// What is looked for.
    pub enum FileType {
        /// Everything.
        Any = "any",
        /// Folders.
        Directory = "directory",
        /// Regular files.
        File = "file",
        /// Links.
        Link = "link",
    }
}

choices! {
    /// A time of a file.
    pub enum AgeStamp {
        /// Of the last access.
        Atime = "atime",
        /// Of the last change of owner, mode or content.
        Ctime = "ctime",
        /// Of the last change of content.
        Mtime = "mtime",
    }
}

fn check_pattern(pattern: &str) -> std::result::Result<(), String> {
    regex::flagged(pattern, "").map(drop).map_err(|error| error.message)
}

fn check_age(text: &str) -> std::result::Result<(), String> {
    amount(text, &AGES).map(drop).ok_or_else(|| format!("{text:?} is no age: a number with s, m, h, d or w"))
}

fn check_size(text: &str) -> std::result::Result<(), String> {
    amount(text, &SIZES).map(drop).ok_or_else(|| format!("{text:?} is no size: a number with b, k, m, g or t"))
}

/// Seconds.
const AGES: [(char, i64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];
/// Bytes.
const SIZES: [(char, i64); 5] = [('b', 1), ('k', 1 << 10), ('m', 1 << 20), ('g', 1 << 30), ('t', 1 << 40)];

fn amount(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let text = text.to_lowercase();
    let last = text.chars().last().and_then(|last| units.iter().find(|(unit, _)| *unit == last));
    let (digits, unit) = last.map_or((text.as_str(), 1), |(letter, unit)| (text.trim_end_matches(*letter), *unit));
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    let is_number = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit()) && text.len() - digits.len() <= 1;
    digits.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(unit)
}

/// What is found so far.
struct Search<'run> {
    find: &'run Find,
    system: &'run dyn System,
    age: Option<i64>,
    size: Option<i64>,
    mode: Option<u32>,
    encoding: Encoding,
    patterns: Vec<String>,
    now: f64,
    files: Vec<Value>,
    examined: i64,
    skipped: Map,
    full: bool,
}

impl Module for Find {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let read = |argument: &str, given: &Option<String>, units: &[(char, i64)]| {
            let bad = |text: &String| Error::failed(format!("failed to process {argument}")).detail(argument, text.as_str());
            given.as_ref().map(|text| amount(text, units).ok_or_else(|| bad(text))).transpose()
        };
        if let Some(limit) = self.limit.filter(|limit| *limit <= 0) {
            return Err(Error::failed(format!("limit cannot be {limit} (use None for unlimited)")));
        }
        let all = if self.use_regex { ".*" } else { "*" };
        let patterns: Vec<String> = self.patterns.iter().filter(|pattern| !pattern.is_empty()).cloned().collect();
        let now = context.system.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut search = Search {
            find: self,
            system: context.system,
            age: read("age", &self.age, &AGES)?,
            size: read("size", &self.size, &SIZES)?,
            mode: self.wanted_mode()?,
            encoding: self.encoding.as_deref().map_or(Ok(Encoding::Utf8), Encoding::of)?,
            patterns: if patterns.is_empty() { vec![all.to_owned()] } else { patterns },
            now,
            files: Vec::new(),
            examined: 0,
            skipped: Map::new(),
            full: false,
        };
        let mut warnings = Vec::new();
        for path in &self.paths {
            let outcome = if is_directory(path.path(), context.system)? {
                search.folder(path.path(), 1, &mut Vec::new())
            } else {
                Err(Error::failed(format!("'{}' is not a directory", path.0)))
            };
            match outcome {
                Err(error) if error.unknown_cause().is_some() => return Err(error),
                Err(error) => {
                    warnings.push(format!("Skipped '{}' path due to this access issue: {}\n", path.0, error.message));
                    search.skipped.insert(path.0.as_str().into(), error.message.into());
                }
                Ok(()) => {}
            }
        }
        let message = match (warnings.is_empty(), search.full) {
            (false, _) => "Not all paths examined, check warnings for details",
            (true, true) => "Limit of matches reached",
            (true, false) => "All paths examined",
        };
        let matched = search.files.len() as i64;
        let outcome = Outcome { warnings, ..Outcome::ok() }
            .with("files", search.files)
            .with("msg", message)
            .with("matched", matched)
            .with("examined", search.examined)
            .with("skipped_paths", search.skipped);
        Ok(Plan::done(outcome))
    }
}

impl Find {
    fn wanted_mode(&self) -> Result<Option<u32>> {
        match &self.mode {
            None => Ok(None),
            Some(Value::Text(mode)) if mode.as_str().is_empty() => Ok(None),
            Some(Value::Text(mode)) => {
                let like = Metadata { mode: 0, ..fresh(FileKind::File) };
                resolve_mode(&Value::text(mode.as_str()), Path::new(""), &like).map(Some)
            }
            Some(other) => Err(Error::failed(format!(
                "argument 'mode' is not a string and conversion is not allowed, value is of type {}",
                if matches!(other, Value::Int(_)) { "int" } else { "float" }
            ))),
        }
    }
}

impl Search<'_> {
    /// All of a folder, files before folders, then what is below; `depth` counts from 1. `above`: folders on the way here.
    fn folder(&mut self, folder: &Path, depth: i64, above: &mut Vec<PathBuf>) -> Result<()> {
        let names = match self.system.list(folder) {
            Ok(names) => names.unwrap_or_default(),
            Err(error) if error.kind == ErrorKind::Denied => {
                let why = format!("[Errno 13] Permission denied: '{}'", folder.display());
                self.skipped.insert(text(folder).into(), why.into());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.examined += names.len() as i64;
        if self.find.depth.is_some_and(|most| most != 0 && depth > most) {
            return Ok(());
        }
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for name in names {
            let path = folder.join(&name);
            let Some(found) = self.system.metadata(&path)? else { continue };
            let leads = match found.kind {
                FileKind::Symlink => followed(&path, self.system)?.is_some_and(|target| target.kind == FileKind::Directory),
                kind => kind == FileKind::Directory,
            };
            if leads { &mut folders } else { &mut files }.push((name, path, found));
        }
        for (name, path, found) in files.iter().chain(&folders) {
            if name.starts_with('.') && !self.find.hidden {
                continue;
            }
            if self.fits(name, path, found)? {
                let entry = self.describe(path, found)?;
                self.files.push(entry);
            }
            if self.find.limit.is_some_and(|limit| self.files.len() as i64 == limit) {
                self.full = true;
                return Ok(());
            }
        }
        if !self.find.recurse {
            return Ok(());
        }
        above.push(self.system.canonical(folder)?);
        for (_, path, found) in folders {
            let is_link = found.kind == FileKind::Symlink;
            // A link back to where we come from has no end.
            let enters = !is_link || self.find.follow && !above.contains(&self.system.canonical(&path)?);
            if enters && !self.full {
                self.folder(&path, depth + 1, above)?;
            }
        }
        above.pop();
        Ok(())
    }

    fn fits(&self, name: &str, path: &Path, found: &Metadata) -> Result<bool> {
        let regular = found.kind == FileKind::File;
        let right_kind = match self.find.file_type {
            FileType::Any => true,
            FileType::Directory => found.kind == FileKind::Directory,
            FileType::File => regular,
            FileType::Link => found.kind == FileKind::Symlink,
        };
        if !right_kind || !self.named(name)? || !self.aged(found)? || !self.permitted(found) || regular && !self.sized(found) {
            return Ok(false);
        }
        if self.find.file_type == FileType::File { self.contains(path) } else { Ok(true) }
    }

    fn named(&self, name: &str) -> Result<bool> {
        let any = |patterns: &[String]| -> Result<bool> {
            for pattern in patterns {
                let fits = if self.find.use_regex {
                    regex::matches(name, pattern, false, false, "match").map_err(|error| Error::failed(error.message))?
                } else {
                    glob(pattern, name)
                };
                if fits {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        Ok(any(&self.patterns)? && !any(self.find.excludes.as_deref().unwrap_or_default())?)
    }

    fn aged(&self, found: &Metadata) -> Result<bool> {
        let Some(age) = self.age else { return Ok(true) };
        let stamp = match self.find.age_stamp {
            AgeStamp::Atime => found.accessed,
            AgeStamp::Ctime => found.changed,
            AgeStamp::Mtime => found.modified,
        };
        if stamp.is_nan() {
            return Err(Error::unknown("the time of a new file"));
        }
        let old = self.now - stamp;
        Ok(if age >= 0 { old >= age as f64 } else { old <= -age as f64 })
    }

    fn sized(&self, found: &Metadata) -> bool {
        let size = i64::try_from(found.size).unwrap_or(i64::MAX);
        self.size.is_none_or(|wanted| if wanted >= 0 { size >= wanted } else { size <= -wanted })
    }

    fn permitted(&self, found: &Metadata) -> bool {
        self.mode.is_none_or(|mode| if self.find.exact_mode { found.mode == mode } else { found.mode & mode != 0 })
    }

    fn contains(&self, path: &Path) -> Result<bool> {
        let Some(pattern) = &self.find.contains else { return Ok(true) };
        let bytes = match self.system.read(path) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) if error.unknown_cause().is_some() => return Err(error),
            Err(_) => return Ok(false),
        };
        let name = self.find.encoding.as_deref().unwrap_or("None (default determined by the Python built-in function \"open\")");
        let content = self.encoding.strict(&bytes).ok_or_else(|| {
            Error::failed(format!("Failed to read the file {} due to an encoding error. current encoding: {name}", path.display()))
        })?;
        // Every end of a line is `\n` then.
        let content = content.replace("\r\n", "\n").replace('\r', "\n");
        let holds = |content: &str, how: &str| {
            regex::matches(content, pattern, false, false, how).map_err(|error| Error::failed(error.message))
        };
        if self.find.read_whole_file {
            return holds(&content, "search");
        }
        for line in content.split_inclusive('\n') {
            if holds(line, "match")? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn describe(&self, path: &Path, found: &Metadata) -> Result<Value> {
        let shown = plain(path);
        let mut entry = Map::new();
        entry.insert("path".into(), text(&shown).into());
        entry.extend(lstat(found));
        let user = self.system.user(&found.uid.to_string())?.filter(|user| user.uid == found.uid);
        let group = self.system.group(&found.gid.to_string())?.filter(|group| group.gid == found.gid);
        entry.insert("gr_name".into(), group.map(|group| group.name).unwrap_or_default().into());
        entry.insert("pw_name".into(), user.map(|user| user.name).unwrap_or_default().into());
        let sums = self.find.get_checksum && matches!(self.find.file_type, FileType::Any | FileType::File);
        if sums && found.kind == FileKind::File {
            let digest = known(self.system.digest(path, self.find.checksum_algorithm.digest()))?;
            entry.insert("checksum".into(), digest.unwrap_or(Value::Null));
        }
        Ok(Value::map(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_one_unit() {
        for (text, wanted) in [("10", Some(10)), ("2h", Some(7200)), ("-1W", Some(-604_800)), ("1.5h", None), ("hh", None), ("1hh", None), ("", None), ("--1", None)] {
            assert_eq!(amount(text, &AGES), wanted, "{text}");
        }
        assert_eq!(amount("3k", &SIZES), Some(3072));
    }
}
