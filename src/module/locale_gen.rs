//! `locale_gen`: locales of Debian and Ubuntu, by locale.gen(5) and locale-gen(8).
//!
//! Which locales there are is read where glibc has them, so that a plan knows it and a task with nothing to do starts no process: folders
//! of /usr/lib/locale, and the names in its archive (`struct locarhead` of glibc's `locale/locarchive.h`).

use std::path::Path;

use super::{Choice, Context, Entry, Module, Next, Outcome, Plan, State};
use crate::program::Value;
use crate::system::{Action, Command, Effect, Error, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<LocaleGen>(&["locale_gen", "community.general.locale_gen"]);

const WANTED: &str = "/etc/locale.gen";
const SUPPORTED: &str = "/usr/share/i18n/SUPPORTED";
const FOLDER: &str = "/usr/lib/locale";
const ARCHIVE: &str = "/usr/lib/locale/locale-archive";
/// The first word of an archive.
const MAGIC: u32 = 0xde02_0109;

/// How `locale -a` may write an encoding, and how locale.gen does.
const ENCODINGS: [(&str, &str); 10] = [
    (".utf8", ".UTF-8"),
    (".eucjp", ".EUC-JP"),
    (".iso885915", ".ISO-8859-15"),
    (".cp1251", ".CP1251"),
    (".koi8r", ".KOI8-R"),
    (".armscii8", ".ARMSCII-8"),
    (".euckr", ".EUC-KR"),
    (".gbk", ".GBK"),
    (".gb18030", ".GB18030"),
    (".euctw", ".EUC-TW"),
];

arguments! {
    /// Make and remove locales. Arguments and results as in `community.general.locale_gen`.
    pub struct LocaleGen {
        /// Their names with the encoding: `de_DE.UTF-8`.
        name: Vec<String> [required],
        /// Whether they are there.
        state: State [default("present")],
    }
}

impl Module for LocaleGen {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let Some(former) = text(WANTED, system)? else {
            return Err(Error::failed(format!(
                "/var/lib/locales/supported.d and {WANTED} are missing. Is the package \"locales\" installed?"
            ))
            .hint("install it: `package: {name: locales}`"));
        };
        let there = Installed::read(system)?;
        let supported = text(SUPPORTED, system)?
            .ok_or_else(|| Error::failed(format!("read {SUPPORTED}: nothing is there")).hint("install it: `package: {name: locales}`"))?;
        let is_supported = |name: &str| supported.lines().any(|line| entry(line) == Some(name));
        let unknown: Vec<&str> = self.name.iter().map(String::as_str).filter(|name| !is_supported(name) && !there.has(name)).collect();
        if !unknown.is_empty() {
            return Err(Error::failed(format!(
                "The following locales you have entered are not available on your system: {}",
                unknown.join(", ")
            ))
            .hint(format!("the names are those of {SUPPORTED}")));
        }
        let present = self.state == State::Present;
        if self.holds(&there) {
            return Ok(Plan::done(self.report(false)));
        }
        let content = self.rewritten(&former);
        let mut actions = Vec::new();
        if content != former {
            actions.push(Action::write(system.canonical(Path::new(WANTED))?, content.into(), Ownership::default()));
        }
        let label = format!("{} {}", if present { "make the locales" } else { "remove the locales" }, self.name.join(", "));
        actions.push(Action::Run(Command::new(label, ["locale-gen"]).effect(Effect::Unsure(vec![ARCHIVE.into()]))));
        let module = self.clone();
        Ok(Plan::act(actions, self.report(true)).then(move |_, system| {
            // A locale that only /usr/share/i18n/SUPPORTED names is not made by it.
            let holds = module.holds(&Installed::read(system)?);
            Ok(Next::Done(module.report(holds)))
        }))
    }
}

impl LocaleGen {
    fn holds(&self, there: &Installed) -> bool {
        self.name.iter().all(|name| there.has(name) == (self.state == State::Present))
    }

