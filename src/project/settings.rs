//! `ansible.cfg` and Ansible's environment variables: the settings that matter here; those that would change a run and are
//! not supported are told.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::files::normal;
use super::{Files, vault};
use crate::program::Span;
use crate::source::{Diagnostic, NOWHERE, resolve};

/// Ansible's settings with Ansible's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Absolute paths, or lists of hosts.
    pub inventory: Option<Vec<String>>,
    /// Searched after `roles/` beside the playbook.
    pub roles_path: Vec<PathBuf>,
    pub collections_path: Vec<PathBuf>,
    pub remote_user: Option<String>,
    pub remote_port: Option<u16>,
    pub private_key_file: Option<PathBuf>,
    /// Hosts at once; default 5.
    pub forks: u32,
    /// Seconds for a connection.
    pub timeout: Option<u32>,
    pub host_key_checking: bool,
    pub ssh_args: Option<String>,
    pub ssh_common_args: Option<String>,
    pub ssh_extra_args: Option<String>,
    pub vault_password_file: Option<PathBuf>,
    pub vault_identity_list: Vec<String>,
    pub vault_id_match: bool,
    pub ask_vault_pass: bool,
    pub ask_pass: bool,
    pub connection_password_file: Option<PathBuf>,
    pub become_: bool,
    pub become_user: Option<String>,
    pub become_method: Option<String>,
    pub become_ask_pass: bool,
    pub become_password_file: Option<PathBuf>,
    pub gathering: Gathering,
    pub force_handlers: bool,
    pub any_errors_fatal: bool,
    pub no_log: bool,
    pub diff: bool,
    pub strategy_free: bool,
    pub private_role_vars: bool,
    pub inject_facts_as_vars: bool,
    pub tags: Vec<String>,
    pub skip_tags: Vec<String>,
    /// What `ansible_managed` holds in templates where no variable gives it, with `{file}`, `{host}`, `{uid}` and what strftime(3) knows.
    pub managed: Option<String>,
}

/// Whether plays gather facts that do not say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gathering {
    /// Unless `gather_facts: false`.
    #[default]
    Implicit,
    /// Only with `gather_facts: true`.
    Explicit,
    /// As `Implicit`, once a host.
    Smart,
}

/// What is done with a setting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    /// Screen, speed, files of Ansible's own: nothing that a run does depends on it.
    Ignored,
    /// A run would differ: told, unless the value is the default that follows.
    Unsupported(&'static str),
    /// Python code of the user's that cannot be loaded.
    Plugins,
}

