//! Playbooks compiled to programs: what each host gets, in a readable form.
//!
//! A case is a folder with `site.yml`, an inventory and `expected.txt`. `UPDATE=1 cargo test playbooks` writes what is
//! compiled now; read the difference before it is committed.

mod keywords;
mod schema;
mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use provision::playbook::{self, Compiled, Options, list};
use provision::program::{Settings, Text};
use provision::project::{self, Project};

/// A compiled case, and the report of its mistakes.
pub struct Case {
    pub compiled: Compiled,
    pub report: String,
}

pub fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/playbooks")
}

/// Compiles `site.yml` of a folder.
pub fn compile(folder: &Path, options: &Options) -> Case {
    let given = project::Options {
        inventory: vec!["inventory.ini".to_owned()],
        environment: [("ANSIBLE_ROLES_PATH".to_owned(), "/nowhere/roles".to_owned())].into(),
        ..project::Options::default()
    };
    let (mut project, _) = Project::load(folder, &given, &mut |_| None);
    let compiled = playbook::compile(&mut project, &[folder.join("site.yml")], options);
    let report = project.files.diagnostics.render(&project.files.sources);
    Case { compiled, report }
}

fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(cases())
        .expect("the cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("site.yml").is_file())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    // Made here: not every way that this tree travels keeps links.
    let link = cases().join("cluster/roles/containerd/files/certs/mirror");
    match std::os::unix::fs::symlink("docker.io", &link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("make {}: {error}", link.display()),
        _ => {}
    }
    folders
}

