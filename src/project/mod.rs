//! Everything on disk that a user wrote, checked once → [`Project`].

pub mod built_in;
pub mod environment;
pub mod extra;
pub mod files;
pub mod inventory;
pub mod machines;
pub mod settings;
pub mod vault;

pub use environment::{Environment, Origin, Part, Release};
pub use files::{Document, Files};
pub use inventory::Inventory;
pub use settings::Settings;
pub use vault::{Passwords, Vault};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::environment::Given;
use crate::program::Layer;
use crate::source::{Diagnostic, Diagnostics, NOWHERE, Node, NodeKind, Scalar, suggest};
use crate::vm::Machines;

/// A user's folder, read and checked; playbooks are read by `playbook`, which adds to the same [`Files`].
#[derive(Debug)]
pub struct Project {
    pub files: Files,
    pub settings: Settings,
    pub environment: Environment,
    /// The machines that are ours to make.
    pub machines: Option<Machines>,
    pub inventory: Inventory,
    /// The hosts that `--limit` leaves; `None`: all.
    pub limit: Option<Vec<Arc<str>>>,
    /// `--limit` as it was written, and the folder that it was written in.
    limited: Option<(String, PathBuf)>,
    /// `-e`.
    pub extra: Layer,
}

/// What the command line says about a project.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where relative paths of the command line begin; the project's folder where it is empty.
    pub cwd: PathBuf,
    /// Environment variables, all of them: nothing else is asked of the process.
    pub environment: BTreeMap<String, String>,
    /// `-i`; replaces the environment's inventory.
    pub inventory: Vec<String>,
    /// Replaces the environment's playbooks.
    pub playbooks: Vec<String>,
    /// `--limit`.
    pub limit: Option<String>,
    /// `-e`.
    pub extra_vars: Vec<String>,
    /// Of the command line; those of the settings come after.
    pub passwords: Passwords,
    /// The folder of the bundled layout, for default paths that the user's folder has not.
    pub built_in: Option<PathBuf>,
}

impl Project {
    /// Reads the folder. The project is as whole as the mistakes allow: whoever goes on asks `has_errors` first.
    pub fn load(folder: &Path, options: &Options, prompt: vault::Prompt) -> (Self, Diagnostics) {
        let mut files = Files { built_in: options.built_in.clone(), ..Files::new(folder) };
        let cwd = if options.cwd.as_os_str().is_empty() { files.root.clone() } else { options.cwd.clone() };
        // Ansible looks in the current folder; a project may be named from elsewhere.
        let root = files.root.clone();
        let settings = settings::read(&mut files, &root, &options.environment);
        files.vault = Vault::load(&passwords(options, &settings, &cwd), prompt, &mut files.diagnostics);

        let outside = |written: &String| {
            let path = files.resolve(&cwd, written);
            if written.contains(',') && !path.exists() { written.clone() } else { path.display().to_string() }
        };
        let inventory: Vec<String> = options.inventory.iter().map(outside).collect();
        let mut playbooks: Vec<String> = options.playbooks.iter().map(outside).collect();
        for path in playbooks.iter().filter(|path| !Path::new(path).exists()) {
            let path = Path::new(path);
            let mistake = Diagnostic::nowhere(format!("read `{}`: no such file", files.name(path)));
            let beside: Vec<String> = path
                .parent()
                .and_then(|folder| folder.read_dir().ok())
                .map_or_else(Vec::new, |entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect());
            let written = path.file_name().unwrap_or_default().to_string_lossy();
            let near = suggest(&written, beside.iter().map(String::as_str));
            let hint = near.map_or_else(
                || "name a playbook that is there".to_owned(),
                |near| format!("did you mean `{}`?", files.name(&path.with_file_name(near))),
            );
            files.diagnostics.push(mistake.hint(hint));
        }
        // It was told: nobody is to read it again.
        playbooks.retain(|path| Path::new(path).exists());
        let given = Given {
            inventory: Some(inventory).filter(|given| !given.is_empty()),
            configured_inventory: settings.inventory.clone(),
            configured_here: settings.file.as_ref().is_some_and(|file| file.starts_with(&root)),
            playbooks: (!options.playbooks.is_empty()).then_some(playbooks),
            built_in: options.built_in.as_deref(),
        };
        let environment = environment::read(&mut files, &given);
        let machines = environment.machines.as_ref().and_then(|part| machines::read(&mut files, &part.path));
        let sources = environment.inventory_sources();
        let hosts = machines.as_ref().map(|file| file.hosts.as_slice()).unwrap_or_default();
        let mut inventory = Inventory::load(&mut files, &root, &sources, hosts);
        for playbook in &environment.playbooks {
            if let Some(folder) = playbook.path.parent() {
                inventory.load_beside_playbook(&mut files, folder);
            }
        }
        let limit = options.limit.as_ref().map(|written| inventory.limited(&mut files.diagnostics, &cwd, written));
        let extra = extra::extra_vars(&mut files, &cwd, &options.extra_vars);
        let machines = machines.map(|file| file.machines);
        let diagnostics = files.diagnostics.clone();
        let limited = options.limit.clone().map(|written| (written, cwd));
        (Self { files, settings, environment, machines, inventory, limit, limited, extra }, diagnostics)
    }

    /// Reads the inventory's sources again. As in ansible-core, files of variables that were read stay as they were.
    pub fn refresh_inventory(&mut self) {
        let Self { files, environment, inventory, limit, limited, .. } = self;
        let machines = environment.machines.as_ref().and_then(|part| machines::read(files, &part.path));
        let hosts = machines.as_ref().map(|file| file.hosts.as_slice()).unwrap_or_default();
        let root = files.root.clone();
        *inventory = inventory.again(files, &root, &environment.inventory_sources(), hosts);
        if let Some((written, cwd)) = limited {
            *limit = Some(inventory.limited(&mut files.diagnostics, cwd, written));
        }
    }
}

fn passwords(options: &Options, settings: &Settings, cwd: &Path) -> Passwords {
    let given = &options.passwords;
    let absolute = |id: &String| {
        let place = |source: &str| {
            if source.starts_with("prompt") { source.to_owned() } else { cwd.join(vault::home(Path::new(source))).display().to_string() }
        };
        id.split_once('@').map_or_else(|| place(id), |(label, source)| format!("{label}@{}", place(source)))
    };
    Passwords {
        ids: settings.vault_identity_list.iter().cloned().chain(given.ids.iter().map(absolute)).collect(),
        files: given.files.iter().map(|file| cwd.join(vault::home(file))).chain(settings.vault_password_file.clone()).collect(),
        ask: given.ask || settings.ask_vault_pass,
        id_match: given.id_match || settings.vault_id_match,
    }
}

/// A null that stands nowhere.
fn nothing() -> Node {
    let scalar = Scalar { text: "".into(), plain: true, content: NOWHERE, indent: 0 };
    Node { span: NOWHERE, width: 0, tag: None, kind: NodeKind::Scalar(scalar) }
}
