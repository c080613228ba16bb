//! Plays and hosts → a program for each host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::connection::{ConnectionKind, HostScope, PlayWide};
use super::early;
use super::loader::{Loader, Uses};
use super::made::Made;
use super::newcomers::Newcomers;
use super::play::{LoadedPlay, Order};
use super::visits::visits_controller;
use crate::program::{Fragments, Key, Layer, Map, Play, Program, Settings, Text, Tree, Value};
use crate::project::{self, Inventory, Project};
use crate::source::{Diagnostic, Node, says};

/// What the command line says about a run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub settings: Settings,
    /// `--limit` as it was written: `ansible_limit`. Who is left is [`Project::limit`].
    pub limit: Option<String>,
    pub forks: usize,
    /// `-u`, `--private-key`, `-c` and the four that follow: below every keyword and variable, above ansible.cfg.
    pub remote_user: Option<String>,
    pub private_key: Option<PathBuf>,
    pub connection: Option<String>,
    /// What was typed for `-k`, or stands in `--connection-password-file`.
    pub password: Option<Text>,
    /// `-T`.
    pub timeout: Option<Duration>,
    pub ssh_common_args: Option<String>,
    pub ssh_extra_args: Option<String>,
    /// What `artifact` tasks may name.
    pub artifacts: Arc<super::artifact::Artifacts>,
}

/// What a run consists of.
#[derive(Debug, Default)]
pub struct Compiled {
    /// In the order of the inventory; a host without any play has none.
    pub programs: IndexMap<Arc<str>, Program>,
    /// Plays in order, with all their batches: who takes part, for banners and for the order between hosts.
    pub plays: Vec<PlaySummary>,
    /// How each host is reached, also of hosts that are only delegated to.
    pub connections: BTreeMap<Arc<str>, super::connection::Connection>,
    /// All variables of every host of the inventory, before the run: what `hostvars` shows. Never sent as a whole.
    pub variables: BTreeMap<Arc<str>, Variables>,
    /// Where the bytes of a digest are, for answers to agents.
    pub contents: HashMap<Arc<str>, super::file::Content>,
    /// Names of the artifacts that tasks need.
    pub artifacts: BTreeSet<Arc<str>>,
    /// Where tasks may write on the controller (`fetch`).
    pub destinations: Vec<super::fetch::Destination>,
    /// Where lookups may keep passwords there.
    pub passwords: Vec<super::fetch::Destination>,
    /// What tasks on the controller name there.
    pub namings: Vec<super::found::Naming>,
    /// Lookups that run something on the controller or read its environment, where some file of the project says their names.
    pub of_controller: BTreeSet<Arc<str>>,
}

/// Lookups and filters that ask the controller more than its files.
const OF_CONTROLLER: [&str; 4] = ["pipe", "lines", "env", "expandvars"];

/// A host's variables before the run.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// In plays of each folder of playbooks ([`Play::folder`]): lowest precedence first, extra variables last.
    pub in_folders: Vec<Vec<Layer>>,
    pub magic: Map,
}

/// One play, over all hosts.
#[derive(Clone, Debug, Default)]
pub struct PlaySummary {
    /// As Ansible shows it: its name, or its pattern.
    pub name: String,
    /// The playbook as the command line named it.
    pub playbook: PathBuf,
    pub pattern: String,
    pub batches: Vec<Vec<Arc<str>>>,
    /// Hosts that match, before `--limit`.
    pub matched: Vec<Arc<str>>,
    pub play: Arc<Play>,
}

