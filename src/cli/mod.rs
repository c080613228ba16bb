//! The command line: one file a command; arguments → settings → one call.

mod absent;
mod artifacts;
mod begin;
mod built_in;
mod cache;
mod destroy;
mod enter;
mod exit;
mod foundations;
mod init;
mod kubeconfig;
mod kubectl;
mod machines;
mod making;
mod passwords;
mod person;
mod plan;
mod playbook;
mod retire;
mod root;
mod selected;
mod shared;
pub mod ssh;
mod status;
mod up;
mod workstation;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// From a folder of YAML to machines, a cluster and a monitored service
#[derive(Debug, Parser)]
#[command(name = "provision", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Plan(plan::Plan),
    Init(init::Init),
    #[command(version, display_name = "provision", infer_long_args = true)]
    Playbook(playbook::Playbook),
    Status(status::Status),
    Destroy(destroy::Destroy),
    Kubeconfig(kubeconfig::Kubeconfig),
    Kubectl(kubectl::Kubectl),
    Ssh(enter::Ssh),
    SshConfig(enter::SshConfig),
    #[command(subcommand)]
    Cache(cache::Cache),
}

/// Runs the command line; the exit status is documented in [`Exit`].
pub fn main(arguments: impl Iterator<Item = std::ffi::OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some((message, hint)) = absent::told(&error) {
                crate::report::error(&message, Some(hint));
                return Exit::Usage;
            }
            // Help and version are no mistakes; clap writes them to stdout.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            let _ = error.print();
            return exit;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            crate::report::error(&format!("start: {error}"), None);
            return Exit::Error;
        }
    };
    let exit = match cli.command {
        Command::Up(command) => runtime.block_on(command.run()),
        Command::Plan(command) => runtime.block_on(command.run()),
        Command::Init(command) => command.run(),
        Command::Playbook(command) => runtime.block_on(command.run()),
        Command::Status(command) => command.run(),
        Command::Destroy(command) => runtime.block_on(command.run()),
        Command::Kubeconfig(command) => command.run(),
        Command::Kubectl(command) => runtime.block_on(command.run()),
        Command::Ssh(command) => Exit::Remote(runtime.block_on(command.run())),
        Command::SshConfig(command) => command.run(),
        Command::Cache(command) => runtime.block_on(command.run()),
    };
    crate::report::live::clear();
    crate::report::put_back();
    exit
}
