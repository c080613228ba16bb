//! `unarchive`: what an archive holds, in a folder.

mod zip;

use std::path::{Path, PathBuf};

use super::expand::expand;
use super::file_arguments::{Draft, FileArguments, add_path_info, followed, is_directory, text};
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::map;
use crate::program::{Bytes, File, Value};
use crate::system::archive::{Archive, Format, Question, Source};
use crate::system::{Accept, Action, ActionOutcome, Command, Content, Effect, Error, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Unarchive>(&["unarchive", "ansible.builtin.unarchive"]);

arguments! {
    /// Unpack an archive (tar, also with gzip, bzip2, xz, zstd; zip) with the node's tools, where its folder differs from it. Arguments
    /// and results as in `ansible.builtin.unarchive`, but for downloads: name such a file as an artifact.
    pub struct Unarchive {
        /// The archive, on the controller (on the node with `remote_src`).
        src: String [required, checked(check_src)],
        /// The folder, which must be there.
        dest: PathText [required],
        /// `src` is on the node.
        remote_src: bool [default("no")],
        /// The contrary of `remote_src`, an old name.
        copy: Option<bool>,
        /// Do nothing if this path is there.
        creates: Option<PathText>,
        /// Return the names of what is in it.
        list_files: bool [default("no")],
        /// Leave files that are newer than the archive's.
        keep_newer: bool [default("no")],
        /// Shell patterns of what is left out.
        exclude: Vec<String> [default("")],
        /// Only these.
        include: Vec<String> [default("")],
        /// More options for tar or unzip.
        extra_opts: Vec<String> [default("")],
        /// Of a download, which is not there.
        validate_certs: bool [default("yes")],
        /// Bytes that are read at once.
        io_buffer_size: i64 [default("65536")],
        /// A vault file is decrypted before it is sent.
        decrypt: bool [default("yes")],
        file: FileArguments,
    }
    rules { mutually_exclusive(&["include", "exclude"]), mutually_exclusive(&["copy", "remote_src"]) }
}

fn check_src(src: &str) -> std::result::Result<(), String> {
    if src.contains("://") { Err("downloads are not there: name the file as an artifact, and its place as `src`".to_owned()) } else { Ok(()) }
}

/// What tar says of a member that is not in the folder as it is in the archive. Owner and group count for root, and with the mode
/// only where the task does not set them.
const DIFFERENCES: [&str; 7] = [
    ": Mod time differs",
    ": Warning: Cannot stat: No such file or directory",
    ": Invalid owner",
    ": Invalid group",
    ": Symlink differs",
    ": Contents differ",
    ": Size differs",
];

impl Module for Unarchive {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        if let Some(creates) = &self.creates
            && followed(creates.path(), system)?.is_some()
        {
            let mut outcome = Outcome::ok().with("msg", format!("skipped, since {} exists", creates.0));
            outcome.skipped = true;
            return Ok(Plan::done(outcome));
        }
        let remote = self.copy.map_or(self.remote_src, |copy| !copy);
        if let Err(why) = check_src(&self.src) {
            return Err(Error::failed(format!("unpack {}: {why}", self.src)));
        }
        let dest = self.dest.path();
        if !is_directory(dest, system)? {
            return Err(Error::failed(format!("dest '{}' must be an existing dir", self.dest.0)).hint("make it with a `file` task"));
        }
        let packed = if remote { self.on_node(context)? } else { Self::from_controller(context)? };
        let question = self.question(packed.source.clone());
        let archive = system.archive(&question)?;
        if context.mode == Mode::Check && archive.format != Format::Zip {
            let message = "remote module (ansible.legacy.unarchive) does not support check mode when using gtar";
            return Ok(Plan::done(Outcome { skipped: true, ..Outcome::ok().with("msg", message) }));
        }
        let job = Job { module: self, question, archive, packed, check: context.mode == Mode::Check };
        job.plan(system)
    }
}

/// The archive, and where it stands when it is unpacked.
struct Packed {
    source: Source,
    shown: String,
    /// On the node; the controller's is put there for that long.
    path: PathBuf,
}

