//! The controller's files as a task sees them: Ansible's search paths over what the program names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::context::Context;
use super::executor::{Executor, Pass};
use super::found;
use super::frame::{Answer, Missed, Question, Up};
use super::include::{find, normal};
use super::item::{Item, Stop};
use super::port::Ended;
use crate::module::arguments::boolean;
use crate::program::{File, Map, Position, Span, Task, Value};
use crate::template::{Error, Result};

/// Why a plan does not know what a file holds.
pub const TO_BE_MADE: &str = "a file of the controller, which steps before may make";

impl Executor {
    /// Folders that a relative name is searched in, first first: the roles around the task (`files/` or whatever the kind
    /// is, then the role itself), the folder of the task's file, the playbook's.
    pub fn search_folders(&self, kind: &str, context: &Context<'_>) -> Vec<Arc<str>> {
        let mut folders: Vec<Arc<str>> = Vec::new();
        let mut add = |folder: String| {
            let folder: Arc<str> = folder.into();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        };
        for role in context.roles() {
            add(format!("{}/{kind}", role.path));
            add(role.path.to_string());
            add(format!("{}/tasks/{kind}", role.path));
            add(format!("{}/tasks", role.path));
        }
        for folder in self.folder_of_task.iter().cloned().chain(self.playbook_dir()) {
            add(format!("{folder}/{kind}"));
            add(folder.to_string());
        }
        folders
    }

    /// The folder of the playbook that runs, on the controller.
    pub fn playbook_dir(&self) -> Option<Arc<str>> {
        let of_play = self.play.as_deref().and_then(|play| play.magic.get("playbook_dir"));
        of_play.or_else(|| self.program.magic.get("playbook_dir")).and_then(Value::as_str).map(Arc::from)
    }

    /// Folders of the controller as the user sees them: relative to the project's.
    pub fn shown_folders(&self, folders: &[Arc<str>]) -> String {
        let root = Path::new(&*self.program.root);
        let shown = |folder: &Arc<str>| match Path::new(&**folder).strip_prefix(root) {
            Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
            Ok(inside) => inside.display().to_string(),
            Err(_) => folder.to_string(),
        };
        folders.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// Where a file begins, if it is one that mistakes are shown in.
    pub fn beginning_of(&self, path: &str) -> Span {
        let shown = Path::new(path).strip_prefix(&*self.program.root).unwrap_or(Path::new(path));
        let file = self.program.sources.iter().position(|name| Path::new(&**name) == shown);
        file.map_or_else(Span::default, |file| Span { file: file as u32, line: 1, column: 1 })
    }

    /// A file of the program by name, or one that the run has found.
    pub fn find_file(&self, kind: &str, name: &str, context: &Context<'_>) -> Result<(Arc<str>, &File)> {
        if let Some(found) = find(&self.found.files, &[], name) {
            return Ok(found);
        }
        let folders = self.search_folders(kind, context);
        find(&self.program.files, &folders, name).ok_or_else(|| {
            self.miss(|missed| &mut missed.files, name);
            let what = if kind == "templates" { "template" } else { "file" };
            let error = Error::failed(format!("there is no {what} `{name}`"));
            if name.starts_with('/') && self.program.takes_found && !self.program.is_local {
                let sent = "sent is what a task's text names, and what `fetch` or a task on the controller has found or made";
                return error.hint(format!("{sent}; write the folder at the beginning of the name, or set it in the inventory"));
            }
            error.hint(format!("searched in {}", self.shown_folders(&folders)))
        })
    }

    /// Notes what was not there.
    pub fn miss(&self, of: fn(&mut Missed) -> &mut BTreeSet<Arc<str>>, name: &str) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = of(missed.get_or_insert_default());
        if name.starts_with('/') && self.program.takes_found {
            missed.insert(normal(Path::new(name)).into());
        }
    }

