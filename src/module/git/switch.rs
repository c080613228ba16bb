//! From what was fetched to the version that is wanted, its signature, and the end.

use super::job::{Job, Refs, Said, Step};
use crate::module::{Next, Outcome};
use crate::system::{Error, Result, System};

impl Job {
    /// Checks the version out.
    pub fn switch(self, system: &dyn System) -> Result<Next> {
        let (module, remote) = (self.module.clone(), self.module.remote.clone());
        let (version, is_new) = (module.version, self.before.is_none());
        if module.bare {
            // Nothing is checked out; Ansible looks at the signature of a new one only.
            return if module.verify_commit && is_new { self.verify() } else { self.end() };
        }
        if version == "HEAD" {
            let branch = self.place.branch(&remote, system)?.unwrap_or_else(|| "None".to_owned());
            return self.go_to_branch(branch, true);
        }
        let Some(refs) = &self.refs else {
            let step = self.list(format!("ask {} for its branches and tags", self.repo), &remote);
            return self.again(vec![step], |mut job, said, system| {
                job.refs = said.first().map(|said| Refs::of(&said.stdout));
                job.switch(system)
            });
        };
        if refs.branch(&version).is_none() {
            let step = self.check_out(["checkout", "--force", &version], format!("Failed to checkout {version}"));
            return self.again(vec![step], |job, _, system| job.switched(system));
        }
        let local = format!("refs/heads/{version}");
        let step = Step::new(format!("ask for the branch {version}"), ["rev-parse", "--verify", "--quiet", &local]).accepting();
        self.again(vec![step], move |job, said, _| match (said[0].rc == 0, job.depth()) {
            (true, _) => job.go_to_branch(version, false),
            (false, Some(depth)) => {
                // A shallow clone has one branch only.
                let both = [format!("+{local}:{local}"), format!("+{local}:refs/remotes/{remote}/{version}")];
                let words = ["fetch", &format!("--depth={depth}"), &remote, &both[0], &both[1]];
                let message = format!("Failed to fetch branch from remote: {version}");
                let step = Step::new(format!("fetch {version} from {}", job.repo), words).failing(move |_| message);
                job.again(vec![step], |job, _, _| job.go_to_branch(version, false))
            }
            (false, None) => {
                let origin = format!("{remote}/{version}");
                let step = job.check_out(["checkout", "--track", "-b", &version, &origin], format!("Failed to checkout {version}"));
                job.again(vec![step], |job, _, system| job.switched(system))
            }
        })
    }

    fn check_out<const N: usize>(&self, words: [&str; N], message: String) -> Step {
        Step::new(format!("check out {} in {}", self.module.version, self.place.shown()), words).failing(move |_| message)
    }

    /// The local branch, where the remote's is.
    fn go_to_branch(self, branch: String, is_head: bool) -> Result<Next> {
        let message = format!("Failed to checkout branch {branch}");
        let step = self.check_out(["checkout", "--force", &branch], message.clone());
        self.again(vec![step], move |job, _, _| {
            let origin = format!("{}/{branch}", job.module.remote);
            let message = if is_head { message } else { format!("Failed to checkout {branch}") };
            let step = job.check_out(["reset", "--hard", &origin, "--"], message);
            job.again(vec![step], |job, _, system| job.switched(system))
        })
    }

    fn switched(self, system: &dyn System) -> Result<Next> {
        if self.module.verify_commit { self.verify() } else { self.submodules(system) }
    }

    fn verify(self) -> Result<Next> {
        let step = Step::new("ask for the tags", ["for-each-ref", "refs/tags/", "--format", "%(objecttype):%(refname:short)"]);
        let step = step.failing(|said| format!("Could not determine tag data - received {}", said.stdout));
        self.again(vec![step], |job, said, _| {
            let version = job.module.version.clone();
            let is_object = said[0].stdout.lines().any(|line| line == format!("tag:{version}"));
            let kind = if is_object { "verify-tag" } else { "verify-commit" };
            let allowed: Vec<String> = job.module.gpg_allowlist.iter().filter(|key| !key.is_empty()).cloned().collect();
            let mut step = Step::new(format!("verify the signature of {version}"), [kind]);
            if !allowed.is_empty() {
                step.word("--raw");
            }
            step.word(version.as_str());
            let message = format!("Failed to verify GPG signature of commit/tag \"{version}\"");
            job.again(vec![step.failing(move |_| message)], move |job, said, system| {
                signed_by(&said[0], &allowed)?;
                job.submodules(system)
            })
        })
    }

    /// The commit that stands there now, and what that means.
    pub fn end(self) -> Result<Next> {
        // Of an empty repository it is `HEAD`.
        let step = Step::new(format!("ask for the commit of {}", self.place.shown()), ["rev-parse", "HEAD"]).accepting();
        self.again(vec![step], |job, said, system| {
            let after = said[0].stdout.trim_end().to_owned();
            let changed = job.changed || job.url_changed || job.before.as_ref() != Some(&after);
            let outcome = Outcome { changed, ..job.outcome() }.with("before", job.before.clone()).with("after", after);
            if job.module.archive.is_some() { job.archive(outcome, system) } else { Ok(Next::Done(outcome)) }
        })
    }
}

/// The key that signed is one of these; without any, every one that is trusted.
fn signed_by(said: &Said, allowed: &[String]) -> Result<()> {
    if allowed.is_empty() {
        return Ok(());
    }
    let fields = |line: &'_ str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let valid = said.stderr.lines().map(fields).find(|words| words.get(1).is_some_and(|word| word == "VALIDSIG")).unwrap_or_default();
    // The key that signed, and, if that is a subkey, the one that it belongs to.
    if [2, 11].iter().filter_map(|place| valid.get(*place)).any(|key| allowed.contains(key)) {
        return Ok(());
    }
    let key = valid.get(2).map_or("None", String::as_str);
    let message = format!("The gpg_allowlist does not include the public key \"{key}\" for this commit");
    Err(Error::failed(message).detail("rc", 0_i64).output(&said.stdout, &said.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_allowed_is_named() {
        let said = |stderr: &str| Said { rc: 0, stdout: String::new(), stderr: stderr.to_owned() };
        let line = "[GNUPG:] VALIDSIG SUB 2024-01-01 1 0 4 0 1 8 00 PRIMARY\n";
        assert!(signed_by(&said(line), &["PRIMARY".to_owned()]).is_ok());
        assert!(signed_by(&said(line), &["SUB".to_owned()]).is_ok());
        let error = signed_by(&said(line), &["OTHER".to_owned()]).expect_err("is another");
        assert!(error.message.contains("\"SUB\""), "{}", error.message);
        assert!(signed_by(&said(""), &[]).is_ok());
        assert!(signed_by(&said(""), &["X".to_owned()]).is_err());
    }
}
