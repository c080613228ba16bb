//! A person at a terminal: the question before an apply, the password of become, the passphrase of a key.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::lab::Lab;
use crate::support::person::Person;
use crate::support::sshd::generate_key;

/// Our program at a terminal, in the lab's folder.
fn at_terminal(lab: &Lab, arguments: &[&str]) -> Person {
    Person::starts(lab.bare_command().args(arguments))
}

#[test]
fn what_needs_a_person_is_asked_at_the_terminal() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    an_apply_waits_for_a_yes(&lab);
    a_pause_waits_for_an_answer_once_for_all_hosts(&lab);
    for node in ["a", "b"] {
        lab.nodes.ssh(
            node,
            "useradd -m admin && mkdir -p /home/admin/.ssh && cp /root/.ssh/authorized_keys /home/admin/.ssh/ && chown -R admin /home/admin/.ssh \
             && echo 'admin:secret words' | chpasswd && echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin",
        );
    }
    the_password_of_become_is_asked_once_and_not_shown(&lab);
    the_password_of_the_login_is_asked_once_and_not_shown(&lab);
    the_passphrase_of_a_key_is_asked_once_for_all_hosts(&lab);
}

fn an_apply_waits_for_a_yes(lab: &Lab) {
    lab.write_project("- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: write, copy: {content: x, dest: /srv/x}}\n");
    let is_there = || lab.nodes.ssh_output("a", "test -e /srv/x").status.success();
    for answer in ["\r", "n\r", "nonsense\r", "\x04", "\x03"] {
        let mut person = at_terminal(lab, &["up"]);
        person.sees("~ write: write /srv/x").sees("Apply? [y/N] ").types(answer).leaves_with(6);
        assert!(!is_there(), "{answer:?} is no yes");
    }
    at_terminal(lab, &["up"]).sees("Apply? [y/N] ").types("Yes\r").sees("Done in").leaves_with(0);
    assert!(is_there());
    let mut again = at_terminal(lab, &["up"]);
    again.sees("No changes").leaves_with(0);
    assert!(!again.shown.contains("Apply?"), "there is nothing to ask");
}

fn a_pause_waits_for_an_answer_once_for_all_hosts(lab: &Lab) {
    lab.write(
        "pause.yaml",
        "- hosts: nodes\n  gather_facts: false\n  tasks:\n    - {name: number, pause: {prompt: how many?}, register: number}\n    \
         - {name: word, pause: {prompt: which word?, echo: false}, register: word}\n    \
         - {name: right, assert: {that: [number.user_input == '3', word.user_input == 'open sesame']}}\n    \
         - {name: told, debug: {msg: 'it is {{ number.user_input }}'}}\n    \
         - {name: hidden, debug: {msg: 'it is {{ word.user_input }}'}}\n",
    );
    let arguments = ["playbook", "-i", "inventory.ini", "pause.yaml"];
    let mut person = at_terminal(lab, &arguments);
    person.sees("[number]").sees("how many?: ").types("3\r").sees("which word? (output is hidden): ");
    assert!(!person.echoes());
    person.types("open sesame\r").sees("it is 3").sees("TASK [hidden]").sees("***").leaves_with(0);
    assert_eq!(person.shown.matches("how many?").count(), 1, "once for two hosts: {}", person.shown);
    assert!(!person.shown.contains("sesame"), "{}", person.shown);

    let mut ended = at_terminal(lab, &arguments);
    ended.sees("how many?: ").types("\x03");
    assert!(!ended.ends().success() && !ended.shown.contains("which word?"), "{}", ended.shown);
}

