//! `provision.yaml`: the environment's name, machines, inventory, playbooks and releases; every key has a default.

use std::path::{Path, PathBuf};

use super::Files;
use crate::program::Span;
use crate::source::{Diagnostic, Keys, NOWHERE, Node};
use crate::vm::machines::check_label;

/// The file's name.
pub const FILE: &str = "provision.yaml";
const KEYS: [&str; 6] = ["name", "machines", "inventory", "playbooks", "releases", "mirror"];
const RELEASE: [&str; 5] = ["name", "chart", "namespace", "values", "images"];

/// Names by which a folder without `provision.yaml` and `vms/` is known as an Ansible project: nothing built in mixes with it.
const ANSIBLE: [&str; 17] = [
    "ansible.cfg",
    "site.yml",
    "site.yaml",
    "playbook.yml",
    "playbook.yaml",
    "main.yml",
    "main.yaml",
    "roles",
    "group_vars",
    "host_vars",
    "collections",
    "requirements.yml",
    "hosts",
    "hosts.ini",
    "hosts.yml",
    "inventory",
    "inventory.ini",
];

/// What the user wrote, or the defaults of the bundled layout.
#[derive(Clone, Debug)]
pub struct Environment {
    pub name: String,
    /// None where every host is there already.
    pub machines: Option<Part>,
    pub inventory: Vec<Part>,
    pub playbooks: Vec<Part>,
    pub releases: Vec<Release>,
    /// Base URL of a mirror of artifacts.
    pub mirror: Option<String>,
}

/// A file or folder of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As written: `playbooks/site.yaml`.
    pub written: String,
    /// Absolute; for a list of hosts (`a,b,`) as written.
    pub path: PathBuf,
    pub origin: Origin,
    pub span: Span,
}

impl Part {
    /// As a report names it: `playbooks/site.yaml`, `built-in playbooks/site.yaml`.
    pub fn shown(&self) -> String {
        match self.origin {
            Origin::File => self.written.clone(),
            Origin::BuiltIn => format!("built-in {}", self.written),
        }
    }
}

/// Where a part comes from; the plan says which are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user's folder, the command line or a setting.
    File,
    /// The copy of the bundled layout inside of this program: the user's folder has none.
    BuiltIn,
}

/// A chart that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Default: the chart folder's name.
    pub name: String,
    pub chart: Part,
    /// Default: the release's name.
    pub namespace: String,
    /// Lowest precedence first.
    pub values: Vec<Part>,
    /// Images that artifacts.yaml names: the path among the values (`image`, `model.image`) that gets `repository`, `tag` and
    /// `digest`, and the artifact.
    pub images: Vec<(String, String)>,
    pub span: Span,
}

/// What stands in for keys that are not written.
pub(super) struct Given<'a> {
    /// `-i`: absolute paths or lists of hosts. Stands before what the file says.
    pub inventory: Option<Vec<String>>,
    /// ANSIBLE_INVENTORY or ansible.cfg: stands behind what the file says.
    pub configured_inventory: Option<Vec<String>>,
    /// That ansible.cfg lies in the project's folder.
    pub configured_here: bool,
    /// Playbooks of the command line, absolute.
    pub playbooks: Option<Vec<String>>,
    /// The bundled layout's folder.
    pub built_in: Option<&'a Path>,
}

impl Environment {
    /// Paths of inventory sources, and lists of hosts.
    pub fn inventory_sources(&self) -> Vec<String> {
        self.inventory.iter().map(|part| part.path.display().to_string()).collect()
    }

    /// The parts that the user's folder has not, each with its key of provision.yaml.
    pub fn built_in(&self) -> Vec<(&'static str, &Part)> {
        let machines = self.machines.iter().map(|part| ("machines", part));
        let inventory = self.inventory.iter().map(|part| ("inventory", part));
        let playbooks = self.playbooks.iter().map(|part| ("playbooks", part));
        let charts = self.releases.iter().map(|release| ("releases", &release.chart));
        machines.chain(inventory).chain(playbooks).chain(charts).filter(|(_, part)| part.origin == Origin::BuiltIn).collect()
    }
}

/// Whether a folder is somebody's Ansible project, and no environment of ours.
pub fn is_ansible_project(folder: &Path) -> bool {
    let is_ours = folder.join(FILE).exists() || folder.join("vms").is_dir();
    !is_ours && ANSIBLE.iter().any(|name| folder.join(name).exists())
}

