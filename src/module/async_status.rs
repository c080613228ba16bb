//! `async_status`: how a background job (`async` with `poll: 0`) stands.

use std::path::{Path, PathBuf};

use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::{Map, Value};
use crate::system::{Action, Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<AsyncStatus>(&["async_status", "ansible.builtin.async_status"]);

/// Where Ansible's `environment`, and its variable `ansible_async_dir`, move the folder.
pub const VARIABLE: &str = "ANSIBLE_ASYNC_DIR";

arguments! {
    /// Ask for a background job. Arguments and results as in `ansible.builtin.async_status`: the job's own with `started`,
    /// `finished` and `results_file`.
    pub struct AsyncStatus {
        /// `ansible_job_id` of the task that began it.
        jid: String [required],
        /// To ask for it, or to remove its result.
        mode: What [default("status")],
    }
}

choices! {
    /// What is asked.
    pub enum What {
        /// The result is removed.
        Cleanup = "cleanup",
        /// How it stands.
        Status = "status",
    }
}

/// Where the results of a user's jobs are.
pub fn folder(environment: &[(String, String)], home: &Path) -> PathBuf {
    let given = environment.iter().rev().find(|(name, _)| name == VARIABLE).map_or("~/.ansible_async", |(_, folder)| folder);
    match given.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(given),
    }
}

/// The status of a job whose result, or first word, is this.
pub fn status(id: &str, file: &str, data: Map) -> Outcome {
    let mut outcome = Outcome::ok().with("started", true).with("finished", false);
    for name in ["stdout", "stderr"] {
        outcome = outcome.with(name, "").with(&format!("{name}_lines"), Vec::<Value>::new());
    }
    outcome = outcome.with("ansible_job_id", id).with("results_file", file);
    if !data.contains_key("started") {
        outcome = outcome.with("finished", true);
    }
    for (key, value) in data {
        match (&*key.text(), &value) {
            ("changed", Value::Bool(changed)) => outcome.changed = *changed,
            ("failed", Value::Bool(failed)) => outcome.failed = *failed,
            ("skipped", Value::Bool(skipped)) => outcome.skipped = *skipped,
            ("ansible_facts", Value::Map(facts)) => outcome.facts = Some((**facts).clone()),
            ("warnings", Value::List(warnings)) => {
                outcome.warnings = warnings.iter().filter_map(|warning| warning.as_str().map(str::to_owned)).collect();
            }
            (name, _) => outcome = outcome.with(name, value),
        }
    }
    outcome
}

impl Module for AsyncStatus {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let file = folder(context.environment, &context.system.whoami()?.home).join(&self.jid);
        let shown = file.to_string_lossy().into_owned();
        let Some(bytes) = context.system.read(&file)? else {
            return Err(Error::failed("could not find job")
                .detail("ansible_job_id", self.jid.as_str())
                .detail("started", true)
                .detail("finished", true)
                .hint(format!("{shown} is not there: ask as the user who began it, on the same host")));
        };
        if self.mode == What::Cleanup {
            let outcome = Outcome::ok().with("ansible_job_id", self.jid.as_str()).with("erased", shown);
            return Ok(Plan::act(vec![Action::Remove { path: file }], outcome));
        }
        match serde_json::from_slice::<serde_json::Value>(&bytes).map(Value::from) {
            Ok(Value::Map(data)) => Ok(Plan::done(status(&self.jid, &shown, (*data).clone()))),
            _ => Err(Error::failed(format!("Could not parse job output: {}", String::from_utf8_lossy(&bytes)))
                .detail("ansible_job_id", self.jid.as_str())
                .detail("results_file", shown)
                .hint("it is no job's result: `mode: cleanup` removes it")),
        }
    }
}
