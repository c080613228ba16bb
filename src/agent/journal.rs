//! Write-ahead notes of a run on its node: what was begun, what was done, which handlers are owed.
//!
//! A run that changes nothing writes nothing. The file lives in the login user's state folder; it holds no secret:
//! digests are keyed, results that hold a secret are not stored. After a complete run the file is gone, or holds only what
//! is owed to plays that were not in that run.
//!
//! "Was changed" and stored results are given back after a run that was broken off (killed, cancelled, link lost). A run
//! that ended, if only with a failure, leaves nothing but the handlers it owes: what it did is not done again by accident,
//! and a `command` runs again as with Ansible.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::frame::{Become, Call};
use super::state::Notification;
use crate::module::Outcome;
use crate::program::{Bytes, Play, Tree, Value};
use crate::system::{Child, Command};

/// Seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Line {
    Begin {
        run: Arc<str>,
        boot_id: Arc<str>,
        time: f64,
    },
    Intent(Intent),
    /// A program that was started: found again by boot, process and its start time (clock ticks since boot).
    Child {
        child: Child,
        label: Arc<str>,
        /// Done first by the next run if this program's task is never recorded, or as interrupted.
        #[serde(default)]
        repair: Option<Repair>,
    },
    Done {
        digest: Arc<str>,
        changed: bool,
        failed: bool,
        interrupted: bool,
        result: Option<Box<Outcome>>,
    },
    Handled {
        name: Arc<str>,
        play: Arc<str>,
    },
    /// What an interrupted action needed was done.
    Repaired,
    /// The run ended with a failure.
    End {
        complete: bool,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'run> {
    /// All of these plays were run.
    Complete {
        plays: &'run [Arc<str>],
    },
    Failed,
    /// Cancelled, or the link was lost, or the machine restarts: the next run goes on.
    BrokenOff,
}

/// A command that mends what an interrupted action left (`dpkg --configure -a`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    pub label: String,
    pub argv: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub become_: Option<Become>,
}

impl Repair {
    /// What a command names as its repair, for the user who runs it.
    pub fn of(command: &Command, become_: Option<&Become>) -> Option<Self> {
        let repair = command.repair.as_deref()?;
        Some(Self {
            label: repair.label.clone(),
            argv: repair.argv.clone(),
            environment: repair.environment.clone(),
            become_: become_.cloned(),
        })
    }
}

/// What is about to be done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Intent {
    pub digest: Arc<str>,
    pub name: Arc<str>,
    pub notify: Vec<Arc<str>>,
    pub play: Arc<str>,
    /// Its record is the machine's restart.
    #[serde(default)]
    pub restarts: bool,
}

#[derive(Clone, Debug, Default)]
struct Recall {
    done: bool,
    changed: bool,
    interrupted: bool,
    result: Option<Outcome>,
    /// The machine was to restart, and did: when that was asked for, in seconds since the epoch.
    restarted: Option<f64>,
}

/// A program of a former run that still goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub pid: u32,
    pub label: Arc<str>,
}

/// A journal that the executor and the watchers of programs share.
pub type SharedJournal = Arc<std::sync::Mutex<Journal>>;

/// The journal of one host's runs.
pub struct Journal {
    path: Option<PathBuf>,
    key: Bytes,
    file: Option<File>,
    run: Arc<str>,
    boot_id: Arc<str>,
    recalled: HashMap<Arc<str>, VecDeque<Recall>>,
    /// See [`Journal::outdate`].
    outdated: bool,
    /// Handlers owed: (play, name).
    owed: Vec<(Arc<str>, Arc<str>)>,
    orphans: Vec<(Child, Arc<str>)>,
    existed: bool,
    /// Between an intent and its record.
    intending: bool,
    /// Which play a digest belongs to.
    plays: HashMap<Arc<str>, Arc<str>>,
    repairs: Vec<Repair>,
}

impl Journal {
    /// A journal that keeps nothing: plans, check mode, performing for others.
    pub fn none() -> Self {
        Self {
            path: None,
            key: Bytes::default(),
            file: None,
            run: "".into(),
            boot_id: "".into(),
            recalled: HashMap::new(),
            outdated: false,
            owed: Vec::new(),
            orphans: Vec::new(),
            existed: false,
            intending: false,
            plays: HashMap::new(),
            repairs: Vec::new(),
        }
    }

