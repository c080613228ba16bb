//! `reboot`: restart the machine and wait for it.

use std::time::Duration;

use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::Value;
use crate::system::{Action, Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Reboot>(&["reboot", "ansible.builtin.reboot"]);

arguments! {
    /// Restart the machine, wait until it is back, go on. Arguments and results as in `ansible.builtin.reboot`. That it
    /// restarted is seen from its boot id, so it is never claimed wrongly.
    pub struct Reboot {
        /// Seconds before it goes down; whole minutes count.
        pre_reboot_delay: i64 [default("0"), aliases(&["pre_reboot_delay_sec"])],
        /// Seconds to wait after it is back.
        post_reboot_delay: i64 [default("0"), aliases(&["post_reboot_delay_sec"])],
        /// Seconds until it must be back, and again until the test must succeed.
        reboot_timeout: i64 [default("600"), aliases(&["reboot_timeout_sec"])],
        /// Seconds of one attempt to connect and begin, at least 10; else attempts have a limit of their own.
        connect_timeout: Option<i64> [aliases(&["connect_timeout_sec"])],
        /// What must succeed on the machine before it counts as back.
        test_command: Option<String>,
        /// What users of the machine are told.
        msg: String [default("Reboot initiated by Ansible")],
        /// Where the reboot command is searched.
        search_paths: Vec<String> [default("/sbin,/bin,/usr/sbin,/usr/bin,/usr/local/sbin")],
        /// What prints another text after a restart.
        boot_time_command: Option<String>,
        /// The command that restarts the machine, if not `shutdown -r`.
        reboot_command: Option<String>,
    }
}

impl Module for Reboot {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let seconds = |number: i64| Duration::from_secs(number.max(0) as u64);
        let mut actions = vec![Action::Reboot {
            delay: seconds(self.pre_reboot_delay / 60 * 60),
            message: self.msg.clone(),
            command: self.command(context)?,
            boot_time_command: self.boot_time_command.clone(),
            test_command: self.test_command.clone(),
            timeout: seconds(self.reboot_timeout),
            connect_timeout: self.connect_timeout.filter(|limit| *limit > 0).map(seconds),
        }];
        if self.post_reboot_delay > 0 {
            actions.push(Action::Sleep { duration: seconds(self.post_reboot_delay) });
        }
        let predicted = Outcome::changed().with("rebooted", true).with("elapsed", Value::unknown("the machine's restart"));
        Ok(Plan::act(actions, predicted).reporting(|outcomes| {
            let span = outcomes.first().zip(outcomes.last()).map_or(0.0, |(first, last)| last.ended - first.started);
            Ok(Outcome::changed().with("rebooted", true).with("elapsed", span.max(0.0) as i64))
        }))
    }
}

impl Reboot {
    /// The user's own command with its full path.
    fn command(&self, context: &Context<'_>) -> Result<Option<String>> {
        let Some(command) = &self.reboot_command else { return Ok(None) };
        let (program, rest) = command.split_once(' ').map_or((command.as_str(), None), |(program, rest)| (program, Some(rest)));
        if program.starts_with('/') {
            return Ok(Some(command.clone()));
        }
        for folder in &self.search_paths {
            let path = std::path::Path::new(folder).join(program);
            if context.system.metadata(&path)?.is_some() {
                let path = path.display();
                return Ok(Some(rest.map_or(path.to_string(), |rest| format!("{path} {rest}"))));
            }
        }
        Err(Error::failed(format!("Unable to find command \"{program}\" in search paths: {:?}", self.search_paths)))
    }
}