/// Compiles the playbooks (absolute, or relative to the project's folder). Mistakes are added to `project.files.diagnostics`;
/// where there are errors among them, nothing may run.
pub fn compile(project: &mut Project, playbooks: &[PathBuf], options: &Options) -> Compiled {
    let Project { files, settings, inventory, limit, extra, .. } = project;
    let mut loader = Loader::new(files, settings.roles_path.clone(), extra.clone());
    loader.artifacts = Arc::clone(&options.artifacts);
    loader.collections_path.clone_from(&settings.collections_path);
    let mut loaded = Vec::new();
    for playbook in playbooks {
        loaded.extend(loader.playbook(playbook));
    }
    for play in &loaded {
        inventory.load_beside_playbook(loader.files, &play.playbook_dir);
    }
    let mut of_hosts: Vec<Layer> = Vec::new();
    for host in inventory.hosts.keys().map(|host| &**host).chain(["localhost"]) {
        let folders: BTreeSet<&Path> = loaded.iter().map(|play| play.playbook_dir.as_path()).collect();
        of_hosts.extend(folders.into_iter().flat_map(|folder| inventory.layers(host, Some(folder))));
    }
    // The same layer of a group comes with each of its hosts.
    let mut seen = std::collections::HashSet::new();
    of_hosts.retain(|layer| {
        seen.insert((Arc::clone(&layer.origin), layer.variables.first().map(|variable| variable.span), layer.variables.len()))
    });
    loader.lookups_of_inventory(&loaded, &of_hosts);
    let vars_folders: Vec<PathBuf> = inventory.vars_folders().map(Path::to_owned).collect();
    let newcomers = super::check::check(&mut loader, &loaded, &of_hosts, &vars_folders);
    let mut compiled = Compiled::default();
    let mut chosen: Vec<(usize, Vec<Vec<Arc<str>>>)> = Vec::new();
    for (index, play) in loaded.iter().enumerate() {
        let pattern = pattern(&mut loader, play);
        let matched = hosts(&mut loader, inventory, play, &pattern, &newcomers);
        let mut hosts: Vec<Arc<str>> =
            matched.iter().filter(|host| limit.as_ref().is_none_or(|limit| limit.contains(host))).cloned().collect();
        sort(&mut hosts, play.order);
        let batches = batches(&mut loader, play, &hosts);
        let shown = pattern.join(",");
        compiled.plays.push(PlaySummary {
            name: play_name(&loader, play).unwrap_or_else(|| shown.clone()),
            playbook: play.playbook.clone(),
            pattern: shown,
            batches: batches.clone(),
            matched,
            play: Arc::default(),
        });
        chosen.push((index, batches));
    }
    let by_tags = !options.settings.tags.is_empty() || !options.settings.skip_tags.is_empty() || options.settings.start_at_task.is_some();
    let reached = loaded.iter().zip(&chosen).filter(|(_, (_, batches))| !by_tags && !batches.is_empty()).map(|(play, _)| play);
    let certain = loader.certain_places(reached);
    loader.tell_absent(&certain);

    let context = Context {
        inventory,
        options,
        settings,
        layers: loader.layers.clone(),
        extra: (*loader.extra).clone(),
        root: loader.files.root.clone(),
        python: python(),
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut everyone: Vec<Arc<str>> = Vec::new();
    for (index, batches) in &chosen {
        let summary = &mut compiled.plays[*index];
        let all: Arc<Vec<Arc<str>>> = Arc::new(batches.iter().flatten().cloned().collect());
        let mut prototype = context.play(&loaded[*index], *index, summary, &all);
        let folder = &loaded[*index].playbook_dir;
        let number = folders.iter().position(|known| known == folder).unwrap_or_else(|| {
            folders.push(folder.clone());
            folders.len() - 1
        });
        prototype.folder = number as u32;
        summary.play = Arc::new(prototype);
        for host in all.iter() {
            if !everyone.contains(host) {
                everyone.push(Arc::clone(host));
            }
        }
    }
    let order: HashMap<&Arc<str>, usize> = context.inventory.hosts.keys().enumerate().map(|(index, name)| (name, index)).collect();
    everyone.sort_by_key(|host| order.get(host).copied().unwrap_or(usize::MAX));
    let has = |play: &PlaySummary| play.batches.iter().any(|batch| !batch.is_empty()) && super::start::is_in(&play.play, &options.settings);
    let begins = compiled.plays.iter().position(has);
    if let Some(begins) = begins {
        // Plays before it have nobody.
        compiled.plays[..begins].iter_mut().for_each(|play| play.batches.clear());
        everyone.retain(|host| compiled.plays.iter().any(|play| play.batches.iter().any(|batch| batch.contains(host))));
    }
    let mut shared: HashMap<(usize, usize), Arc<Play>> = HashMap::new();
    for host in everyone {
        let mut program = context.program(&host, &folders);
        let takes_part = |index: usize| compiled.plays[index].batches.iter().any(|batch| batch.contains(&host));
        let owners = loaded.iter().enumerate().filter(|(index, _)| takes_part(*index)).map(|(_, play)| Arc::clone(&play.owner));
        let reach = reach(&loader, owners);
        program.files = super::file::part(&loader.files_found, reach.files.iter());
        program.takes_found = reach.takes_found;
        let fragments = &loader.fragments;
        program.fragments = Fragments {
            tasks: fragments
                .tasks
                .iter()
                .filter(|(key, _)| reach.fragments.contains(*key))
                .map(|(key, steps)| (Arc::clone(key), Arc::clone(steps)))
                .collect(),
            vars: fragments
                .vars
                .iter()
                .filter(|(key, _)| reach.vars.contains(*key))
                .map(|(key, layer)| (Arc::clone(key), Arc::clone(layer)))
                .collect(),
            roles: fragments
                .roles
                .iter()
                .filter(|(name, _)| reach.fragments.contains(format!("role {name}").as_str()))
                .map(|(name, role)| (Arc::clone(name), Arc::clone(role)))
                .collect(),
            mistakes: fragments
                .mistakes
                .iter()
                .filter(|(key, _)| {
                    let role = key.rsplit_once(' ').map_or(&***key, |(role, _)| role);
                    reach.fragments.contains(*key) || reach.vars.contains(*key) || reach.fragments.contains(role)
                })
                .map(|(key, mistake)| (Arc::clone(key), mistake.clone()))
                .collect(),
        };
        for (index, summary) in compiled.plays.iter().enumerate() {
            let Some(batch) = summary.batches.iter().position(|batch| batch.contains(&host)) else { continue };
            // Hosts of a batch share their play.
            let play = shared.entry((index, batch)).or_insert_with(|| {
                let mut play = (*summary.play).clone();
                play.batch = batch as u32;
                // Further batches are run as a whole, as Ansible does.
                play.begins = begins == Some(index) && batch == 0;
                let before = compiled.plays[..index].iter().flat_map(|play| play.batches.iter().flatten());
                let is_alone = |other: &Arc<str>| matches!(&summary.batches[batch][..], [only] if only == other);
                play.waits = !before.into_iter().all(is_alone);
                play.batch_hosts = Arc::new(summary.batches[batch].clone());
                Arc::new(play)
            });
            program.plays.push(Arc::clone(play));
        }
        compiled.programs.insert(host, program);
    }
    let others_come = compiled.plays.iter().any(|play| visits_controller(&play.play, &loader.fragments));
    // Everyone that could be reached: hosts of plays, and those that tasks are delegated to.
    let mut layers: BTreeMap<Arc<str>, Vec<Layer>> = BTreeMap::new();
    let first = folders.first().map(PathBuf::as_path);
    for host in context.inventory.hosts.keys().cloned().chain(["localhost".into()]) {
        let of_host = context.inventory.layers(&host, first);
        layers.insert(host, of_host);
    }
    for host in layers.keys() {
        let scope = HostScope::new(context.inventory, &layers, &context.extra, Arc::clone(host));
        let its = compiled.plays.iter().zip(&loaded).filter(|(play, _)| play.matched.contains(host));
        let wide = PlayWide::of(&loader, &scope, its.map(|(_, play)| play), options);
        let connection = super::connection::connection(&mut loader, &scope, &wide, options, settings);
        if let Some(program) = compiled.programs.get_mut(host) {
            program.is_local = connection.kind == ConnectionKind::Local;
            program.login = connection.user.as_deref().map(Arc::from);
        }
        compiled.connections.insert(Arc::clone(host), connection);
    }
    let mut names: HashMap<_, u32> = HashMap::new();
    let machine_of = |host: &Arc<str>| compiled.connections.get(host).map(super::connection::Connection::machine);
    for host in compiled.programs.keys() {
        *names.entry(machine_of(host)).or_default() += 1;
    }
    for (host, program) in &mut compiled.programs {
        program.shares = names[&machine_of(host)] > 1 || (program.is_local && others_come);
    }
    let is_here = |connection: &super::connection::Connection| connection.kind == ConnectionKind::Local;
    let here = compiled.connections.iter().filter(|(_, connection)| is_here(connection)).map(|(host, _)| Arc::clone(host));
    let here: BTreeSet<Arc<str>> = here.chain(["localhost".into()]).collect();
    let made = Made::of(&compiled.plays, &loader.fragments, here.clone());
    let awaits_files = loader.await_files(&made);
    let finds_files = compiled.programs.values().any(|program| program.takes_found);
    for program in compiled.programs.values_mut() {
        program.finds_files = finds_files;
        program.here.clone_from(&here);
        program.writes_files.clone_from(&made.writers);
        program.awaits_files.clone_from(&awaits_files);
    }
    for host in layers.into_keys() {
        let magic = context.magic(&host);
        let in_folder = |folder| context.inventory.layers(&host, Some(folder)).into_iter().chain([context.extra.clone()]).collect();
        let in_folders = folders.iter().map(|folder| in_folder(folder)).collect();
        compiled.variables.insert(host, Variables { in_folders, magic });
    }
    compiled.contents = std::mem::take(&mut loader.files_found.contents);
    compiled.artifacts = std::mem::take(&mut loader.artifacts_used);
    let sources: BTreeSet<&Path> = inventory.hosts.values().filter_map(|host| host.source.as_deref()?.parent()).collect();
    let sources: Vec<PathBuf> = sources.into_iter().map(Path::to_owned).collect();
    compiled.destinations = loader.destinations(&of_hosts, &sources);
    compiled.passwords = loader.password_files(&of_hosts, &sources);
    compiled.namings = loader.namings(&made, &of_hosts, &sources);
    let in_templates = |word: &str| loader.files_found.templates.values().any(|file| says(&file.text.source, word));
    let is_said = |word: &&str| loader.files.sources.say(word) || in_templates(word);
    compiled.of_controller = OF_CONTROLLER.into_iter().filter(is_said).map(Arc::from).collect();
    super::closure::prune(compiled.programs.values_mut());
    let names = loader.files.sources.names();
    for program in compiled.programs.values_mut() {
        program.sources.clone_from(&names);
    }
    compiled
}

/// All that plays may bring in, and what that may bring in, and so on.
pub fn reach(loader: &Loader, owners: impl Iterator<Item = Arc<str>>) -> Uses {
    let mut all = Uses::default();
    let mut open: Vec<Arc<str>> = owners.collect();
    let mut seen = BTreeSet::new();
    while let Some(owner) = open.pop() {
        if !seen.insert(Arc::clone(&owner)) {
            continue;
        }
        if let Some(uses) = loader.uses.get(&owner) {
            open.extend(uses.fragments.iter().cloned());
            all.fragments.extend(uses.fragments.iter().cloned());
            all.vars.extend(uses.vars.iter().cloned());
            all.files.extend(uses.files.iter().cloned());
            all.takes_found |= uses.takes_found;
        }
    }
    all
}

/// The first `python3` of the search path.
fn python() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|path| path.is_absolute() && path.is_file())
}

