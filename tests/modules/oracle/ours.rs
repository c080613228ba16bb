//! Our modules on the cases, on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use provision::module::engine::Controlled;
use provision::module::{ActionKind, Context, Failure, Mode, Next, Outcome, Plan, Source, find};
use provision::program::{Bytes, File, Map, Value};
use provision::system::apply::{Applier, Cancel, ContentSource, Quiet};
use provision::system::describe::sha256;
use provision::system::{Error, Real, Result};

use super::engine::Templates;
use super::{OracleCase, Place, Results};

pub fn results(case: &OracleCase, place: &Place) -> Results {
    let run = |mode| {
        let json = match drive(case, place, mode) {
            Ok(outcome) => outcome.value().to_json(true),
            Err(error) => {
                let mut fields = *error.details.clone();
                fields.insert("msg".into(), error.message.as_str().into());
                fields.insert("failed".into(), true.into());
                fields.insert("changed".into(), false.into());
                Value::map(fields).to_json(true)
            }
        };
        place.normalize(case, &json)
    };
    let (check, first, second) = (run(Mode::Check), run(Mode::Apply), run(Mode::Apply));
    Results { check, first, second, files: place.files(case) }
}

/// The project's files by digest.
struct Project {
    files: BTreeMap<Arc<str>, File>,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Project {
    fn read(root: &Path) -> Self {
        let mut project = Self { files: BTreeMap::new(), contents: BTreeMap::new() };
        project.add(root);
        project
    }

    fn add(&mut self, path: &Path) {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::symlink_metadata(path).expect("is there");
        let mode = found.mode() & 0o7777;
        let file = if found.is_dir() {
            let mut names: Vec<Arc<str>> = std::fs::read_dir(path)
                .expect("is a folder")
                .map(|entry| entry.expect("reads").file_name().to_string_lossy().as_ref().into())
                .collect();
            names.sort();
            for name in &names {
                self.add(&path.join(&**name));
            }
            File::Directory { mode, entries: names }
        } else if found.is_symlink() {
            File::Symlink { target: std::fs::read_link(path).expect("is a link").to_string_lossy().as_ref().into() }
        } else {
            let bytes = std::fs::read(path).expect("reads");
            let digest = sha256(&bytes);
            self.contents.insert(digest.clone(), bytes);
            File::Plain { sha256: digest.into(), size: found.size(), mode, content: None, sealed: None }
        };
        self.files.insert(path.to_string_lossy().as_ref().into(), file);
    }
}

impl ContentSource for Project {
    fn fetch(&mut self, sha256: &str, sink: &mut dyn std::io::Write) -> Result<()> {
        let bytes = self.contents.get(sha256).ok_or_else(|| Error::failed("no such content"))?;
        sink.write_all(bytes).map_err(|error| Error::io("write", &error))
    }
}

fn drive(case: &OracleCase, place: &Place, mode: Mode) -> Result<Outcome> {
    let arguments = Value::from(place.arguments(case)).as_map().cloned().unwrap_or_default();
    let entry = find(&case.module).ok_or_else(|| Error::failed("no such module"))?;
    let failure = |failure: Failure| match failure {
        Failure::System(error) => error,
        Failure::Arguments(error) => Error::failed(error.to_string()),
    };
    let mut raw: Map = arguments.clone();
    let project = place.project();
    match &entry.action {
        ActionKind::System(_) => act(&case.module, arguments, &project, mode),
        ActionKind::Engine(run) => match run(&mut raw, &mut Templates { project: project.clone() }).map_err(failure)? {
            Controlled::Onward { module, arguments } => act(module, arguments, &project, mode),
            _ => Err(Error::failed("it was to go on")),
        },
    }
}

fn act(module: &str, arguments: Map, project: &Path, mode: Mode) -> Result<Outcome> {
    let Some(ActionKind::System(make)) = find(module).map(|entry| &entry.action) else {
        return Err(Error::failed("no module of the machine"));
    };
    let system = Real::default();
    let mut files = Project::read(&project.join("files"));
    let path = arguments
        .get("src")
        .and_then(Value::as_str)
        .map(|src| project.join("files").join(src.trim_end_matches('/')).to_string_lossy().into_owned());
    let mut known = files.files.clone();
    // The engine fetches what these look into.
    if matches!(module, "assemble" | "unarchive") {
        for file in known.values_mut() {
            if let File::Plain { sha256, content, .. } = file {
                *content = files.contents.get(&**sha256).map(|bytes| Bytes(bytes.as_slice().into()));
            }
        }
    }
    let source = path.as_deref().and_then(|path| Some(Source { path, file: known.get(path)?, below: &known }));
    let context = Context { system: &system, mode, diff: false, source, environment: &[], host: "" };
    let mut raw = arguments;
    let mut next: Plan = make(&mut raw, &context).map_err(|failure| match failure {
        Failure::System(error) => error,
        Failure::Arguments(error) => Error::failed(error.to_string()),
    })?;
    loop {
        if mode == Mode::Check && !next.always {
            return Ok(next.predicted);
        }
        let mut applier = Applier { source: &mut files, watch: &mut Quiet, cancel: Cancel::default(), environment: Vec::new() };
        let outcomes = applier.apply(&next.actions).map_err(|failure| failure.error)?;
        let Some(then) = next.then else { return Ok(next.predicted) };
        match then(&outcomes, &system)? {
            Next::Done(outcome) => return Ok(outcome),
            Next::Again(plan) => next = plan,
        }
    }
}
