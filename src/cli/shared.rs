//! Arguments that several commands have, as people of this field type them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::playbook::compile::Options as CompileOptions;
use crate::program::Settings;
use crate::project::{self, Passwords};

/// What to run on which hosts, and as whom
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// Inventory file, folder, or comma-separated hosts; may be given several times
    #[arg(short, long = "inventory", visible_alias = "inventory-file", value_name = "INVENTORY")]
    pub inventory: Vec<String>,
    /// Only these hosts: a pattern, or @FILE
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Variables above all others: key=value, JSON, YAML, or @FILE
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Ansible's check mode: say what would change, change nothing
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show differences of files
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Only plays and tasks with these tags
    #[arg(short, long, value_name = "TAGS", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Not the plays and tasks with these tags
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub skip_tags: Vec<String>,
    /// Begin at the task of this name
    #[arg(long, value_name = "NAME")]
    pub start_at_task: Option<String>,
    /// Act as another user (root, unless --become-user says otherwise)
    #[arg(short = 'b', long = "become")]
    pub become_: bool,
    /// The user to become
    #[arg(long, value_name = "USER")]
    pub become_user: Option<String>,
    /// How to become: sudo or su
    #[arg(long, value_name = "METHOD")]
    pub become_method: Option<String>,
    /// Ask for the password of become
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// File with the password of become, a program that prints it, or - for standard input
    #[arg(long, visible_alias = "become-pass-file", value_name = "FILE", conflicts_with = "ask_become_pass")]
    pub become_password_file: Option<PathBuf>,
    /// Log in as this user
    #[arg(short, long = "user", value_name = "USER")]
    pub user: Option<String>,
    /// Ask for the password of the login
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// File with the password of the login, a program that prints it, or - for standard input
    #[arg(long, visible_alias = "conn-pass-file", value_name = "FILE", conflicts_with = "ask_pass")]
    pub connection_password_file: Option<PathBuf>,
    /// Log in with this key
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// How to reach hosts: ssh or local
    #[arg(short, long, value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// Seconds that a connection may take
    #[arg(short = 'T', long, value_name = "SECONDS")]
    pub timeout: Option<u16>,
    /// Options of ssh(1) for every connection: -o ProxyCommand=…, -J HOST
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    /// More of them
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub ssh_extra_args: Option<String>,
    /// Hosts that are connected to at once
    #[arg(short, long, default_value_t = 50, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub forks: usize,
    /// Run handlers also after a failure
    #[arg(long)]
    pub force_handlers: bool,
    /// File with the vault's password, or a program that prints it
    #[arg(long = "vault-password-file", visible_alias = "vault-pass-file", value_name = "FILE")]
    pub vault_password_file: Vec<PathBuf>,
    /// Vault identity: LABEL@SOURCE
    #[arg(long, value_name = "ID")]
    pub vault_id: Vec<String>,
    /// Ask for the vault's password
    #[arg(short = 'J', long, visible_alias = "ask-vault-password")]
    pub ask_vault_pass: bool,
    /// Say more; twice: which variables a task read, and what gave each; up to four times
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Selection {
    pub fn project_options(&self, playbooks: &[String]) -> project::Options {
        project::Options {
            cwd: std::env::current_dir().unwrap_or_default(),
            environment: std::env::vars().collect(),
            inventory: self.inventory.clone(),
            playbooks: playbooks.to_vec(),
            limit: self.limit.clone(),
            extra_vars: self.extra_vars.clone(),
            passwords: Passwords {
                ids: self.vault_id.clone(),
                files: self.vault_password_file.clone(),
                ask: self.ask_vault_pass,
                ..Passwords::default()
            },
            ..project::Options::default()
        }
    }

    pub fn compile_options(&self) -> CompileOptions {
        let words = |list: &[String]| list.iter().map(|word| word.trim().into()).collect();
        CompileOptions {
            settings: Settings {
                check: self.check,
                diff: self.diff,
                tags: words(&self.tags),
                skip_tags: words(&self.skip_tags),
                start_at_task: self.start_at_task.as_deref().map(Into::into),
                verbosity: self.verbose.min(4),
                become_: self.become_,
                become_user: self.become_user.as_deref().map(Into::into),
                become_method: self.become_method.as_deref().map(Into::into),
                force_handlers: self.force_handlers,
                managed: None,
            },
            limit: self.limit.clone(),
            forks: self.forks,
            remote_user: self.user.clone(),
            private_key: self.private_key.clone(),
            connection: self.connection.clone(),
            password: None,
            timeout: self.timeout.map(|seconds| Duration::from_secs(u64::from(seconds))),
            ssh_common_args: self.ssh_common_args.clone(),
            ssh_extra_args: self.ssh_extra_args.clone(),
            artifacts: std::sync::Arc::default(),
        }
    }
}
