//! Runs one case: plan, apply to the fake, report, compare; then the second plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use provision::module::{ActionKind, Context, Failure, Mode, Next, Outcome, Plan, Source, find};
use provision::program::{Bytes, File, Map, Value};
use provision::system::apply::ContentSource;
use provision::system::describe::sha256;
use provision::system::fake::{Fake, Kind};
use provision::system::overlay::Overlay;
use provision::system::{Action, Effect, Error, FileKind, System};
use serde_json::Value as Json;

use super::case::{After, AfterDetails, AfterFile, Case, SourceCase, SourceFile};

/// As the engine bounds them.
const MOST_STAGES: usize = 64;

/// The controller's files of a case.
#[derive(Default)]
struct Files {
    path: String,
    known: BTreeMap<Arc<str>, File>,
    contents: BTreeMap<String, Vec<u8>>,
}

impl ContentSource for Files {
    fn fetch(&mut self, sha256: &str, sink: &mut dyn std::io::Write) -> provision::system::Result<()> {
        let bytes = self.contents.get(sha256).ok_or_else(|| Error::failed(format!("the case has no content {sha256}")))?;
        sink.write_all(bytes).map_err(|error| Error::io("copy", &error))
    }
}

/// What one run of a module gave.
struct Ran {
    sentences: Vec<String>,
    actions: Vec<Action>,
    outcome: Outcome,
    predicted: Outcome,
    diffs: Vec<String>,
}

pub fn run(case: &Case) -> Result<(), String> {
    let mut fake =
        Fake::from_value(if case.system.is_null() { serde_json::json!({}) } else { case.system.clone() }).map_err(|error| error.message)?;
    let mut files = Files::default();
    if let Some(source) = &case.source {
        // The engine fetches what these look into.
        files = sources(source, matches!(case.module.as_str(), "assemble" | "unarchive" | "uri"))?;
        for bytes in files.contents.values() {
            fake.add_content(bytes);
        }
    }
    let before = fake.clone();
    if !case.check.is_empty() {
        let plan = plan(case, &fake, Mode::Check, &files).map_err(|error| format!("check: {}", error.message))?;
        compare("check", &case.check, &plan.predicted)?;
    }
    let mode = match case.mode {
        super::case::Mode::Plan => Mode::Plan,
        super::case::Mode::Apply => Mode::Apply,
        super::case::Mode::Check => Mode::Check,
    };
    let ran = match (drive(case, &mut fake, mode, &mut files), &case.fails) {
        (Ok(ran), None) => ran,
        (Ok(ran), Some(fails)) if ran.outcome.failed => {
            let message = ran.outcome.result.get("msg").and_then(Value::as_str).unwrap_or_default().to_owned();
            same("fails", &message, fails)?;
            ran
        }
        (Ok(_), Some(fails)) => return Err(format!("it should have failed: {fails}")),
        (Err(error), Some(fails)) => {
            same("fails", &error.message, fails)?;
            if let Some(hint) = &case.hint {
                same("hint", error.hint.as_deref().unwrap_or_default(), hint)?;
            }
            return compare_map("result", &case.result, &Value::map(*error.details).to_json(true));
        }
        (Err(error), None) => return Err(format!("{}{}", error.message, error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default())),
    };
    same("plan", &ran.sentences.join("\n"), &case.plan.join("\n"))?;
    if let Some(runs) = &case.runs {
        let words =
            ran.actions.iter().filter_map(|action| if let Action::Run(command) = action { Some(command.argv.join(" ")) } else { None });
        same("runs", &words.collect::<Vec<_>>().join("\n"), &runs.join("\n"))?;
    }
    compare("result", &case.result, &ran.outcome)?;
    compare("predicted", &case.predicted, &ran.predicted)?;
    if let Some(diff) = &case.diff {
        same("diff", &ran.diffs.join("\n---\n"), &diff.join("\n---\n"))?;
    }
    if let Some(after) = &case.after {
        compare_machine(after, &fake)?;
    }
    if case.fails.is_some() {
        return Ok(());
    }
    let again = drive(case, &mut fake.clone(), mode, &mut files).map_err(|error| format!("again: {}", error.message))?;
    same("again", &again.sentences.join("\n"), &case.again.join("\n"))?;
    if again.sentences.is_empty() && again.outcome.changed {
        return Err("again: nothing planned, yet `changed`".to_owned());
    }
    on_overlay(case, &before, &ran, &files)
}

