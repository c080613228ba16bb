//! Calls of apt-get, from parts, with the environment and the options that keep them from asking.

use super::Apt;
use crate::program::Bytes;
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Ownership, Result, System};

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl Apt {
    /// `apt-get -y … VERB ARGUMENTS`.
    pub(super) fn apt_get(&self, label: String, options: &[&str], verb: &[&str], arguments: &[String]) -> Command {
        let mut words: Vec<String> = vec!["apt-get".into(), "-y".into()];
        for option in self.dpkg_options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            words.extend(["-o".to_owned(), format!("Dpkg::Options::=--{option}")]);
        }
        // apt itself says whom it waits for: `Waiting for cache lock: … It is held by process 812 (unattended-upgr)`.
        words.extend(["-o".to_owned(), format!("DPkg::Lock::Timeout={}", self.lock_timeout)]);
        if self.force {
            words.push("--force-yes".into());
        }
        words.extend(options.iter().map(ToString::to_string));
        words.extend(verb.iter().map(ToString::to_string));
        words.extend(arguments.iter().cloned());
        if let Some(release) = &self.default_release {
            words.extend(["-t".to_owned(), release.clone()]);
        }
        let mut command = Command::new(label, words);
        command.environment = environment();
        command.repair = Some(Box::new(configure()));
        command
    }

    /// The options that `install` has besides.
    pub(super) fn install_options(&self) -> Vec<&'static str> {
        let mut options = Vec::new();
        for (given, option) in [
            (self.only_upgrade, "--only-upgrade"),
            (self.state == super::State::Fixed, "--fix-broken"),
            (self.autoremove && self.state != super::State::BuildDep, "--auto-remove"),
            (self.fail_on_autoremove, "--no-remove"),
            (self.allow_unauthenticated, "--allow-unauthenticated"),
            (self.allow_downgrade, "--allow-downgrades"),
            (self.allow_change_held_packages, "--allow-change-held-packages"),
        ] {
            if given {
                options.push(option);
            }
        }
        match self.install_recommends {
            Some(true) => options.extend(["-o", "APT::Install-Recommends=yes"]),
            Some(false) => options.extend(["-o", "APT::Install-Recommends=no"]),
            None => {}
        }
        options
    }

    /// The call, with `policy-rc.d` saying for its time whether services may start. The former policy comes back even if
    /// the call fails, which is judged afterwards.
    pub(super) fn guarded(&self, mut command: Command, system: &dyn System) -> Result<Vec<Action>> {
        let Some(code) = self.policy_rc_d else { return Ok(vec![Action::Run(command)]) };
        command.accept = Accept::Any;
        let path = std::path::Path::new(POLICY);
        let former = system.read(path)?.zip(system.metadata(path)?.map(|found| found.mode));
        let write = |content: Vec<u8>, mode: u32| Action::write(POLICY, content.into(), Ownership::mode(mode));
        let restore = match former {
            Some((content, mode)) => write(content, mode),
            None => Action::Remove { path: POLICY.into() },
        };
        Ok(vec![write(format!("#!/bin/sh\nexit {code}\n").into_bytes(), 0o755), Action::Run(command), restore])
    }
}

/// No questions, plain words.
pub(super) fn environment() -> Vec<(String, String)> {
    let pairs = [("DEBIAN_FRONTEND", "noninteractive"), ("DEBIAN_PRIORITY", "critical"), ("LANG", "C"), ("LC_ALL", "C"), ("LANGUAGE", "C")];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// Finishes what an interrupted dpkg left.
pub(super) fn configure() -> Command {
    let words = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"];
    let mut command = Command::new("finish an interrupted dpkg run", words).effect(Effect::Opaque);
    command.environment = environment();
    command
}

/// dpkg's journal: as long as it holds numbered files, apt refuses to work. Source: apt-pkg, `CheckUpdates`.
pub(super) fn is_interrupted(system: &dyn System) -> Result<bool> {
    let names = system.list(std::path::Path::new("/var/lib/dpkg/updates"))?.unwrap_or_default();
    Ok(names.iter().any(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())))
}

/// The outcome of the call among those of its guards.
pub(super) fn call(outcomes: &[ActionOutcome]) -> Option<&ActionOutcome> {
    outcomes.iter().rfind(|outcome| outcome.rc.is_some())
}

pub(super) fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(&bytes.0).into_owned()
}

/// `a, b, c and 4 more`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [first @ .., _, _] if names.len() > 6 => format!("{} and {} more", first[..4].join(", "), names.len() - 4),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (1..=8).map(|number| number.to_string()).collect();
        assert_eq!(listed(&names), "1, 2, 3, 4 and 4 more");
        assert_eq!(listed(&names[..2]), "1, 2");
    }
}