/// Whether both are what one place of the user's says: a file has many sections with as many variables.
fn is_same(one: &Layer, other: &Layer) -> bool {
    let places = |layer: &Layer| layer.variables.iter().map(|variable| (Arc::clone(&variable.name), variable.span)).collect::<Vec<_>>();
    one.origin == other.origin && places(one) == places(other)
}

/// What all hosts' programs are made from.
struct Context<'p> {
    inventory: &'p Inventory,
    options: &'p Options,
    settings: &'p project::Settings,
    layers: Vec<Layer>,
    extra: Layer,
    root: PathBuf,
    /// This machine's Python, for playbooks that run something with it.
    python: Option<PathBuf>,
}

impl Context<'_> {
    /// A play as all its hosts have it.
    fn play(&self, loaded: &LoadedPlay, index: usize, summary: &PlaySummary, all: &Arc<Vec<Arc<str>>>) -> Play {
        let mut play = loaded.play.clone();
        play.index = index as u32;
        play.pattern = summary.pattern.as_str().into();
        play.hosts = Arc::clone(all);
        self.configured(&mut play, loaded);
        let names = |names: &[String]| Value::list(names.iter().map(|name| Value::text(name.as_str())).collect());
        let mut every = loaded.role_names.clone();
        every.extend(loaded.dependency_names.iter().filter(|name| !loaded.role_names.contains(name)).cloned());
        play.magic = crate::map! {
            "playbook_dir" => loaded.playbook_dir.display().to_string(),
            "ansible_play_name" => summary.name.as_str(),
            "role_names" => names(&loaded.role_names),
            "ansible_play_role_names" => names(&loaded.role_names),
            "ansible_dependent_role_names" => names(&loaded.dependency_names),
            "ansible_role_names" => names(&every),
        };
        play
    }

    /// What ansible.cfg says where the play says nothing.
    fn configured(&self, play: &mut Play, loaded: &LoadedPlay) {
        let truth = |truth: bool| Some(Tree::Literal(Value::Bool(truth)));
        let settings = self.settings;
        if play.gather_facts.is_none() && settings.gathering == project::settings::Gathering::Explicit {
            play.gather_facts = truth(false);
        }
        if !loaded.has_strategy && settings.strategy_free {
            play.strategy = crate::program::Strategy::Free;
        }
        if play.keywords.any_errors_fatal.is_none() && settings.any_errors_fatal {
            play.keywords.any_errors_fatal = truth(true);
        }
        if play.keywords.no_log.is_none() && settings.no_log {
            play.keywords.no_log = truth(true);
        }
    }

    /// A host's program without its plays.
    fn program(&self, host: &Arc<str>, folders: &[PathBuf]) -> Program {
        let mut inventory: Vec<Layer> = Vec::new();
        let mut in_folders = Vec::new();
        for folder in folders {
            let layers = self.inventory.layers(host, Some(folder)).into_iter();
            let numbers = layers.map(|layer| {
                let number = inventory.iter().position(|known| is_same(known, &layer)).unwrap_or_else(|| {
                    inventory.push(layer);
                    inventory.len() - 1
                });
                number as u32
            });
            in_folders.push(numbers.collect());
        }
        Program {
            host: Arc::clone(host),
            root: self.root.display().to_string().into(),
            settings: self.settings(),
            inventory,
            in_folders,
            extra: self.extra.clone(),
            magic: self.magic(host),
            layers: self.layers.clone(),
            ..Program::default()
        }
    }

    /// The command line's settings over those of ansible.cfg.
    fn settings(&self) -> Settings {
        let mut settings = self.options.settings.clone();
        let configured = self.settings;
        let words = |words: &[String]| words.iter().map(|word| Arc::from(word.as_str())).collect();
        settings.diff |= configured.diff;
        settings.force_handlers |= configured.force_handlers;
        settings.become_ |= configured.become_;
        settings.become_user = settings.become_user.or_else(|| configured.become_user.as_deref().map(Arc::from));
        settings.become_method = settings.become_method.or_else(|| configured.become_method.as_deref().map(Arc::from));
        settings.managed = configured.managed.as_deref().map(Arc::from);
        if settings.tags.is_empty() {
            settings.tags = words(&configured.tags);
        }
        if settings.skip_tags.is_empty() {
            settings.skip_tags = words(&configured.skip_tags);
        }
        settings
    }

    fn magic(&self, host: &str) -> Map {
        let settings = &self.settings();
        let words = |words: &[Arc<str>]| Value::list(words.iter().map(|word| Value::text(Arc::clone(word))).collect());
        let mut magic = self.inventory.magic(host);
        let run_tags = if settings.tags.is_empty() { Value::list(vec!["all".into()]) } else { words(&settings.tags) };
        let more = crate::map! {
            "groups" => self.inventory.groups_value(),
            "artifacts" => super::artifact::variable(&self.options.artifacts),
            "ansible_version" => crate::map! {
                "full" => "2.19.14", "string" => "2.19.14", "major" => 2, "minor" => 19, "revision" => 14,
            },
            "ansible_check_mode" => settings.check,
            "ansible_diff_mode" => settings.diff,
            "ansible_run_tags" => run_tags,
            "ansible_skip_tags" => words(&settings.skip_tags),
            "ansible_limit" => Value::from(self.options.limit.clone()),
            "ansible_forks" => self.options.forks as i64,
            "ansible_verbosity" => i64::from(settings.verbosity),
            "ansible_config_file" => Value::from(self.settings.file.as_ref().map(|path| path.display().to_string())),
        };
        magic.extend(more);
        if self.options.limit.is_none() {
            magic.shift_remove("ansible_limit");
        }
        let sources = self.inventory.sources.iter().map(|source| Value::text(source.as_str())).collect();
        magic.insert(Key::from("ansible_inventory_sources"), Value::list(sources));
        if let Some(python) = &self.python {
            magic.insert(Key::from("ansible_playbook_python"), Value::text(python.display().to_string()));
        }
        magic
    }
}