    /// Reads what a run that did not end has left. A torn last line (the machine died while it was written) is dropped.
    pub fn open(path: &Path, key: Bytes, run: Arc<str>, boot_id: Arc<str>) -> io::Result<Self> {
        let mut journal = Self { path: Some(path.to_owned()), key, run, boot_id, ..Self::none() };
        let file = match crate::system::traceless::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journal),
            Err(error) => return Err(error),
        };
        journal.existed = true;
        let mut reading = Reading::default();
        for line in BufReader::new(file).lines() {
            let Ok(line) = serde_json::from_str::<Line>(&line?) else { continue };
            journal.take(line, &mut reading);
        }
        for open in std::mem::take(&mut reading.open) {
            let Some(intent) = reading.intents.get(&open.digest).cloned() else { continue };
            if !open.is_owed {
                journal.owe(&intent);
            }
            if open.is_own {
                continue;
            }
            let restarted = (intent.restarts && open.boot_id != journal.boot_id).then_some(open.time);
            journal.recall(open.digest, Recall { changed: true, restarted, ..Recall::default() });
        }
        journal.repairs.append(&mut reading.repairs);
        journal.plays = reading.intents.into_iter().map(|(digest, intent)| (digest, intent.play)).collect();
        Ok(journal)
    }

    fn take(&mut self, line: Line, reading: &mut Reading) {
        match line {
            Line::Begin { run, boot_id, time } => {
                // What the run before left open is owed from here on, until a later run handles it.
                for open in reading.open.iter_mut().filter(|open| !open.is_owed) {
                    open.is_owed = true;
                    if let Some(intent) = reading.intents.get(&open.digest) {
                        self.owe(intent);
                    }
                }
                self.repairs.append(&mut reading.repairs);
                // The same run after its machine's restart: what it did is no memory of a former one.
                reading.is_own = run == self.run;
                (reading.boot_id, reading.time) = (boot_id, time);
            }
            Line::Intent(intent) => {
                // Begun again: the former one was never finished.
                if let Some(index) = reading.open.iter().position(|open| open.digest == intent.digest) {
                    reading.open.remove(index);
                } else if reading.is_own
                    && let Some(recalls) = self.recalled.get_mut(&intent.digest)
                {
                    recalls.pop_front();
                }
                reading.open.push(Open {
                    digest: Arc::clone(&intent.digest),
                    is_own: reading.is_own,
                    is_owed: false,
                    boot_id: Arc::clone(&reading.boot_id),
                    time: reading.time,
                });
                reading.intents.insert(Arc::clone(&intent.digest), intent);
            }
            Line::Child { child, label, repair } => {
                self.orphans.push((child, label));
                reading.repairs.extend(repair);
            }
            Line::Done { digest, changed, failed, interrupted, result } => {
                reading.open.retain(|open| open.digest != digest);
                self.orphans.clear();
                let repairs = std::mem::take(&mut reading.repairs);
                if interrupted {
                    self.repairs.extend(repairs);
                }
                let Some(intent) = reading.intents.get(&digest).cloned() else { return };
                if !failed || interrupted {
                    if changed || interrupted {
                        self.owe(&intent);
                    }
                    if !reading.is_own {
                        self.recall(
                            digest,
                            Recall {
                                done: !interrupted,
                                changed: changed || interrupted,
                                interrupted,
                                result: result.map(|result| *result),
                                restarted: None,
                            },
                        );
                    }
                }
            }
            Line::Handled { name, play } => self.owed.retain(|(of, known)| *known != name || *of != play),
            Line::Repaired => self.repairs.clear(),
            Line::End { complete } => {
                self.recalled.clear();
                if complete {
                    self.owed.clear();
                }
                for open in std::mem::take(&mut reading.open) {
                    if let Some(intent) = reading.intents.get(&open.digest).cloned().filter(|_| !complete && !open.is_owed) {
                        self.owe(&intent);
                    }
                }
            }
        }
    }

    fn owe(&mut self, intent: &Intent) {
        for name in &intent.notify {
            let owed = (Arc::clone(&intent.play), Arc::clone(name));
            if !self.owed.contains(&owed) {
                self.owed.push(owed);
            }
        }
    }

    fn recall(&mut self, digest: Arc<str>, recall: Recall) {
        self.recalled.entry(digest).or_default().push_back(recall);
    }

    /// What interrupted actions of former runs need before anything else is done.
    pub fn repairs(&self) -> Vec<Repair> {
        let mut repairs: Vec<Repair> = Vec::new();
        for repair in &self.repairs {
            if !repairs.contains(repair) {
                repairs.push(repair.clone());
            }
        }
        repairs
    }

    pub fn repaired(&mut self) -> io::Result<()> {
        self.repairs.clear();
        self.write(&Line::Repaired)
    }

    /// Programs of a former run that still go on, on this boot.
    pub fn orphans(&self) -> Vec<Orphan> {
        let alive = self.orphans.iter().filter(|(child, _)| child.is_alive());
        alive.map(|(child, label)| Orphan { pid: child.group.unsigned_abs(), label: Arc::clone(label) }).collect()
    }

    /// What identifies a call over runs: the task's text, the module, its evaluated arguments, the user.
    pub fn digest(&self, task: &str, call: &Call) -> Arc<str> {
        let mut hash = Sha256::new();
        hash.update(&*self.key.0);
        for part in [
            task,
            &call.module,
            &Value::map(call.arguments.clone()).to_json(true).to_string(),
            call.become_.as_ref().map_or("", |become_| &become_.user),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        for (name, value) in &call.environment {
            hash.update(name.as_bytes());
            hash.update([0]);
            hash.update(value.as_bytes());
            hash.update([0]);
        }
        hex::encode(hash.finalize()).into()
    }

    /// Before the first action.
    pub fn intend(&mut self, intent: &Intent) -> io::Result<()> {
        self.intending = true;
        self.plays.insert(Arc::clone(&intent.digest), Arc::clone(&intent.play));
        self.write(&Line::Intent(intent.clone()))
    }

    /// A program was started for the intent in hand. Reads write nothing.
    pub fn child(&mut self, child: &Child, label: &str, repair: Option<Repair>) -> io::Result<()> {
        if self.intending { self.write(&Line::Child { child: child.clone(), label: label.into(), repair }) } else { Ok(()) }
    }

    /// After the last action. `storable`: the result holds no secret and may be given back by [`Journal::finished`].
    pub fn done(&mut self, digest: &Arc<str>, outcome: &Outcome, storable: bool, interrupted: bool) -> io::Result<()> {
        self.intending = false;
        let result = storable.then(|| Box::new(outcome.clone()));
        self.write(&Line::Done { digest: Arc::clone(digest), changed: outcome.changed, failed: outcome.failed, interrupted, result })
    }

    /// A handler ran to its end.
    pub fn handled(&mut self, name: &Arc<str>, play: &Arc<str>) -> io::Result<()> {
        self.owed.retain(|(of, known)| known != name || of != play);
        if !self.existed {
            return Ok(());
        }
        self.write(&Line::Handled { name: Arc::clone(name), play: Arc::clone(play) })
    }

    /// Whether the call was begun or done in a run that did not end: then its handlers run and `is changed` holds.
    pub fn was_changed(&mut self, digest: &Arc<str>) -> bool {
        self.recalled.get_mut(digest).and_then(VecDeque::pop_front).is_some_and(|recall| recall.changed)
    }

    /// The stored result of a command that was done in a run that did not end.
    pub fn finished(&mut self, digest: &Arc<str>) -> Option<Outcome> {
        let recalls = self.recalled.get_mut(digest)?;
        let recall = recalls.pop_front()?;
        if recall.done && !recall.interrupted && !self.outdated { recall.result } else { None }
    }

    /// A command was run that the run before had not come to: what its later commands did may be undone by it (`kubeadm reset`
    /// before a stored `kubeadm init`), so their results are not given back any more; that they changed something is.
    pub fn outdate(&mut self) {
        self.outdated = true;
    }

    /// When a restart of the machine was asked for that has happened since, by a run that was broken off; given back once.
    pub fn restarted(&mut self, digest: &Arc<str>) -> Option<f64> {
        let recalls = self.recalled.get_mut(digest)?;
        let since = recalls.front()?.restarted?;
        recalls.pop_front();
        Some(since)
    }

    /// Handlers of a play that were notified in a run that did not get to them.
    pub fn pending_handlers(&self, play: &Play) -> Vec<Arc<str>> {
        let name: &str = match &play.name {
            Some(Tree::Literal(Value::Text(text))) => text.as_str(),
            _ => &play.pattern,
        };
        self.owed.iter().filter(|(of, _)| **of == *name).map(|(_, handler)| Arc::clone(handler)).collect()
    }

    /// The run is over for this host. `pending`: notified handlers that it never came to.
    pub fn end(&mut self, ending: Ending<'_>, pending: &[Notification]) -> io::Result<()> {
        if !self.existed {
            return Ok(());
        }
        match ending {
            Ending::Complete { plays } if pending.is_empty() => self.forget(plays),
            Ending::Complete { .. } | Ending::Failed if self.file.is_some() || !self.recalled.is_empty() => {
                self.write(&Line::End { complete: false })
            }
            Ending::Complete { .. } | Ending::Failed | Ending::BrokenOff => Ok(()),
        }
    }

    /// Keeps only what belongs to other plays than these.
    fn forget(&mut self, plays: &[Arc<str>]) -> io::Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        let mut lines = Vec::new();
        for (digest, recalls) in &self.recalled {
            let Some(play) = self.plays.get(digest).filter(|play| !plays.contains(play)) else { continue };
            for recall in recalls {
                lines.push(Line::Intent(Intent { digest: Arc::clone(digest), play: Arc::clone(play), ..Intent::default() }));
                if recall.done || recall.interrupted {
                    let result = recall.result.clone().map(Box::new);
                    lines.push(Line::Done {
                        digest: Arc::clone(digest),
                        changed: recall.changed,
                        failed: false,
                        interrupted: recall.interrupted,
                        result,
                    });
                }
            }
        }
        for (play, name) in self.owed.iter().filter(|(play, _)| !plays.contains(play)) {
            let digest: Arc<str> = format!("owed {name}").into();
            lines.push(Line::Intent(Intent {
                digest: Arc::clone(&digest),
                play: Arc::clone(play),
                notify: vec![Arc::clone(name)],
                ..Intent::default()
            }));
            lines.push(Line::Done { digest, changed: true, failed: false, interrupted: false, result: None });
        }
        if lines.is_empty() {
            self.file = None;
            self.existed = false;
            return std::fs::remove_file(path);
        }
        // Nothing was done: what others left stays as it is.
        if self.file.take().is_none() {
            return Ok(());
        }
        let shorter = path.with_extension("new");
        let _ = std::fs::remove_file(&shorter);
        let mut journal = Self { path: Some(shorter.clone()), run: "".into(), boot_id: Arc::clone(&self.boot_id), ..Self::none() };
        lines.iter().try_for_each(|line| journal.write(line))?;
        std::fs::rename(shorter, path)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.file.is_none() {
            if let Some(folder) = path.parent() {
                use std::os::unix::fs::DirBuilderExt;
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            use std::os::unix::fs::OpenOptionsExt;
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            // After a torn line the next one begins on its own.
            let begin = Line::Begin { run: Arc::clone(&self.run), boot_id: Arc::clone(&self.boot_id), time: now() };
            let length = file.metadata()?.len();
            if length > 0 && !ends_with_newline(path)? {
                file.write_all(b"\n")?;
            }
            writeln!(file, "{}", serde_json::to_string(&begin)?)?;
            if length == 0
                && let Some(folder) = path.parent()
            {
                File::open(folder)?.sync_all()?;
            }
            self.file = Some(file);
            self.existed = true;
        }
        if let Some(file) = &mut self.file {
            file.write_all(format!("{}\n", serde_json::to_string(line)?).as_bytes())?;
            file.sync_data()?;
        }
        Ok(())
    }
}

