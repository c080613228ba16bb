//! Modules that Ansible has and that are not here. A task that surely runs with one is a mistake, told beforehand; where a condition
//! may keep hosts from it (`yum` for another kind of host) it is a warning, and the task fails on a host that reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::Action;
use super::loader::Loader;
use super::modules::{instead_of, short};
use super::play::LoadedPlay;
use super::task::Context;
use crate::module;
use crate::program::{Argument, Arguments, Span, Tree, Value};
use crate::source::suggest::suggest;
use crate::source::{Diagnostic, Node, NodeKind};

/// Modules of collections that playbooks name as they did before there were collections.
///
/// Source: `plugin_routing` of `ansible/config/ansible_builtin_runtime.yml`, ansible-core 2.19, those for servers.
const REDIRECTED: &[&str] = &[
    "acl",
    "acme_certificate",
    "alternatives",
    "apache2_module",
    "apk",
    "archive",
    "at",
    "authorized_key",
    "bower",
    "bundler",
    "capabilities",
    "composer",
    "cpanm",
    "cronvar",
    "crypttab",
    "dconf",
    "django_manage",
    "docker_compose",
    "docker_container",
    "docker_image",
    "docker_login",
    "docker_network",
    "docker_prune",
    "docker_stack",
    "docker_swarm",
    "docker_volume",
    "ec2",
    "filesystem",
    "firewalld",
    "flatpak",
    "gem",
    "git_config",
    "github_release",
    "gluster_volume",
    "grafana_dashboard",
    "grafana_datasource",
    "haproxy",
    "helm",
    "homebrew",
    "htpasswd",
    "influxdb_database",
    "ini_file",
    "interfaces_file",
    "iptables_state",
    "java_cert",
    "java_keystore",
    "jenkins_plugin",
    "k8s",
    "k8s_info",
    "kubectl",
    "ldap_attrs",
    "ldap_entry",
    "locale_gen",
    "lvg",
    "lvol",
    "lxc_container",
    "lxd_container",
    "mail",
    "make",
    "maven_artifact",
    "mongodb_user",
    "mount",
    "mysql_db",
    "mysql_info",
    "mysql_query",
    "mysql_replication",
    "mysql_user",
    "mysql_variables",
    "nmcli",
    "npm",
    "open_iscsi",
    "openssh_keypair",
    "openssl_certificate",
    "openssl_csr",
    "openssl_dhparam",
    "openssl_pkcs12",
    "openssl_privatekey",
    "openssl_publickey",
    "opkg",
    "pacman",
    "pam_limits",
    "pamd",
    "parted",
    "patch",
    "pear",
    "pkgng",
    "pkgutil",
    "portage",
    "postgresql_db",
    "postgresql_ext",
    "postgresql_pg_hba",
    "postgresql_privs",
    "postgresql_query",
    "postgresql_schema",
    "postgresql_set",
    "postgresql_user",
    "proxysql_global_variables",
    "rabbitmq_plugin",
    "rabbitmq_policy",
    "rabbitmq_user",
    "rabbitmq_vhost",
    "redhat_subscription",
    "redis",
    "rhsm_repository",
    "runit",
    "sefcontext",
    "selinux",
    "selinux_permissive",
    "seboolean",
    "selogin",
    "seport",
    "slack",
    "snap",
    "supervisorctl",
    "svc",
    "swupd",
    "synchronize",
    "timezone",
    "ufw",
    "vmware_guest",
    "win_command",
    "win_copy",
    "win_feature",
    "win_file",
    "win_get_url",
    "win_package",
    "win_reboot",
    "win_regedit",
    "win_service",
    "win_shell",
    "win_template",
    "x509_certificate",
    "xattr",
    "xfs_quota",
    "xml",
    "yarn",
    "yum",
    "yum_versionlock",
    "zfs",
    "zypper",
    "zypper_repository",
];

/// A task with such a module.
pub struct Absent {
    name: String,
    span: Span,
    width: u32,
    hint: String,
    /// Whose task it is: [`Context::place`].
    place: Arc<str>,
    /// It runs wherever its place is run.
    sure: bool,
}

/// `community.general.ufw` → its collection, and its name there. Builtins have none.
fn of_collection(name: &str) -> Option<(&str, &str)> {
    let (collection, last) = short(name).rsplit_once('.')?;
    collection.contains('.').then_some((collection, last))
}

/// Whether Ansible, or a collection, has a module of this name and we have none.
pub fn is_absent(name: &str) -> bool {
    module::find(name).is_none() && (of_collection(name).is_some() || REDIRECTED.contains(&short(name)) || instead_of(name).is_some())
}

/// Modules of a collection that are here, by their names in it.
fn present(collection: &str) -> Vec<&'static str> {
    let names = module::MODULES.iter().flat_map(|entry| entry.names.iter().copied());
    names.filter_map(|name| name.strip_prefix(collection)?.strip_prefix('.')).collect()
}

/// A name of ours that a name in a collection is a slip of.
pub fn near_in_collection(name: &str) -> Option<String> {
    let (collection, last) = of_collection(name)?;
    suggest(last, present(collection)).map(|near| format!("{collection}.{near}"))
}

