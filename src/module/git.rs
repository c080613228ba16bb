//! `git`: a repository's files on the node.

mod archive;
mod clone;
mod job;
mod place;
mod submodules;
mod switch;
mod update;

use std::path::{Path, PathBuf};

use super::expand::expand;
use super::{Context, Entry, Mode, Module, Outcome, PathText, Plan};
use crate::program::Value;
use crate::system::checkout::Checkout;
use crate::system::{Error, Result, System};
use job::Job;
use place::{Place, normal, normal_path};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Git>(&["git", "ansible.builtin.git"]);

arguments! {
    /// Keep a checkout of a git repository, with the node's git (2.3 or newer). Arguments and results as in `ansible.builtin.git`, but
    /// that a checkout whose `version` is the whole hash of the commit that stands there is not fetched for again.
    pub struct Git {
        /// Where the repository is: `https://…`, `user@host:path`, a path of the node.
        repo: String [required, aliases(&["name"])],
        /// Where the checkout goes; needed unless `clone` is no.
        dest: Option<PathText>,
        /// Branch, tag or hash of a commit; `HEAD`: the remote's own branch.
        version: String [default("HEAD")],
        /// What the remote is called.
        remote: String [default("origin")],
        /// Fetch this too: `+refs/pull/*:refs/heads/*`.
        refspec: Option<String>,
        /// Repository on the node whose objects are used (`git clone --reference`).
        reference: Option<String>,
        /// Local changes are dropped; without it they are an error.
        force: bool [default("no")],
        /// So many commits of the history only.
        depth: Option<i64>,
        /// Make the checkout if it is not there; without it only the remote's commit is told.
        clone: bool [default("yes")],
        /// Fetch what is new if the checkout is there.
        update: bool [default("yes")],
        /// The commit or tag must have a good signature.
        verify_commit: bool [default("no")],
        /// Fingerprints of the keys that may have signed it.
        gpg_allowlist: Vec<String> [default(""), aliases(&["gpg_whitelist"])],
        /// Any key of an ssh server is right.
        accept_hostkey: bool [default("no")],
        /// The key of an ssh server that is not known is right.
        accept_newhostkey: bool [default("no")],
        /// Private key for ssh, on the node.
        key_file: Option<PathText>,
        /// Further options of ssh.
        ssh_opts: Option<String>,
        /// Another git than that of PATH.
        executable: Option<PathText>,
        /// A repository without files of its own.
        bare: bool [default("no")],
        /// Submodules too.
        recursive: bool [default("yes")],
        /// Only the history of `version`.
        single_branch: bool [default("no")],
        /// Submodules go to the newest commit of their branch.
        track_submodules: bool [default("no")],
        /// Mask of permissions for what git makes: octal in quotes.
        umask: Option<Value>,
        /// Make an archive of `version`, too: `.zip`, `.tar`, `.tar.gz`, `.tgz`.
        archive: Option<PathText>,
        /// Before each name in the archive.
        archive_prefix: Option<String>,
        /// Place for git's own files, apart from the checkout.
        separate_git_dir: Option<PathText>,
    }
    rules {
        mutually_exclusive(&["separate_git_dir", "bare"]),
        mutually_exclusive(&["accept_hostkey", "accept_newhostkey"]),
        required_by("archive_prefix", &["archive"])
    }
}

impl Module for Git {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let umask = self.umask()?;
        self.check()?;
        let program = self.program(system)?;
        let environment = self.environment(context)?;
        let Some(dest) = &self.dest else {
            if self.clone {
                return Err(Error::failed("the destination directory must be specified unless clone=no").hint("say where the checkout goes: `dest`"));
            }
            return self.job(Place::nowhere(), program, environment, umask, context)?.look(system);
        };
        let dest = if Path::new(&dest.0).is_absolute() { normal_path(&dest.0) } else { system.canonical(dest.path())? };
        let place = Place::of(dest, self.bare, system)?;
        let moves = self.separate(&place, system)?;
        if let Some(to) = &moves
            && context.mode != Mode::Check
            && system.metadata(to)?.is_some()
        {
            return Err(Error::failed(format!("Separate-git-dir path {} already exists.", to.display())).hint("move it away, or name another `separate_git_dir`"));
        }
        let there = place.is_repository(system)?;
        let mut job = self.job(place.clone(), program, environment, umask, context)?;
        if !there {
            return if context.mode == Mode::Check || !self.clone { job.look(system) } else { job.clone_repository(system) };
        }
        let checkout = system.checkout(&job.question())?;
        job.before = Some(checkout.head.clone());
        job.is_there = true;
        match moves.filter(|_| context.mode != Mode::Check) {
            Some(to) => self.untouched(&checkout, &job).and_then(|()| job.apart(to, checkout)),
            None => self.with(&checkout, job, system),
        }
    }
}

impl Git {
    /// What is to be done with a checkout that is there.
    fn with(&self, checkout: &Checkout, mut job: Job, system: &dyn System) -> Result<Plan> {
        let head = checkout.head.as_str();
        if !self.update {
            let outcome = Outcome { changed: job.changed, ..job.outcome() }.with("before", head).with("after", head);
            return if self.archive.is_some() { job.archive_of_present(outcome) } else { Ok(Plan::done(outcome)) };
        }
        self.untouched(checkout, &job)?;
        let (url, repo) = (checkout.url.as_str(), job.repo.as_str());
        job.url_changed = url != repo && normal(url) != normal(repo);
        if job.mode == Mode::Check {
            return job.look(system);
        }
        if self.stays(checkout, &job) {
            let outcome = job.outcome().with("before", head).with("remote_url_changed", false).with("after", head);
            return Ok(Plan::done(outcome));
        }
        job.bring_up_to_date(!checkout.modified.is_empty(), system)
    }