/// Section, key, variable, use. Keys that are not here are unknown to us and, as by Ansible, left alone, unless they are near one.
const TABLE: &[(&str, &str, &str, Use)] = &[
    ("defaults", "inventory", "ANSIBLE_INVENTORY", Use::Read),
    ("defaults", "roles_path", "ANSIBLE_ROLES_PATH", Use::Read),
    ("defaults", "collections_path", "ANSIBLE_COLLECTIONS_PATH", Use::Read),
    ("defaults", "remote_user", "ANSIBLE_REMOTE_USER", Use::Read),
    ("defaults", "remote_port", "ANSIBLE_REMOTE_PORT", Use::Read),
    ("defaults", "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE", Use::Read),
    ("defaults", "forks", "ANSIBLE_FORKS", Use::Read),
    ("defaults", "timeout", "ANSIBLE_TIMEOUT", Use::Read),
    ("defaults", "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING", Use::Read),
    ("defaults", "vault_password_file", "ANSIBLE_VAULT_PASSWORD_FILE", Use::Read),
    ("defaults", "vault_identity_list", "ANSIBLE_VAULT_IDENTITY_LIST", Use::Read),
    ("defaults", "vault_id_match", "ANSIBLE_VAULT_ID_MATCH", Use::Read),
    ("defaults", "ask_vault_pass", "ANSIBLE_ASK_VAULT_PASS", Use::Read),
    ("defaults", "ask_pass", "ANSIBLE_ASK_PASS", Use::Read),
    ("defaults", "connection_password_file", "ANSIBLE_CONNECTION_PASSWORD_FILE", Use::Read),
    ("defaults", "become_password_file", "ANSIBLE_BECOME_PASSWORD_FILE", Use::Read),
    ("defaults", "gathering", "ANSIBLE_GATHERING", Use::Read),
    ("defaults", "force_handlers", "ANSIBLE_FORCE_HANDLERS", Use::Read),
    ("defaults", "any_errors_fatal", "ANSIBLE_ANY_ERRORS_FATAL", Use::Read),
    ("defaults", "no_log", "ANSIBLE_NO_LOG", Use::Read),
    ("defaults", "strategy", "ANSIBLE_STRATEGY", Use::Read),
    ("defaults", "ansible_managed", "", Use::Read),
    ("defaults", "private_role_vars", "ANSIBLE_PRIVATE_ROLE_VARS", Use::Read),
    ("defaults", "inject_facts_as_vars", "ANSIBLE_INJECT_FACT_VARS", Use::Read),
    ("diff", "always", "ANSIBLE_DIFF_ALWAYS", Use::Read),
    ("privilege_escalation", "become", "ANSIBLE_BECOME", Use::Read),
    ("privilege_escalation", "become_user", "ANSIBLE_BECOME_USER", Use::Read),
    ("privilege_escalation", "become_method", "ANSIBLE_BECOME_METHOD", Use::Read),
    ("privilege_escalation", "become_ask_pass", "ANSIBLE_BECOME_ASK_PASS", Use::Read),
    ("ssh_connection", "ssh_args", "ANSIBLE_SSH_ARGS", Use::Read),
    ("ssh_connection", "ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS", Use::Read),
    ("ssh_connection", "ssh_extra_args", "ANSIBLE_SSH_EXTRA_ARGS", Use::Read),
    ("tags", "run", "ANSIBLE_RUN_TAGS", Use::Read),
    ("tags", "skip", "ANSIBLE_SKIP_TAGS", Use::Read),
    ("defaults", "hash_behaviour", "ANSIBLE_HASH_BEHAVIOUR", Use::Unsupported("replace")),
    ("defaults", "error_on_undefined_vars", "ANSIBLE_ERROR_ON_UNDEFINED_VARS", Use::Unsupported("true")),
    ("defaults", "jinja2_extensions", "ANSIBLE_JINJA2_EXTENSIONS", Use::Unsupported("")),
    ("defaults", "precedence", "ANSIBLE_PRECEDENCE", Use::Unsupported("")),
    ("defaults", "playbook_vars_root", "ANSIBLE_PLAYBOOK_VARS_ROOT", Use::Unsupported("top")),
    ("defaults", "error_on_missing_handler", "ANSIBLE_ERROR_ON_MISSING_HANDLER", Use::Unsupported("true")),
    ("defaults", "task_timeout", "ANSIBLE_TASK_TIMEOUT", Use::Unsupported("0")),
    // A source of a plugin that is not there is told by itself.
    ("inventory", "enable_plugins", "ANSIBLE_INVENTORY_ENABLED", Use::Ignored),
    ("inventory", "ignore_extensions", "ANSIBLE_INVENTORY_IGNORE", Use::Unsupported("")),
    ("inventory", "ignore_patterns", "ANSIBLE_INVENTORY_IGNORE_REGEX", Use::Unsupported("")),
    ("defaults", "yaml_valid_extensions", "ANSIBLE_YAML_FILENAME_EXT", Use::Unsupported("")),
    ("defaults", "force_valid_group_names", "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS", Use::Unsupported("never")),
    ("defaults", "library", "ANSIBLE_LIBRARY", Use::Plugins),
    ("defaults", "action_plugins", "ANSIBLE_ACTION_PLUGINS", Use::Plugins),
    ("defaults", "filter_plugins", "ANSIBLE_FILTER_PLUGINS", Use::Plugins),
    ("defaults", "lookup_plugins", "ANSIBLE_LOOKUP_PLUGINS", Use::Plugins),
    ("defaults", "test_plugins", "ANSIBLE_TEST_PLUGINS", Use::Plugins),
    ("defaults", "vars_plugins", "ANSIBLE_VARS_PLUGINS", Use::Plugins),
    ("defaults", "strategy_plugins", "ANSIBLE_STRATEGY_PLUGINS", Use::Plugins),
    ("defaults", "connection_plugins", "ANSIBLE_CONNECTION_PLUGINS", Use::Plugins),
    ("defaults", "inventory_plugins", "ANSIBLE_INVENTORY_PLUGINS", Use::Plugins),
    ("defaults", "stdout_callback", "", Use::Ignored),
    ("defaults", "callbacks_enabled", "", Use::Ignored),
    ("defaults", "interpreter_python", "", Use::Ignored),
    ("defaults", "retry_files_enabled", "", Use::Ignored),
    ("defaults", "deprecation_warnings", "", Use::Ignored),
    ("defaults", "transport", "", Use::Ignored),
    ("ssh_connection", "pipelining", "", Use::Ignored),
];