fn hint(name: &str) -> String {
    if let Some(instead) = instead_of(name) {
        return instead.to_owned();
    }
    match of_collection(name).map(|(collection, _)| (collection, present(collection))) {
        Some((collection, names)) if names.is_empty() => format!("no module of the collection {collection} is here"),
        Some((collection, names)) => format!("of the collection {collection} there are only: {}", names.join(", ")),
        None => "it is a collection's: do what it does with `command`".to_owned(),
    }
}

/// Whether a task, block or include may be left out by what stands in it: a condition, a loop over what may be nothing, the tag `never`.
pub fn may_be_left_out(entries: &[(Node, Node)]) -> bool {
    let certain = |item: &Node| item.is_template() || item.is_null();
    entries.iter().any(|(key, value)| match key.text() {
        Some("when") => value.items().iter().any(|item| item.value() != Value::Bool(true)),
        Some("loop" | "with_items" | "with_list") => match &value.kind {
            NodeKind::List(items) => items.iter().all(certain),
            _ => certain(value),
        },
        Some("tags") => value.items().iter().any(|tag| tag.text() == Some("never")),
        Some(name) => name.starts_with("with_"),
        None => false,
    })
}

impl Loader<'_> {
    /// Notes a task whose module is not here; answers what it does instead: fail, and say so.
    pub fn absent(&mut self, action: &Action, entries: &[(Node, Node)], context: &Context) -> Option<Arguments> {
        let name = action.name.as_str();
        let is_ours = context.collections.iter().any(|collection| module::find(&format!("{collection}.{name}")).is_some());
        if is_ours || !is_absent_in(name, context) || near_in_collection(name).is_some() {
            return None;
        }
        let (at, hint) = (action.key(), hint(name));
        let message = format!("the module `{name}` is not supported yet; {hint}");
        let msg = Argument { name: "msg".into(), value: Tree::Literal(message.as_str().into()), span: at.span };
        let sure = !context.may_be_left_out && !context.handlers && !may_be_left_out(entries);
        let place = Arc::clone(&context.place);
        self.absent.push(Absent { name: name.to_owned(), span: at.span, width: at.width, hint, place, sure });
        Some(Arguments { named: vec![msg], ..Arguments::default() })
    }

    /// Places that are run wherever their plays are.
    pub fn certain_places(&self, plays: &[LoadedPlay]) -> BTreeSet<Arc<str>> {
        let mut certain: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut open: Vec<Arc<str>> = plays.iter().map(|play| Arc::clone(&play.owner)).collect();
        while let Some(place) = open.pop() {
            if certain.insert(Arc::clone(&place)) {
                open.extend(self.certain.get(&place).into_iter().flatten().cloned());
            }
        }
        certain
    }

    /// Tells of them: those that surely run are mistakes, of the others there is one warning a module.
    pub fn tell_absent(&mut self, certain: &BTreeSet<Arc<str>>) {
        let mut warned: BTreeMap<String, Vec<Absent>> = BTreeMap::new();
        for absent in std::mem::take(&mut self.absent) {
            if absent.sure && certain.contains(&absent.place) {
                let mistake = Diagnostic::error(format!("the module `{}` is not supported yet", absent.name), absent.span, absent.width);
                self.mistake(mistake.hint(absent.hint));
            } else {
                warned.entry(absent.name.clone()).or_default().push(absent);
            }
        }
        for (name, mut tasks) in warned {
            tasks.sort_by_key(|task| (task.span.file, task.span.line));
            tasks.dedup_by_key(|task| task.span);
            let mut tasks = tasks.into_iter();
            let Some(first) = tasks.next() else { continue };
            let message = format!("the module `{name}` is not supported yet: the task fails on a host that reaches it");
            let warning = Diagnostic::warning(message, first.span, first.width).hint(first.hint);
            let others: Vec<Span> = tasks.map(|task| task.span).collect();
            let warning = elsewhere(self, warning, &others);
            self.mistake(warning);
        }
    }
}

/// A warning that holds for other places too.
pub fn elsewhere(loader: &Loader, warning: Diagnostic, others: &[Span]) -> Diagnostic {
    let Some(file) = others.first().and_then(|first| loader.files.sources.file(first.file)) else { return warning };
    let mut label = warning.label.as_ref().map(|label| format!("{label}; ")).unwrap_or_default();
    label.push_str(&format!("also at {}:{}", file.name, others[0].line));
    if others.len() > 1 {
        label.push_str(&format!(" and {} more", others.len() - 1));
    }
    warning.label(label)
}

/// The same where `collections` names others than Ansible's own: what is not ours, nor a slip of ours, may be theirs.
pub fn is_absent_in(name: &str, context: &Context) -> bool {
    let own = ["ansible.builtin", "ansible.legacy"];
    let of_others = || context.collections.iter().any(|collection| !own.contains(&collection.as_str()));
    let names = || module::MODULES.iter().flat_map(|entry| entry.names.iter().copied());
    is_absent(name) || (module::find(name).is_none() && !name.contains('.') && of_others() && suggest(name, names()).is_none())
}
