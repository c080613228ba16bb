//! What commands that work on hosts begin with: the folder, checked; programs for hosts; ways to reach them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Exit;
use super::artifacts::{known, manifest, store_of};
use super::machines::Ours;
use super::passwords;
use super::person::person;
use super::shared::Selection;
use crate::artifact::{Manifest, Store};
use crate::cluster::kubeconfig;
use crate::delivery::{Delivery, Rendered, render};
use crate::playbook::again::Again;
use crate::playbook::artifact::Artifacts;
use crate::playbook::compile::{Compiled, Options, compile};
use crate::program::Value;
use crate::project::Project;
use crate::project::environment::is_ansible_project;
use crate::report;
use crate::run::prepare::{Prepared, prepare};
use crate::run::reach::Reached;

/// Every node runs it, and it has a C library: an agent that is not static runs in it too.
const PROBE_IMAGE: &str = "image/kube-proxy";

/// Everything read and checked, without a mistake; nothing touched.
pub struct Checked {
    pub folder: PathBuf,
    pub project: Project,
    pub playbooks: Vec<PathBuf>,
    /// As the command line named them.
    pub written: Vec<String>,
    pub options: Options,
    pub compiled: Compiled,
    /// The environment's name, or the folder's where playbooks are named on the command line.
    pub name: String,
    pub store: Store,
    /// The releases of provision.yaml; none where playbooks are named on the command line.
    pub releases: Vec<Rendered>,
    /// `None` until [`Checked::ask`].
    pub become_password: Option<Value>,
}