/// A second task of the same arguments in one plan: unknown, or what the second run does.
fn on_overlay(case: &Case, before: &Fake, ran: &Ran, files: &Files) -> Result<(), String> {
    let mut overlay = Overlay::new(before);
    for action in &ran.actions {
        overlay.absorb(action, "the first task");
    }
    // What an opaque command takes away still reads as present: only later is it known to be gone.
    if ran.actions.iter().any(|action| matches!(action, Action::Run(command) if command.effect == Effect::Opaque)) {
        return Ok(());
    }
    match plan(case, &overlay, Mode::Plan, files) {
        Ok(plan) => {
            let sentences: Vec<String> = plan.actions.iter().map(Action::describe).collect();
            // Only the first stage can be planned; a later one may be all that `again` names.
            let expected = case.again.iter().take(sentences.len()).cloned().collect::<Vec<_>>();
            same("on the overlay", &sentences.join("\n"), &expected.join("\n"))
        }
        Err(error) if error.unknown_cause().is_some() => Ok(()),
        Err(error) => Err(format!("on the overlay: {}", error.message)),
    }
}

fn plan(case: &Case, system: &dyn System, mode: Mode, files: &Files) -> Result<Plan, Error> {
    let entry = find(&case.module).ok_or_else(|| Error::failed(format!("no module {}", case.module)))?;
    let ActionKind::System(action) = &entry.action else {
        return Err(Error::failed(format!("{} is a module of the run: its cases are not here", case.module)));
    };
    let arguments = Value::from(Json::Object(case.arguments.clone()));
    let mut raw: Map = arguments.as_map().cloned().unwrap_or_default();
    let environment: Vec<(String, String)> = case.environment.clone().into_iter().collect();
    let source = files.known.get(files.path.as_str()).map(|file| Source { path: &files.path, file, below: &files.known });
    let context = Context { system, mode, diff: case.diff.is_some(), source, environment: &environment, host: "" };
    action(&mut raw, &context).map_err(|failure| match failure {
        Failure::System(error) => error,
        Failure::Arguments(error) => {
            let mut failed = Error::failed(error.to_string());
            failed.hint.clone_from(&error.hint);
            failed
        }
    })
}

fn drive(case: &Case, fake: &mut Fake, mode: Mode, files: &mut Files) -> Result<Ran, Error> {
    let mut next = plan(case, fake, mode, files)?;
    let predicted = next.predicted.clone();
    let mut ran = Ran { sentences: Vec::new(), actions: Vec::new(), outcome: Outcome::ok(), predicted, diffs: Vec::new() };
    for _ in 0..MOST_STAGES {
        let acts = mode == Mode::Apply || next.always;
        let mut outcomes = Vec::new();
        for action in &next.actions {
            ran.sentences.push(action.describe());
            for diff in action.diffs(fake, files)? {
                ran.diffs.push(lines_that_differ(&diff.before, &diff.after));
            }
            assert_eq!(action.digest(), action.clone().digest());
            if acts {
                outcomes.push(fake.apply(action)?);
            }
            ran.actions.push(action.clone());
        }
        ran.outcome = next.predicted.clone();
        let Some(then) = next.then.filter(|_| acts) else { return Ok(ran) };
        match then(&outcomes, fake)? {
            Next::Done(outcome) => {
                ran.outcome = outcome;
                return Ok(ran);
            }
            Next::Again(plan) => next = plan,
        }
    }
    Err(Error::failed(format!("more than {MOST_STAGES} stages")))
}

fn sources(source: &SourceCase, inline: bool) -> Result<Files, String> {
    let mut files = Files { path: source.path.clone(), ..Files::default() };
    let bits = |text: &Option<String>, default: u32| {
        text.as_deref().map_or(Ok(default), |text| u32::from_str_radix(text, 8)).map_err(|error| error.to_string())
    };
    for (path, file) in &source.files {
        let file = match file {
            SourceFile::File { content, mode } => {
                let digest = sha256(content.as_bytes());
                files.contents.insert(digest.clone(), content.clone().into_bytes());
                let bytes = inline.then(|| Bytes(content.as_bytes().into()));
                File::Plain { sha256: digest.into(), size: content.len() as u64, mode: bits(mode, 0o644)?, content: bytes, sealed: None }
            }
            SourceFile::Directory { directory, mode } => {
                File::Directory { mode: bits(mode, 0o755)?, entries: directory.iter().map(|name| name.as_str().into()).collect() }
            }
            SourceFile::Link { link } => File::Symlink { target: link.as_str().into() },
        };
        files.known.insert(path.as_str().into(), file);
    }
    Ok(files)
}

fn compare(what: &str, expected: &serde_json::Map<String, Json>, outcome: &Outcome) -> Result<(), String> {
    let mut actual = outcome.value().to_json(true);
    if !outcome.diff.is_empty() {
        actual["diff"] = serde_json::to_value(&outcome.diff).map_err(|error| error.to_string())?;
    }
    compare_map(what, expected, &actual)
}

fn compare_map(what: &str, expected: &serde_json::Map<String, Json>, actual: &Json) -> Result<(), String> {
    for (name, wanted) in expected {
        let found = actual.get(name).cloned().unwrap_or(Json::Null);
        let unknown = wanted == "<unknown>" && found.as_str().is_some_and(|text| text.starts_with("<unknown"));
        if !unknown && !covers(&found, wanted) {
            return Err(format!("{what}: {name} is {found}, the case says {wanted}\n  all: {actual}"));
        }
    }
    Ok(())
}

