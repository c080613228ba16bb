//! Passwords in files of this machine (the lookup `password`): made with the first one that is asked for, the same for all hosts, and
//! kept only by a run that acts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Failure, fetch};
use crate::agent::frame::PLAYBOOK_DIR;
use crate::module::arguments::{boolean, text};
use crate::playbook::fetch::{Destination, resolve};
use crate::playbook::free_form;
use crate::program::{Map, Value};
use crate::template::crypt::{self, Settings};
use crate::template::{self, chosen};

/// What a term may say besides the path.
const PARAMETERS: [&str; 5] = ["length", "encrypt", "chars", "ident", "seed"];

/// No password is kept there: each one is another.
const NOWHERE: &str = "/dev/null";

/// Passwords of a run.
#[derive(Debug, Default)]
pub struct Passwords {
    /// Where the playbooks say that they are.
    bounds: Arc<[Destination]>,
    /// What a plan found missing in files, by path: what was in the file, and what is to be.
    planned: Mutex<HashMap<PathBuf, (Option<String>, String)>>,
}

/// What is asked for.
#[derive(Debug)]
struct Request {
    path: String,
    length: usize,
    letters: Vec<char>,
    encrypt: Option<String>,
    ident: Option<String>,
    seed: Option<String>,
}

/// A password with what its hash is made with.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    password: String,
    salt: Option<String>,
    ident: Option<String>,
}

impl Passwords {
    pub fn new(bounds: Arc<[Destination]>) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// A password a term; `acts`: what is new is written.
    pub fn answer(&self, acts: bool, terms: &[Value], options: &Map) -> Result<Vec<Value>, Failure> {
        let folder = PathBuf::from(options.get(PLAYBOOK_DIR).and_then(Value::as_str).unwrap_or_default());
        terms
            .iter()
            .map(|term| {
                let term = text(term).map_err(|message| Failure { message, hint: None })?;
                let request = Request::of(&term, options)?;
                let path = resolve(&folder, &request.path);
                let kept = if path == Path::new(NOWHERE) {
                    request.completed(request.made()?)?.0
                } else {
                    self.allow(&folder, &term, &path)?;
                    self.kept(acts, &path, &request)?
                };
                request.shown(kept).map(Value::text)
            })
            .collect()
    }

    /// A node's word stays where the playbook says: it is told what is in the file.
    fn allow(&self, folder: &Path, term: &str, path: &Path) -> Result<(), Failure> {
        let folders: Vec<PathBuf> = self.bounds.iter().flat_map(|bound| bound.folders_of_password(folder, term)).collect();
        if folders.iter().any(|folder| path.starts_with(folder)) {
            return Ok(());
        }
        Err(Failure {
            message: format!("password in {}: no lookup of a playbook names a file there", path.display()),
            hint: Some(
                "begin the path with its folder, `lookup('password', 'passwords/' ~ name)`, or set that in the inventory".to_owned(),
            ),
        })
    }

    fn kept(&self, acts: bool, path: &Path, request: &Request) -> Result<Kept, Failure> {
        // One after the other: the second host takes what the first one has made.
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = read(path)?;
        loop {
            let now = match (planned.get(path), &there) {
                (Some((before, planned)), there) if before == there => Some(planned.clone()),
                _ => there.clone(),
            };
            let kept = now.as_deref().map_or_else(|| request.made(), |content| Ok(Kept::parsed(content)))?;
            let (kept, is_new) = request.completed(kept)?;
            let content = if is_new || now.is_none() { kept.written(request.encrypt.is_some()) } else { now.unwrap_or_default() };
            if there.as_ref() == Some(&content) {
                return Ok(kept);
            }
            if !acts {
                planned.insert(path.to_owned(), (there, content));
                return Ok(kept);
            }
            let failed = |error: std::io::Error| Failure { message: format!("keep a password in {}: {error}", path.display()), hint: None };
            if write(path, &content, there.is_some()).map_err(failed)? {
                planned.remove(path);
                return Ok(kept);
            }
            // Another run was first.
            there = read(path)?;
        }
    }
}