/// An intent without a record so far.
#[derive(Debug)]
struct Open {
    digest: Arc<str>,
    is_own: bool,
    /// Its handlers were counted when the next run began; that run may have handled them.
    is_owed: bool,
    boot_id: Arc<str>,
    time: f64,
}

/// While the file is read.
#[derive(Debug)]
struct Reading {
    intents: HashMap<Arc<str>, Intent>,
    open: Vec<Open>,
    /// Of programs since the last record.
    repairs: Vec<Repair>,
    is_own: bool,
    boot_id: Arc<str>,
    time: f64,
}

impl Default for Reading {
    fn default() -> Self {
        Self { intents: HashMap::new(), open: Vec::new(), repairs: Vec::new(), is_own: false, boot_id: "".into(), time: 0.0 }
    }
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = crate::system::traceless::open(path)?;
    let length = file.metadata()?.len();
    let mut last = [0];
    file.read_exact_at(&mut last, length.saturating_sub(1))?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each call is another run.
    fn journal(folder: &Path) -> Journal {
        use std::sync::atomic::{AtomicU32, Ordering};
        static RUN: AtomicU32 = AtomicU32::new(0);
        of_run(folder, &RUN.fetch_add(1, Ordering::Relaxed).to_string(), "boot")
    }

    fn of_run(folder: &Path, run: &str, boot: &str) -> Journal {
        Journal::open(&folder.join("journal"), Bytes(Arc::from(*b"key")), run.into(), boot.into()).expect("readable")
    }

