//! Lookups that read the controller's files, commands and inventory, beside ansible-core.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value as Json;

use super::local::Project;

const USERS: &str = "\
[DEFAULT]
home = /home
shell: /bin/sh

[integration]
# a comment
user = alice
Password=s3:cr=et
path = %(home)s/%(user)s
percent = 100%%
broken = 50% off
circle = %(circle)s
several = one
  two

  three
; another
user.mail=a@b

[production]
user = bob
[empty]
";

const TABLE: &str = "\
Symbol,Atomic Number,Atomic Mass
H,1,1.008
Li,3,6.94
\"Lead, \"\"Pb\"\"\",82,207.2
\"two
lines\",0,0
short

He \"x\",2,4.0026
H,9,9
";

/// What each lookup gives stands in a file, or it failed.
fn site(lookups: &[&str]) -> String {
    let mut site = String::from("- hosts: one\n  gather_facts: false\n  vars: {part: Li, file_of: users}\n  tasks:\n");
    for (number, lookup) in lookups.iter().enumerate() {
        let lookup = lookup.replace('\\', "\\\\").replace('"', "\\\"");
        site += &format!(
            "  - {{name: \"{number}\", copy: {{content: \"{{{{ {lookup} | to_json }}}}\", dest: \"{{{{ root }}}}/{number}\"}}, ignore_errors: true}}\n"
        );
    }
    site
}

fn compared(project: &Project, lookups: &[&str]) {
    project.write("site.yml", &site(lookups));
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs.told["one"].len(), lookups.len(), "{said}");
    let shown = |number: usize| {
        let of = |ran: &super::local::Ran| (ran.told["one"].get(number).cloned(), ran.files.get(&number.to_string()).cloned());
        (of(&theirs), of(&ours))
    };
    let different: Vec<String> = (0..lookups.len())
        .filter_map(|number| {
            let (theirs, ours) = shown(number);
            (theirs != ours).then(|| format!("{}\n    theirs {theirs:?}\n    ours   {ours:?}", lookups[number]))
        })
        .collect();
    assert!(different.is_empty(), "{}\n{said}", different.join("\n"));
    assert!(theirs.files.len() * 2 > lookups.len(), "{theirs:?}");
}

#[test]
fn files_of_keys_and_values_are_read_as_ansibles() {
    let files = [
        ("files/users.ini", USERS),
        ("files/cased.ini", "[global]\nName = upper\nname = lower\nflag\n"),
        ("files/plain.ini", "[global]\nflag\nname = x\n"),
        ("files/app.properties", "user.name = ann\nuser.Pass=word\nempty=\n"),
        ("files/twice.ini", "[a]\nx = 1\n[a]\ny = 2\n"),
        ("files/headless.ini", "x = 1\n"),
        ("ansible.ini", "[global]\nx = beside the playbook\n"),
    ];
    let Some(project) = Project::new(&files) else { return };
    std::fs::write(project.path("files/latin.ini"), b"[global]\nname = caf\xe9\n").expect("writes");
    compared(
        &project,
        &[
            "lookup('ini', 'user', section='integration', file='users.ini')",
            "lookup('ini', 'user section=production file=users.ini')",
            "lookup('ini', 'user', section='integration', file=file_of ~ '.ini')",
            "query('ini', 'user', 'password', section='integration', file='users.ini')",
            "lookup('ini', 'PASSWORD', section='integration', file='users.ini')",
            "lookup('ini', 'path', section='integration', file='users.ini')",
            "lookup('ini', 'path', section='integration', file='users.ini', interpolation=false)",
            "lookup('ini', 'percent', section='integration', file='users.ini')",
            "lookup('ini', 'broken', section='integration', file='users.ini')",
            "lookup('ini', 'broken', section='integration', file='users.ini', interpolation=false)",
            "lookup('ini', 'circle', section='integration', file='users.ini')",
            "lookup('ini', 'several', section='integration', file='users.ini')",
            "lookup('ini', 'user.mail', section='integration', file='users.ini')",
            "lookup('ini', 'home', section='empty', file='users.ini')",
            "lookup('ini', 'shell', section='DEFAULT', file='users.ini')",
            "lookup('ini', 'nobody', section='empty', file='users.ini')",
            "lookup('ini', 'nobody', section='empty', file='users.ini', default='none')",
            "query('ini', 'nobody', section='empty', file='users.ini', default=none)",
            "query('ini', 'nobody', section='empty', file='users.ini', default=['a', 'b'])",
            "lookup('ini', 'user', section='nowhere', file='users.ini')",
            "query('ini', 'us.*', section='production', file='users.ini', re=true)",
            "query('ini', '.*', section='production', file='users.ini', re=True)",
            "query('ini', 'ser', section='production', file='users.ini', re=true)",
            "lookup('ini', 'user re=yes section=production file=users.ini')",
            "lookup('ini', 'user section=production=x file=users.ini')",
            "lookup('ini', 'user section=production size=3 file=users.ini')",
            "lookup('ini', 'section=production file=users.ini')",
            "lookup('ini', 'x')",
            "lookup('ini', 'Name', file='cased.ini', case_sensitive=true, allow_no_value=true)",
            "lookup('ini', 'Name', file='cased.ini', allow_no_value=true)",
            "query('ini', 'flag', file='plain.ini', allow_no_value=true)",
            "query('ini', 'flag', file='plain.ini', allow_none=true)",
            "query('ini', 'flag|name', file='plain.ini', allow_no_value=true, re=true)",
            "query('ini', 'flag', file='plain.ini', allow_no_value=true, re=true, interpolation=false)",
            "lookup('ini', 'name', file='plain.ini')",
            "lookup('ini', 'user.name', type='properties', file='app.properties')",
            "lookup('ini', 'user.pass type=properties file=app.properties')",
            "lookup('ini', 'empty', type='properties', file='app.properties')",
            "lookup('ini', 'user.name', type='other', file='app.properties')",
            "lookup('ini', 'x', section='a', file='twice.ini')",
            "lookup('ini', 'x', section='a', file='headless.ini')",
            "lookup('ini', 'name', file='latin.ini', encoding='latin-1')",
        ],
    );
}