fn the_password_of_become_is_asked_once_and_not_shown(lab: &Lab) {
    lab.write(
        "who.yaml",
        "- hosts: nodes\n  gather_facts: false\n  tasks:\n    - {name: who, command: id -un, register: who, changed_when: false}\n    \
         - {name: root, assert: {that: who.stdout == 'root'}}\n",
    );
    let arguments = ["playbook", "-i", "inventory.ini", "-e", "ansible_user=admin", "-b", "-K", "who.yaml"];
    let mut person = at_terminal(lab, &arguments);
    person.sees("BECOME password: ");
    assert!(!person.echoes());
    // Typed in a hurry, and corrected.
    person.types("secert\x7f\x7f\x7fret words\r").leaves_with(0);
    assert_eq!(person.shown.matches("BECOME").count(), 1, "once for two hosts: {}", person.shown);
    assert!(!person.shown.contains("words") && person.shown.contains("failed=0"), "{}", person.shown);

    let mut wrong = at_terminal(lab, &arguments);
    wrong.sees("BECOME password: ").types("other words\r").leaves_with(2);
    assert!(wrong.shown.contains("the become password was refused") && !wrong.shown.contains("other words"), "{}", wrong.shown);

    let mut ended = at_terminal(lab, &arguments);
    ended.sees("BECOME password: ").types("secret\x03");
    let status = ended.ends();
    assert_eq!(status.signal(), Some(nix::libc::SIGINT), "{status}: {}", ended.shown);
    assert!(ended.echoes(), "the terminal is as it was");

    let mut given_up = at_terminal(lab, &arguments);
    given_up.sees("BECOME password: ").types("\x04").leaves_with(6);
    assert!(given_up.shown.contains("no become password was given"), "{}", given_up.shown);

    let nobody = lab.provision(&arguments).expect(6);
    assert!(
        nobody.stderr.contains("no terminal to ask for the become password on\nhint: give --become-password-file"),
        "{}",
        nobody.stderr
    );
}

