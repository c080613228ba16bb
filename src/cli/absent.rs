//! Flags of ansible-playbook that are not here: which it is, and what to do instead.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Names, why there is none, what to do instead.
const ABSENT: [(&[&str], &str, &str); 4] = [
    (
        &["--step"],
        "tasks are run on the nodes, where nobody is asked before each",
        "look at what would be done with `--check --diff`, choose with --tags, begin with --start-at-task, or put a `pause` between tasks",
    ),
    (
        &["-M", "--module-path"],
        "modules are a part of this program, and no others can be loaded",
        "docs/modules.md has all of them; run a program of yours with `script` or `command`",
    ),
    (&["--scp-extra-args"], "files go through the SSH session, not by scp", "give --ssh-common-args what the connection needs"),
    (&["--sftp-extra-args"], "files go through the SSH session, not by sftp", "give --ssh-common-args what the connection needs"),
];

/// The error of an argument that nobody here knows and Ansible does: its sentence and its hint.
pub fn told(error: &Error) -> Option<(String, &'static str)> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(given))) = (error.kind(), error.get(ContextKind::InvalidArg)) else {
        return None;
    };
    let (_, why, instead) = ABSENT.iter().find(|(names, ..)| names.contains(&given.as_str()))?;
    Some((format!("there is no {given} here: {why}"), instead))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::told;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["provision", "playbook", "site.yml"].iter().chain(words))
    }

    /// All of `ansible-playbook --help` of ansible-core 2.19.
    const FLAGS: &str = "--become-password-file=F --become-pass-file=F --connection-password-file=F --conn-pass-file=F --flush-cache \
        --force-handlers --list-hosts --list-tags --list-tasks --skip-tags=T --start-at-task=T --step --syntax-check --vault-id=I \
        --vault-password-file=F --vault-pass-file=F -C --check -D --diff -J --ask-vault-password --ask-vault-pass -K --ask-become-pass -MP \
        --module-path=P -ea=1 --extra-vars=a=1 -f3 --forks=3 -ih, --inventory=h, --inventory-file=h, -k --ask-pass -lh --limit=h -tT \
        --tags=T -v -vvvvvv --verbose --private-key=F --key-file=F --scp-extra-args=-l --sftp-extra-args=-l --ssh-common-args=-l \
        --ssh-extra-args=-l -T3 --timeout=3 -clocal --connection=local -uU --user=U --become-method=sudo --become-user=U -b --become";

    #[test]
    fn every_flag_of_ansible_playbook_is_taken_or_told() {
        let mut refused = Vec::new();
        for flag in FLAGS.split_whitespace() {
            if let Err(error) = parse(&[flag]) {
                let (message, hint) = told(&error).unwrap_or_else(|| panic!("{flag}: {error}"));
                assert!(!hint.is_empty());
                refused.push(message.split(':').next().unwrap_or_default().to_owned());
            }
        }
        let absent = ["--step", "-M", "--module-path", "--scp-extra-args", "--sftp-extra-args"];
        assert_eq!(refused, absent.map(|name| format!("there is no {name} here")));
    }

    #[test]
    fn values_that_look_like_options_and_words_cut_short_are_taken_as_in_ansible() {
        for words in [&["--ssh-common-args", "-o ProxyCommand=x"][..], &["--ssh-extra-args", "-J h"], &["--inv", "h,"], &["--syntax"]] {
            parse(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
        for (words, part) in
            [(["-k", "--conn-pass-file=F"], "cannot be used with"), (["-K", "--become-pass-file=F"], "cannot be used with")]
        {
            let error = parse(&words).expect_err("one of them");
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(told(&error), None);
        }
        let version = parse(&["--version"]).expect_err("it is shown instead").to_string();
        assert_eq!(version, format!("provision {}\n", env!("CARGO_PKG_VERSION")));
    }
}
