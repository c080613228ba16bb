//! `deb822_repository`: a package source in a `.sources` file of /etc/apt/sources.list.d, and its key.

use std::path::{Path, PathBuf};

use super::curl::{fetched, mask};
use super::file_arguments::{Draft, FileArguments, followed, fresh, text};
use super::{Choice, Context, Entry, Mode, Module, Outcome, Plan, State};
use crate::program::Value;
use crate::system::{Action, Effect, Error, FileKind, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Deb822Repository>(&["deb822_repository", "ansible.builtin.deb822_repository"]);

const KEYRINGS: &str = "/etc/apt/keyrings";
const SOURCES: &str = "/etc/apt/sources.list.d";
/// Endings of keys: armoured, binary.
const ENDINGS: [&str; 2] = ["asc", "gpg"];

arguments! {
    /// Keep a package source in deb822's form. Arguments and results as in `ansible.builtin.deb822_repository`.
    pub struct Deb822Repository {
        /// What it is called; the files' names are made from it.
        name: String [required],
        /// Whether it is there.
        state: State [default("present")],
        /// Binary packages, sources, or both.
        types: Vec<Packages> [default("deb")],
        /// Where it is.
        uris: Option<Vec<String>>,
        /// Releases, or paths that end in a slash.
        suites: Option<Vec<String>>,
        /// `main`, `contrib`; none where `suites` is a path.
        components: Option<Vec<String>>,
        /// Only these architectures.
        architectures: Option<Vec<String>>,
        /// The key: a file of the node, a URL, or the armoured key itself; or a fingerprint.
        signed_by: Option<String>,
        /// Whether it is used.
        enabled: Option<bool>,
        /// It counts as signed, whatever it is.
        trusted: Option<bool>,
        /// Unsigned lists are taken.
        allow_insecure: Option<bool>,
        /// Lists signed with weak keys are taken.
        allow_weak: Option<bool>,
        /// A source that was signed may be unsigned.
        allow_downgrade_to_insecure: Option<bool>,
        /// Fetch lists by their hash.
        by_hash: Option<bool>,
        /// Lists must not be of the future.
        check_date: Option<bool>,
        /// Lists must not be too old.
        check_valid_until: Option<bool>,
        /// Seconds that lists may be of the future.
        date_max_future: Option<i64>,
        /// Where the InRelease file is, from the source's address.
        inrelease_path: Option<String>,
        /// Languages of descriptions.
        languages: Option<Vec<String>>,
        /// Fetch differences of lists.
        pdiffs: Option<bool>,
        /// What is fetched: `Packages`, `Contents-deb`.
        targets: Option<Vec<String>>,
        /// Permissions of the file: octal in quotes or symbolic.
        mode: Value [default("0644"), checked(super::file_arguments::check_mode)],
        /// Nothing is needed here.
        install_python_debian: bool [default("no")],
    }
}

choices! {
    /// What a source has.
    pub enum Packages {
        /// Binary packages.
        Binary = "deb",
        /// Sources.
        Source = "deb-src",
    }
}

/// Where the key is, as the source names it.
enum Key {
    None,
    /// A file of the node.
    File(String),
    /// The source holds it, or its fingerprint.
    Inline(String),
    /// What a server gave.
    Fetched(Vec<u8>),
}

impl Module for Deb822Repository {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        if self.state == State::Absent {
            return self.without(context.mode, system);
        }
        let key = match &self.signed_by {
            None => Key::None,
            Some(key) if is_file(key, system)? => Key::File(key.clone()),
            Some(key) if has_scheme(key) => return self.fetched(key, context),
            Some(key) => Key::Inline(key.clone()),
        };
        self.with(&key, context.mode, system)
    }
}

impl Deb822Repository {
    /// The name as file names have it.
    fn slug(&self) -> String {
        let (mut slug, mut in_gap) = (String::new(), false);
        for letter in self.name.to_lowercase().chars() {
            let is_gap = letter == '_' || letter.is_whitespace();
            match letter {
                'a'..='z' | '0'..='9' | '-' => slug.push(letter),
                _ if is_gap && !in_gap => slug.push('-'),
                _ => {}
            }
            in_gap = is_gap;
        }
        slug
    }

    fn file(&self) -> PathBuf {
        Path::new(SOURCES).join(format!("{}.sources", self.slug()))
    }

    fn key_file(&self, ending: &str) -> PathBuf {
        Path::new(KEYRINGS).join(format!("{}.{ending}", self.slug()))
    }

    fn outcome(&self, repo: Value, key: Value) -> Outcome {
        Outcome::ok().with("repo", repo).with("dest", text(&self.file())).with("key_filename", key)
    }

    fn without(&self, mode: Mode, system: &dyn System) -> Result<Plan> {
        let mut draft = Draft::new(system);
        for path in [self.file(), self.key_file(ENDINGS[0]), self.key_file(ENDINGS[1])] {
            if followed(&path, system)?.is_some() {
                draft.push(Action::Remove { path });
            }
        }
        draft.finish(self.outcome(Value::Null, text(&self.key_file(ENDINGS[1])).into()), self.file(), mode == Mode::Check)
    }