/// A play's name with its templates evaluated, as far as they can be.
fn play_name(loader: &Loader, play: &LoadedPlay) -> Option<String> {
    let name = play.play.name.as_ref()?;
    let text = match early::evaluate(loader, name, &play.known, &play.playbook_dir) {
        Ok(value) => crate::module::arguments::text(&value).ok()?,
        Err(_) => match name {
            Tree::Template(template) => template.source.to_string(),
            _ => return None,
        },
    };
    (!text.is_empty()).then_some(text)
}

/// The parts of a play's `hosts:`, templates evaluated.
fn pattern(loader: &mut Loader, play: &LoadedPlay) -> Vec<String> {
    let mut parts = Vec::new();
    if play.hosts.items().is_empty() {
        loader.mistake(Diagnostic::at(&play.hosts, "`hosts` is empty").hint("write `all`, or the name of a group"));
    }
    for item in play.hosts.items() {
        let Some(text) = item.text().filter(|_| !item.is_null()) else {
            loader.mistake(Diagnostic::at(item, format!("`hosts` takes names and patterns, found {}", item.describe())));
            continue;
        };
        if !item.is_template() {
            parts.push(text.to_owned());
            continue;
        }
        let tree = loader.tree(item, play.secret);
        match early::evaluate(loader, &tree, &play.known, &play.playbook_dir) {
            Ok(Value::List(items)) => parts.extend(items.iter().filter_map(|item| crate::module::arguments::text(item).ok())),
            Ok(value) => parts.extend(crate::module::arguments::text(&value).ok()),
            Err(error) => loader.mistake(
                Diagnostic::at(item, format!("`hosts` must be known before the run: {}", error.message))
                    .hint("only play variables and `-e` are known then: add `-e NAME=VALUE`, or a default"),
            ),
        }
    }
    parts
}

