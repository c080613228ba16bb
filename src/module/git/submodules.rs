//! Submodules: those that are missing, and those that are not at the commit that they should be at.

use super::job::{Job, Said, Step};
use crate::module::Next;
use crate::module::file_arguments::followed;
use crate::system::{Result, System};

impl Job {
    pub fn submodules(self, system: &dyn System) -> Result<Next> {
        let list = self.place.dest.join(".gitmodules");
        if !self.module.recursive || self.module.bare || followed(&list, system)?.is_none() {
            return self.end();
        }
        let list = system.read(&list)?.unwrap_or_default();
        let list = String::from_utf8_lossy(&list).into_owned();
        let paths = list.lines().map(str::trim).filter(|line| line.starts_with("path")).filter_map(|line| line.split_once('='));
        for (_, path) in paths {
            if followed(&self.place.dest.join(path.trim()).join(".git"), system)?.is_none() {
                return self.update_submodules();
            }
        }
        self.compare_submodules()
    }

    fn compare_submodules(self) -> Result<Next> {
        let each = |label: &str, words: [&str; 2]| {
            let git = self.program();
            Step::new(format!("{label} the submodules of {}", self.place.shown()), ["submodule", "foreach", git, words[0], words[1]])
        };
        let unknown = |_: &Said| "Unable to determine hashes of submodules".to_owned();
        let fetching = Step::new(
            format!("fetch for the submodules of {}", self.place.shown()),
            ["submodule", "foreach", self.program(), "fetch"],
        );
        let mut steps = vec![each("ask for the commits of", ["rev-parse", "HEAD"]).failing(unknown), fetching];
        let tracks = self.module.track_submodules;
        if tracks {
            let newest = format!("{}/master", self.module.remote);
            steps.push(each("ask for the newest commits of", ["rev-parse", &newest]).failing(unknown));
        } else {
            let label = format!("compare the submodules of {}", self.place.shown());
            let step = Step::new(label, ["submodule", "status"]);
            steps.push(step.failing(|said| format!("Failed to retrieve submodule status: {}{}", said.stdout, said.stderr)));
        }
        self.again(steps, move |job, said, _| {
            let (begin, last) = (&said[0].stdout, &said[2].stdout);
            let differ = if tracks { begin != last } else { last.lines().any(|line| !line.starts_with(' ')) };
            if differ { job.update_submodules() } else { job.end() }
        })
    }

    fn update_submodules(mut self) -> Result<Next> {
        self.changed = true;
        self.notes = self.notes.with("submodules_changed", true);
        let dest = self.place.shown();
        let synchronizing = Step::new(format!("let the submodules of {dest} have their addresses"), ["submodule", "sync"]);
        let mut step = Step::new(format!("update the submodules of {dest}"), ["submodule", "update", "--init", "--recursive"]);
        if self.module.track_submodules {
            step.word("--remote");
        }
        if self.module.force {
            step.word("--force");
        }
        let step = step.failing(|said| format!("Failed to init/update submodules: {}{}", said.stdout, said.stderr));
        self.again(vec![synchronizing, step], |job, _, _| job.end())
    }
}