impl Unarchive {
    fn on_node(&self, context: &Context<'_>) -> Result<Packed> {
        let system = context.system;
        let src = expand(&self.src, system, context.environment)?;
        let path = PathBuf::from(&src);
        let Some(found) = followed(&path, system)? else { return Err(Error::failed(format!("Source '{src}' does not exist"))) };
        if !system.access(&path)?.read {
            return Err(Error::failed(format!("Source '{src}' not readable")));
        }
        if found.size == 0 {
            return Err(Error::failed(format!("Invalid archive '{src}', the file is 0 bytes")));
        }
        Ok(Packed { source: Source::Node(path.clone()), shown: src, path })
    }

    fn from_controller(context: &Context<'_>) -> Result<Packed> {
        let source = context.source.ok_or_else(|| Error::failed("could not find src on the controller"))?;
        let (shown, file) = super::copy::followed_source(source.path, source.below, source.file);
        let File::Plain { sha256, content: Some(content), .. } = file else {
            return Err(Error::failed(format!("{shown} is no file that can be unpacked")));
        };
        if content.0.is_empty() {
            return Err(Error::failed(format!("Invalid archive '{shown}', the file is 0 bytes")));
        }
        // In the acting user's folder of temporary files; the name says host and content, so that every plan says the same.
        let folder = super::tempfile::default_folder(context)?;
        let path = Path::new(&folder).join(format!("provision-{}.archive", &super::passing(context.host, sha256)[..16]));
        Ok(Packed { source: Source::Bytes(content.clone()), shown, path })
    }

    fn question(&self, source: Source) -> Question {
        let given = |list: &[String]| list.iter().filter(|word| !word.is_empty()).cloned().collect();
        Question {
            source,
            folder: Some(self.dest.path().to_owned()),
            owner: self.file.owner.clone(),
            group: self.file.group.clone(),
            keep_newer: self.keep_newer,
            exclude: given(&self.exclude),
            include: given(&self.include),
            options: given(&self.extra_opts),
        }
    }
}

struct Job<'module> {
    module: &'module Unarchive,
    question: Question,
    archive: Archive,
    packed: Packed,
    check: bool,
}