/// What may be added in mid-run is no mistake while it is not there yet.
fn hosts(loader: &mut Loader, inventory: &Inventory, play: &LoadedPlay, pattern: &[String], newcomers: &Newcomers) -> Vec<Arc<str>> {
    let selection = inventory.select_all(pattern.iter().map(String::as_str));
    for miss in selection.misses.into_iter().filter(|miss| !newcomers.may_be(&miss.part)) {
        let node = place_of(&play.hosts, &miss.part);
        let mistake = Diagnostic::at(&node, format!("`hosts`: {}", miss.message));
        loader.mistake(match &miss.near {
            Some(near) if !miss.excludes => mistake.label(format!("did you mean `{near}`?")),
            _ => mistake.as_warning(),
        });
    }
    selection.hosts
}

/// The item of `hosts:` that holds the part, narrowed to it.
fn place_of(hosts: &Node, part: &str) -> Node {
    let item = hosts.items().iter().find(|item| item.text().is_some_and(|text| text.contains(part))).unwrap_or(hosts);
    let mut place = item.clone();
    if let Some(scalar) = item.scalar()
        && let Some(offset) = scalar.text.find(part)
    {
        place.span = super::loader::span_in(scalar, offset);
        place.width = part.chars().count() as u32;
    }
    place
}