/// A value, its setting's name and its place.
struct Found {
    text: String,
    name: String,
    span: Span,
    width: u32,
    /// The folder that relative paths begin in.
    base: PathBuf,
}

/// Reads the configuration: the file at ANSIBLE_CONFIG, `ansible.cfg` in `cwd` (unless anyone may write there),
/// `~/.ansible.cfg`, `/etc/ansible/ansible.cfg`, the first that exists; variables win over it.
pub(super) fn read(files: &mut Files, cwd: &Path, environment: &BTreeMap<String, String>) -> Settings {
    let file = find(files, cwd, environment);
    let mut found: BTreeMap<(&str, &str), Found> = BTreeMap::new();
    if let Some(path) = &file {
        from_file(files, path, &mut found);
    }
    for (section, key, variable, _) in TABLE {
        if let Some(text) = environment.get(*variable).filter(|_| !variable.is_empty()) {
            let value = Found { text: text.clone(), name: (*variable).to_owned(), span: NOWHERE, width: 0, base: cwd.to_owned() };
            found.insert((section, key), value);
        }
    }
    for (section, key, _, kind) in TABLE {
        if let Some(value) = found.get(&(*section, *key)) {
            tell(files, *kind, value);
        }
    }
    let mut reader = Reader { files, found, cwd, environment };
    let home = PathBuf::from("~/.ansible");
    let defaults =
        |name: &str| vec![vault::home(&home.join(name)), Path::new("/usr/share/ansible").join(name), Path::new("/etc/ansible").join(name)];
    Settings {
        file,
        inventory: reader.inventory(),
        roles_path: reader.paths("defaults", "roles_path").unwrap_or_else(|| defaults("roles")),
        collections_path: reader.paths("defaults", "collections_path").unwrap_or_else(|| defaults("collections")),
        remote_user: reader.text("defaults", "remote_user"),
        remote_port: reader.number("defaults", "remote_port").and_then(|port| u16::try_from(port).ok()),
        private_key_file: reader.path("defaults", "private_key_file"),
        forks: reader.number("defaults", "forks").filter(|forks| *forks > 0).unwrap_or(5),
        timeout: reader.number("defaults", "timeout"),
        host_key_checking: reader.truth("defaults", "host_key_checking").unwrap_or(true),
        ssh_args: reader.text("ssh_connection", "ssh_args"),
        ssh_common_args: reader.text("ssh_connection", "ssh_common_args"),
        ssh_extra_args: reader.text("ssh_connection", "ssh_extra_args"),
        vault_password_file: reader.path("defaults", "vault_password_file"),
        vault_identity_list: reader.identities(),
        vault_id_match: reader.truth("defaults", "vault_id_match").unwrap_or(false),
        ask_vault_pass: reader.truth("defaults", "ask_vault_pass").unwrap_or(false),
        ask_pass: reader.truth("defaults", "ask_pass").unwrap_or(false),
        connection_password_file: reader.path("defaults", "connection_password_file"),
        become_: reader.truth("privilege_escalation", "become").unwrap_or(false),
        become_user: reader.text("privilege_escalation", "become_user"),
        become_method: reader.text("privilege_escalation", "become_method"),
        become_ask_pass: reader.truth("privilege_escalation", "become_ask_pass").unwrap_or(false),
        become_password_file: reader.path("defaults", "become_password_file"),
        gathering: reader.choice(
            "defaults",
            "gathering",
            &[("implicit", Gathering::Implicit), ("explicit", Gathering::Explicit), ("smart", Gathering::Smart)],
        ),
        force_handlers: reader.truth("defaults", "force_handlers").unwrap_or(false),
        any_errors_fatal: reader.truth("defaults", "any_errors_fatal").unwrap_or(false),
        no_log: reader.truth("defaults", "no_log").unwrap_or(false),
        diff: reader.truth("diff", "always").unwrap_or(false),
        strategy_free: reader.choice("defaults", "strategy", &[("linear", false), ("free", true), ("host_pinned", true)]),
        private_role_vars: reader.truth("defaults", "private_role_vars").unwrap_or(false),
        inject_facts_as_vars: reader.truth("defaults", "inject_facts_as_vars").unwrap_or(true),
        tags: reader.list("tags", "run"),
        skip_tags: reader.list("tags", "skip"),
        managed: reader.text("defaults", "ansible_managed"),
    }
}