impl Job<'_> {
    fn plan(&self, system: &dyn System) -> Result<Plan> {
        let zip = (self.archive.format == Format::Zip).then(|| zip::compare(self.module, &self.archive, system)).transpose()?;
        let differs = match &zip {
            Some(compared) => !compared.diff.is_empty(),
            None => self.tar_differs(system)?,
        };
        let members: Vec<String> = self.archive.members.iter().map(|member| member.name.clone()).collect();
        let path = self.module.dest.path().to_owned();
        let mut outcome = Outcome { changed: differs, ..Outcome::ok() }
            .with("handler", self.archive.format.handler())
            .with("dest", self.module.dest.0.as_str())
            .with("src", self.packed.shown.as_str());
        if self.module.list_files {
            outcome = outcome.with("files", members.clone());
        }
        if self.check || !differs {
            let mut draft = Draft::new(system);
            if self.check {
                outcome = add_path_info(outcome, &path, system)?;
                let actions = if differs { self.actions(system, &zip.map(|zip| zip.newer).unwrap_or_default())? } else { Vec::new() };
                return Ok(Plan::act(actions, outcome));
            }
            own(&mut draft, &path, &members, &self.module.file)?;
            return draft.finish(outcome, path, false);
        }
        let actions = self.actions(system, &zip.map(|zip| zip.newer).unwrap_or_default())?;
        let unpacks = actions.iter().position(|action| matches!(action, Action::Run(_))).unwrap_or_default();
        let words: Vec<String> = actions
            .iter()
            .find_map(|action| if let Action::Run(command) = action { Some(command.argv.clone()) } else { None })
            .unwrap_or_default();
        let said = Value::unknown(format!("what unpacking {} says", self.packed.shown));
        let predicted = outcome.clone().with("extract_results", map! { "cmd" => words.clone(), "rc" => said.clone(), "out" => said.clone(), "err" => said });
        let predicted = add_path_info(predicted, &path, system)?;
        let (file, shown, dest) = (self.module.file.clone(), self.packed.shown.clone(), self.module.dest.0.clone());
        Ok(Plan::act(actions, predicted).then(move |outcomes, system| {
            let done = outcomes.get(unpacks).cloned().unwrap_or_default();
            let outcome = outcome.with("extract_results", results(words, &done));
            if done.rc != Some(0) {
                let failed = Outcome { failed: true, changed: false, ..outcome };
                let failed = failed.with("msg", format!("failed to unpack {shown} to {dest}"));
                return Ok(Next::Done(add_path_info(failed, &path, system)?));
            }
            let mut draft = Draft::new(system);
            own(&mut draft, &path, &members, &file)?;
            if draft.actions.is_empty() {
                return Ok(Next::Done(add_path_info(outcome, &path, system)?));
            }
            draft.finish(outcome, path, false).map(Next::Again)
        }))
    }

    /// What `tar --diff` says counts where the task does not set it anyway.
    fn tar_differs(&self, system: &dyn System) -> Result<bool> {
        let (file, root) = (&self.module.file, system.whoami()?.uid == 0);
        let counts = |line: &String| {
            let says = |words: &str| line.ends_with(words);
            // Of a name that is empty (`--strip-components`).
            if says(": : Warning: Cannot stat: No such file or directory") {
                return false;
            }
            root && file.owner.is_none() && says(": Uid differs")
                || root && file.group.is_none() && says(": Gid differs")
                || file.mode.is_none() && says(": Mode differs")
                || DIFFERENCES.iter().any(|words| says(words))
        };
        Ok(self.archive.differences.iter().any(counts))
    }

    /// Brings the archive where it has to be, unpacks it, takes it away again.
    fn actions(&self, system: &dyn System, newer: &[String]) -> Result<Vec<Action>> {
        let file = self.packed.path.to_string_lossy().into_owned();
        let words = if self.archive.format == Format::Zip {
            let leave_out: Vec<String> = self.question.exclude.iter().chain(newer).cloned().collect();
            self.question.unzip(&program(&["unzip"], system)?, &file, &leave_out)
        } else {
            self.question.tar(&program(&["gtar", "tar"], system)?, "--extract", self.archive.format, &file)
        };
        let label = format!("unpack {} to {}", self.packed.shown, self.module.dest.0);
        let mut command = Command::new(label, words).effect(Effect::Below(self.module.dest.path().to_owned()));
        command.accept = Accept::Any;
        command.directory.clone_from(&self.question.folder);
        command.environment = ["LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"].map(|name| (name.to_owned(), "C.UTF-8".to_owned())).to_vec();
        let mut actions = Vec::new();
        if let Source::Bytes(bytes) = &self.packed.source {
            let content = Content::Inline(Bytes(bytes.0.clone()));
            actions.push(Action::write(&self.packed.path, content, Ownership::mode(0o600)));
        }
        actions.push(Action::Run(command));
        if matches!(self.packed.source, Source::Bytes(_)) {
            actions.push(Action::Remove { path: self.packed.path.clone() });
        }
        Ok(actions)
    }
}

/// The first of these that the node has.
fn program(names: &[&str], system: &dyn System) -> Result<String> {
    for name in names {
        if let Some(path) = system.executable(name)? {
            return Ok(text(&path));
        }
    }
    Err(Error::failed(format!("unpacking needs {} on the node", names.join(" or "))).hint("install it with a `package` task before"))
}

fn results(words: Vec<String>, done: &ActionOutcome) -> crate::program::Map {
    let said = |bytes: &Bytes| Value::text(String::from_utf8_lossy(&bytes.0));
    map! { "cmd" => words, "rc" => i64::from(done.rc.unwrap_or(-1)), "out" => said(&done.stdout), "err" => said(&done.stderr) }
}

/// Owner, group and mode of everything that came out of it, and of the folders on top.
fn own(draft: &mut Draft<'_>, dest: &Path, members: &[String], wanted: &FileArguments) -> Result<()> {
    let given = [&wanted.owner, &wanted.group, &wanted.seuser, &wanted.serole, &wanted.setype, &wanted.selevel, &wanted.attributes];
    if wanted.mode.is_none() && given.iter().all(|given| given.is_none()) {
        return Ok(());
    }
    let tops = members.iter().filter_map(|name| name.split_once('/').map(|(top, _)| top.to_owned()));
    let mut names: Vec<String> = members.to_vec();
    for top in tops {
        if !names.iter().any(|name| name.trim_end_matches('/') == top) {
            names.push(top);
        }
    }
    for name in names {
        let path = PathBuf::from(text(&dest.join(name)).trim_end_matches('/'));
        if draft.system.metadata(&path)?.is_some() {
            draft.own(&path, wanted)?;
        }
    }
    Ok(())
}
