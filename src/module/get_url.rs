//! `get_url`: files that the node fetches itself.

use std::path::{Path, PathBuf};

use super::arguments::PathText;
use super::curl::{Answer, Connection, Redirects, Request, disposition, file_name, mask, temporary, unknown};
use super::file_arguments::{Draft, FileArguments, add_path_info, followed, fresh, is_directory, text};
use super::{Context, Entry, Mode, Module, Next, Outcome, Plan};
use crate::program::{Map, Value};
use crate::system::{Action, ActionOutcome, Content, Digest, Effect, Error, FileKind, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<GetUrl>(&["get_url", "ansible.builtin.get_url"]);

arguments! {
    /// Fetch a file by HTTP, HTTPS or FTP; the node does it, with its curl. Arguments and results as in `ansible.builtin.get_url`.
    /// A file whose `checksum` is right is not asked for again; without one the server is asked for something newer each time.
    pub struct GetUrl {
        /// Where it is.
        url: String [required],
        /// Where it goes; in a folder it has the name that it comes with.
        dest: PathText [required],
        /// Copy a former file to `DEST.PID.DATE~` first.
        backup: bool [default("no")],
        /// `sha256:…`, or `sha256:URL` of a file that lists it.
        checksum: String [default("")],
        /// Seconds that the server may say nothing.
        timeout: i64 [default("10")],
        /// Further headers.
        headers: Option<Map>,
        /// Folder for the file while it comes; default: that of `dest`.
        tmp_dest: Option<PathText>,
        /// User.
        url_username: Option<String> [aliases(&["username"])],
        /// Password.
        url_password: Option<String> [aliases(&["password"]), secret],
        connection: Connection,
        file: FileArguments,
    }
}

/// SHA-1 of no bytes.
const NOTHING: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// What the file must be.
#[derive(Clone, Debug)]
enum Checksum {
    None,
    Known(Digest, String),
    /// A file of the server says it.
    At(Digest, String),
}

impl Module for GetUrl {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        match self.checksum()? {
            Checksum::At(digest, url) => self.ask_for_checksum(digest, &url, context),
            checksum => self.with_checksum(&checksum, context.mode, context.host, context.system),
        }
    }
}

impl GetUrl {
    fn base(&self) -> Outcome {
        let outcome = Outcome::ok().with("checksum_dest", Value::Null).with("checksum_src", Value::Null);
        outcome.with("dest", self.dest.0.as_str()).with("elapsed", 0_i64).with("url", mask(&self.url))
    }

    fn refuse(&self, message: impl Into<String>) -> Error {
        let mut error = Error::failed(message);
        *error.details = self.base().result;
        error
    }

    fn checksum(&self) -> Result<Checksum> {
        if self.checksum.is_empty() {
            return Ok(Checksum::None);
        }
        let (algorithm, value) =
            self.checksum.split_once(':').ok_or_else(|| self.refuse("The checksum parameter has to be in format <algorithm>:<checksum>"))?;
        let digest = match algorithm {
            "md5" => Digest::Md5,
            "sha1" => Digest::Sha1,
            "sha224" => Digest::Sha224,
            "sha256" => Digest::Sha256,
            "sha384" => Digest::Sha384,
            "sha512" => Digest::Sha512,
            other => {
                let error = self.refuse(format!("Could not hash file '{}' with algorithm '{other}'.", self.dest.0));
                return Err(error.hint("algorithms are md5, sha1, sha224, sha256, sha384, sha512"));
            }
        };
        if ["http:", "https:", "ftp:", "file:"].iter().any(|scheme| value.starts_with(scheme)) {
            return Ok(Checksum::At(digest, value.to_owned()));
        }
        self.hexadecimal(value).map(|sum| Checksum::Known(digest, sum))
    }

