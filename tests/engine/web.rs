//! Files and answers of a web server, asked for by a real node.

use super::lab::Lab;
use crate::beside::web::serve;

const CHECKED: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: checked, get_url: {url: "{{ at }}/file", dest: /srv/checked, checksum: "sha256:{{ sum }}", mode: '0640'}}
    - {name: after, file: {path: /srv/checked, owner: root}}
    - {name: job, cron: {name: j, user: root, cron_file: /srv/jobs, job: "true", minute: "{{ minute }}", backup: true}}
"#;

const ASKED: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: usual, get_url: {url: "{{ at }}/moved", dest: /srv/usual}}
    - {name: asked, uri: {url: "{{ at }}/secret", user: u, password: sesame, return_content: true}, register: asked}
    - {name: keys, authorized_key: {user: root, key: "{{ at }}/keys", path: /srv/keys, manage_dir: false}}
    - {name: told, debug: {msg: sesame opens it}}
    - name: sent
      uri: {url: "{{ at }}/echo", method: POST, body_format: form-multipart, body: {f: {filename: part.txt}}}
      register: sent
    - {name: right, assert: {that: ["asked.content == 'opened'", "'of the workstation' | b64encode in sent.json.body"]}}
    - {name: wrong, get_url: {url: "{{ at }}/file", dest: /srv/wrong, checksum: "md5:00"}, ignore_errors: true}
    - {name: missing, uri: {url: "{{ at }}/none"}, ignore_errors: true}
"#;

#[test]
fn a_node_fetches_once_and_keeps_nothing_that_is_wrong() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    let own = lab.nodes.ssh("a", "echo -n ${SSH_CLIENT%% *}");
    let sum = provision::system::describe::sha256(b"the file\n");
    let variables = format!("at: http://{own}:{}\nsum: {sum}\nminute: 0\n", serve(&own));
    lab.write_project(CHECKED);
    lab.write("playbooks/asked.yaml", ASKED);
    lab.write("playbooks/files/part.txt", "of the workstation");
    lab.write("group_vars/all.yaml", &variables);

    let planned = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    assert!(planned.events("planned").iter().any(|event| event["task"] == "checked" && event["plan"] == "change"), "{}", planned.stdout);
    assert_eq!(lab.nodes.ssh("a", "ls /srv"), "", "a plan fetches nothing");
    lab.provision(&["up", "--yes"]).expect(0);
    assert_eq!(lab.nodes.ssh("a", "stat -c %a /srv/checked; cat /srv/checked"), "640\nthe file\n");
    // What an apply keeps of the former is named as the plan named it.
    let other = lab.provision(&["up", "--yes", "-e", "minute=5"]).expect(0);
    assert_eq!(
        lab.nodes.ssh("a", "cat /tmp/crontab*; cat /srv/jobs"),
        "#Ansible: j\n0 * * * * root true\n#Ansible: j\n5 * * * * root true\n",
        "{}",
        other.stdout
    );
    let again = lab.provision(&["up", "-e", "minute=5"]).expect(0);
    assert!(again.stderr.contains("No changes"), "{}\n{}", again.stdout, again.stderr);

    for (changed, first) in [(2, "changed"), (0, "ok")] {
        let said = lab.play(&["playbooks/asked.yaml"]).expect(0);
        assert_eq!((said.count("a", "changed"), said.count("a", "ignored")), (changed, 2), "{}", said.stdout);
        assert_eq!(said.statuses("a", "usual"), [first], "{}", said.stdout);
        assert!(said.stdout.contains("*** opens it") && !said.stdout.contains("sesame"), "{}", said.stdout);
        assert_eq!(said.statuses("a", "keys"), [first], "{}", said.stdout);
        assert_eq!(said.statuses("a", "wrong"), ["failed"], "{}", said.stdout);
    }
    assert_eq!(lab.nodes.ssh("a", "cat /srv/keys"), "ssh-ed25519 AAAA bob\n");
    assert_eq!(lab.nodes.ssh("a", "ls -A /srv"), "checked\njobs\nkeys\nusual\n", "nothing else is left");

    lab.nodes.ssh("a", "chmod -x $(readlink -f $(command -v curl))");
    let said = lab.play(&["playbooks/asked.yaml"]).expect(2);
    assert!(said.stdout.contains("the node has no curl") && said.stdout.contains("install it first: `apt: name=curl`"), "{}", said.stdout);
}
