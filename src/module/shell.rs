//! `shell`: run a line through a shell.

use super::command::Command;
use super::{Context, Entry, Module, PathText, Plan};
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Shell>(&["shell", "ansible.builtin.shell"]);

arguments! {
    /// Run a line through a shell on the node. Arguments and results as in `ansible.builtin.shell`.
    pub struct Shell [free_form("_raw_params")] {
        /// The line as free text.
        raw_params as "_raw_params": Option<String>,
        /// Always so.
        uses_shell as "_uses_shell": bool [default("yes")],
        /// The line.
        cmd: Option<String>,
        /// Words, quoted for the shell.
        argv: Option<Vec<String>>,
        /// Folder to run in.
        chdir: Option<PathText>,
        /// The shell: absolute path; default `/bin/sh`.
        executable: Option<String>,
        /// Do not run if a path of this pattern exists.
        creates: Option<PathText>,
        /// Do not run if no path of this pattern exists.
        removes: Option<PathText>,
        /// What it reads on standard input.
        stdin: Option<String>,
        /// End standard input with a newline.
        stdin_add_newline: bool [default("yes")],
        /// Take newlines off the end of stdout and stderr.
        strip_empty_ends: bool [default("yes")],
    }
    rules { required_one_of(&["_raw_params", "cmd", "argv"]), mutually_exclusive(&["_raw_params", "cmd", "argv"]) }
}

impl Module for Shell {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let given = self.clone();
        let command = Command {
            raw_params: given.raw_params,
            uses_shell: true,
            cmd: given.cmd,
            argv: given.argv,
            chdir: given.chdir,
            executable: given.executable,
            expand_argument_vars: false,
            creates: given.creates,
            removes: given.removes,
            stdin: given.stdin,
            stdin_add_newline: given.stdin_add_newline,
            strip_empty_ends: given.strip_empty_ends,
        };
        command.plan(context)
    }
}
