//! Compiling anew when a run adds hosts or groups to its inventory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::{Compiled, Options, compile};
use super::file::{Content, Use};
use super::loader::Loader;
use crate::program::{File, Layer, Map, Tree, Variable};
use crate::project::Project;
use crate::project::inventory::Inventory;
use crate::source::NOWHERE;

/// A project and what is run of it, with what the run has added so far.
pub struct Again {
    pub project: Project,
    pub playbooks: Vec<PathBuf>,
    pub options: Options,
    /// In order: what a run adds outlives a refresh of the inventory.
    added: Vec<Added>,
    /// Inventory and limit as they were before the first change.
    begun: Option<(Inventory, Option<Vec<Arc<str>>>)>,
}

enum Added {
    Host { name: String, groups: Vec<Arc<str>>, variables: Map },
    Group { host: String, group: String, parents: Vec<Arc<str>> },
}

impl Again {
    pub fn new(project: Project, playbooks: Vec<PathBuf>, options: Options) -> Self {
        Self { project, playbooks, options, added: Vec::new(), begun: None }
    }

    /// `add_host`. False: the host was there with these groups and variables.
    pub fn add_host(&mut self, name: &str, groups: &[Arc<str>], variables: &Map) -> bool {
        self.begin();
        self.added.push(Added::Host { name: name.to_owned(), groups: groups.to_vec(), variables: variables.clone() });
        self.put_host(name, groups, variables)
    }

    /// Keeps what [`Self::restart`] goes back to.
    fn begin(&mut self) {
        let Project { inventory, limit, .. } = &self.project;
        self.begun.get_or_insert_with(|| (inventory.clone(), limit.clone()));
    }

    /// All is as before the run changed anything.
    pub fn restart(&mut self) {
        self.added.clear();
        if let Some((inventory, limit)) = self.begun.clone() {
            (self.project.inventory, self.project.limit) = (inventory, limit);
        }
    }

    fn put_host(&mut self, name: &str, groups: &[Arc<str>], variables: &Map) -> bool {
        let layer = Layer {
            origin: "add_host".into(),
            variables: variables
                .iter()
                .map(|(name, value)| Variable {
                    name: name.text().into_owned().into(),
                    value: Arc::new(Tree::Literal(value.clone())),
                    span: NOWHERE,
                })
                .collect(),
        };
        let Project { inventory, files, .. } = &mut self.project;
        inventory.add_host(files, name, groups, layer)
    }

    /// `group_by`. False: the host was in the group.
    pub fn group_by(&mut self, host: &str, group: &str, parents: &[Arc<str>]) -> bool {
        self.begin();
        self.added.push(Added::Group { host: host.to_owned(), group: group.to_owned(), parents: parents.to_vec() });
        self.put_group(host, group, parents)
    }

    fn put_group(&mut self, host: &str, group: &str, parents: &[Arc<str>]) -> bool {
        let Project { inventory, files, .. } = &mut self.project;
        let changed = inventory.add_to_group(files, host, group, parents);
        // Hosts come as they are ready: a play's order, and so who does what is done once, is not to depend on that.
        parents.iter().map(|parent| &**parent).chain([group]).for_each(|group| inventory.put_in_order(group, host));
        changed
    }

    /// Reads the inventory's sources again, and adds what the run has added; the error is the report of what is wrong, and all is as before.
    pub fn refresh(&mut self) -> Result<(), String> {
        self.begin();
        self.project.files.diagnostics = crate::source::Diagnostics::default();
        let Project { inventory, limit, .. } = &self.project;
        let before = (inventory.clone(), limit.clone());
        self.project.refresh_inventory();
        let added = std::mem::take(&mut self.added);
        for added in &added {
            match added {
                Added::Host { name, groups, variables } => self.put_host(name, groups, variables),
                // A host that the sources name no more is in no group.
                Added::Group { host, .. } if !self.project.inventory.hosts.contains_key(&**host) => false,
                Added::Group { host, group, parents } => self.put_group(host, group, parents),
            };
        }
        self.added = added;
        let Project { files, inventory, limit, .. } = &mut self.project;
        if !files.diagnostics.has_errors() {
            return Ok(());
        }
        (*inventory, *limit) = before;
        Err(files.diagnostics.render(&files.sources))
    }

    /// Has these files read again, where their text is another one.
    pub fn forget(&mut self, paths: &BTreeSet<Arc<str>>) {
        let sources = &mut self.project.files.sources;
        let is_other = |path: &Path| {
            let known = sources.find(path).and_then(|index| sources.file(index));
            known.is_some_and(|known| known.secret || std::fs::read_to_string(path).ok().as_deref() != Some(&*known.text))
        };
        let others: Vec<&Path> = paths.iter().map(|path| Path::new(&**path)).filter(|path| is_other(path)).collect();
        sources.forget(|path| others.contains(&path));
    }