fn the_password_of_the_login_is_asked_once_and_not_shown(lab: &Lab) {
    for node in ["a", "b"] {
        let setting = "/etc/ssh/sshd_config.d/00-password.conf";
        lab.nodes.ssh(node, &format!("echo 'PasswordAuthentication yes' > {setting} && systemctl reload ssh"));
    }
    let hosts: String = lab.nodes.addresses.iter().map(|(name, address)| format!("{name} ansible_host={address}\n")).collect();
    lab.write("keyless.ini", &format!("[nodes]\n{hosts}"));
    let known = format!("-o UserKnownHostsFile={}", lab.path("known_hosts").display());
    let arguments = ["playbook", "-i", "keyless.ini", "-u", "admin", "--ssh-common-args", known.as_str(), "-T", "20", "who.yaml"];
    let with = |more: &[&'static str]| [&arguments[..], more].concat();

    // An empty answer for become is the password of the login.
    let mut person = at_terminal(lab, &with(&["-b", "-k", "-K"]));
    person.sees("SSH password: ");
    assert!(!person.echoes());
    person.types("secret words\r").sees("BECOME password[defaults to SSH password]: ").types("\r").leaves_with(0);
    assert_eq!(person.shown.matches("SSH password: ").count(), 1, "once for two hosts: {}", person.shown);
    assert!(!person.shown.contains("words") && person.shown.contains("failed=0"), "{}", person.shown);

    let mut wrong = at_terminal(lab, &with(&["-k"]));
    wrong.sees("SSH password: ").types("other words\r").leaves_with(4);
    assert!(wrong.shown.contains("the server refused the password") && !wrong.shown.contains("other words"), "{}", wrong.shown);

    // Nothing is asked for where nothing is run.
    assert!(lab.provision(&with(&["-k", "--list-hosts"])).expect(0).stdout.contains("hosts (2)"));
    let nobody = lab.provision(&with(&["-k"])).expect(6);
    let told = "no terminal to ask for the connection password on\nhint: give --connection-password-file";
    assert!(nobody.stderr.contains(told), "{}", nobody.stderr);

    // By a file, a program, and as ansible.cfg says.
    lab.write("password", "secret words\n");
    lab.write("print", "#!/bin/sh\necho secret words\n");
    std::fs::set_permissions(lab.path("print"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    lab.provision(&with(&["--connection-password-file", "password", "-b", "--become-pass-file", "print"])).expect(0);
    lab.write("ansible.cfg", "[defaults]\nconnection_password_file = print\nbecome_password_file = password\n");
    lab.provision(&with(&["-b"])).expect(0);
    let both = lab.provision(&with(&["--conn-pass-file", "-", "--become-pass-file", "-"])).expect(5);
    assert!(both.stderr.contains("standard input holds one password"), "{}", both.stderr);
    std::fs::remove_file(lab.path("ansible.cfg")).expect("our own");

    let flushed = lab.provision(&with(&["--connection-password-file", "password", "--list-hosts", "--flush-cache", "-v"])).expect(0);
    assert!(!flushed.stderr.contains("--flush-cache"), "nothing is run: {}", flushed.stderr);
}

fn the_passphrase_of_a_key_is_asked_once_for_all_hosts(lab: &Lab) {
    let folder = lab.folder.path();
    let key = generate_key(folder, "locked", "ed25519", "");
    std::fs::copy(&key, folder.join("open")).expect("copied");
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("written");
    for node in ["a", "b"] {
        lab.nodes.ssh(node, &format!("echo '{}' >> /home/admin/.ssh/authorized_keys", public.trim()));
    }
    let locked = Command::new("ssh-keygen").args(["-q", "-p", "-N", "key words", "-f"]).arg(&key).stdout(Stdio::null()).status();
    assert!(locked.expect("ssh-keygen").success());
    // The inventory names no key: variables would win over the command line.
    let hosts: String = lab.nodes.addresses.iter().map(|(name, address)| format!("{name} ansible_host={address}\n")).collect();
    let known = lab.path("known_hosts");
    lab.write(
        "keys.ini",
        &format!("[nodes]\n{hosts}[nodes:vars]\nansible_ssh_common_args=-o UserKnownHostsFile={} -o IdentitiesOnly=yes\n", known.display()),
    );
    lab.write("ping.yaml", "- hosts: nodes\n  gather_facts: false\n  tasks:\n    - ping:\n");
    let arguments = ["playbook", "-i", "keys.ini", "-u", "admin", "--private-key", "locked", "ping.yaml"];
    let asked = "passphrase of locked: ";

    let mut person = at_terminal(lab, &arguments);
    person.sees(asked).types("wrong words\r").sees(&format!("that is not it; {asked}"));
    assert!(!person.echoes());
    person.types("key words\r").leaves_with(0);
    assert_eq!(person.shown.matches(asked).count(), 2, "the key is read once for both hosts: {}", person.shown);
    assert!(!person.shown.contains("words"), "{}", person.shown);
    assert!(person.echoes());

    let mut never = at_terminal(lab, &arguments);
    for _ in 0..3 {
        never.sees(asked).types("wrong\r");
    }
    never.sees("none of the passphrases opens it");
    never.types("\x03");
    never.ends();

    let mut ended = at_terminal(lab, &arguments);
    ended.sees(asked).types("\x03").leaves_with(99);
    assert!(ended.echoes(), "the terminal is as it was");

    let nobody = lab.provision(&arguments).expect(4);
    for text in ["read the key locked: it is encrypted and there is no terminal to ask for its passphrase on", "run `ssh-add locked` first"]
    {
        assert!(nobody.stderr.contains(text), "{}", nobody.stderr);
    }

    // Who holds the key is asked instead of the person.
    let socket = lab.path("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().expect("ssh-agent");
    let held = hold(&socket, &folder.join("open"));
    let mut quiet = Person::starts(lab.bare_command().args(arguments).env("SSH_AUTH_SOCK", &socket));
    let status = quiet.ends();
    let _ = agent.kill();
    let _ = agent.wait();
    assert!(held, "ssh-add");
    assert_eq!(status.code(), Some(0), "{}", quiet.shown);
    assert!(!quiet.shown.contains("passphrase"), "{}", quiet.shown);
}

/// Gives a key to the agent, once it answers.
fn hold(socket: &Path, key: &Path) -> bool {
    (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", socket).stderr(Stdio::null()).status();
        added.is_ok_and(|status| status.success())
    })
}