#[test]
fn every_case_compiles_to_its_programs() {
    let mut wrong = String::new();
    for folder in folders() {
        let case = compile(&folder, &Options::default());
        let shown = format!("{}{}", case.report, show::programs(&case.compiled, &folder));
        let expected = folder.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &shown).expect("write expected.txt");
            continue;
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if wanted != shown {
            wrong.push_str(&format!("== {}\n{}", folder.display(), similar::TextDiff::from_lines(&wanted, &shown).unified_diff()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Against `ansible-playbook` of ansible-core 2.19.14; `tasks.txt` holds what it printed.
#[test]
fn tasks_and_tags_are_listed_as_ansible_lists_them() {
    let mut count = 0;
    for folder in folders() {
        for (file, lists) in [
            ("list-tasks.txt", list::Lists { tasks: true, ..list::Lists::default() }),
            ("list-tags.txt", list::Lists { tags: true, ..list::Lists::default() }),
        ] {
            let Ok(expected) = std::fs::read_to_string(folder.join(file)) else { continue };
            let case = compile(&folder, &Options::default());
            let names = [(folder.join("site.yml"), "site.yml".to_owned())];
            let listed = list::list(&case.compiled, &names, &Settings::default(), lists);
            assert!(
                listed == expected,
                "{}/{file}\n{}",
                folder.display(),
                similar::TextDiff::from_lines(&expected, &listed).unified_diff()
            );
            count += 1;
        }
    }
    assert!(count > 0);
}

/// What a node is sent, as bytes on the wire would hold it.
fn sent(case: &Case, host: &str) -> String {
    format!("{:?}", rmp_serde::to_vec_named(&case.compiled.programs[host]).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[test]
fn a_node_is_sent_nothing_that_its_own_program_cannot_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("written");
    };
    write("inventory.ini", "[app]\napp-1\n[db]\ndb-1 ansible_password=hunter0\n");
    write("group_vars/all.yml", "everybodys: EVERYBODY\nunread: UNREAD-VALUE\nindirect: \"{{ deep }}\"\ndeep: DEEP\n");
    write("host_vars/app-1.yml", "own_secret: APP-SECRET\n");
    write("host_vars/db-1.yml", "db_password: DB-SECRET\nasked: \"{{ registered.stdout }}\"\n");
    write("files/only-db.txt", "x");
    write(
        "site.yml",
        "- hosts: app\n  tasks:\n    - debug: msg=\"{{ everybodys }} {{ own_secret }} {{ indirect }} {{ hostvars['db-1'].asked }}\"\n\
         - hosts: db\n  tasks:\n    - command: echo\n      register: registered\n    - debug: msg=\"{{ db_password }}\"\n\
         \x20   - copy: {src: only-db.txt, dest: /x, mode: '0644'}\n",
    );
    let case = compile(folder.path(), &Options::default());
    assert_eq!(case.report, "");
    let (app, db) = (sent(&case, "app-1"), sent(&case, "db-1"));
    for (text, to_app, to_db) in [
        ("EVERYBODY", true, false),
        ("APP-SECRET", true, false),
        ("DEEP", true, false),
        ("DB-SECRET", false, true),
        ("UNREAD-VALUE", false, false),
        ("hunter0", false, false),
        ("only-db.txt", false, true),
    ] {
        assert_eq!((app.contains(text), db.contains(text)), (to_app, to_db), "{text}");
    }
    // What the other host reads, and what that is made of.
    let published = format!("{:?}", case.compiled.programs["db-1"].published);
    assert_eq!(published, r#"Names(["asked", "registered"])"#);
    assert_eq!(format!("{:?}", case.compiled.programs["app-1"].published), "Nothing");
    assert!(case.compiled.variables["db-1"].in_folders[0].iter().any(|layer| layer.get("db_password").is_some()));
}

/// Names only: what Ansible itself would find behind each is its collections' matter.
#[test]
fn every_module_of_ansible_is_ours_or_known_to_be_absent() {
    let Some(program) = crate::oracle::ansible("python") else { return };
    let script = "import ansible, os, yaml
folder = os.path.dirname(ansible.__file__)
for name in sorted(os.listdir(folder + '/modules')):
    if name.endswith('.py') and not name.startswith(('_', 'async_wrapper', 'gather_facts')):
        print('builtin', name[:-3])
routing = yaml.safe_load(open(folder + '/config/ansible_builtin_runtime.yml'))['plugin_routing']['modules']
for name, entry in routing.items():
    if '.' in entry.get('redirect', '') and not entry['redirect'].startswith(('ansible.builtin.', 'testns.')) and '.' not in name:
        print(entry['redirect'].rsplit('.', 1)[0], name)
";
    let output = std::process::Command::new(program).args(["-c", script]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names");
    assert!(names.lines().count() > 3_000, "{names}");
    for (collection, name) in names.lines().filter_map(|line| line.split_once(' ')) {
        let ours = provision::module::find(name).is_some() || provision::playbook::modules::STATEMENTS.contains(&name);
        let told = provision::playbook::absent::instead(name);
        match (ours, told) {
            (true, None) => {}
            (false, Some(told)) if collection == "builtin" => assert!(!told.contains("collection"), "{name}: {told}"),
            (false, Some(told)) => assert!(told.contains(&format!("the collection {collection} ")), "{name}: {told}"),
            (ours, told) => panic!("{collection} {name}: ours {ours}, absent {told:?}"),
        }
    }
}

#[test]
fn how_hosts_are_reached_is_said_by_variables_then_the_command_line_then_ansible_cfg() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("site.yml", "- hosts: all\n  gather_facts: false\n  tasks: []\n");
    write(
        "inventory.ini",
        "plain\nown ansible_password=own ansible_timeout=3 ansible_ssh_common_args='-o User=own' ansible_ssh_extra_args='-o Port=1'\n",
    );
    write("ansible.cfg", "[defaults]\ntimeout = 50\n[ssh_connection]\nssh_common_args = -o Compression=yes\nssh_extra_args = -J cfg\n");
    let told = |options: &Options, host: &str| {
        let case = compile(folder.path(), options);
        assert_eq!(case.report, "");
        let connection = &case.compiled.connections[host];
        let seconds = connection.timeout.map(|timeout| timeout.as_secs());
        (seconds, connection.password.as_ref().map(|text| text.as_str().to_owned()), connection.ssh_arguments.join(" "))
    };
    let password = |text: &str| Some(text.to_owned());
    let nothing = Options::default();
    assert_eq!(told(&nothing, "plain"), (Some(50), None, "-o Compression=yes -J cfg".to_owned()));
    let typed = Options {
        password: Some(Text::secret("typed")),
        timeout: Some(Duration::from_secs(7)),
        ssh_common_args: Some("-o 'User=two words'".to_owned()),
        ssh_extra_args: Some("-J typed".to_owned()),
        ..Options::default()
    };
    assert_eq!(told(&typed, "plain"), (Some(7), password("typed"), "-o User=two words -J typed".to_owned()));
    for options in [&nothing, &typed] {
        assert_eq!(told(options, "own"), (Some(3), password("own"), "-o User=own -o Port=1".to_owned()));
    }
    let open = Options { ssh_extra_args: Some("-o 'User".to_owned()), ..Options::default() };
    let report = compile(folder.path(), &open).report;
    assert!(report.contains("error: `--ssh-extra-args` of host `plain`: quotes do not close"), "{report}");
}