impl Request {
    /// `PATH length=8 chars=digits`: what the term says holds instead of all options beside it, as in ansible-core.
    fn of(term: &str, options: &Map) -> Result<Self, Failure> {
        let wrong = |message: String, hint: Option<&str>| Failure { message, hint: hint.map(str::to_owned) };
        let mut given = options.clone();
        let (mut path, rest) = term.split_once(' ').map_or((term.to_owned(), ""), |(path, rest)| (path.to_owned(), rest));
        if !rest.is_empty() {
            let parsed = free_form::parse(rest, false).map_err(|_| wrong(format!("quotes or braces do not close: {term}"), None))?;
            if let Some(more) = parsed.rest {
                path = format!("{path} {more}");
                if !term.starts_with(&path) {
                    return Err(wrong(format!("'{term}': the file's path comes before length=… and its like"), None));
                }
            }
            if !parsed.pairs.is_empty() {
                given = Map::new();
            }
            for pair in parsed.pairs {
                if !PARAMETERS.contains(&pair.key.as_str()) {
                    let hint = "it takes length, chars, encrypt, ident and seed";
                    return Err(wrong(format!("the 'password' lookup has no option '{}'", pair.key), Some(hint)));
                }
                given.insert(pair.key.into(), Value::text(pair.value));
            }
        }
        let some = |name: &str| given.get(name).filter(|value| !matches!(value, Value::Null));
        let word = |name: &str| some(name).map(text).transpose().map_err(|message| wrong(message, None));
        let length = word("length")?.map_or(Ok(20), |length| length.trim().parse::<usize>().map_err(|_| length));
        let length = length.map_err(|length| wrong(format!("'{length}' is no length of a password"), None))?;
        let sets: Vec<String> = match some("chars") {
            None => vec!["ascii_letters".to_owned(), "digits".to_owned(), ".,:-_".to_owned()],
            Some(Value::List(sets)) => sets.iter().map(text).collect::<Result<_, _>>().map_err(|message| wrong(message, None))?,
            Some(other) => {
                let sets = text(other).map_err(|message| wrong(message, None))?;
                // Two commas stand for one.
                let comma = sets.contains(",,").then(|| ",".to_owned());
                comma.into_iter().chain(sets.replace(",,", ",").split(',').filter(|set| !set.is_empty()).map(str::to_owned)).collect()
            }
        };
        let letters: Vec<char> = sets.iter().flat_map(|set| letters(set)).filter(|letter| !matches!(letter, '"' | '\'')).collect();
        if letters.is_empty() && length > 0 {
            return Err(wrong("a password needs `chars` to be made of; quotes are none".to_owned(), None));
        }
        // `encrypt: false` is none.
        let encrypt = word("encrypt")?.filter(|kind| !kind.is_empty() && boolean(&Value::text(kind.as_str())) != Ok(false));
        if let Some(kind) = &encrypt
            && crypt::salt_size(kind).is_none()
        {
            let hint = "use 'sha512_crypt', 'sha256_crypt', 'bcrypt' or 'md5_crypt'";
            return Err(wrong(format!("passwords are not hashed as '{kind}' here"), Some(hint)));
        }
        Ok(Self { path, length, letters, encrypt, ident: word("ident")?.filter(|ident| !ident.is_empty()), seed: word("seed")? })
    }

    fn made(&self) -> Result<Kept, Failure> {
        let password = match &self.seed {
            Some(seed) => chosen(seed, &self.letters, self.length),
            None => random(&self.letters, self.length)?,
        };
        Ok(Kept { password, salt: None, ident: None })
    }

    /// With a salt, and the form of bcrypt, where a hash needs them; whether they are new.
    fn completed(&self, mut kept: Kept) -> Result<(Kept, bool), Failure> {
        let mut is_new = false;
        if let (Some(kind), None) = (&self.encrypt, &kept.salt) {
            let letters: Vec<char> = letters("ascii_letters").chain(letters("digits")).chain("./".chars()).collect();
            kept.salt = Some(random(&letters, crypt::salt_size(kind).unwrap_or(8))?);
            is_new = true;
        }
        match (&kept.ident, &self.ident) {
            (Some(kept), Some(asked)) if kept != asked => {
                let message = format!("the password in {} is kept for the ident {kept}, not for {asked}", self.path);
                return Err(Failure { message, hint: Some("take it out of the file, or ask for the one that is there".to_owned()) });
            }
            (None, asked) => kept.ident.clone_from(asked),
            _ => {}
        }
        if kept.ident.is_none() && self.encrypt.as_deref() == Some("bcrypt") {
            kept.ident = Some("2b".to_owned());
            is_new = true;
        }
        Ok((kept, is_new))
    }

    fn shown(&self, kept: Kept) -> Result<String, Failure> {
        let Some(kind) = &self.encrypt else { return Ok(kept.password) };
        let settings = Settings { salt: kept.salt, ident: kept.ident, ..Settings::default() };
        let no_chance = &mut || Err(template::Error::failed("there is a salt"));
        crypt::hash(&kept.password, kind, &settings, no_chance).map_err(|error| Failure { message: error.message, hint: error.hint })
    }
}

impl Kept {
    /// `PASSWORD salt=SALT ident=IDENT`.
    fn parsed(content: &str) -> Self {
        let Some((password, rest)) = content.rsplit_once(" salt=") else {
            return Self { password: content.to_owned(), salt: None, ident: None };
        };
        let (salt, ident) = rest.rsplit_once(" ident=").map_or((rest, None), |(salt, ident)| (salt, Some(ident.to_owned())));
        Self { password: password.to_owned(), salt: Some(salt.to_owned()).filter(|salt| !salt.is_empty()), ident }
    }

    fn written(&self, hashed: bool) -> String {
        match (&self.salt, &self.ident) {
            (Some(salt), Some(ident)) => format!("{} salt={salt} ident={ident}", self.password),
            (Some(salt), None) if hashed || !salt.is_empty() => format!("{} salt={salt}", self.password),
            _ => self.password.clone(),
        }
    }
}