#[test]
fn tables_are_read_as_ansibles() {
    let tabs = "a\tone\t1\nb\ttwo\t2\n";
    let files =
        [("files/elements.csv", TABLE), ("files/tabs.csv", tabs), ("ansible.csv", tabs), ("files/spaces.csv", "a b c\r\nd e f\r\n")];
    let Some(project) = Project::new(&files) else { return };
    compared(
        &project,
        &[
            "lookup('csvfile', 'Li file=elements.csv delimiter=,')",
            "lookup('csvfile', 'Li file=elements.csv delimiter=, col=2')",
            "lookup('csvfile', part, file='elements.csv', delimiter=',')",
            "lookup('csvfile', part ~ ' file=elements.csv delimiter=,')",
            "lookup('csvfile', 'H', file='elements.csv', delimiter=',', col=-1)",
            "lookup('csvfile', '82', file='elements.csv', delimiter=',', col=0, keycol=1)",
            "lookup('csvfile', 'two\\nlines', file='elements.csv', delimiter=',')",
            "lookup('csvfile', 'Symbol', file='elements.csv', delimiter=',')",
            "query('csvfile', 'He', file='elements.csv', delimiter=',')",
            "query('csvfile', 'Xx', file='elements.csv', delimiter=',')",
            "query('csvfile', 'Xx', file='elements.csv', delimiter=',', default='none')",
            "query('csvfile', 'Xx', file='elements.csv', delimiter=',', default=['a', 'b'])",
            "lookup('csvfile', 'short', file='elements.csv', delimiter=',')",
            "lookup('csvfile', 'H', file='elements.csv', delimiter=',', col=7)",
            "lookup('csvfile', 'H', file='elements.csv', delimiter=',', col='x')",
            "query('csvfile', 'H', 'Li', file='elements.csv', delimiter=',')",
            "lookup('csvfile', 'a', file='tabs.csv')",
            "lookup('csvfile', 'b', file='tabs.csv', delimiter='TAB', col=2)",
            "lookup('csvfile', 'b')",
            "lookup('csvfile', 'a file=spaces.csv delimiter=\" \"')",
            "lookup('csvfile', 'd', file='spaces.csv', delimiter=' ', col=2)",
            "lookup('csvfile', 'a', file='tabs.csv', delimiter=',,')",
            "lookup('csvfile', 'a size=3', file='tabs.csv')",
            "query('csvfile', 'file=tabs.csv')",
            "query('csvfile')",
        ],
    );
}

#[test]
fn hosts_are_chosen_by_patterns_as_in_plays() {
    let Some(project) = Project::new(&[]) else { return };
    project.write(
        "hosts.ini",
        "[web]\none\nweb2\n[db]\ntwo\nweb2\n[site:children]\nweb\ndb\n[alone]\nlast\n[all:vars]\nansible_connection=local\n",
    );
    compared(
        &project,
        &[
            "query('inventory_hostnames', 'all')",
            "query('inventory_hostnames', 'all:!web')",
            "query('inventory_hostnames', 'web:&db')",
            "query('inventory_hostnames', 'web', 'db')",
            "query('inventory_hostnames', 'web', '!web2')",
            "query('inventory_hostnames', 'web*')",
            "query('inventory_hostnames', '~w.*2')",
            "query('inventory_hostnames', 'site[0]')",
            "query('inventory_hostnames', 'site[1:2]')",
            "query('inventory_hostnames', 'two,last')",
            "query('inventory_hostnames', 'nobody')",
            "query('inventory_hostnames', '!db')",
            "lookup('inventory_hostnames', 'web')",
            "query('inventory_hostnames', ['web', 'alone'])",
        ],
    );
}