    fn hexadecimal(&self, value: &str) -> Result<String> {
        let sum: String = value.chars().filter(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let sum = sum.to_lowercase();
        let right = !sum.is_empty() && sum.chars().all(|letter| letter.is_ascii_hexdigit());
        if right { Ok(sum) } else { Err(self.refuse("The checksum format is invalid")) }
    }

    fn request<'run>(&'run self, url: &'run str, output: Option<PathBuf>, since: Option<f64>) -> Request<'run> {
        Request {
            url,
            method: "GET",
            connection: &self.connection,
            user: self.url_username.as_deref(),
            password: self.url_password.as_deref(),
            headers: self.headers.clone().unwrap_or_default(),
            timeout: self.timeout,
            redirects: Redirects::Followed,
            more: Vec::new(),
            since,
            output,
        }
    }

    /// A read, and then the rest by what it says.
    fn ask_for_checksum(&self, digest: Digest, url: &str, context: &Context<'_>) -> Result<Plan> {
        let label = format!("read the checksums of {}", mask(url));
        let command = self.request(url, None, None).command(label, context.system)?.effect(self.effect(context.system)?);
        let there = !is_directory(self.dest.path(), context.system)? && followed(self.dest.path(), context.system)?.is_some();
        let (this, url, mode, host) = (self.clone(), url.to_owned(), context.mode, context.host.to_owned());
        let mut plan = Plan::act(vec![Action::Run(command)], self.predicted(if there { None } else { Some(true) }));
        plan.always = true;
        Ok(plan.then(move |outcomes, system| {
            let answer = Answer::of(outcomes.first(), &url);
            if answer.status != 200 {
                return told(this.failure(&answer, &url), system).map(Next::Done);
            }
            let lines = outcomes.first().map(|done| String::from_utf8_lossy(&done.stdout.0).into_owned()).unwrap_or_default();
            let name = file_name(&this.url);
            let missing = || Error::failed(format!("Unable to find a checksum for file '{name}' in '{}'", mask(&url)));
            let sum = this.hexadecimal(&listed(&lines, &name).ok_or_else(missing)?)?;
            let plan = this.with_checksum(&Checksum::Known(digest, sum), mode, &host, system)?;
            // In check mode nothing but further reads is done.
            Ok(if mode == Mode::Check && !plan.always { Next::Done(plan.predicted) } else { Next::Again(plan) })
        }))
    }

    /// What stands there afterwards, as far as it is known.
    fn effect(&self, system: &dyn System) -> Result<Effect> {
        let dest = self.dest.path();
        let path = if is_directory(dest, system)? { dest.join(file_name(&self.url)) } else { dest.to_owned() };
        Ok(Effect::Unsure(vec![path]))
    }

    /// `changed`: `None`, the server knows.
    fn predicted(&self, changed: Option<bool>) -> Outcome {
        let names = ["checksum_src", "checksum_dest", "md5sum", "status_code", "msg", "size"];
        let outcome = names.into_iter().fold(self.base(), |outcome, name| outcome.with(name, unknown()));
        let outcome = Outcome { changed: true, ..outcome.with("elapsed", unknown()) };
        if changed.is_none() { outcome.with("changed", unknown()) } else { outcome }
    }

    fn with_checksum(&self, checksum: &Checksum, mode: Mode, host: &str, system: &dyn System) -> Result<Plan> {
        let dest = self.dest.path();
        let into_folder = is_directory(dest, system)?;
        let there = if into_folder { None } else { followed(dest, system)? };
        let mut other = false;
        if let (Some(_), Checksum::Known(digest, sum), false) = (&there, checksum, self.connection.force) {
            other = system.digest(dest, *digest)?.as_deref() != Some(sum);
            if !other {
                let mut draft = Draft::new(system);
                draft.own(dest, &self.file)?;
                let same = "file already exists";
                let message = if draft.actions.is_empty() { same.to_owned() } else { format!("{same} but file attributes changed") };
                let outcome = self.base().with("msg", message);
                return draft.finish(outcome, dest.to_owned(), mode == Mode::Check);
            }
        }
        let folder = if into_folder { dest } else { dest.parent().unwrap_or(Path::new("/")) };
        if !is_directory(folder, system)? {
            return Err(self.refuse(format!("Destination {} does not exist", folder.display())));
        }
        if !into_folder {
            self.file.wanted(dest, &there.clone().unwrap_or_else(|| fresh(FileKind::File)), system)?;
        }
        let place = self.place(folder, host, system)?;
        let since = there.as_ref().filter(|_| !other).map(|found| found.modified).filter(|time| time.is_finite());
        // What is there is not what is wanted, however new it is.
        let connection = Connection { force: self.connection.force || other, ..self.connection.clone() };
        let request = Request { connection: &connection, ..self.request(&self.url, Some(place.clone()), since) };
        if mode == Mode::Check {
            return self.look(request, place, system);
        }
        let mut command = request.command(format!("fetch {}", mask(&self.url)), system)?.effect(self.effect(system)?);
        // Nobody else reads it before its mode is set.
        command.umask = Some(0o077);
        let certain = there.is_none() && !into_folder || other;
        let predicted = self.predicted(certain.then_some(true));
        let (this, checksum) = (self.clone(), checksum.clone());
        Ok(Plan::act(vec![Action::Run(command)], predicted).then(move |outcomes, system| this.fetched(&place, &checksum, outcomes, system)))
    }

    /// Where the file is while it comes: where nobody else can put another one in its place.
    fn place(&self, folder: &Path, host: &str, system: &dyn System) -> Result<PathBuf> {
        let open = |folder: &Path| -> Result<bool> { Ok(followed(folder, system)?.is_some_and(|found| found.mode & 0o002 != 0)) };
        let user = system.whoami()?;
        let folder = match &self.tmp_dest {
            Some(folder) if is_directory(folder.path(), system)? => folder.path(),
            Some(folder) if followed(folder.path(), system)?.is_some() => {
                return Err(Error::failed(format!("{} is a file but should be a directory.", folder.0)));
            }
            Some(folder) => return Err(Error::failed(format!("{} directory does not exist.", folder.0))),
            None if open(folder)? && is_directory(&user.home, system)? && system.access(&user.home)?.write => &user.home,
            None => folder,
        };
        let place = temporary(folder, &self.url, host);
        match system.metadata(&place)? {
            Some(found) if found.kind != FileKind::File || found.uid != user.uid => {
                let error = Error::failed(format!("fetch {} to {}: something else is there", mask(&self.url), place.display()));
                Err(error.hint("remove it on the node, or name another folder with `tmp_dest`"))
            }
            _ => Ok(place),
        }
    }

    /// Check mode asks for the headers only, as Ansible does: what comes is empty then, and counts as a change unless the file is too.
    fn look(&self, request: Request<'_>, place: PathBuf, system: &dyn System) -> Result<Plan> {
        let request = Request { method: "HEAD", output: None, ..request };
        let command = request.command(format!("ask for {}", mask(&self.url)), system)?.effect(Effect::None);
        let mut plan = Plan::act(vec![Action::Run(command)], self.predicted(Some(true)));
        plan.always = true;
        let this = self.clone();
        Ok(plan.then(move |outcomes, system| {
            let answer = Answer::of(outcomes.first(), &this.url);
            let outcome = this.base().with("elapsed", answer.elapsed).with("msg", answer.message());
            let outcome = match answer.status {
                304 => outcome.with("status_code", 304_i64),
                200 => {
                    let dest = this.destination(&answer, system)?;
                    let former = match followed(&dest, system)? {
                        Some(_) => system.digest(&dest, Digest::Sha1)?,
                        None => None,
                    };
                    let changed = former.as_deref() != Some(NOTHING);
                    let outcome = outcome.with("checksum_src", NOTHING).with("checksum_dest", former).with("src", text(&place));
                    Outcome { changed, ..outcome.with("dest", text(&dest)) }
                }
                _ => this.failure(&answer, &this.url),
            };
            told(outcome, system).map(Next::Done)
        }))
    }

    /// The file that the answer goes to.
    fn destination(&self, answer: &Answer, system: &dyn System) -> Result<PathBuf> {
        let dest = self.dest.path();
        if !is_directory(dest, system)? {
            return Ok(dest.to_owned());
        }
        let named = answer.headers.get("content-disposition").and_then(|header| disposition(header));
        Ok(dest.join(named.unwrap_or_else(|| file_name(if answer.redirected { &answer.url } else { &self.url }))))
    }

    fn failure(&self, answer: &Answer, url: &str) -> Outcome {
        let outcome = Outcome::failed(if answer.status == -1 { answer.message() } else { "Request failed".to_owned() })
            .with("url", mask(url))
            .with("dest", self.dest.0.as_str())
            .with("elapsed", answer.elapsed)
            .with("status_code", answer.status);
        if answer.status == -1 { outcome } else { outcome.with("response", answer.message()) }
    }

    /// The file is in its temporary place, or the server had something else to say.
    fn fetched(&self, place: &Path, checksum: &Checksum, outcomes: &[ActionOutcome], system: &dyn System) -> Result<Next> {
        let answer = Answer::of(outcomes.first(), &self.url);
        let came = system.metadata(place)?.is_some();
        let clear = || if came { vec![Action::Remove { path: place.to_owned() }] } else { Vec::new() };
        let end = |outcome: Outcome| Ok(Next::Again(Plan::act(clear(), told(outcome, system)?)));
        if answer.status == 304 {
            let outcome = self.base().with("elapsed", answer.elapsed).with("msg", answer.message());
            return end(outcome.with("status_code", 304_i64));
        }
        if answer.status != 200 {
            return end(self.failure(&answer, &self.url));
        }
        let mut draft = Draft::new(system);
        if !came {
            // curl writes no file for an empty body.
            draft.push(Action::write(place, Vec::new().into(), crate::system::Ownership::default()));
        }
        let dest = self.destination(&answer, system)?;
        let sum = |path: &Path, digest: Digest| -> Result<Option<String>> {
            if followed(path, &draft.system)?.is_none() { Ok(None) } else { draft.system.digest(path, digest) }
        };
        let (source, former) = (sum(place, Digest::Sha1)?, sum(&dest, Digest::Sha1)?);
        let outcome = self
            .base()
            .with("checksum_dest", former.clone())
            .with("checksum_src", source.clone())
            .with("dest", text(&dest))
            .with("elapsed", answer.elapsed)
            .with("src", text(place));
        if let Checksum::Known(digest, wanted) = checksum {
            let found = sum(place, *digest)?.unwrap_or_default();
            if found != *wanted {
                let message = format!("The checksum for {} did not match {wanted}; it was {found}.", place.display());
                return end(Outcome { failed: true, ..outcome }.with("msg", message));
            }
        }
        let md5 = sum(place, Digest::Md5)?;
        if source == former {
            draft.own(&dest, &self.file)?;
        } else {
            let like = followed(&dest, system)?.unwrap_or_else(|| fresh(FileKind::File));
            draft.push(Action::WriteFile {
                path: dest.clone(),
                content: Content::Node(place.to_owned()),
                ownership: self.file.wanted(&dest, &like, system)?,
                backup: self.backup && former.is_some(),
                unsafe_writes: self.file.unsafe_writes,
                validate: None,
            });
        }
        let outcome = Outcome { changed: !draft.actions.is_empty(), ..outcome };
        draft.push(Action::Remove { path: place.to_owned() });
        let outcome = outcome.with("md5sum", md5).with("msg", answer.message()).with("status_code", answer.status);
        let predicted = add_path_info(outcome.clone(), &dest, &draft.system)?;
        Ok(Next::Again(Plan::act(draft.actions, predicted).then(move |outcomes, system| {
            let backup = outcomes.iter().find_map(|done| done.backup.as_deref());
            let outcome = match backup {
                Some(path) => outcome.with("backup_file", text(path)),
                None => outcome,
            };
            Ok(Next::Done(add_path_info(outcome, &dest, system)?))
        })))
    }
}

/// With what stands at its `dest`.
fn told(outcome: Outcome, system: &dyn System) -> Result<Outcome> {
    let dest = outcome.result.get("dest").and_then(Value::as_str).map(PathBuf::from);
    dest.map_or_else(|| Ok(outcome.clone()), |dest| add_path_info(outcome.clone(), &dest, system))
}

/// The sum of a file among lines as sha256sum(1) or BSD's tools write them; a single word is the file's own.
fn listed(text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    if let [line] = lines.as_slice()
        && line.split_whitespace().count() == 1
    {
        return Some(line.trim().to_owned());
    }
    lines.into_iter().find_map(|line| {
        // `SHA256 (name) = sum`
        if let Some((head, sum)) = line.rsplit_once(") = ").or_else(|| line.rsplit_once(")= ")) {
            return head.split_once('(').filter(|(_, path)| *path == name).map(|_| sum.trim().to_owned());
        }
        let (sum, path) = line.split_once(char::is_whitespace)?;
        let path = path.trim_start().trim_start_matches('*').trim_start_matches(['.', '/']);
        (path == name).then(|| sum.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_found_as_tools_write_them() {
        let lines = "aa  ./other\nbb *it.deb\nSHA256 (x y) = cc\n";
        assert_eq!(listed(lines, "it.deb").as_deref(), Some("bb"));
        assert_eq!(listed(lines, "other").as_deref(), Some("aa"));
        assert_eq!(listed(lines, "x y").as_deref(), Some("cc"));
        assert_eq!(listed(lines, "none"), None);
        assert_eq!(listed("dd\n", "any").as_deref(), Some("dd"));
        assert_eq!(super::super::curl::disposition("attachment; filename=\"../a b.txt\"").as_deref(), Some("a b.txt"));
    }
}