/// The letters of a set that Python's `string` has, or those of the text itself.
fn letters(set: &str) -> impl Iterator<Item = char> + use<> {
    const DIGITS: &str = "0123456789";
    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
    const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    const WHITESPACE: &str = " \t\n\r\u{b}\u{c}";
    let parts: &[&str] = match set {
        "ascii_letters" => &[LOWER, UPPER],
        "ascii_lowercase" => &[LOWER],
        "ascii_uppercase" => &[UPPER],
        "digits" => &[DIGITS],
        "hexdigits" => &[DIGITS, "abcdefABCDEF"],
        "octdigits" => &["01234567"],
        "punctuation" => &[PUNCTUATION],
        "whitespace" => &[WHITESPACE],
        "printable" => &[DIGITS, LOWER, UPPER, PUNCTUATION, WHITESPACE],
        itself => &[itself],
    };
    parts.concat().chars().collect::<Vec<_>>().into_iter()
}

/// Letters that nobody can guess, each as likely as another.
fn random(letters: &[char], length: usize) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure { message: format!("read /dev/urandom: {error}"), hint: None };
    let mut source = File::open("/dev/urandom").map_err(failed)?;
    let count = letters.len() as u64;
    let fair = u64::MAX - u64::MAX % count.max(1);
    let mut password = String::new();
    for _ in 0..length {
        let number = loop {
            let mut bytes = [0; 8];
            source.read_exact(&mut bytes).map_err(failed)?;
            let number = u64::from_ne_bytes(bytes);
            if number < fair {
                break number;
            }
        };
        password.push(letters[(number % count) as usize]);
    }
    Ok(password)
}

/// What the file holds, without the end of its line; `None`: there is none.
fn read(path: &Path) -> Result<Option<String>, Failure> {
    let failed = |error: String| Failure { message: format!("read the password in {}: {error}", path.display()), hint: None };
    match fs::read(path) {
        Ok(bytes) => {
            let content = String::from_utf8(bytes.trim_ascii_end().to_vec()).map_err(|_| failed("it is no UTF-8 text".to_owned()))?;
            Ok(Some(content))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `false`: a file is there by now.
fn write(path: &Path, content: &str, replaces: bool) -> std::io::Result<bool> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    fetch::make(folder, 0o700)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = folder.join(format!(".{name}.{}.part", std::process::id()));
    if let Err(error) = fs::remove_file(&part)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let done = file.write_all(format!("{content}\n").as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fetch::give(&part));
    let done = done.and_then(|()| {
        if replaces { fs::rename(&part, &path) } else { fs::hard_link(&part, &path).or_else(|error| alone(error, &path, content)) }
    });
    // Renamed, it is not there any more.
    let _ = fs::remove_file(&part);
    match done {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !replaces => Ok(false),
        done => done.map(|()| true),
    }
}

/// Where the file system has no links, by a file that must not be there yet.
fn alone(error: std::io::Error, path: &Path, content: &str) -> std::io::Result<()> {
    if error.kind() == ErrorKind::AlreadyExists {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{content}\n").as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fetch::give(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(term: &str) -> Request {
        Request::of(term, &Map::new()).expect("a request")
    }

    #[test]
    fn a_term_says_the_path_and_what_the_password_is_of() {
        let asked = request("my folder/name length=7 chars=digits,,,x encrypt=bcrypt ident=2a seed=s");
        assert_eq!((&*asked.path, asked.length, asked.seed.as_deref()), ("my folder/name", 7, Some("s")));
        assert_eq!(asked.letters.iter().collect::<String>(), ",0123456789x");
        assert_eq!((asked.encrypt.as_deref(), asked.ident.as_deref()), (Some("bcrypt"), Some("2a")));
        for wrong in ["name size=3", "name length=x", "name chars='\"'", "name encrypt=des_crypt", "name length=3 more"] {
            assert!(Request::of(wrong, &Map::new()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_keeps_what_its_hash_is_made_with() {
        for content in ["word", "two words salt=ab", "a salt=b salt=cd ident=2b"] {
            assert_eq!(Kept::parsed(content).written(true), content);
        }
        assert_eq!(Kept::parsed("a salt=b salt=cd").password, "a salt=b");
    }

    #[test]
    fn who_comes_second_takes_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("below/secret");
        assert!(write(&path, "first", false).expect("is written"));
        assert!(!write(&path, "second", false).expect("is not written"));
        assert_eq!(read(&path).expect("is read").as_deref(), Some("first"));
        assert!(write(&path, "third", true).expect("is written"));
        assert_eq!(read(&path).expect("is read").as_deref(), Some("third"));
        assert_eq!(fs::read_dir(folder.path().join("below")).expect("is listed").count(), 1);
        let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("is there").permissions()) & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("below"))), (0o600, 0o700));
    }
}
