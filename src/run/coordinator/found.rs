//! Files that the run has found or made on the controller, for those who ask for them by name.

use std::sync::Arc;

use super::{Coordinator, Host};
use crate::agent::frame::{FoundFiles, Missed, PerformReply};
use crate::playbook::closure::{asked_by, asked_by_layer};
use crate::program::File;
use crate::run::found::{Called, result_of};

/// Bytes: no template is larger.
const LARGEST: u64 = 1 << 20;

impl Coordinator {
    /// Whether a file of the controller that no task's text names may go to a host. An agent on the controller itself may have any: it
    /// reads what it likes. A node names paths by words of its own, which may be anybody's who has taken it. So it may have a file only
    ///
    /// - where its program has a task or lookup that takes a file by a name which the run gives,
    /// - where the controller knows by itself that the run has found or made the file, or a folder above it: `fetch` has kept it; an
    ///   agent on the controller gave its path as the result of a task of its own; or of another host's task that is delegated to it,
    ///   and then the path lies where a task on the controller names files by its own text or the inventory, or its name was made up
    ///   there (`tempfile`), or printed by a command in whose text no host has a word,
    /// - and where the result was its own task's, or the controller has told it of the path in an answer, which a host that has the file
    ///   gave to others: in variables, as facts of another host, as the result of what one does for all.
    ///
    /// What else a node registers, publishes or sets makes nothing known, and no other node's file its own.
    pub(super) fn may_have(&self, name: &str, path: &str) -> bool {
        let takes = |host: &Host| host.program.as_ref().is_some_and(|program| program.takes_found);
        let is_told = || self.found.is_told(name, path);
        self.hosts.get(name).is_some_and(|host| host.is_here || (takes(host) && is_told()))
    }

    /// What a host misses and may have.
    pub(super) fn found_files(&mut self, asker: &Arc<str>, missed: &Missed) -> Result<FoundFiles, String> {
        let may_have = |path: &&Arc<str>| self.may_have(asker, path);
        let wanted = Missed {
            files: missed.files.iter().filter(may_have).cloned().collect(),
            vars: missed.vars.iter().filter(may_have).cloned().collect(),
        };
        let Some(recompile) = self.inputs.recompile.as_mut().filter(|_| wanted != Missed::default()) else {
            return Ok(FoundFiles::default());
        };
        let (found, contents) = recompile.read(&wanted)?;
        self.inputs.contents.extend(contents);
        if let Some(host) = self.hosts.get_mut(asker) {
            if let Some(program) = &mut host.program {
                found.vars.values().for_each(|layer| Arc::make_mut(program).asks.extend(&asked_by_layer(layer)));
            }
            for (path, file) in &found.files {
                let File::Plain { sha256, size, .. } = file else { continue };
                host.given.insert(Arc::clone(sha256));
                // It may be a template, which asks for more.
                let text = (*size <= LARGEST).then(|| std::fs::read_to_string(&**path).ok()).flatten();
                if let (Some(text), Some(program)) = (text, &mut host.program) {
                    Arc::make_mut(program).asks.extend(&asked_by(&text));
                }
            }
        }
        Ok(found)
    }

    /// A host's task was done by another's agent: what it tells of files of the controller.
    pub(super) fn performed(&mut self, asker: &str, on: &Arc<str>, called: Option<Called>, reply: &PerformReply) {
        let is_here = |name: &str| self.hosts.get(name).is_some_and(|host| host.is_here);
        let Some(called) = called.filter(|_| is_here(on)) else { return };
        let paths = if is_here(asker) { result_of(reply) } else { called.paths(reply, &self.inputs.namings) };
        self.found.learn(asker, paths);
        if let PerformReply::Planned(planned) = reply
            && let Some(handle) = planned.handle
        {
            self.planned_here.insert((Arc::clone(on), handle), called);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap};
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;
    use crate::agent::frame::{Answer, Call, Down, Perform, Planned, Question, RunIdentity, RunMode, Up};
    use crate::module::Outcome;
    use crate::playbook::found::Naming;
    use crate::program::{Asks, Bytes, Map, Position, Program, Value};
    use crate::run::connect::Boxed;
    use crate::run::host::{Outbox, Outgoing};
    use crate::run::{Again, Connect, ConnectError, Contents, Inputs, Recompile, Stream};

    /// What was read.
    type Read = Arc<Mutex<BTreeSet<Arc<str>>>>;

    struct Files(Read);

    impl Recompile for Files {
        fn add_host(&mut self, _: &str, _: &[Arc<str>], _: &Map) -> bool {
            false
        }
        fn group_by(&mut self, _: &str, _: &str, _: &[Arc<str>]) -> bool {
            false
        }
        fn refresh(&mut self) -> Result<(), String> {
            Ok(())
        }
        fn restart(&mut self) {}
        fn forget(&mut self, _: &BTreeSet<Arc<str>>) {}
        fn again(&mut self) -> Result<Again, String> {
            Ok(Again { programs: Vec::new(), inventory: BTreeMap::new(), become_passwords: BTreeMap::new(), contents: HashMap::new() })
        }
        fn read(&mut self, wanted: &Missed) -> Result<(FoundFiles, HashMap<Arc<str>, Contents>), String> {
            self.0.lock().expect("nobody fails").extend(wanted.files.iter().chain(&wanted.vars).cloned());
            let file = File::Directory { mode: 0o755, entries: Vec::new() };
            let files = wanted.files.iter().map(|path| (Arc::clone(path), file.clone())).collect();
            Ok((FoundFiles { files, ..FoundFiles::default() }, HashMap::new()))
        }
    }

    struct Nowhere;

    impl Connect for Nowhere {
        fn connect<'a>(&'a self, _: &'a str, _: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>> {
            Box::pin(std::future::pending())
        }
        fn stand_in<'a>(&'a self, _: &'a [u8]) -> Boxed<'a, Result<Stream, ConnectError>> {
            Box::pin(std::future::pending())
        }
    }

