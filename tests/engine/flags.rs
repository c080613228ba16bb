//! The flags that people type, all at once.

use super::lab::Lab;

const SITE: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - name: write
      copy: {content: "{{ word }} with {{ ansible_forks }} forks\n", dest: /root/written}
      tags: chosen
    - name: who
      shell: echo $(id -un) through $SUDO_USER
      register: who
      changed_when: false
      check_mode: false
      tags: chosen
    - {name: told, assert: {that: who.stdout == 'root through worker'}, tags: chosen}
    - {name: other, copy: {content: other, dest: /root/other}}
"#;

#[test]
fn every_short_flag_has_its_effect_beside_the_others() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    for node in ["a", "b"] {
        lab.nodes.ssh(
            node,
            "useradd -m worker && cp -r /root/.ssh /home/worker/ && chown -R worker /home/worker/.ssh \
             && echo 'worker ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/worker",
        );
    }
    // The inventory names no user: variables would win over the command line.
    let hosts: String = lab.nodes.addresses.iter().map(|(name, address)| format!("{name} ansible_host={address}\n")).collect();
    lab.write(
        "hosts.ini",
        &format!(
            "[nodes]\n{hosts}[nodes:vars]\nansible_ssh_private_key_file={}\nansible_ssh_common_args=-o UserKnownHostsFile={}\n",
            lab.nodes.key.display(),
            lab.path("known_hosts").display()
        ),
    );
    lab.write("site.yaml", SITE);
    lab.write("provision.yaml", "name: lab\nmachines: null\nplaybooks: [site.yaml]\n");
    let shared = ["-i", "hosts.ini", "-l", "a", "-e", "word=hello", "-D", "-t", "chosen", "-b", "-u", "worker", "-f", "3", "-v"];
    let there = |node: &str| lab.nodes.ssh(node, "cat /root/written /root/other 2>/dev/null || true");

    let said = lab.provision(&[&["playbook", "-C", "site.yaml"], &shared[..]].concat()).expect(0);
    // -D, -e, -f; then -v, which shows what a task gave; then -l and -t.
    assert!(said.stderr.contains("+hello with 3 forks"), "{}", said.stderr);
    assert!(said.stderr.contains("root through worker"), "{}", said.stderr);
    assert!(!said.stderr.contains("\nb ") && !said.stderr.contains("TASK [other]"), "{}", said.stderr);
    assert_eq!(there("a"), "", "-C changes nothing");

    // `up` asks, but for -y.
    let up = [&["up"], &shared[..]].concat();
    lab.provision(&up).expect(6);
    assert_eq!(there("a"), "");
    let said = lab.provision(&[&up[..], &["-y"]].concat()).expect(0);
    assert!(said.stderr.contains("+hello with 3 forks"), "{}", said.stderr);
    assert_eq!((there("a").as_str(), there("b").as_str()), ("hello with 3 forks\n", ""));
}