/// Reads `provision.yaml` of the project's folder, if there is one.
pub(super) fn read(files: &mut Files, given: &Given) -> Environment {
    let path = files.root.join(FILE);
    let node = if path.exists() { files.own_yaml(&path).map(|document| document.node) } else { None };
    let nothing = super::nothing();
    let node = node.as_ref().unwrap_or(&nothing);
    let keys = Keys::new(node, "provision.yaml", &KEYS, &mut files.diagnostics);
    let name = match keys.text("name", &mut files.diagnostics) {
        Some(name) => {
            if let (Err(phrase), Some(value)) = (check_label(name), keys.get("name")) {
                files.diagnostics.push(Diagnostic::at(value, phrase.replace("host name", "name of an environment")));
            }
            name.to_owned()
        }
        None => "dev".to_owned(),
    };
    let mirror = keys.text("mirror", &mut files.diagnostics).map(str::to_owned);
    if let (Some(url), Some(value)) = (&mirror, keys.get("mirror"))
        && !(url.starts_with("https://") || url.starts_with("http://"))
    {
        files.diagnostics.push(Diagnostic::at(value, format!("`{url}` is no https:// or http:// address")));
    }
    let built_in = given.built_in.filter(|_| !is_ansible_project(&files.root));
    let mut reader = Reader { files, built_in };
    let playbooks = match (&given.playbooks, reader.listed(&keys, "playbooks")) {
        (Some(written), _) => written.iter().map(|path| reader.outside(path)).collect(),
        (None, Some(parts)) => parts,
        (None, None) => reader.default(&["playbooks/site.yaml", "playbooks/site.yml"]).into_iter().collect(),
    };
    let built_in_playbooks = playbooks.iter().any(|part: &Part| part.origin == Origin::BuiltIn);
    // Hosts that a user's settings name for every folder are not for playbooks that no one wrote here.
    let configured_inventory = given.configured_inventory.as_ref().filter(|_| given.configured_here || !built_in_playbooks);
    let own_inventory = given.inventory.is_some()
        || configured_inventory.is_some()
        || keys.get("inventory").is_some()
        || reader.files.root.join("inventory").exists();
    let inventory = match (&given.inventory, reader.listed(&keys, "inventory")) {
        (Some(written), _) => written.iter().map(|path| reader.outside(path)).collect(),
        (None, Some(parts)) => parts,
        (None, None) => match configured_inventory {
            Some(written) => written.iter().map(|path| reader.outside(path)).collect(),
            None => reader.default(&["inventory"]).into_iter().collect(),
        },
    };
    let machines = match node.get("machines") {
        Some(written) if written.is_null() => None,
        Some(written) => written.text().and_then(|text| reader.part(text, written)).or_else(|| {
            keys.text("machines", &mut reader.files.diagnostics);
            None
        }),
        // Whoever brings an inventory brings the hosts: built-in machines would be strangers among them.
        None => reader.default(&["vms/dev.yaml", "vms/dev.yml"]).filter(|part| part.origin == Origin::File || !own_inventory),
    };
    let releases = match keys.get("releases") {
        Some(list) => reader.releases(list),
        None => reader.default_releases(built_in_playbooks),
    };
    Environment { name, machines, inventory, playbooks, releases, mirror }
}

/// Reads `provision.yaml` of a folder and no other file.
pub fn read_alone(files: &mut Files) -> Environment {
    read(files, &Given { inventory: None, configured_inventory: None, configured_here: false, playbooks: None, built_in: None })
}

struct Reader<'files> {
    files: &'files mut Files,
    built_in: Option<&'files Path>,
}