fn find(files: &mut Files, cwd: &Path, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    if let Some(written) = environment.get("ANSIBLE_CONFIG") {
        let path = normal(&cwd.join(vault::home(Path::new(written))));
        let path = if path.is_dir() { path.join("ansible.cfg") } else { path };
        if path.exists() {
            return Some(path);
        }
    }
    let here = cwd.join("ansible.cfg");
    if here.exists() {
        // Ansible's rule: whoever may write here could run anything as this user.
        let open = std::fs::metadata(cwd).is_ok_and(|about| about.permissions().mode() & 0o002 != 0);
        if !open {
            return Some(here);
        }
        let name = files.name(&here);
        files.warn(
            format!("`{name}` is not read: anyone may write to its folder"),
            format!("chmod o-w {}, or set ANSIBLE_CONFIG={}", cwd.display(), here.display()),
        );
    }
    let home = environment.get("HOME").map(|home| Path::new(home).join(".ansible.cfg"));
    home.into_iter().chain([PathBuf::from("/etc/ansible/ansible.cfg")]).find(|path| path.exists())
}

/// The file's settings, as Python's `configparser` reads them: `key = value` or `key: value`, `#` and `;` comments,
/// ` ;` behind a value, deeper lines go on.
fn from_file<'table>(files: &mut Files, path: &Path, found: &mut BTreeMap<(&'table str, &'table str), Found>) {
    let Some(file) = files.read(path) else { return };
    let text = files.sources.file(file).map(|file| file.text.clone()).unwrap_or_default();
    let base = path.parent().unwrap_or(path).to_owned();
    let mut section = "";
    let mut last: Option<(&str, &str)> = None;
    for (index, whole) in text.lines().enumerate() {
        let line = whole.split(" ;").next().unwrap_or_default().trim_end();
        let body = line.trim_start();
        let column = (line.chars().count() - body.chars().count()) as u32 + 1;
        let span = Span { file, line: index as u32 + 1, column };
        if body.is_empty() || body.starts_with(['#', ';']) {
            continue;
        }
        if column > 1
            && let Some(value) = last.and_then(|key| found.get_mut(&key))
        {
            value.text.push(' ');
            value.text.push_str(body);
            continue;
        }
        last = None;
        if let Some(rest) = body.strip_prefix('[') {
            let (name, is_closed) = rest.split_once(']').map_or((rest.trim(), false), |(name, _)| (name, true));
            section = name;
            if !is_closed || name.is_empty() {
                let mistake = Diagnostic::error("a section of ansible.cfg begins with `[NAME]`", span, body.chars().count() as u32);
                files.diagnostics.push(mistake.label(if is_closed { "its name is missing" } else { "`]` is missing" }));
            }
            continue;
        }
        let Some((key, value)) = body.split_once(['=', ':']) else {
            files.diagnostics.push(Diagnostic::error("a line of ansible.cfg is `key = value`", span, body.chars().count() as u32));
            continue;
        };
        if section.is_empty() {
            let mistake = Diagnostic::error("a setting of ansible.cfg stands in a section", span, body.chars().count() as u32);
            files.diagnostics.push(mistake.hint("write `[defaults]` above it"));
            section = "defaults";
        }
        let (key, value) = (key.trim_end().to_lowercase(), value.trim());
        let width = key.chars().count() as u32;
        let Some((known_section, known, ..)) = TABLE.iter().find(|(known_section, known, ..)| *known_section == section && *known == key)
        else {
            let near = crate::source::suggest(
                &key,
                TABLE.iter().filter(|(known_section, ..)| *known_section == section).map(|(_, known, ..)| *known),
            );
            if let Some(near) = near {
                let label = format!("did you mean `{near}`?");
                files
                    .diagnostics
                    .push(Diagnostic::warning(format!("the setting `{key}` is not known and not read"), span, width).label(label));
            }
            continue;
        };
        last = Some((known_section, known));
        found.insert((known_section, known), Found { text: value.to_owned(), name: key, span, width, base: base.clone() });
    }
}

