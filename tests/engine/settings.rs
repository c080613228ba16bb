//! Modules of collections on a real node: planned, done, and nothing left to do.

use serde_json::Value;

use super::lab::Lab;

const SITE: &str = r"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: zone, community.general.timezone: {name: Asia/Tokyo}}
    - name: option
      community.general.ini_file: {path: /etc/tool/tool.ini, section: main, option: zone, value: Asia/Tokyo, mode: '0640'}
    - {name: other option, ini_file: {path: /etc/tool/tool.ini, section: main, option: level, values: [low, high]}}
    - name: alternative
      community.general.alternatives:
        name: tool
        link: /usr/local/bin/tool
        path: /bin/true
        subcommands: [{name: tool-version, link: /usr/local/bin/tool-version, path: /bin/false}]
";

#[test]
fn settings_of_a_node_are_planned_done_and_kept() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write_project(SITE);
    let planned = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    let unknown: Vec<Value> = planned.events("planned").into_iter().filter(|value| value["plan"] == "unknown").collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    lab.provision(&["up", "--yes", "--json"]).expect(0);
    let told = lab.nodes.ssh(
        "a",
        "date +%Z; readlink /usr/local/bin/tool /etc/alternatives/tool /etc/alternatives/tool-version; stat -c %a /etc/tool/tool.ini; \
         cat /etc/tool/tool.ini",
    );
    let wanted = "JST\n/etc/alternatives/tool\n/bin/true\n/bin/false\n640\n\n[main]\nzone = Asia/Tokyo\nlevel = low\nlevel = high\n";
    assert_eq!(told, wanted);

    let again = lab.provision(&["up"]).expect(0);
    assert!(again.stderr.contains("No changes"), "{}\n{}", again.stdout, again.stderr);
}
