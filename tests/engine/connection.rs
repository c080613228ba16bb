//! `connection` and `remote_user` of plays and tasks, over one session a host.

use super::lab::Lab;

const SITE: &str = r#"
- hosts: nodes
  gather_facts: false
  remote_user: "{{ first }}"
  vars: {first: root}
  tasks:
    - {name: user, user: {name: deploy}}
    - {name: there, shell: "id -un >/srv/there"}
    - {name: here, shell: "echo task of {{ inventory_hostname }} >{{ folder }}/task", connection: local}
    - {name: by a variable, copy: {content: "{{ ansible_connection }}\n", dest: "{{ folder }}/variable"}, vars: {ansible_connection: local}}
    - connection: local
      block:
        - {name: in a block, command: cat /srv/there, register: seen, failed_when: seen is success}
        - {name: but there, slurp: {src: /srv/there}, connection: ssh, register: slurped}
    - {name: read there, copy: {content: "{{ slurped.content | b64decode }}", dest: "{{ folder }}/read"}, delegate_to: localhost}
- hosts: nodes
  connection: local
  tasks:
    - {name: a play here, shell: "echo {{ ansible_facts.nodename }} >{{ folder }}/play"}
- hosts: nodes
  remote_user: deploy
  gather_facts: false
  tasks:
    - {name: as another, command: id -un, register: who}
    - {name: as root, command: id -un, become: true, register: root}
    - {name: as told, command: id -un, remote_user: root, register: told}
    - {name: who, copy: {content: "{{ who.stdout }} {{ root.stdout }} {{ told.stdout }}\n", dest: "{{ folder }}/who"}, connection: local}
"#;

#[test]
fn plays_and_tasks_are_done_where_and_as_whom_they_say() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    let folder = lab.path("here");
    std::fs::create_dir(&folder).expect("a folder");
    // What says it for the host beats what says it for plays.
    let inventory = std::fs::read_to_string(lab.path("inventory.ini")).expect("an inventory");
    lab.write("inventory.ini", &inventory.replace("ansible_user=root\n", ""));
    lab.write("site.yaml", SITE);
    let arguments = ["site.yaml", "-e", &format!("folder={}", folder.display())];
    let said = lab.play(&arguments).expect(0);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| format!("{name}: {error}"));
    let here = nix::unistd::gethostname().expect("a name").to_string_lossy().into_owned();
    assert_eq!(
        ["task", "variable", "read", "who"].map(read),
        ["task of a\n", "local\n", "root\n", "deploy root root\n"],
        "{}",
        said.stdout
    );
    assert_eq!(read("play"), format!("{here}\n"));
    let there = lab.nodes.ssh("a", &format!("hostname; ls -d {} 2>/dev/null || echo none", folder.display()));
    assert!(!there.starts_with(&here) && there.ends_with("none\n"), "{there}");

    // The session is root's also where that is not the first play's.
    let play = |user: &str| {
        let task = format!("{{name: {user}, command: id -un, register: who, failed_when: who.stdout != '{user}'}}");
        format!("- hosts: nodes\n  remote_user: {user}\n  gather_facts: false\n  tasks: [{task}]\n")
    };
    lab.write("both.yaml", &[play("deploy"), play("root")].concat());
    let said = lab.play(&["both.yaml"]).expect(0);
    assert_eq!(["deploy", "root"].map(|task| said.statuses("a", task)), [["changed"], ["changed"]], "{}", said.stdout);

    // Who is no root can be no other.
    lab.write(
        "two.yaml",
        "- hosts: nodes\n  remote_user: deploy\n  gather_facts: false\n  tasks: [{name: no, command: id, remote_user: other}]\n",
    );
    lab.nodes.ssh("a", "mkdir -p /home/deploy/.ssh; cp /root/.ssh/authorized_keys /home/deploy/.ssh/; chown -R deploy /home/deploy/.ssh");
    let refused = lab.play(&["two.yaml"]).expect(2);
    assert!(refused.stdout.contains("`remote_user: other`: the run's one session on a is deploy's"), "{}", refused.stdout);
}