    /// What was missed since this was asked last.
    pub fn take_missed(&mut self) -> Option<Missed> {
        self.missed.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has the controller look for what was missed. `None`: nothing was, or it is not the run that could have made it. Otherwise whether
    /// something is there now; in a plan its cause, where what comes before is to write.
    pub fn look_for_missed(&mut self, at: &Position) -> std::result::Result<Option<Result<bool>>, Ended> {
        let Some(missed) = self.take_missed() else { return Ok(None) };
        let is_named = !missed.files.is_empty() || !missed.vars.is_empty();
        if self.program.writes_files.is_empty() && !is_named {
            return Ok(None);
        }
        let (is_new, is_dirty) = self.look_again(at, Some(missed))?;
        if is_dirty && self.pass == Pass::Plan && (is_named || !is_new) {
            return Ok(Some(Err(Error::unknown(TO_BE_MADE))));
        }
        Ok(Some(Ok(is_new)))
    }

    /// The files among which one lies that was found by name.
    fn files_around(&self, path: &str) -> &BTreeMap<Arc<str>, File> {
        if self.found.files.contains_key(path) { &self.found.files } else { &self.program.files }
    }

    /// A file that was found by name.
    pub fn file_at(&self, path: &str) -> Option<&File> {
        self.files_around(path).get(path)
    }

    /// Takes files of the controller as they are once the other hosts are past the task: the run itself may have made them. Whether some
    /// are new, and whether what comes before is to write some. `missed`: those that were not there.
    pub fn look_again(&mut self, at: &Position, missed: Option<Missed>) -> std::result::Result<(bool, bool), Ended> {
        // A play begins where the plays before it end, whatever its strategy.
        let position = if self.keeps_order() { Some(at.clone()) } else { at.play().map(|play| Position(vec![play])) };
        let position = position.filter(|_| self.ordered && self.finishing == 0);
        match self.port.ask(Question::Files { position, missed })? {
            Answer::Files(new) => {
                let is_new = !new.files.is_empty() || !new.vars.is_empty();
                if is_new {
                    new.vars.values().for_each(|layer| self.masker.learn_layer(layer));
                    Arc::make_mut(&mut self.program).take_files(&new.files, &new.vars);
                }
                let is_found = !new.found.files.is_empty() || !new.found.vars.is_empty();
                new.found.vars.values().for_each(|layer| self.masker.learn_layer(layer));
                self.found.files.extend(new.found.files);
                self.found.vars.extend(new.found.vars);
                Ok((is_new || is_found, new.dirty))
            }
            // What is wrong in another file is no reason to end here: who wants what is not there says so.
            Answer::Error { message, .. } => {
                if self.warned.insert(message.clone()) {
                    self.warn(format!("files of the controller are as they were before, for the project has mistakes now:\n{message}"));
                }
                Ok((false, self.state.dirty))
            }
            _ => Ok((false, self.state.dirty)),
        }
    }

    /// Looks at the controller's files before a task or play which reads what others may write. In a plan the cause of what is unknown,
    /// where they are to write.
    pub fn look_before(&mut self, reader: Span, at: &Position) -> std::result::Result<Option<Arc<str>>, Ended> {
        let awaits = self.program.awaits_files.get(&reader).copied().filter(|awaits| self.looked <= awaits.writer);
        let Some(awaits) = awaits else { return Ok(None) };
        let (_, is_dirty) = self.look_again(at, None)?;
        if is_dirty && self.pass == Pass::Plan {
            return Ok(Some(TO_BE_MADE.into()));
        }
        // Without an order it is the play's beginning that was waited for.
        if self.keeps_order() {
            self.looked = awaits.turn;
        }
        Ok(None)
    }

    /// Has the others read the controller's files again, if the item in hand may have written some.
    pub fn tell_written(&mut self, item: &Item<'_>) {
        if std::mem::take(&mut self.wrote) && self.program.writes_files.contains(&item.task.span) {
            self.port.send(Up::Wrote);
        }
    }

    /// Lets the controller know of the paths that a task of this host, which is the controller, has found or made.
    pub fn tell_found(&mut self, value: &Value) {
        if std::mem::take(&mut self.looks_here) && self.program.is_local && self.program.finds_files {
            let paths = found::paths(value);
            if !paths.is_empty() {
                self.port.send(Up::Found { paths });
            }
        }
    }

    /// The bytes of a file of the program.
    pub fn file_bytes(&self, path: &str) -> Result<Arc<[u8]>> {
        match self.file_at(path) {
            Some(File::Plain { content: Some(content), .. }) => Ok(Arc::clone(&content.0)),
            Some(File::Plain { sha256, .. }) => self.fetched(path, sha256),
            Some(File::Symlink { target }) => {
                let target = normal(&Path::new(path).parent().unwrap_or(Path::new("/")).join(&**target));
                self.file_bytes(&target)
            }
            Some(File::Directory { .. }) => Err(Error::failed(format!("{path} is a folder"))),
            None => Err(Error::failed(format!("{path} was not sent with the program"))),
        }
    }

    fn fetched(&self, path: &str, sha256: &str) -> Result<Arc<[u8]>> {
        let mut bytes = Vec::new();
        self.port.content(sha256, &mut bytes).map_err(|error| Error::failed(format!("fetch {path}: {error}")))?;
        if crate::system::describe::sha256(&bytes) != *sha256 {
            return Err(Error::failed(format!("fetch {path}: what came is not what the program names; the file changed during the run")));
        }
        Ok(bytes.into())
    }

    /// What `src` of a module names on the controller: its path and every entry below it.
    pub fn sources_of(
        &self,
        item: &Item<'_>,
        module: &str,
        arguments: &Map,
    ) -> std::result::Result<(Option<Arc<str>>, BTreeMap<Arc<str>, File>), Stop> {
        let nothing = (None, BTreeMap::new());
        if module == "artifact" {
            return Ok(self.artifact(arguments).unwrap_or(nothing));
        }
        if module == "script" {
            let line = ["_raw_params", "cmd"].into_iter().find_map(|name| arguments.get(name)?.as_str());
            // A line without a script is the module's to refuse.
            let Some(name) = line.and_then(|line| crate::module::script::source_name(line).ok()) else { return Ok(nothing) };
            let (path, file) = self.find_file("files", &name, item.context)?;
            let mut file = file.clone();
            if is_sealed(arguments) {
                file.seal();
            }
            return Ok((Some(Arc::clone(&path)), BTreeMap::from([(path, file)])));
        }
        if !matches!(module, "copy" | "assemble" | "unarchive" | "uri") {
            return Ok(nothing);
        }
        let said = |name: &str| arguments.get(name).and_then(|value| boolean(value).ok());
        let remote = said("remote_src").or(said("copy").map(|copy| !copy)).unwrap_or(module == "assemble");
        let Some(name) = arguments.get("src").and_then(Value::as_str).filter(|name| !remote && !name.is_empty()) else {
            return if module == "uri" && !remote { self.parts_of(item, arguments) } else { Ok(nothing) };
        };
        let found = self.find_file("files", name.trim_end_matches('/'), item.context);
        let (path, file) = found.map_err(|error| at_source(error, item.task))?;
        let mut sources = self.with_all_below(&path, file);
        if is_sealed(arguments) {
            sources.values_mut().for_each(File::seal);
        }
        if !matches!(module, "copy" | "uri") {
            self.with_contents(&mut sources)?;
        }
        Ok((Some(path), sources))
    }

    /// The files that a body of many parts takes, by the names that the user wrote.
    fn parts_of(&self, item: &Item<'_>, arguments: &Map) -> std::result::Result<(Option<Arc<str>>, BTreeMap<Arc<str>, File>), Stop> {
        let mut sources = BTreeMap::new();
        let is_multipart = arguments.get("body_format").and_then(Value::as_str) == Some("form-multipart");
        for name in arguments.get("body").and_then(Value::as_map).filter(|_| is_multipart).into_iter().flat_map(crate::module::uri::files) {
            let (path, file) = self.find_file("files", name, item.context)?;
            let mut found = BTreeMap::from([(path, file.clone())]);
            self.with_contents(&mut found)?;
            sources.extend(found.into_values().map(|file| (Arc::from(name), file)));
        }
        Ok((sources.keys().next().cloned(), sources))
    }

    /// The plan itself looks into these files: what was not sent along is fetched.
    fn with_contents(&self, sources: &mut BTreeMap<Arc<str>, File>) -> Result<()> {
        for (path, file) in sources {
            if let File::Plain { content: content @ None, sha256, .. } = file {
                *content = Some(crate::program::Bytes(self.fetched(path, sha256)?));
            }
        }
        Ok(())
    }

    /// The files of an artifact that the controller has.
    fn artifact(&self, arguments: &Map) -> Option<(Option<Arc<str>>, BTreeMap<Arc<str>, File>)> {
        let path: Arc<str> = crate::program::artifact_key(arguments.get("name")?.as_str()?).into();
        let file = self.program.files.get(&path)?;
        let sources = self.with_all_below(&path, file);
        Some((Some(path), sources))
    }

    fn with_all_below(&self, path: &Arc<str>, file: &File) -> BTreeMap<Arc<str>, File> {
        let mut sources = BTreeMap::from([(Arc::clone(path), file.clone())]);
        if matches!(file, File::Directory { .. }) {
            let prefix = format!("{path}/");
            let below = self.files_around(path).range(Arc::from(prefix.as_str())..).take_while(|(path, _)| path.starts_with(&prefix));
            sources.extend(below.map(|(path, file)| (Arc::clone(path), file.clone())));
        }
        sources
    }
}

/// `decrypt: false`: a vault file is taken as it lies there.
fn is_sealed(arguments: &Map) -> bool {
    arguments.get("decrypt").is_some_and(|value| !boolean(value).unwrap_or(true))
}

/// An error about the file that a task names, where it is named.
pub fn at_source(error: Error, task: &Task) -> Error {
    let mut named = task.arguments.named.iter();
    match named.find(|argument| matches!(&*argument.name, "src" | "file" | "dir" | "body")) {
        Some(argument) if error.span.is_none() => error.at(argument.span),
        _ => error,
    }
}