    /// A run of `node`, whose agent is somebody else's, `other` and `localhost`, which is the controller.
    struct Lab {
        coordinator: Coordinator,
        read: Read,
        node: Outgoing,
        here: Outgoing,
        id: u64,
    }

    fn lab(takes_found: bool, namings: Vec<Naming>) -> Lab {
        // Its tasks are anything's that is asked here: that is not what this is about.
        let any = Asks {
            variables: [(None, None)].into(),
            delegates: [None].into(),
            delegated: [None].into(),
            sets_facts: true,
            ..Asks::default()
        };
        let program = |name: &str| Program { host: name.into(), takes_found, asks: any.clone(), ..Program::default() };
        let names: [Arc<str>; 3] = ["node".into(), "other".into(), "localhost".into()];
        let read = Read::default();
        let inputs = Inputs {
            programs: names.iter().map(|name| (Arc::clone(name), program(name))).collect(),
            contents: HashMap::new(),
            destinations: Arc::default(),
            passwords: Arc::default(),
            namings: namings.into(),
            of_controller: Arc::default(),
            connector: Arc::new(Nowhere),
            mode: RunMode::Apply,
            environment: "lab".into(),
            identity: RunIdentity::default(),
            journal_key: Bytes::default(),
            become_password: None,
            become_passwords: BTreeMap::new(),
            ask: None,
            forks: 1,
            inventory: BTreeMap::new(),
            recompile: Some(Box::new(Files(Arc::clone(&read)))),
        };
        let (happenings, _) = mpsc::unbounded_channel();
        let (_, commands) = mpsc::unbounded_channel();
        let mut coordinator = Coordinator::new(inputs, happenings, commands);
        let mut ends = names.iter().map(|name| {
            let (down, end) = Outbox::new();
            coordinator.connected(name, down, **name == *"localhost");
            end
        });
        let (node, _, here) = (ends.next().expect("three"), ends.next().expect("three"), ends.next().expect("three"));
        drop(ends);
        Lab { coordinator, read, node, here, id: 0 }
    }

    impl Lab {
        /// The node's agent asks; the answer.
        async fn ask(&mut self, question: Question) -> Answer {
            self.id += 1;
            self.coordinator.frame(&"node".into(), Up::Ask { id: self.id, question });
            self.coordinator.settle();
            self.answer().await
        }

        async fn answer(&mut self) -> Answer {
            match self.node.next().await {
                Some(Down::Answer { answer, .. }) => answer,
                other => panic!("no answer: {other:?}"),
            }
        }

        /// Whether the node has a file by its name.
        async fn has(&mut self, path: &str) -> bool {
            let missed = Missed { files: BTreeSet::from([path.into()]), vars: BTreeSet::from([path.into()]) };
            let answer = self.ask(Question::Files { position: None, missed: Some(missed) }).await;
            let was_read = std::mem::take(&mut *self.read.lock().expect("nobody fails")).contains(path);
            let is_sent = matches!(answer, Answer::Files(new) if new.found.files.contains_key(path));
            assert_eq!(was_read, is_sent, "{path}");
            is_sent
        }

        /// The node's agent tells variables, as its own and as others', and hears them again.
        async fn says_and_hears(&mut self, told: &Map) {
            let position = Position(vec![0]);
            self.coordinator.frame(&"node".into(), Up::Published { position: position.clone(), variables: told.clone() });
            for host in ["node", "other", "localhost"] {
                self.ask(Question::SetHostFacts { host: host.into(), facts: told.clone() }).await;
                let position = Position(vec![1]);
                let answer =
                    Answer::Values(self.coordinator.hosts[host].published.before(&self.coordinator.hosts[host].place_of(&position)));
                assert!(matches!(&answer, Answer::Values(values) if values.get("got") == told.get("got")));
                self.coordinator.answer(&"node".into(), 0, answer);
                self.answer().await;
            }
            let run_once = Question::RanOnce {
                position,
                result: Value::map(told.clone()),
                facts: told.clone(),
                failed: false,
                ends: crate::agent::frame::Ends::Nothing,
            };
            self.ask(run_once).await;
            self.coordinator.answer(&"node".into(), 0, Answer::Value(told.get("got").cloned()));
            self.answer().await;
        }