fn tell(files: &mut Files, kind: Use, value: &Found) {
    let name = &value.name;
    match kind {
        Use::Unsupported(default) if !value.text.trim().eq_ignore_ascii_case(default) => {
            let mut mistake = Diagnostic::error(
                format!("the setting `{name}` with the value `{}` is not supported", value.text),
                value.span,
                value.width,
            );
            if !default.is_empty() {
                mistake = mistake.label(format!("only its default, `{default}`"));
            }
            files.diagnostics.push(mistake);
        }
        Use::Plugins => {
            let message = format!("`{name}` is not read: plugins in Python cannot be loaded");
            files
                .diagnostics
                .push(Diagnostic::warning(message, value.span, value.width).label("a task that needs one is a mistake where it stands"));
        }
        _ => {}
    }
}

struct Reader<'a> {
    files: &'a mut Files,
    found: BTreeMap<(&'static str, &'static str), Found>,
    cwd: &'a Path,
    environment: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    fn get(&self, section: &'static str, key: &'static str) -> Option<&Found> {
        self.found.get(&(section, key)).filter(|value| !value.text.is_empty())
    }

    fn text(&self, section: &'static str, key: &'static str) -> Option<String> {
        self.get(section, key).map(|value| value.text.trim_matches(['"', '\'']).to_owned())
    }

    fn wrong(&mut self, section: &'static str, key: &'static str, wanted: &str) {
        if let Some(value) = self.found.get(&(section, key)) {
            let message = format!("the setting `{}` is {wanted}, not `{}`", value.name, value.text);
            self.files.diagnostics.push(Diagnostic::error(message, value.span, value.width));
        }
    }

    fn number(&mut self, section: &'static str, key: &'static str) -> Option<u32> {
        let number = self.get(section, key)?.text.parse().ok();
        if number.is_none() {
            self.wrong(section, key, "a whole number");
        }
        number
    }

    fn truth(&mut self, section: &'static str, key: &'static str) -> Option<bool> {
        let text = self.get(section, key)?.text.to_lowercase();
        let truth = match text.as_str() {
            "1" | "y" | "t" => Some(true),
            "0" | "n" | "f" => Some(false),
            text => resolve::bool(text),
        };
        if truth.is_none() {
            self.wrong(section, key, "true or false");
        }
        truth
    }

    fn choice<T: Copy + Default>(&mut self, section: &'static str, key: &'static str, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(section, key) else { return T::default() };
        let short = text.trim_start_matches("ansible.builtin.");
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == short) {
            return *value;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.wrong(section, key, &format!("one of {}", names.join(", ")));
        T::default()
    }

    fn list(&self, section: &'static str, key: &'static str) -> Vec<String> {
        let text = self.text(section, key).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn absolute(&self, value: &Found, written: &str) -> PathBuf {
        let written = written.trim().trim_matches(['"', '\'']).replace("{{CWD}}", &self.cwd.display().to_string());
        normal(&value.base.join(vault::home(Path::new(&self.expanded(&written)))))
    }

    /// `$HOME` and `${HOME}` as Ansible's path settings have them.
    fn expanded(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('$') {
            out.push_str(&rest[..start]);
            let after = &rest[start + 1..];
            let (name, length) = if let Some((name, _)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                (name, name.len() + 2)
            } else {
                let end = after.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(after.len());
                (&after[..end], end)
            };
            match self.environment.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[start..=start + length]),
            }
            rest = &after[length..];
        }
        out + rest
    }

    fn path(&self, section: &'static str, key: &'static str) -> Option<PathBuf> {
        let value = self.get(section, key)?;
        // Standard input, where a password is read from it.
        Some(if value.text == "-" { PathBuf::from("-") } else { self.absolute(value, &value.text) })
    }

    fn paths(&self, section: &'static str, key: &'static str) -> Option<Vec<PathBuf>> {
        let value = self.get(section, key)?;
        Some(value.text.split(':').filter(|path| !path.trim().is_empty()).map(|path| self.absolute(value, path)).collect())
    }

    fn inventory(&self) -> Option<Vec<String>> {
        let value = self.get("defaults", "inventory")?;
        Some(
            value
                .text
                .split(',')
                .map(str::trim)
                .filter(|path| !path.is_empty())
                .map(|path| self.absolute(value, path).display().to_string())
                .collect(),
        )
    }

    /// `label@file`, files absolute.
    fn identities(&self) -> Vec<String> {
        let Some(value) = self.get("defaults", "vault_identity_list") else { return Vec::new() };
        let items = value.text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let place = |source: &str| {
            if source.starts_with("prompt") { source.to_owned() } else { self.absolute(value, source).display().to_string() }
        };
        items
            .map(|item| match item.split_once('@') {
                Some((label, source)) => format!("{label}@{}", place(source)),
                None => place(item),
            })
            .collect()
    }
}
