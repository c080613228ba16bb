//! How a host is reached: connection variables, evaluated on the controller.
//!
//! Names and precedence as in Ansible's `ssh` connection plugin: variables win over keywords, keywords over the command line.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::compile::Options;
use super::early;
use super::free_form;
use super::loader::Loader;
use super::play::LoadedPlay;
use crate::module::arguments::{boolean, text};
use crate::program::{Layer, Map, Span, Text, Tree, Value};
use crate::project::{Inventory, Settings};
use crate::source::Diagnostic;
use crate::template::jinja::Jinja;
use crate::template::{self, Error, Scope};

/// How one host is reached and who acts there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `inventory_hostname`.
    pub name: Arc<str>,
    pub kind: ConnectionKind,
    /// `ansible_host`; `None`: the name.
    pub address: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub private_key: Option<PathBuf>,
    pub password: Option<Text>,
    /// Words of `ansible_ssh_args`, `ansible_ssh_common_args`, `ansible_ssh_extra_args`, in this order.
    pub ssh_arguments: Vec<String>,
    pub host_key_checking: Option<bool>,
    pub timeout: Option<Duration>,
    /// `ansible_become_password`, `ansible_sudo_pass`.
    pub become_password: Option<Text>,
}

/// `ansible_connection`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionKind {
    #[default]
    Ssh,
    /// A child process on this machine.
    Local,
}

impl Connection {
    /// Which machine it leads to, as far as its words tell: hosts with the same one are names of one machine. `None`: the controller.
    pub fn machine(&self) -> Option<(&str, u16)> {
        (self.kind == ConnectionKind::Ssh).then(|| (self.address.as_deref().unwrap_or(&self.name), self.port.unwrap_or(22)))
    }
}

/// A host's variables as they stand before the run: inventory, then what the command line gave.
pub struct HostScope<'p> {
    pub inventory: &'p Inventory,
    pub layers: &'p BTreeMap<Arc<str>, Vec<Layer>>,
    pub extra: &'p Layer,
    pub host: Arc<str>,
    depth: Cell<u8>,
}

/// `hostvars` inside `hostvars` inside …: deeper is a circle.
const MOST_HOSTS: u8 = 20;

impl<'p> HostScope<'p> {
    pub fn new(inventory: &'p Inventory, layers: &'p BTreeMap<Arc<str>, Vec<Layer>>, extra: &'p Layer, host: Arc<str>) -> Self {
        Self { inventory, layers, extra, host, depth: Cell::new(0) }
    }

    fn find(&self, host: &str, name: &str) -> Option<Arc<Tree>> {
        match name {
            "groups" => return Some(Arc::new(Tree::Literal(self.inventory.groups_value()))),
            "hostvars" => return Some(Arc::new(Tree::Literal(Value::HostVars))),
            _ => {}
        }
        if let Some(value) = self.inventory.magic(host).get(name) {
            return Some(Arc::new(Tree::Literal(value.clone())));
        }
        if let Some(variable) = self.extra.get(name) {
            return Some(Arc::clone(&variable.value));
        }
        self.layers.get(host)?.iter().rev().find_map(|layer| layer.get(name)).map(|variable| Arc::clone(&variable.value))
    }

    /// The variable's value; `None`: it is not defined.
    pub fn value(&self, name: &str) -> template::Result<Option<(Value, Option<Span>)>> {
        let Some(tree) = self.find(&self.host, name) else { return Ok(None) };
        let span = self
            .layers
            .get(&self.host)
            .and_then(|layers| layers.iter().rev().find_map(|layer| layer.get(name)))
            .map(|variable| variable.span);
        match Jinja::new(self).evaluate(&tree) {
            Ok(Value::Null | Value::Omit) => Ok(None),
            Ok(value) => Ok(Some((value, span))),
            Err(error) => Err(match span {
                Some(span) => error.at(span),
                None => error,
            }),
        }
    }
}