    const ALL: Ending<'static> = Ending::Complete { plays: &[] };

    fn intent(digest: &str) -> Intent {
        Intent { digest: digest.into(), name: "t".into(), notify: vec!["restart".into()], play: "p".into(), ..Intent::default() }
    }

    fn play() -> Play {
        Play { pattern: "p".into(), ..Play::default() }
    }

    #[test]
    fn a_run_without_changes_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = journal(folder.path());
        first.handled(&"h".into(), &"p".into()).expect("written");
        first.end(ALL, &[]).expect("ended");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn what_a_new_command_may_have_undone_is_not_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = journal(folder.path());
        for name in ["a", "b"] {
            first.intend(&intent(name)).expect("written");
            first.done(&name.into(), &Outcome::changed(), true, false).expect("written");
        }
        let mut second = journal(folder.path());
        assert!(second.finished(&"a".into()).is_some());
        second.outdate();
        assert!(second.finished(&"b".into()).is_none());
        let mut third = journal(folder.path());
        third.outdate();
        assert!(third.was_changed(&"b".into()), "that it changed something holds");
    }

    #[test]
    fn an_intent_without_a_record_counts_as_changed_and_owes_its_handlers() {
        let folder = tempfile::tempdir().expect("a folder");
        journal(folder.path()).intend(&intent("a")).expect("written");
        let mut second = journal(folder.path());
        assert_eq!(second.pending_handlers(&play()), vec![Arc::from("restart")]);
        assert!(second.finished(&"a".into()).is_none());
        let mut third = journal(folder.path());
        assert!(third.was_changed(&"a".into()));
        assert!(!third.was_changed(&"a".into()), "given back once");
        second.handled(&"restart".into(), &"p".into()).expect("written");
        assert!(journal(folder.path()).pending_handlers(&play()).is_empty());
    }

    #[test]
    fn a_finished_command_gives_its_result_back_after_a_run_that_did_not_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = journal(folder.path());
        first.intend(&intent("a")).expect("written");
        first.done(&"a".into(), &Outcome::changed().with("rc", 0_i64), true, false).expect("written");
        let mut second = journal(folder.path());
        let outcome = second.finished(&"a".into()).expect("stored");
        assert!(outcome.changed);
        second.end(Ending::Complete { plays: &["p".into()] }, &[]).expect("ended");
        assert!(journal(folder.path()).finished(&"a".into()).is_none(), "a complete run forgets");
    }

    #[test]
    fn a_torn_line_is_dropped_and_the_next_one_stands_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        journal(folder.path()).intend(&intent("a")).expect("written");
        let path = folder.path().join("journal");
        let mut file = OpenOptions::new().append(true).open(&path).expect("opened");
        file.write_all(b"{\"Done\":{\"dig").expect("written");
        let mut second = journal(folder.path());
        assert!(second.was_changed(&"a".into()));
        second.intend(&intent("b")).expect("written");
        let mut third = journal(folder.path());
        assert!(third.was_changed(&"a".into()) && third.was_changed(&"b".into()));
    }

    #[test]
    fn a_run_that_failed_leaves_only_the_handlers_it_owes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = journal(folder.path());
        first.intend(&intent("a")).expect("written");
        first.done(&"a".into(), &Outcome::changed().with("rc", 0_i64), true, false).expect("written");
        first.end(Ending::Failed, &[]).expect("ended");
        let mut second = journal(folder.path());
        assert!(second.finished(&"a".into()).is_none(), "a command runs again after a failure");
        assert_eq!(second.pending_handlers(&play()), vec![Arc::from("restart")]);
        let mut broken_off = journal(folder.path());
        broken_off.intend(&intent("b")).expect("written");
        broken_off.end(Ending::BrokenOff, &[]).expect("ended");
        assert!(journal(folder.path()).was_changed(&"b".into()));
    }

    #[test]
    fn another_playbook_keeps_what_is_owed_to_plays_that_it_has_not() {
        let folder = tempfile::tempdir().expect("a folder");
        journal(folder.path()).intend(&intent("a")).expect("written");
        let mut other = journal(folder.path());
        other.intend(&Intent { play: "q".into(), ..intent("b") }).expect("written");
        other.done(&"b".into(), &Outcome::changed(), false, false).expect("written");
        other.handled(&"restart".into(), &"q".into()).expect("written");
        other.end(Ending::Complete { plays: &["q".into()] }, &[]).expect("ended");
        let mut third = journal(folder.path());
        assert_eq!(third.pending_handlers(&play()), vec![Arc::from("restart")]);
        assert!(third.was_changed(&"a".into()) && !third.was_changed(&"b".into()));
        third.handled(&"restart".into(), &"p".into()).expect("written");
        third.end(Ending::Complete { plays: &["p".into()] }, &[]).expect("ended");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn after_a_restart_a_run_does_not_take_its_own_work_for_a_former_one_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut before = of_run(folder.path(), "run", "boot 1");
        before.intend(&intent("a")).expect("written");
        before.done(&"a".into(), &Outcome::changed(), true, false).expect("written");
        before.intend(&Intent { restarts: true, ..intent("r") }).expect("written");
        let mut after = of_run(folder.path(), "run", "boot 2");
        assert!(after.finished(&"a".into()).is_none(), "an equal command later in the run really runs");
        assert!(after.restarted(&"r".into()).is_none());
        let mut next = of_run(folder.path(), "next", "boot 2");
        assert!(next.restarted(&"r".into()).is_some(), "a later run need not restart it again");
        let mut not_restarted = of_run(folder.path(), "next", "boot 1");
        assert!(not_restarted.restarted(&"r".into()).is_none(), "the controller died before it went down");
    }

    #[test]
    fn repairs_of_interrupted_actions_are_kept_until_they_are_done() {
        let folder = tempfile::tempdir().expect("a folder");
        let repair = Repair { label: "mend".into(), argv: vec!["true".into()], environment: Vec::new(), become_: None };
        let mut first = journal(folder.path());
        let child = Child { group: 1, start_time: 0, boot_id: "another".to_owned() };
        first.intend(&intent("a")).expect("written");
        first.child(&child, "well", Some(Repair { label: "not needed".into(), ..repair.clone() })).expect("written");
        first.done(&"a".into(), &Outcome::changed(), false, false).expect("written");
        first.intend(&intent("b")).expect("written");
        first.child(&child, "ill", Some(repair.clone())).expect("written");
        assert_eq!(journal(folder.path()).repairs(), std::slice::from_ref(&repair), "killed");
        first.done(&"b".into(), &Outcome::failed("interrupted"), false, true).expect("written");
        let mut second = journal(folder.path());
        assert_eq!(second.repairs(), [repair]);
        second.repaired().expect("written");
        assert!(journal(folder.path()).repairs().is_empty());
    }
}