    fn report(&self, changed: bool) -> Outcome {
        Outcome { changed, ..Outcome::ok() }
            .with("mechanism", "glibc")
            .with("ubuntu_mode", false)
            .with("name", Value::from(self.name.clone()))
            .with("state", self.state.word())
    }

    /// locale.gen with the lines of these locales, or those lines commented out.
    fn rewritten(&self, former: &str) -> String {
        let rewritten = |line: &str| {
            let behind = line.strip_prefix('#').unwrap_or(line).trim_start();
            let charset = self.name.iter().find_map(|name| Some((name, behind.strip_prefix(name.as_str())?.strip_prefix(' ')?)));
            match charset.filter(|(_, charset)| !charset.trim_end_matches('\n').is_empty()) {
                Some((name, charset)) if self.state == State::Present => format!("{name} {charset}"),
                Some((name, charset)) => format!("# {name} {charset}"),
                None => line.to_owned(),
            }
        };
        former.split_inclusive('\n').map(rewritten).collect()
    }
}

/// The locale of a line `NAME CHARSET`, commented out or not.
fn entry(line: &str) -> Option<&str> {
    let line = line.trim();
    let mut words = line.strip_prefix('#').unwrap_or(line).split_whitespace();
    let (name, _charset) = (words.next()?, words.next()?);
    (words.next().is_none() && name.chars().count() > 1).then_some(name)
}

fn text(path: &str, system: &dyn System) -> Result<Option<String>> {
    Ok(system.read(Path::new(path))?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What `locale -a` lists.
struct Installed(Vec<String>);

impl Installed {
    fn read(system: &dyn System) -> Result<Self> {
        let mut names = vec!["C".to_owned(), "POSIX".to_owned()];
        for name in system.list(Path::new(FOLDER))?.unwrap_or_default() {
            let identification = Path::new(FOLDER).join(&name).join("LC_IDENTIFICATION");
            if name != "locale-archive" && system.metadata(&identification)?.is_some() {
                names.push(name);
            }
        }
        if let Some(archive) = system.read(Path::new(ARCHIVE))? {
            let broken =
                || Error::failed(format!("read {ARCHIVE}: it is no archive of locales")).hint("run `locale-gen`, which makes it anew");
            names.extend(archived(&archive).ok_or_else(broken)?);
        }
        Ok(Self(names))
    }

    fn has(&self, name: &str) -> bool {
        let name = written(name);
        self.0.iter().any(|known| written(known) == name)
    }
}

/// The name with its encoding as locale.gen has it.
fn written(name: &str) -> String {
    ENCODINGS.iter().fold(name.to_owned(), |name, (listed, written)| name.replace(listed, written))
}

/// The names in an archive: entries of its table of names that lead to a locale.
fn archived(archive: &[u8]) -> Option<Vec<String>> {
    let word = |at: usize| Some(u32::from_ne_bytes(archive.get(at..at + 4)?.try_into().ok()?));
    let number = |at: usize| usize::try_from(word(at)?).ok();
    if word(0)? != MAGIC {
        return None;
    }
    // Behind magic and serial: offset, used, size of the table.
    let (table, size) = (number(8)?, number(16)?);
    let mut names = Vec::new();
    for index in 0..size {
        // An entry is hash, offset of the name, offset of the locale.
        let entry = table + index * 12;
        let (name, locale) = (number(entry + 4)?, number(entry + 8)?);
        if locale != 0 {
            let bytes = archive.get(name..)?.split(|byte| *byte == 0).next()?;
            names.push(String::from_utf8_lossy(bytes).into_owned());
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As glibc lays it out: a head, a table of two places of which one is free, and the name.
    fn archive() -> Vec<u8> {
        let words: [u32; 20] = [MAGIC, 0, 56, 1, 2, 80, 11, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 80, 91];
        let head: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        [head.as_slice(), b"de_DE.utf8\0"].concat()
    }

    #[test]
    fn names_of_an_archive_are_those_that_lead_to_a_locale() {
        assert_eq!(archived(&archive()), Some(vec!["de_DE.utf8".to_owned()]));
        assert_eq!(archived(b"nothing"), None);
        assert_eq!(archived(&archive()[..60]), None);
    }
}