impl Scope for HostScope<'_> {
    fn variable(&self, name: &str) -> template::Result<Option<Arc<Tree>>> {
        Ok(self.find(&self.host, name))
    }

    fn names(&self) -> Vec<Arc<str>> {
        let layers = self.layers.get(&self.host).into_iter().flatten();
        layers.chain([self.extra]).flat_map(|layer| layer.variables.iter().map(|variable| Arc::clone(&variable.name))).collect()
    }

    fn host_variable(&self, host: &str, name: &str) -> template::Result<Option<Value>> {
        if self.depth.get() > MOST_HOSTS {
            return Err(Error::failed("`hostvars` of hosts that read each other"));
        }
        let Some(tree) = self.find(host, name) else { return Ok(None) };
        let inner = Self::new(self.inventory, self.layers, self.extra, host.into());
        inner.depth.set(self.depth.get() + 1);
        Jinja::new(&inner).evaluate(&tree).map(Some)
    }

    fn host_variables(&self, host: &str) -> template::Result<Map> {
        let mut all = Map::new();
        for variable in self.layers.get(host).into_iter().flatten().flat_map(|layer| &layer.variables) {
            if let Some(value) = self.host_variable(host, &variable.name)? {
                all.insert(Arc::clone(&variable.name).into(), value);
            }
        }
        Ok(all)
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        self.inventory.hosts.keys().cloned().collect()
    }

    fn lookup(&self, plugin: &str, terms: &[Value], _options: &Map) -> template::Result<Vec<Value>> {
        match plugin {
            "env" => {
                terms.iter().map(|term| Ok(Value::text(std::env::var(term.as_str().unwrap_or_default()).unwrap_or_default()))).collect()
            }
            "file" => terms
                .iter()
                .map(|term| {
                    let name = term.as_str().unwrap_or_default();
                    let content = std::fs::read_to_string(name).map_err(|error| Error::failed(format!("read {name}: {error}")))?;
                    Ok(Value::text(content.trim_end()))
                })
                .collect(),
            "pipe" => Err(Error::failed("lookup `pipe` cannot be used in connection variables")),
            _ => Err(Error::failed(format!("lookup `{plugin}` cannot be used in connection variables"))),
        }
    }
}

/// What plays' keywords say of how a host is reached: one session serves all of them.
#[derive(Clone, Debug, Default)]
pub struct PlayWide {
    pub remote_user: Option<String>,
    pub port: Option<u16>,
    /// `local` only where all plays say so: among others a local play's tasks are done beside the session.
    pub connection: Option<String>,
}

impl PlayWide {
    /// Of a host's plays. Where they name several users it is `root`, who can act as any, or the first.
    pub fn of<'p>(loader: &Loader, scope: &HostScope<'_>, plays: impl Iterator<Item = &'p LoadedPlay>, options: &Options) -> Self {
        let mut wide = Self::default();
        let mut connections = Vec::new();
        for play in plays {
            let said = |tree: Option<&Tree>| {
                let tree = tree?;
                let value = Jinja::new(scope).evaluate(tree).or_else(|_| early::evaluate(loader, tree, &play.known, &play.playbook_dir));
                text(&value.ok()?).ok().filter(|text| !text.is_empty())
            };
            let keywords = &play.play.keywords;
            let variable = keywords.vars.get("ansible_connection").map(|variable| &*variable.value);
            if let Some(user) = said(keywords.remote_user.as_ref())
                && (wide.remote_user.is_none() || user == "root")
            {
                wide.remote_user = Some(user);
            }
            wide.port = wide.port.or_else(|| said(keywords.port.as_ref())?.parse().ok());
            connections.push(said(variable.or(keywords.connection.as_ref())).or_else(|| options.connection.clone()));
        }
        let is_local = |word: &Option<String>| word.as_deref().is_some_and(|word| word.rsplit('.').next() == Some("local"));
        let is_elsewhere = connections.iter().any(|word| !is_local(word));
        wide.connection = if is_elsewhere {
            connections.into_iter().flatten().find(|word| !is_local(&Some(word.clone())))
        } else {
            connections.pop().flatten()
        };
        wide.connection = wide.connection.or_else(|| is_elsewhere.then(|| "ssh".to_owned()));
        wide
    }
}