        /// The node's agent has something done on the controller, which answers with this result.
        async fn delegate(&mut self, module: &str, arguments: Map, result: Map) {
            self.id += 1;
            let call = Call { module: module.into(), arguments, ..Call::default() };
            let question = Question::Delegate { host: "localhost".into(), request: Box::new(Perform::Plan(Box::new(call))) };
            self.coordinator.frame(&"node".into(), Up::Ask { id: self.id, question });
            let id = match self.here.next().await {
                Some(Down::Perform { id, .. }) => id,
                other => panic!("nothing is performed: {other:?}"),
            };
            let outcome = result.into_iter().fold(Outcome::ok(), |outcome, (key, value)| outcome.with(&key.text(), value));
            let reply = PerformReply::Planned(Box::new(Planned { outcome, ..Planned::default() }));
            self.coordinator.frame(&"localhost".into(), Up::Performed { id, reply });
            self.answer().await;
        }
    }

    #[tokio::test]
    async fn a_hostile_agent_has_no_file_of_the_controller_by_naming_it() {
        let mut lab = lab(true, vec![Naming::of("stat", "/srv/certificates"), Naming::of("command", "mktemp -d")]);
        const SECRET: &str = "/root/.ssh/id_rsa";
        assert!(!lab.has(SECRET).await);
        // It says that it is the controller, and has found it.
        lab.coordinator.frame(&"node".into(), Up::Found { paths: BTreeSet::from([SECRET.into()]) });
        assert!(!lab.has(SECRET).await);
        // It tells others, and is told what it has told.
        let told = crate::map! { "got" => crate::map! { "dest" => SECRET } };
        lab.says_and_hears(&told).await;
        assert!(!lab.has(SECRET).await);
        // It guesses what another one has.
        lab.coordinator.found.learn("other", BTreeSet::from(["/kept/other/key".into()]));
        let guessed = crate::map! { "got" => crate::map! { "dest" => "/kept/other/key" } };
        lab.says_and_hears(&guessed).await;
        assert!(!lab.has("/kept/other/key").await);
        // It has the controller look at it.
        let stat = |path: &str| crate::map! { "stat" => crate::map! { "path" => path, "exists" => true } };
        lab.delegate("stat", crate::map! { "path" => SECRET }, stat(SECRET)).await;
        lab.delegate("find", crate::map! { "paths" => "/root/.ssh" }, crate::map! { "files" => Value::from(vec![SECRET]) }).await;
        lab.delegate("command", crate::map! { "cmd" => format!("echo {SECRET}") }, crate::map! { "stdout" => SECRET }).await;
        let elsewhere = crate::map! { "_raw_params" => "mktemp -d", "chdir" => "/root/.ssh" };
        lab.delegate("command", elsewhere, crate::map! { "stdout" => SECRET }).await;
        lab.delegate("slurp", crate::map! { "src" => SECRET }, crate::map! { "source" => SECRET, "content" => SECRET }).await;
        assert!(!lab.has(SECRET).await && !lab.has("/root/.ssh").await);
        // What is written is looked at, and no more of it.
        lab.delegate("stat", crate::map! { "path" => "/srv/certificates/a" }, stat("/srv/certificates/a")).await;
        assert!(lab.has("/srv/certificates/a").await && !lab.has("/srv/certificates/b").await);
        assert!(!lab.has("/srv/certificates/a/../../../root/.ssh/id_rsa").await);
    }

    #[tokio::test]
    async fn a_node_has_what_the_controller_has_found_and_told_it_of() {
        let mut lab = lab(true, vec![Naming::of("command", "mktemp -d")]);
        lab.coordinator.frame(&"localhost".into(), Up::Found { paths: BTreeSet::from(["/tmp/made".into()]) });
        assert!(!lab.has("/tmp/made").await, "it was not told");
        let tmp = crate::map! { "tmp" => crate::map! { "path" => "/tmp/made" } };
        lab.coordinator.frame(&"localhost".into(), Up::Published { position: Position(vec![0]), variables: tmp.clone() });
        assert!(!lab.has("/tmp/made").await, "nobody told it");
        lab.coordinator.answer(&"node".into(), 0, Answer::Values(tmp));
        lab.answer().await;
        assert!(lab.has("/tmp/made/inside").await && !lab.has("/tmp/other").await);
        lab.delegate("command", crate::map! { "cmd" => "mktemp -d" }, crate::map! { "stdout" => "/tmp/named" }).await;
        assert!(lab.has("/tmp/named/a").await);
    }

    #[tokio::test]
    async fn a_program_without_open_names_has_nothing_more() {
        let mut lab = lab(false, vec![Naming::of("stat", "/srv/key")]);
        lab.delegate("stat", crate::map! { "path" => "/srv/key" }, crate::map! { "path" => "/srv/key" }).await;
        assert!(!lab.has("/srv/key").await);
    }
}