/// Equal; of mappings what is named.
fn covers(found: &Json, wanted: &Json) -> bool {
    match (found, wanted) {
        (Json::Object(found), Json::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| covers(found.get(name).unwrap_or(&Json::Null), wanted))
        }
        (Json::Number(found), Json::Number(wanted)) => found.as_f64() == wanted.as_f64(),
        _ => found == wanted,
    }
}

fn compare_machine(after: &After, fake: &Fake) -> Result<(), String> {
    let stringly = |error: Error| error.message;
    for path in &after.absent {
        if fake.metadata(Path::new(path)).map_err(stringly)?.is_some() {
            return Err(format!("after: {path} is still there"));
        }
    }
    for (path, target) in &after.links {
        let found = fake.read_link(Path::new(path)).map_err(stringly)?;
        same(&format!("after: target of {path}"), &format!("{found:?}"), &format!("{:?}", Some(Path::new(target))))?;
    }
    for (name, wanted) in &after.users {
        let found = fake.user(name).map_err(stringly)?;
        let (Some(found), Some(wanted)) = (found.clone(), wanted) else {
            if found.is_some() == wanted.is_some() {
                continue;
            }
            return Err(format!("after: user {name} is {found:?}"));
        };
        let groups = fake.groups().map_err(stringly)?.into_iter().filter(|group| group.members.contains(name));
        let shadow = fake.shadow(name).map_err(stringly)?.unwrap_or_default();
        let actual = serde_json::json!({
            "uid": found.uid, "gid": found.gid, "gecos": found.gecos, "home": found.home, "shell": found.shell,
            "groups": groups.map(|group| group.name).collect::<Vec<_>>(), "password": shadow.password, "min": shadow.min,
            "max": shadow.max, "warn": shadow.warn, "inactive": shadow.inactive, "expires": shadow.expires,
        });
        compare_map(&format!("after: user {name}"), wanted, &actual)?;
    }
    for (kind, entries) in [(FileKind::File, &after.files), (FileKind::Directory, &after.directories)] {
        for (path, wanted) in entries {
            let Some(found) = fake.metadata(Path::new(path)).map_err(stringly)? else { return Err(format!("after: {path} is not there")) };
            if found.kind != kind {
                return Err(format!("after: {path} is a {:?}", found.kind));
            }
            let text = AfterDetails::default();
            let (details, content) = match wanted {
                AfterFile::Text(content) => (&text, Some(content)),
                AfterFile::Full(details) => (details, details.content.as_ref()),
            };
            if let Some(content) = content {
                let node = fake.nodes().get(Path::new(path)).map(|node| node.kind.clone());
                let Some(Kind::File(bytes)) = node else { return Err(format!("after: {path} has no content")) };
                same(&format!("after: {path}"), &String::from_utf8_lossy(&bytes), content)?;
            }
            let name = |id: u32, found: Option<String>| found.unwrap_or_else(|| id.to_string());
            let owner = name(found.uid, fake.user(&found.uid.to_string()).map_err(stringly)?.map(|user| user.name));
            let group = name(found.gid, fake.group(&found.gid.to_string()).map_err(stringly)?.map(|group| group.name));
            let attributes = fake.attributes(Path::new(path)).map_err(stringly)?;
            for (what, wanted, found) in [
                ("mode", details.mode.clone(), format!("{:04o}", found.mode)),
                ("owner", details.owner.clone(), owner),
                ("group", details.group.clone(), group),
                ("attributes", details.attributes.clone(), attributes),
                ("modified", details.modified.map(|time| time.to_string()), found.modified.to_string()),
                ("accessed", details.accessed.map(|time| time.to_string()), found.accessed.to_string()),
            ] {
                if let Some(wanted) = wanted {
                    same(&format!("after: {what} of {path}"), &found, &wanted)?;
                }
            }
        }
    }
    Ok(())
}

fn lines_that_differ(before: &str, after: &str) -> String {
    let mut text = String::new();
    for change in similar::TextDiff::from_lines(before, after).iter_all_changes() {
        let sign = match change.tag() {
            similar::ChangeTag::Equal => continue,
            similar::ChangeTag::Delete => '-',
            similar::ChangeTag::Insert => '+',
        };
        text.push(sign);
        text += change.value();
        if !text.ends_with('\n') {
            text += "\\ no newline\n";
        }
    }
    text
}

fn same(what: &str, actual: &str, wanted: &str) -> Result<(), String> {
    if actual == wanted {
        return Ok(());
    }
    let indented = |text: &str| text.lines().map(|line| ["    ", line, "\n"].concat()).collect::<String>();
    Err(format!("{what} is\n{}  the case says\n{}", indented(actual), indented(wanted)))
}