impl Reader<'_> {
    /// A path that stands in the file; one that does not exist is a mistake.
    fn part(&mut self, text: &str, node: &Node) -> Option<Part> {
        let root = self.files.root.clone();
        let path = self.files.resolve(&root, text);
        let list_of_hosts = text.contains(',');
        if !path.exists() && !list_of_hosts {
            let mistake = Diagnostic::at(node, format!("no such file or folder: `{text}`"));
            let beside = beside(&path);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.files.diagnostics.push(mistake.suggest(&name, beside.iter().map(String::as_str)));
            return None;
        }
        Some(Part { written: text.to_owned(), path: if list_of_hosts { text.into() } else { path }, origin: Origin::File, span: node.span })
    }

    fn listed(&mut self, keys: &Keys, name: &str) -> Option<Vec<Part>> {
        let texts = keys.texts(name, &mut self.files.diagnostics)?;
        Some(texts.into_iter().filter_map(|(text, node)| self.part(text, node)).collect())
    }

    /// A path of the command line or a setting, which was made absolute.
    fn outside(&self, path: &str) -> Part {
        Part { written: self.files.name(Path::new(path)), path: path.into(), origin: Origin::File, span: NOWHERE }
    }

    /// The first of the default paths that exists in the user's folder, or else in the built-in copy.
    fn default(&self, names: &[&str]) -> Option<Part> {
        let found = |folder: &Path, origin: Origin| {
            names.iter().map(|name| (name, folder.join(name))).find(|(_, path)| path.exists()).map(|(name, path)| Part {
                written: (*name).to_owned(),
                path,
                origin,
                span: NOWHERE,
            })
        };
        found(&self.files.root, Origin::File).or_else(|| found(self.built_in?, Origin::BuiltIn))
    }

    fn releases(&mut self, list: &Node) -> Vec<Release> {
        let mut releases: Vec<Release> = Vec::new();
        for node in list.items() {
            let Some(release) = self.release(node) else { continue };
            if releases.iter().any(|other| other.name == release.name) {
                let mistake = Diagnostic::at(node, format!("a second release with the name `{}`", release.name));
                self.files.diagnostics.push(mistake.hint("write another `name`: it says whose an object is, in every namespace"));
            }
            releases.push(release);
        }
        releases
    }

    fn release(&mut self, node: &Node) -> Option<Release> {
        let keys = Keys::new(node, "a release", &RELEASE, &mut self.files.diagnostics);
        let Some(chart) = keys.get("chart") else {
            if node.as_map().is_some() {
                self.files.diagnostics.push(Diagnostic::at(node, "a release without `chart`").hint("write `chart: charts/NAME`"));
            }
            return None;
        };
        let text = keys.text("chart", &mut self.files.diagnostics)?;
        let part = self.part(text, chart);
        let name = keys.text("name", &mut self.files.diagnostics).map_or_else(|| stem(text), str::to_owned);
        let namespace = keys.text("namespace", &mut self.files.diagnostics).map_or_else(|| name.clone(), str::to_owned);
        for (label, key) in [(&name, "name"), (&namespace, "namespace")] {
            if let Err(phrase) = check_label(label) {
                let at = keys.get(key).unwrap_or(chart);
                self.files.diagnostics.push(Diagnostic::at(at, phrase.replace("host name", &format!("{key} of a release"))));
            }
        }
        let values = self.listed(&keys, "values").unwrap_or_default();
        let images = self.images(&keys);
        Some(Release { name, chart: part?, namespace, values, images, span: node.span })
    }

    fn images(&mut self, keys: &Keys) -> Vec<(String, String)> {
        let Some(node) = keys.get("images") else { return Vec::new() };
        let Some(entries) = node.as_map() else {
            let mistake = Diagnostic::at(node, format!("`images` is a mapping of values to artifacts, this is {}", node.describe()));
            self.files.diagnostics.push(mistake.hint("write `image: image/NAME`"));
            return Vec::new();
        };
        let pairs = entries.iter().filter_map(|(path, artifact)| Some((path.text()?.to_owned(), artifact.text()?.to_owned())));
        pairs.collect()
    }

    fn default_releases(&self, built_in: bool) -> Vec<Release> {
        let Some(chart) = self.default(&["charts/phishing"]).filter(|part| part.origin == Origin::File || built_in) else {
            return Vec::new();
        };
        let values = self.default(&["charts/phishing/values-dev.yaml"]).filter(|part| part.origin == chart.origin);
        let images = [("modelService.image", "image/model-service"), ("app.image", "image/app")];
        let images = images.map(|(value, artifact)| (value.to_owned(), artifact.to_owned())).to_vec();
        vec![Release {
            name: "phishing".to_owned(),
            namespace: "phishing".to_owned(),
            values: values.into_iter().collect(),
            images,
            span: NOWHERE,
            chart,
        }]
    }
}

fn stem(path: &str) -> String {
    Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Names that stand where the path should.
fn beside(path: &Path) -> Vec<String> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten();
    let mut names: Vec<String> = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