    /// Local changes are dropped by `force` alone.
    fn untouched(&self, checkout: &Checkout, job: &Job) -> Result<()> {
        if checkout.modified.is_empty() || self.force || !self.update {
            return Ok(());
        }
        let dest = job.place.shown();
        Err(Error::failed(format!("Local modifications exist in the destination: {dest} (force=no)."))
            .hint(format!("look at them with `git -C {dest} status`; `force: true` drops them"))
            .detail("before", checkout.head.as_str()))
    }

    /// Whether nothing that the remote may say changes anything: the commit is named by its hash, and stands there untouched.
    fn stays(&self, checkout: &Checkout, job: &Job) -> bool {
        let submodules = !self.recursive
            || !self.track_submodules && checkout.submodules.iter().all(|line| line.starts_with(' '))
            || checkout.submodules.is_empty();
        let asks_more = self.bare || self.verify_commit || self.refspec.is_some() || self.archive.is_some() || job.changed || job.url_changed;
        self.is_hash() && self.version == checkout.head && !checkout.on_branch && checkout.modified.is_empty() && submodules && !asks_more
    }

    /// A whole hash names one commit for ever.
    fn is_hash(&self) -> bool {
        self.version.len() >= 40 && self.version.chars().all(|letter| letter.is_ascii_hexdigit())
    }

    /// What can be said before anything is asked.
    fn check(&self) -> Result<()> {
        if let Some(archive) = &self.archive {
            archive::format(&archive.0)?;
        }
        for (name, value) in [("version", &self.version), ("remote", &self.remote)] {
            if value.starts_with('-') {
                return Err(Error::failed(format!("{name} {value:?} would be an option of git's")).hint("a name that begins with `-` is none of git's"));
            }
        }
        Ok(())
    }

    fn job(
        &self,
        place: Place,
        program: String,
        environment: Vec<(String, String)>,
        umask: Option<u32>,
        context: &Context<'_>,
    ) -> Result<Job> {
        let home = if self.repo.starts_with('~') { expand(&self.repo, context.system, context.environment)? } else { self.repo.clone() };
        // Depth and the like are of a protocol, not of a path.
        let repo = if home.starts_with('/') { format!("file://{home}") } else { self.repo.clone() };
        let mut job = Job::new(self.clone(), place, program, repo, context.mode);
        (job.environment, job.umask) = (environment, umask);
        Ok(job)
    }

    fn program(&self, system: &dyn System) -> Result<String> {
        if let Some(program) = &self.executable {
            return Ok(program.0.clone());
        }
        let missing = || Error::failed("Failed to find required executable \"git\"").hint("install it first: `apt: name=git`");
        Ok(super::file_arguments::text(&system.executable("git")?.ok_or_else(missing)?))
    }

    fn umask(&self) -> Result<Option<u32>> {
        let Some(umask) = &self.umask else { return Ok(None) };
        let text = umask.as_str().ok_or_else(|| Error::failed("umask must be defined as a quoted octal integer").hint("as in `umask: \"022\"`"))?;
        let digits = text.trim().trim_start_matches("0o");
        u32::from_str_radix(digits, 8).map(Some).map_err(|_| Error::failed("umask must be an octal integer").hint("as in `umask: \"022\"`"))
    }

    /// Words that can be read, no prompt, and ssh as it is wanted.
    fn environment(&self, context: &Context<'_>) -> Result<Vec<(String, String)>> {
        let known = |name: &str| {
            let given = context.environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            given.or_else(|| context.system.environment(name))
        };
        let mut options = known("GIT_SSH_OPTS").unwrap_or_default();
        let mut option = |words: &str, unless: &[&str]| {
            if unless.iter().all(|there| !options.contains(there)) {
                options.push(' ');
                options += words;
            }
        };
        if let Some(given) = &self.ssh_opts {
            option(given, &[]);
        }
        let strict = ["StrictHostKeyChecking=no", "StrictHostKeyChecking=accept-new"];
        if self.accept_hostkey {
            option("-o StrictHostKeyChecking=no", &strict);
        }
        if self.accept_newhostkey {
            if context.system.executable("ssh")?.is_none() {
                return Err(Error::failed("Remote host is missing ssh command, so you cannot use acceptnewhostkey option.")
                    .hint("install it first: `apt: name=openssh-client`"));
            }
            option("-o StrictHostKeyChecking=accept-new", &strict);
        }
        option("-o BatchMode=yes", &["BatchMode=yes"]);
        if let Some(key) = &self.key_file {
            option(&format!("-i {}", key.0), &[]);
            option("-o IdentitiesOnly=yes", &["IdentitiesOnly=yes"]);
        }
        let ssh = known("GIT_SSH").or_else(|| known("GIT_SSH_COMMAND")).unwrap_or_else(|| "ssh".to_owned());
        let mut environment = context.environment.to_vec();
        environment.push(("GIT_SSH_COMMAND".to_owned(), format!("{ssh} {}", options.trim_start())));
        environment.push(("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned()));
        environment.extend(["LANG", "LC_ALL", "LC_MESSAGES", "LC_CTYPE", "LANGUAGE"].map(|name| (name.to_owned(), "C.UTF-8".to_owned())));
        Ok(environment)
    }

    /// Where git's own files go, if that is not where they are.
    fn separate(&self, place: &Place, system: &dyn System) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.separate_git_dir else { return Ok(None) };
        let folder = system.canonical(folder.path())?;
        let is_there = system.metadata(&place.folder)?.is_some();
        Ok(Some(folder.clone()).filter(|_| is_there && folder != place.folder))
    }
}