#[test]
fn commands_run_beside_the_playbook() {
    let files = [("plays/marker", "here"), ("plays/say.sh", "printf 'a  \\nb\\r\\nc\\n'"), ("vaulted.txt", " two\nlines \n")];
    let Some(project) = Project::new(&files) else { return };
    project.write(
        "plays/site.yml",
        &site(&[
            "lookup('pipe', 'ls marker')",
            "query('lines', 'sh say.sh')",
            "lookup('pipe', 'false')",
            "lookup('unvault', '../vaulted.txt')",
            "query('unvault', 'marker', '../vaulted.txt')",
        ]),
    );
    let (theirs, ours, said) = project.both(&["plays/site.yml"], &[]);
    assert_eq!((theirs.files.len(), &theirs.files, &theirs.told), (4, &ours.files, &ours.told), "{said}");
}

#[test]
fn paths_are_those_of_the_controller() {
    let Some(project) = Project::new(&[("plays/marker", "here")]) else { return };
    for (link, target) in [("link", "plays"), ("dangling", "nowhere/below"), ("round", "round")] {
        std::os::unix::fs::symlink(target, project.path(link)).expect("is linked");
    }
    compared(
        &project,
        &[
            "'~/x' | expanduser",
            "'~' | expanduser",
            "'~root/x' | expanduser",
            "'~nobody-of-this-name/x' | expanduser",
            "'$HOME/x ${HOME}y $NOWHERE_AT_ALL ${NOWHERE_AT_ALL}$ $' | expandvars",
            "'link/marker' | realpath",
            "'link/../x' | realpath",
            "'dangling' | realpath",
            "'nowhere/../a/./b' | realpath",
            "'' | realpath",
            "'/a/b' | relpath",
            "'/a/b' | relpath('/a/c')",
            "'a/b' | relpath('a/c')",
            "'../a' | relpath",
            "'a' | relpath('../../b')",
            "'a/..' | relpath",
            "'' | relpath",
            "'link' is directory and 'dangling' is not exists and 'dangling' is link",
        ],
    );
}

const PASSWORDS: &str = r#"
- hosts: one:two
  gather_facts: false
  tasks:
    - {name: plain, copy: {content: "{{ lookup('password', 'kept/plain') }}", dest: "{{ root }}/{{ inventory_hostname }}/plain"}}
    - {name: of words, copy: {content: "{{ lookup('password', 'kept/short length=6 chars=digits,x') }}", dest: "{{ root }}/{{ inventory_hostname }}/short"}}
    - {name: of options, copy: {content: "{{ lookup('password', 'kept/' ~ inventory_hostname, length=9, chars=['ascii_lowercase']) }}", dest: "{{ root }}/{{ inventory_hostname }}/own"}}
    - {name: hashed, copy: {content: "{{ lookup('password', 'kept/hashed encrypt=sha512_crypt') }}", dest: "{{ root }}/{{ inventory_hostname }}/hashed"}}
    - {name: hashed late, copy: {content: "{{ lookup('password', 'kept/plain encrypt=md5_crypt') }}", dest: "{{ root }}/{{ inventory_hostname }}/late"}}
    - {name: seeded, copy: {content: "{{ lookup('password', '/dev/null seed=' ~ inventory_hostname) }}", dest: "{{ root }}/{{ inventory_hostname }}/seeded"}}
    - {name: spaced, copy: {content: "{{ lookup('password', 'kept/two words length=5') }}", dest: "{{ root }}/{{ inventory_hostname }}/spaced"}}
    - {name: of the inventory, copy: {content: "{{ of_inventory }}", dest: "{{ root }}/{{ inventory_hostname }}/inventory"}}
    - {name: of another, copy: {content: "{{ hostvars.two.of_inventory }}", dest: "{{ root }}/{{ inventory_hostname }}/other"}}
    - {name: slip, copy: {content: "{{ lookup('password', 'kept/slip size=3') }}", dest: "{{ root }}/{{ inventory_hostname }}/slip"}, ignore_errors: true}
    - {name: nothing to choose, copy: {content: "{{ lookup('password', 'kept/none chars=') }}", dest: "{{ root }}/{{ inventory_hostname }}/none"}, ignore_errors: true}
"#;

fn passwords() -> Option<Project> {
    let project = Project::new(&[("site.yml", PASSWORDS)])?;
    project.write(
        "hosts.ini",
        "[all]\none\ntwo\n[all:vars]\nansible_connection=local\nof_inventory=\"{{ lookup('password', inventory_dir + '/kept/inventory') }}\"\n",
    );
    Some(project)
}

