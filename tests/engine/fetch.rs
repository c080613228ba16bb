//! Files that come to the workstation, a wait for a host that is not up yet, and one for a host that goes on: on real nodes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::lab::Lab;

const FETCH: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: made, copy: {dest: /root/note, content: "of {{ inventory_hostname }}\n", mode: '0600'}}
    - {name: note, fetch: {src: /root/note, dest: ../kept}}
    - {name: large, fetch: {src: /root/large, dest: ../kept}}
    - {name: of another, fetch: {src: /root/note, dest: "../other-{{ inventory_hostname }}", flat: true}, delegate_to: b, when: inventory_hostname == 'a'}
"#;

#[test]
fn fetched_files_are_planned_kept_once_and_the_folders_owners() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write_project(FETCH);
    std::os::unix::fs::chown(lab.folder.path(), Some(4321), Some(4321)).expect("is given");
    for name in ["a", "b"] {
        lab.nodes.ssh(name, "seq 500000 > /root/large; echo elder > /root/note; chmod 600 /root/note");
    }
    let planned = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    let of = |host: &str, task: &str| {
        let events = planned.events("planned");
        let found = events.iter().find(|event| event["host"] == host && event["task"] == task).cloned().unwrap_or_default();
        (found["plan"].as_str().unwrap_or_default().to_owned(), found["actions"].to_string())
    };
    let (plan, actions) = of("a", "large");
    let place = lab.path("kept/a/root/large");
    assert_eq!(
        (plan.as_str(), actions),
        ("change", format!("[\"fetch /root/large to {}\"]", place.canonicalize().unwrap_or(place).display()))
    );
    assert!(!lab.path("kept").exists(), "a plan keeps nothing");

    lab.provision(&["up", "--yes"]).expect(0);
    assert_eq!(std::fs::read_to_string(lab.path("kept/b/root/note")).expect("is kept"), "of b\n");
    assert_eq!(std::fs::read_to_string(lab.path("other-a")).expect("is kept"), "of b\n");
    let large = std::fs::read_to_string(lab.path("kept/a/root/large")).expect("is kept");
    assert_eq!((large.lines().count(), large.lines().last()), (500_000, Some("500000")));
    for name in ["kept", "kept/a/root", "kept/a/root/large", "other-a"] {
        assert_eq!(std::fs::metadata(lab.path(name)).expect("is there").uid(), 4321, "{name}");
    }
    let again = lab.provision(&["up"]).expect(0);
    assert!(again.stderr.contains("No changes"), "{}\n{}", again.stdout, again.stderr);
}

const OUT: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: where, command: cat /root/where, register: where, changed_when: false}
    - {name: out, fetch: {src: /root/where, dest: "{{ where.stdout }}", flat: true}}
"#;

#[test]
fn a_node_does_not_say_where_its_files_go() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("taken");
    lab.nodes.ssh("a", &format!("echo {} > /root/where", target.display()));
    lab.write("site.yml", OUT);
    let said = lab.play(&["site.yml"]).expect(2);
    assert!(
        said.stdout.contains("it is not below") && said.stdout.contains("write the folder at the beginning of `dest`"),
        "{}",
        said.stdout
    );
    assert!(!target.exists());
}

const WAIT: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: before, debug: {msg: the way may not be there yet}}
    - {name: first, wait_for_connection: {timeout: 90}}
    - {name: kept, set_fact: {kept: "{{ 20 + 1 }}"}}
    - {name: pid, command: cat /proc/self/stat, register: one}
    - {name: again, wait_for_connection: {delay: 1, timeout: 60}, register: waited}
    - {name: after, command: "echo {{ kept }} {{ one.rc }} {{ waited.elapsed >= 1 }}", register: after}
    - {name: is whole, assert: {that: after.stdout == '21 0 True'}}
"#;

#[test]
fn a_host_that_is_not_up_yet_is_waited_for_as_long_as_its_tasks_say() {
    let Some(mut lab) = Lab::new(&["a"]) else { return };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    lab.through("a", port);
    lab.write("site.yml", WAIT);
    let server = SocketAddr::new(lab.nodes.addresses["a"].to_string().parse().expect("an address"), 22);
    let opened = std::thread::spawn(move || {
        // Longer than a run waits for hosts that should be up.
        std::thread::sleep(Duration::from_secs(6));
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("still free");
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(server).expect("the node listens");
                for (mut from, mut to) in [(client.try_clone().expect("a copy"), server.try_clone().expect("a copy")), (server, client)] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
    });
    let said = lab.play(&["site.yml"]).expect(0);
    opened.join().expect("it was opened");
    assert_eq!(said.count("a", "ok"), 7, "{}", said.stdout);
}
