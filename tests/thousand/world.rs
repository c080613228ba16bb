//! A user's folder, and everything that is read and checked of it before anything is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision::artifact::Manifest;
use provision::delivery::render;
use provision::playbook::{self, artifact::Artifact};
use provision::project::{Options, Project};
use provision::source::{Diagnostic, Diagnostics, Severity, Sources};

/// A copy of a project in a folder of its own.
pub struct World {
    folder: tempfile::TempDir,
    /// Paths below the folder, sorted.
    pub files: Vec<PathBuf>,
    pub options: Options,
}

/// What the user is told.
pub struct Told {
    /// Every report, as it is shown.
    pub report: String,
    /// Each mistake and warning with the texts that it speaks of.
    pub mistakes: Vec<(Diagnostic, Arc<Sources>)>,
}

impl Told {
    pub fn errors(&self) -> impl Iterator<Item = &(Diagnostic, Arc<Sources>)> {
        self.mistakes.iter().filter(|(mistake, _)| mistake.severity == Severity::Error)
    }

    pub fn is_accepted(&self) -> bool {
        self.errors().next().is_none()
    }
}

impl World {
    /// What `provision init` writes: the environment with its chart; an `artifacts.yaml` beside it.
    pub fn bundled() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let world = Self::empty(Options::default());
        for part in ["provision.yaml", "vms", "inventory", "playbooks", "charts"] {
            copy(&root.join(part), &world.path().join(part));
        }
        let own = "# Beside the built-in ones.\nartifacts:\n  kubectl:\n    sources: [mirror, upstream]\n    upstream: {url: \"https://dl.k8s.io/v{version}/bin/linux/{arch}/kubectl\"}\n";
        fs::write(world.path().join("artifacts.yaml"), own).expect("written");
        world.listed()
    }

    /// Somebody's Ansible project: roles, includes, vaults, inventories of both formats.
    pub fn ansible() -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let options = Options {
            inventory: vec!["inventory".into()],
            playbooks: ["site.yml", "kube.yml", "more.yml", "own.yml"].map(str::to_owned).into(),
            environment: [("ANSIBLE_ROLES_PATH".to_owned(), "/nowhere/roles".to_owned())].into(),
            extra_vars: vec!["@extra.yml".into(), "root=/srv hide=no".into()],
            ..Options::default()
        };
        let mut world = Self::empty(options);
        copy(&tests.join("fixtures/roles"), world.path());
        copy(&tests.join("thousand/ansible"), world.path());
        copy(&tests.join("fixtures/vault/inline.yml"), &world.path().join("group_vars/all/vault.yml"));
        copy(&tests.join("fixtures/vault/password"), &world.path().join("password"));
        world.options.passwords.files = vec!["password".into()];
        world.listed()
    }

    fn empty(options: Options) -> Self {
        Self { folder: tempfile::Builder::new().prefix("provision-thousand-").tempdir().expect("a folder"), files: Vec::new(), options }
    }

    fn listed(mut self) -> Self {
        let mut open = vec![self.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).expect("readable") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    self.files.push(path.strip_prefix(self.folder.path()).expect("below it").to_owned());
                }
            }
        }
        self.files.sort();
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn read(&self, file: &Path) -> Vec<u8> {
        fs::read(self.path().join(file)).expect("readable")
    }

    /// Writes a file anew, or takes it away.
    pub fn write(&self, file: &Path, content: Option<&[u8]>) {
        let path = self.path().join(file);
        match content {
            Some(content) => fs::write(path, content).expect("written"),
            None => fs::remove_file(path).expect("removed"),
        }
    }

    pub fn check(&self) -> Told {
        self.check_with(&self.options, &playbook::Options::default())
    }

    /// As `provision up` and `provision playbook` begin.
    pub fn check_with(&self, options: &Options, compile: &playbook::Options) -> Told {
        let mut told = Told { report: String::new(), mistakes: Vec::new() };
        let (mut project, _) = Project::load(self.path(), options, &mut |_| None);
        let playbooks: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
        let own = self.path().join("artifacts.yaml");
        let manifest = Manifest::load(own.exists().then_some(&*own)).unwrap_or_else(|mistakes| {
            project.files.unread.extend(mistakes.own_text());
            told.add(&mistakes.diagnostics, &Arc::new(mistakes.sources));
            Manifest::builtin()
        });
        let artifacts = manifest.names().map(|name| {
            let (version, reference) = manifest.described(&name);
            (name.into(), Artifact { version, reference, ..Artifact::default() })
        });
        let artifacts = Arc::new(artifacts.collect());
        let compile = playbook::Options { limit: options.limit.clone(), artifacts: Arc::clone(&artifacts), ..compile.clone() };
        playbook::compile(&mut project, &playbooks, &compile);
        told.add(&project.files.diagnostics, &Arc::new(std::mem::take(&mut project.files.sources)));
        for release in &project.environment.releases {
            if let Err(refused) = render(release, &artifacts, "v1.36.4") {
                told.report.push_str(&format!("{}\n", refused.doing));
                told.add(&refused.diagnostics, &refused.sources);
            }
        }
        told.report = told.report.replace(&self.path().display().to_string(), "FOLDER");
        told
    }
}

impl Told {
    fn add(&mut self, diagnostics: &Diagnostics, sources: &Arc<Sources>) {
        self.report.push_str(&diagnostics.render(sources));
        self.mistakes.extend(diagnostics.iter().map(|mistake| (mistake.clone(), Arc::clone(sources))));
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().expect("a file has a folder")).expect("made");
        fs::copy(from, to).expect("copied");
        return;
    }
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