/// Names and texts below a folder, with their modes.
fn kept(project: &Project, name: &str) -> Vec<(String, String, u32)> {
    let Ok(entries) = std::fs::read_dir(project.path(name)) else { return Vec::new() };
    let mut found: Vec<(String, String, u32)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let mode = path.metadata().expect("is there").permissions().mode() & 0o777;
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a text"), mode)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn passwords_are_kept_as_ansibles() {
    let Some(project) = passwords() else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, theirs.files.len()), (0, 18), "{said}");
    assert_eq!((&theirs.files, &theirs.told, &theirs.recaps), (&ours.files, &ours.told, &ours.recaps), "{said}");
    let of_theirs = kept(&project, "kept");
    assert_eq!(of_theirs.len(), 7, "{of_theirs:?}");

    // The other way round: what we make is what Ansible takes.
    std::fs::remove_dir_all(project.path("kept")).expect("is removed");
    let (ours, said) = project.ours(&["site.yml"]);
    assert_eq!(ours.code, 0, "{said}");
    assert_ne!(ours.files["one/plain"], theirs.files["one/plain"]);
    assert_eq!(ours.files["one/plain"], ours.files["two/plain"]);
    let of_ours = kept(&project, "kept");
    let shapes = |kept: &[(String, String, u32)]| -> Vec<(String, usize, u32)> {
        kept.iter().map(|(name, text, mode)| (name.clone(), text.len(), *mode)).collect()
    };
    assert_eq!(shapes(&of_ours), shapes(&of_theirs));
    assert!(of_ours.iter().all(|(.., mode)| *mode == 0o600), "{of_ours:?}");
    assert_eq!(project.path("kept").metadata().expect("is there").permissions().mode() & 0o777, 0o700);
    let (theirs, said) = project.theirs(&["site.yml"]);
    assert_eq!(theirs.files, ours.files, "{said}");
    assert_eq!(kept(&project, "kept"), of_ours);
}

#[test]
fn who_only_looks_keeps_no_password() {
    let Some(project) = passwords() else { return };
    let (ours, said) = project.ours(&["site.yml", "--check"]);
    assert_eq!(ours.code, 0, "{said}");
    assert!(!project.path("kept").exists(), "{said}");
}

#[test]
fn a_password_of_a_plan_is_that_of_its_apply() {
    let Some(project) = passwords() else { return };
    let named = "    - {name: named, copy: {content: x, dest: \"{{ root }}/{{ inventory_hostname }}/{{ lookup('password', 'kept/named chars=digits') }}\"}}\n";
    project.write("site.yml", &(PASSWORDS.to_owned() + named));
    project.write("provision.yaml", "name: passwords\ninventory: hosts.ini\nplaybooks: [site.yml]\nreleases: []\n");
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_provision"))
            .args(words)
            .args(["-e", &format!("root={}", project.path("ours").display())])
            .current_dir(project.path(""))
            .env("HOME", project.path(""))
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    for host in ["one", "two"] {
        std::fs::create_dir_all(project.path("ours").join(host)).expect("makes folders");
    }
    let (code, said) = run(&["plan", "--detailed-exitcode"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(!project.path("kept").exists(), "{said}");
    let (code, said) = run(&["up", "--yes", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    // The password in a file's name is the one that was planned.
    let actions = |event: &str| -> Vec<String> {
        let lines = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok())
            .filter(|line| line["event"] == event && line["status"] != "failed");
        let mut found: Vec<String> = lines.map(|line| format!("{} {} {}", line["host"], line["task"], line["actions"])).collect();
        found.sort();
        found
    };
    assert_eq!(actions("planned"), actions("result"), "{said}");
    assert_eq!(actions("planned").len(), 20, "{said}");
    let words = |name: &str| std::fs::read_to_string(project.path(name)).expect("a text");
    assert_eq!(words("ours/one/plain"), words("kept/plain").split(" salt=").next().expect("a part").trim_end());
    assert_eq!(words("ours/one/plain"), words("ours/two/plain"));
    let (code, said) = run(&["plan", "--detailed-exitcode"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn every_lookup_of_ansible_is_known() {
    let Some(ansible) = crate::oracle::ansible("ansible-doc") else { return };
    let output = Command::new(ansible).args(["-t", "lookup", "-l", "--json", "ansible.builtin"]).output().expect("it runs");
    let listed: serde_json::Map<String, Json> = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut theirs: Vec<&str> = listed.keys().map(|name| name.strip_prefix("ansible.builtin.").unwrap_or(name)).collect();
    theirs.sort_unstable();
    let ours = provision::template::lookups::table::LOOKUPS.iter().filter(|lookup| lookup.collection.is_none());
    assert_eq!(ours.map(|lookup| lookup.name).collect::<Vec<_>>(), theirs);
    assert!(theirs.len() > 20, "{theirs:?}");
}