fn sort(hosts: &mut [Arc<str>], order: Order) {
    match order {
        Order::Inventory => {}
        Order::ReverseInventory => hosts.reverse(),
        Order::Sorted => hosts.sort(),
        Order::ReverseSorted => {
            hosts.sort();
            hosts.reverse();
        }
        Order::Shuffle => {
            use std::hash::{BuildHasher as _, RandomState};
            let seed = RandomState::new();
            hosts.sort_by_cached_key(|host| seed.hash_one(host));
        }
    }
}

/// `serial`: numbers, percentages, or a list of them of which the last holds for the rest.
fn batches(loader: &mut Loader, play: &LoadedPlay, hosts: &[Arc<str>]) -> Vec<Vec<Arc<str>>> {
    let whole = || if hosts.is_empty() { Vec::new() } else { vec![hosts.to_vec()] };
    let Some(node) = &play.serial else { return whole() };
    let mut sizes = Vec::new();
    for item in node.items() {
        let tree = loader.tree(item, play.secret);
        let value = match &tree {
            Tree::Literal(value) => value.clone(),
            _ => match early::evaluate(loader, &tree, &play.known, &play.playbook_dir) {
                Ok(value) => value,
                Err(error) => {
                    loader.mistake(
                        Diagnostic::at(item, format!("`serial` must be known before the run: {}", error.message))
                            .hint("only play variables and `-e` are known then: add `-e NAME=VALUE`, or a default"),
                    );
                    return whole();
                }
            },
        };
        let values = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
        for value in values {
            match size(&value, hosts.len()) {
                Some(size) => sizes.push(size),
                None => {
                    loader.mistake(
                        Diagnostic::at(item, "`serial` must be a number of hosts or a percentage")
                            .hint("write `serial: 2`, `serial: 30%` or a list of them"),
                    );
                    return whole();
                }
            }
        }
    }
    split(hosts, &sizes)
}