/// Reads and checks everything. Mistakes are shown.
pub async fn check(selection: &Selection, playbooks: &[String]) -> Result<Checked, Exit> {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let mut named = selection.project_options(playbooks);
    if playbooks.is_empty() {
        // Playbooks that are named are run on hosts that are named: nothing stands in there.
        named.built_in = Some(super::built_in::folder()?);
    }
    let (mut project, _) = Project::load(&folder, &named, &mut |what: &str| report::ask_secret(what));
    let files: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
    // Mistakes of all files stand in one report: with a manifest that cannot be used the rest is still checked.
    let (manifest, bad_manifest) = match manifest(&folder) {
        Ok(manifest) => (manifest, None),
        Err(mistakes) => {
            project.files.unread.extend(mistakes.own_text());
            (Manifest::builtin(), Some(mistakes))
        }
    };
    let store = store_of(&folder, manifest, project.environment.mirror.clone())?;
    let options = Options { artifacts: known(&store).await?, ..selection.compile_options() };
    let compiled = compile(&mut project, &files, &options);
    if !project.files.diagnostics.has_errors() {
        super::selected::check(&compiled, &options.settings, &mut project.files.diagnostics);
    }
    let wrong = report::mistakes(&project.files) | bad_manifest.is_some();
    if let Some(mistakes) = bad_manifest {
        report::line(&mistakes.to_string());
    }
    let releases = if playbooks.is_empty() { rendered(&project, &options) } else { Ok(Vec::new()) };
    if wrong {
        return Err(Exit::Mistakes);
    }
    let releases = releases?;
    if files.is_empty() && project.machines.is_none() {
        let hint = if is_ansible_project(&folder) {
            "this looks like an Ansible project: run `provision playbook -i INVENTORY FILE`, or name its parts in a provision.yaml (`playbooks: [site.yml]`)"
        } else {
            "write playbooks/site.yaml, or name one in provision.yaml"
        };
        report::error("there is no playbook here", Some(hint));
        return Err(Exit::Mistakes);
    }
    let name = if playbooks.is_empty() {
        project.environment.name.clone()
    } else {
        folder.file_name().map_or_else(|| "playbook".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    Ok(Checked {
        folder,
        project,
        playbooks: files,
        written: playbooks.to_vec(),
        options,
        compiled,
        name,
        store,
        releases,
        become_password: None,
    })
}

/// Renders the releases; every chart's mistakes are told.
fn rendered(project: &Project, options: &Options) -> Result<Vec<Rendered>, Exit> {
    let version = options.artifacts.get("kubeadm").map_or_else(String::new, |kubeadm| format!("v{}", kubeadm.version));
    let rendered: Vec<_> = project.environment.releases.iter().map(|release| render(release, &options.artifacts, &version)).collect();
    for refused in rendered.iter().filter_map(|rendered| rendered.as_ref().err()) {
        report::line(&refused.to_string());
    }
    rendered.into_iter().collect::<Result<_, _>>().map_err(|_| Exit::Mistakes)
}

impl Checked {
    /// Asks for the passwords that are to be asked for, and reads those that stand in files: whoever runs something needs them.
    pub fn ask(&mut self, selection: &Selection) -> Result<(), Exit> {
        let passwords = passwords::ask(selection, &self.project.settings)?;
        for connection in self.compiled.connections.values_mut().filter(|connection| connection.password.is_none()) {
            connection.password.clone_from(&passwords.connection);
        }
        self.options.password = passwords.connection;
        self.become_password = passwords.become_.map(Value::Text);
        Ok(())
    }

    /// Names of the artifacts that playbooks and releases need.
    pub fn needed(&self) -> BTreeSet<Arc<str>> {
        let images =
            self.project.environment.releases.iter().flat_map(|release| release.images.iter().map(|(_, name)| Arc::from(name.as_str())));
        self.compiled.artifacts.iter().cloned().chain(images.filter(|_| self.written.is_empty())).collect()
    }

    /// The same with what the cache holds by now.
    pub async fn again(&mut self) -> Result<(), Exit> {
        self.options.artifacts = known(&self.store).await?;
        self.project.files.diagnostics = crate::source::Diagnostics::default();
        self.compiled = compile(&mut self.project, &self.playbooks, &self.options);
        if report::mistakes(&self.project.files) {
            return Err(Exit::Mistakes);
        }
        if self.written.is_empty() {
            self.releases = rendered(&self.project, &self.options)?;
        }
        Ok(())
    }

    /// What stands above the hosts; `None` where neither a playbook builds a cluster with our kubeadm nor a release wants one,
    /// or no group `control_plane` has a host.
    pub fn delivery(&self) -> Option<Delivery> {
        if self.releases.is_empty() && !self.compiled.artifacts.contains("kubeadm") {
            return None;
        }
        let group = |name: &str| self.project.inventory.select_all([name]).hosts;
        let mut nodes = group("control_plane");
        let control = nodes.first()?.clone();
        nodes.extend(group("workers"));
        Some(Delivery {
            environment: self.name.clone(),
            control,
            nodes: nodes.iter().map(ToString::to_string).collect(),
            kubeconfig: kubeconfig::path(&self.folder),
            releases: self.releases.clone(),
            probe_image: self
                .compiled
                .artifacts
                .contains(PROBE_IMAGE)
                .then(|| self.options.artifacts.get(PROBE_IMAGE)?.reference.clone())
                .flatten(),
        })
    }

    /// The machines that are ours, where the folder has any.
    pub fn ours(&self) -> Result<Option<Ours>, Exit> {
        match &self.project.machines {
            Some(machines) => {
                let mut ours = Ours::new(&self.project.environment.name, &self.folder, machines)?;
                ours.ask(&self.compiled.connections);
                Ok(Some(ours))
            }
            None => Ok(None),
        }
    }

    /// A run that may begin; `reached` are the nodes that we made, by name.
    pub fn prepared(self, reached: Vec<Reached>) -> Result<Prepared, Exit> {
        let Self { folder, project, playbooks, options, compiled, name, become_password, .. } = self;
        let forks = options.forks;
        let again = Again::new(project, playbooks, options);
        prepare(&name, &folder, compiled, become_password, forks, again, reached, person()).map_err(|error| {
            report::error(&format!("{error:#}"), None);
            Exit::Error
        })
    }
}

/// The page of a project's releases, as far as its charts can be rendered without the cache. Tells nothing.
pub fn page_of(project: &Project) -> Option<String> {
    let (kubernetes, _) = Manifest::builtin().described("kubeadm");
    let render = |release| render(release, &Artifacts::new(), &format!("v{kubernetes}")).ok();
    let releases: Vec<_> = project.environment.releases.iter().filter_map(render).collect();
    crate::delivery::page(&releases)
}