    /// Asks the server for the key first.
    fn fetched(&self, url: &str, context: &Context<'_>) -> Result<Plan> {
        let (system, mode) = (context.system, context.mode);
        let mut draft = Draft::new(system);
        draft.make_directories(Path::new(KEYRINGS), &FileArguments::none())?;
        let unsure = Effect::Unsure(vec![self.file(), self.key_file(ENDINGS[0]), self.key_file(ENDINGS[1])]);
        let effect = Effect::All(vec![Effect::Leaves(draft.actions), unsure]);
        let unknown = || Value::unknown("the key that the server gives");
        let mut predicted = Outcome { changed: true, ..self.outcome(unknown(), unknown()) };
        if followed(&self.file(), system)?.is_some() {
            predicted = predicted.with("changed", unknown());
        }
        let (this, address) = (self.clone(), url.to_owned());
        fetched(url, true, context, (effect, predicted), move |answer, sent, system| {
            if !(200..300).contains(&answer.status) {
                let hint = format!("`curl -v {}` on the node shows why", mask(&address));
                return Err(Error::failed(format!("Could not fetch signed_by key: {}", answer.message())).hint(hint));
            }
            let key = if sent.is_empty() { Key::File(address) } else { Key::Fetched(sent) };
            this.with(&key, mode, system)
        })
    }

    fn with(&self, key: &Key, mode: Mode, system: &dyn System) -> Result<Plan> {
        let mut draft = Draft::new(system);
        let (named, file) = match key {
            Key::None => (None, None),
            Key::File(path) => (Some(path.clone()), Some(path.clone())),
            Key::Inline(key) => (Some(key.clone()), None),
            Key::Fetched(bytes) => {
                let path = text(&self.keep(bytes, &mut draft)?);
                (Some(path.clone()), Some(path))
            }
        };
        let repo = self.render(named.as_deref());
        let path = self.file();
        let owned = FileArguments::none().with_mode(Some(self.mode.clone()));
        put(&path, repo.as_bytes(), &owned, &mut draft)?;
        draft.finish(self.outcome(repo.into(), file.into()), path, mode == Mode::Check)
    }

    /// The key in a file of its own.
    fn keep(&self, bytes: &[u8], draft: &mut Draft<'_>) -> Result<PathBuf> {
        let armoured = String::from_utf8_lossy(bytes).contains("-----BEGIN PGP PUBLIC KEY BLOCK-----");
        let path = self.key_file(ENDINGS[usize::from(!armoured)]);
        if draft.system.read(&path)?.as_deref() != Some(bytes) {
            let owned = FileArguments { owner: Some("root".to_owned()), group: Some("root".to_owned()), ..FileArguments::none() };
            let owned = owned.with_mode(Some(Value::text("0755")));
            if followed(Path::new(KEYRINGS), &draft.system)?.is_some() {
                draft.own(Path::new(KEYRINGS), &owned)?;
            } else {
                draft.make_directories(Path::new(KEYRINGS), &owned)?;
            }
        }
        put(&path, bytes, &FileArguments::none().with_mode(Some(Value::text("0644"))), draft)?;
        Ok(path)
    }

    /// The paragraph: fields in the order of the arguments' names.
    fn render(&self, key: Option<&str>) -> String {
        let truth = |given: Option<bool>| given.map(|given| if given { "yes" } else { "no" }.to_owned());
        let words = |given: &Option<Vec<String>>| given.as_ref().map(|words| words.join(" "));
        let types: Vec<&str> = self.types.iter().map(|kind| kind.word()).collect();
        let fields = [
            ("Allow-Downgrade-To-Insecure", truth(self.allow_downgrade_to_insecure)),
            ("Allow-Insecure", truth(self.allow_insecure)),
            ("Allow-Weak", truth(self.allow_weak)),
            ("Architectures", words(&self.architectures)),
            ("By-Hash", truth(self.by_hash)),
            ("Check-Date", truth(self.check_date)),
            ("Check-Valid-Until", truth(self.check_valid_until)),
            ("Components", words(&self.components)),
            ("Date-Max-Future", self.date_max_future.map(|seconds| seconds.to_string())),
            ("Enabled", truth(self.enabled)),
            ("Inrelease-Path", self.inrelease_path.clone()),
            ("Languages", words(&self.languages)),
            ("X-Repolib-Name", Some(self.name.clone())),
            ("Pdiffs", truth(self.pdiffs)),
            ("Signed-By", key.map(str::to_owned)),
            ("Suites", words(&self.suites)),
            ("Targets", words(&self.targets)),
            ("Trusted", truth(self.trusted)),
            ("Types", Some(types.join(" "))),
            ("URIs", words(&self.uris)),
        ];
        let mut repo = String::new();
        for (name, value) in fields {
            let Some(value) = value.map(folded) else { continue };
            let space = if value.is_empty() || value.starts_with('\n') { "" } else { " " };
            repo += &format!("{name}:{space}{value}\n");
        }
        repo
    }
}

/// Several lines stand below the field's name; an empty one is a dot.
fn folded(value: String) -> String {
    if !value.contains('\n') {
        return value;
    }
    let line = |line: &str| format!("\n    {}", if line.trim().is_empty() { "." } else { line.trim() });
    value.trim().lines().map(line).collect()
}

/// The content, unless the file has it, and its mode.
fn put(path: &Path, content: &[u8], owned: &FileArguments, draft: &mut Draft<'_>) -> Result<()> {
    let there = followed(path, &draft.system)?;
    if there.is_some() && draft.system.read(path)?.as_deref() == Some(content) {
        return draft.own(path, owned);
    }
    let like = there.unwrap_or_else(|| fresh(FileKind::File));
    let ownership = Ownership { mode: owned.wanted(path, &like, &draft.system)?.mode, ..Ownership::default() };
    draft.push(Action::write(path, content.to_vec().into(), ownership));
    Ok(())
}

fn is_file(path: &str, system: &dyn System) -> Result<bool> {
    Ok(path.starts_with('/') && followed(Path::new(path), system)?.is_some_and(|found| found.kind == FileKind::File))
}

/// `https:…`: as Python tells an address from a text.
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
}