/// A batch's size; 0: all.
fn size(value: &Value, hosts: usize) -> Option<usize> {
    match value {
        Value::Int(number) => Some(usize::try_from(*number).unwrap_or(0)),
        Value::Text(text) => match text.as_str().trim().strip_suffix('%') {
            // As Ansible: at least one host.
            Some(percent) => {
                let percent: f64 = percent.trim().parse().ok()?;
                let size = (percent / 100.0 * hosts as f64) as usize;
                Some(size.max(1))
            }
            None => text.as_str().trim().parse::<i64>().ok().map(|number| usize::try_from(number).unwrap_or(0)),
        },
        _ => None,
    }
}

fn split(hosts: &[Arc<str>], sizes: &[usize]) -> Vec<Vec<Arc<str>>> {
    let mut batches = Vec::new();
    let mut rest = hosts;
    let mut index = 0;
    while !rest.is_empty() {
        let size = match sizes.get(index.min(sizes.len().saturating_sub(1))) {
            None | Some(0) => rest.len(),
            Some(size) => (*size).min(rest.len()),
        };
        let (batch, after) = rest.split_at(size);
        batches.push(batch.to_vec());
        rest = after;
        index += 1;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(count: usize, serial: &[Value]) -> Vec<usize> {
        let hosts: Vec<Arc<str>> = (0..count).map(|number| format!("h{number}").into()).collect();
        let sizes: Vec<usize> = serial.iter().map(|value| size(value, count).expect("a size")).collect();
        split(&hosts, &sizes).iter().map(Vec::len).collect()
    }

    #[test]
    fn the_last_size_holds_for_the_rest() {
        assert_eq!(sizes(10, &[1.into(), 3.into()]), [1, 3, 3, 3]);
        assert_eq!(sizes(10, &["30%".into()]), [3, 3, 3, 1]);
        assert_eq!(sizes(3, &["1%".into()]), [1, 1, 1]);
        assert_eq!(sizes(5, &[0.into()]), [5]);
        assert_eq!(sizes(5, &[2.into(), 0.into()]), [2, 3]);
        assert_eq!(sizes(0, &[2.into()]), Vec::<usize>::new());
    }
}