/// Evaluates a host's connection variables; what cannot be evaluated or is of the wrong type is a mistake.
pub fn connection(loader: &mut Loader, scope: &HostScope<'_>, wide: &PlayWide, options: &Options, settings: &Settings) -> Connection {
    let mut reader = Reader { loader, scope };
    let kind = reader
        .text(&["ansible_connection"])
        .map(|(text, span)| (text, Some(span)))
        .or_else(|| wide.connection.clone().or_else(|| options.connection.clone()).map(|text| (text, None)));
    let kind = match kind {
        None => ConnectionKind::Ssh,
        Some((word, span)) => match word.rsplit('.').next().unwrap_or_default() {
            "ssh" | "smart" | "paramiko" | "paramiko_ssh" => ConnectionKind::Ssh,
            "local" => ConnectionKind::Local,
            other => {
                let mistake = Diagnostic::error(
                    format!("host `{}`: the connection `{other}` is not supported", scope.host),
                    span.flatten().unwrap_or(crate::source::NOWHERE),
                    1,
                );
                reader.loader.mistake(mistake.hint("hosts are reached over `ssh`, and this machine with `local`"));
                ConnectionKind::Ssh
            }
        },
    };
    let mut ssh_arguments = Vec::new();
    let configured = [
        ("ansible_ssh_args", ("", &None), ("ssh_args", &settings.ssh_args)),
        ("ansible_ssh_common_args", ("--ssh-common-args", &options.ssh_common_args), ("ssh_common_args", &settings.ssh_common_args)),
        ("ansible_ssh_extra_args", ("--ssh-extra-args", &options.ssh_extra_args), ("ssh_extra_args", &settings.ssh_extra_args)),
    ];
    for (variable, typed, configured) in configured {
        let said = |(name, words): (&'static str, &Option<String>)| words.clone().map(|words| (name, words, None));
        let of_host = reader.text(&[variable]).map(|(words, span)| (variable, words, span));
        if let Some((name, words, span)) = of_host.or_else(|| said(typed)).or_else(|| said(configured)) {
            match free_form::split(&words) {
                Ok(tokens) => ssh_arguments
                    .extend(tokens.iter().map(|token| free_form::unquote(token.text.trim()).to_owned()).filter(|word| !word.is_empty())),
                Err(free_form::Unbalanced) => reader.bad(name, span, "quotes do not close"),
            }
        }
    }
    Connection {
        name: Arc::clone(&scope.host),
        kind,
        address: reader.text(&["ansible_host", "ansible_ssh_host"]).map(|(text, _)| text),
        port: reader.number(&["ansible_port", "ansible_ssh_port"]).or(wide.port).or(settings.remote_port),
        user: reader
            .text(&["ansible_user", "ansible_ssh_user"])
            .map(|(text, _)| text)
            .or_else(|| wide.remote_user.clone())
            .or_else(|| options.remote_user.clone())
            .or_else(|| settings.remote_user.clone()),
        private_key: reader
            .text(&["ansible_private_key_file", "ansible_ssh_private_key_file"])
            .map(|(text, _)| reader.loader.files.resolve(&reader.loader.files.root, &text))
            .or_else(|| options.private_key.clone())
            .or_else(|| settings.private_key_file.clone()),
        password: reader.secret(&["ansible_password", "ansible_ssh_pass", "ansible_ssh_password"]).or_else(|| options.password.clone()),
        ssh_arguments,
        host_key_checking: reader
            .truth(&["ansible_host_key_checking", "ansible_ssh_host_key_checking"])
            .or((!settings.host_key_checking).then_some(false)),
        timeout: reader
            .number(&["ansible_timeout", "ansible_ssh_timeout"])
            .map(|seconds| Duration::from_secs(u64::from(seconds)))
            .or(options.timeout)
            .or_else(|| settings.timeout.map(|seconds| Duration::from_secs(u64::from(seconds)))),
        become_password: reader.secret(&["ansible_become_password", "ansible_become_pass", "ansible_sudo_pass", "ansible_sudo_password"]),
    }
}

struct Reader<'r, 'p, 's> {
    loader: &'r mut Loader<'p>,
    scope: &'r HostScope<'s>,
}

impl Reader<'_, '_, '_> {
    fn value(&mut self, names: &[&str]) -> Option<(Value, Option<Span>)> {
        for name in names {
            match self.scope.value(name) {
                Ok(None) => {}
                Ok(found) => return found,
                Err(error) => {
                    let span = error.span.unwrap_or(crate::source::NOWHERE);
                    let mistake = Diagnostic::error(
                        format!("`{name}` of host `{}`: {}", self.scope.host, error.message),
                        span,
                        name.chars().count() as u32,
                    );
                    self.loader.mistake(mistake.hint("how a host is reached must be known before it is reached: facts are not"));
                }
            }
        }
        None
    }

    fn text(&mut self, names: &[&str]) -> Option<(String, Option<Span>)> {
        let (value, span) = self.value(names)?;
        match &value {
            Value::List(_) | Value::Map(_) => {
                self.bad(names[0], span, "expected a text");
                None
            }
            value => text(value).ok().filter(|text| !text.is_empty()).map(|text| (text, span)),
        }
    }

    fn secret(&mut self, names: &[&str]) -> Option<Text> {
        self.text(names).map(|(text, _)| Text::secret(text))
    }

    fn number(&mut self, names: &[&str]) -> Option<u16> {
        let (words, span) = self.text(names)?;
        let number = words.trim().parse().ok();
        if number.is_none() {
            self.bad(names[0], span, &format!("expected a number up to 65535, found {words:?}"));
        }
        number
    }

    fn truth(&mut self, names: &[&str]) -> Option<bool> {
        let (value, span) = self.value(names)?;
        boolean(&value).map_err(|message| self.bad(names[0], span, &message)).ok()
    }

    fn bad(&mut self, name: &str, span: Option<Span>, message: &str) {
        let message = format!("`{name}` of host `{}`: {message}", self.scope.host);
        self.loader.mistake(Diagnostic::error(message, span.unwrap_or(crate::source::NOWHERE), name.chars().count() as u32));
    }
}