    /// Files by their absolute paths, folders with all below them, and files of variables, as they are now; where the bytes are.
    #[expect(clippy::type_complexity, reason = "three tables, each of its own kind")]
    pub fn read(
        &mut self,
        files: &BTreeSet<Arc<str>>,
        vars: &BTreeSet<Arc<str>>,
    ) -> Result<(BTreeMap<Arc<str>, File>, BTreeMap<Arc<str>, Arc<Layer>>, HashMap<Arc<str>, Content>), String> {
        self.forget(vars);
        let known = &mut self.project.files;
        known.diagnostics = crate::source::Diagnostics::default();
        let mut loader = Loader::new(known, Vec::new(), Layer::default());
        let of = Use { sealed: true, ..Use::FILE };
        let paths: Vec<PathBuf> = files.iter().map(|path| PathBuf::from(&**path)).filter(|path| path.exists()).collect();
        paths.iter().for_each(|path| loader.catalog(path, &of));
        for path in vars.iter().map(|path| Path::new(&**path)).filter(|path| path.is_file()) {
            let origin = loader.shown(path);
            loader.vars_fragment(path, &origin, None, &Arc::default());
        }
        let files = super::file::part(&loader.files_found, paths.iter());
        let (vars, contents) = (std::mem::take(&mut loader.fragments.vars), std::mem::take(&mut loader.files_found.contents));
        let known = &self.project.files;
        if known.diagnostics.has_errors() { Err(known.diagnostics.render(&known.sources)) } else { Ok((files, vars, contents)) }
    }

    /// Everything as it is now; the error is the report of what is wrong.
    pub fn compile(&mut self) -> Result<Compiled, String> {
        self.project.files.diagnostics = crate::source::Diagnostics::default();
        let compiled = compile(&mut self.project, &self.playbooks, &self.options);
        let files = &self.project.files;
        if files.diagnostics.has_errors() { Err(files.diagnostics.render(&files.sources)) } else { Ok(compiled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project;

    #[test]
    fn added_hosts_and_groups_take_part_in_later_plays() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        write("inventory.ini", "[seeds]\nseed-1\nseed-2\n");
        write("group_vars/os_Debian.yml", "package: apt\n");
        write(
            "site.yml",
            "- hosts: seeds\n  tasks:\n    - group_by: {key: \"os_{{ ansible_facts['distribution'] }}\"}\n    - add_host: {name: new-1, groups: fresh, answer: 42}\n\
             - hosts: os_Debian\n  tasks:\n    - debug: msg=\"{{ package }}\"\n- hosts: fresh\n  tasks:\n    - debug: msg=\"{{ answer }}\"\n",
        );
        let options = project::Options { inventory: vec!["inventory.ini".to_owned()], ..project::Options::default() };
        let (project, _) = Project::load(folder.path(), &options, &mut |_| None);
        let mut again = Again::new(project, vec![folder.path().join("site.yml")], Options::default());
        let hosts = |compiled: &Compiled, play: usize| compiled.plays[play].batches.concat().join(" ");
        let first = again.compile().expect("no mistakes");
        assert_eq!((hosts(&first, 0), hosts(&first, 1), hosts(&first, 2)), ("seed-1 seed-2".into(), String::new(), String::new()));

        assert!(again.group_by("seed-2", "os_Debian", &[]));
        assert!(!again.group_by("seed-2", "os_Debian", &[]));
        let variables = crate::map! { "answer" => 42 };
        assert!(again.add_host("new-1", &["fresh".into()], &variables));
        assert!(!again.add_host("new-1", &["fresh".into()], &variables));
        let then = again.compile().expect("no mistakes");
        assert_eq!((hosts(&then, 1), hosts(&then, 2)), ("seed-2".into(), "new-1".into()));
        let of = |host: &str, name: &str| then.programs[host].inventory.iter().any(|layer| layer.get(name).is_some());
        assert!(of("seed-2", "package") && of("new-1", "answer") && !of("seed-1", "package"));
        assert!(then.connections.contains_key("new-1"));

        // A refresh takes what the sources say now, and leaves what was added.
        write("inventory.ini", "[seeds]\nseed-1\nseed-3\n");
        write("group_vars/seeds.yml", "late: 1\n");
        write("host_vars/seed-3.yml", "own: 1\n");
        again.refresh().expect("no mistakes");
        let now = again.compile().expect("no mistakes");
        assert_eq!((hosts(&now, 0), hosts(&now, 1), hosts(&now, 2)), ("seed-1 seed-3".into(), String::new(), "new-1".into()));
        let of = |host: &str, name: &str| again.project.inventory.layers(host, None).iter().any(|layer| layer.get(name).is_some());
        assert!(of("seed-3", "own") && !of("seed-1", "late") && of("new-1", "answer"), "variables of a known group stay as they were");
        write("inventory.ini", "[seeds\nseed-1\n");
        assert!(again.refresh().is_err_and(|report| report.contains("inventory.ini:1")));
        let still = again.compile().expect("no mistakes");
        assert_eq!((hosts(&still, 0), hosts(&still, 2)), ("seed-1 seed-3".into(), "new-1".into()), "what cannot be read changes nothing");
    }
}
