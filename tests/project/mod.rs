//! A whole folder, read and checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use provision::program::{Tree, Value};
use provision::project::settings::Gathering;
use provision::project::{Options, Origin, Passwords, Project};

pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(path, text).expect("write");
    }
}

fn load(folder: &Path, options: &Options) -> Project {
    let (project, diagnostics) = Project::load(folder, options, &mut |_| None);
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(&project.files.sources));
    project
}

const MACHINES: &str = "networks: [192.168.60.0/24]\nmachines:\n  control: {address: 192.168.60.2, groups: [control_plane]}\n  worker: {count: 2, address: 192.168.60.3, groups: [workers]}\n";

#[test]
fn machines_and_inventory_share_one_namespace() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            ("vms/dev.yaml", MACHINES),
            ("inventory/hosts", "[workers]\nextra ansible_host=10.0.0.9\n[workers:vars]\nkind=w\n"),
            ("inventory/host_vars/worker-1.yml", "note: mine\n"),
            ("playbooks/site.yaml", "[]\n"),
            ("playbooks/group_vars/all.yml", "site: true\n"),
        ],
    );
    let project = load(folder.path(), &Options::default());
    let names: Vec<&str> = project.inventory.hosts.keys().map(|name| &**name).collect();
    assert_eq!(names, ["control", "worker-1", "worker-2", "extra"]);
    assert_eq!(project.inventory.groups["workers"].hosts.len(), 3);
    let playbooks = folder.path().join("playbooks");
    let layers = project.inventory.layers("worker-1", Some(&playbooks));
    let shown: Vec<String> = layers
        .iter()
        .flat_map(|layer| {
            layer.variables.iter().map(move |variable| format!("{} {}={:?}", layer.origin, variable.name, variable.value.literal()))
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"inventory/hosts kind=Some(Text("w"))"#,
            "playbooks/group_vars/all.yml site=Some(Bool(true))",
            r#"vms/dev.yaml ansible_host=Some(Text("192.168.60.3"))"#,
            "vms/dev.yaml machine_cpus=Some(Int(2))",
            "vms/dev.yaml machine_memory_mb=Some(Int(2048))",
            r#"inventory/host_vars/worker-1.yml note=Some(Text("mine"))"#,
        ]
    );
    assert_eq!(project.machines.expect("machines").iter().count(), 3);
    assert_eq!(project.environment.name, "dev");
    assert!(project.environment.playbooks[0].origin == Origin::File);
}

#[test]
fn what_a_folder_lacks_is_built_in_and_says_so() {
    let (bundled, empty, own) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"), tempfile::tempdir().expect("c"));
    write(
        bundled.path(),
        &[
            ("vms/dev.yaml", MACHINES),
            ("inventory/hosts.yml", "workers:\n"),
            ("playbooks/site.yaml", "[]"),
            ("charts/phishing/Chart.yaml", ""),
            ("charts/phishing/values-dev.yaml", ""),
        ],
    );
    let options = Options { built_in: Some(bundled.path().to_owned()), ..Options::default() };
    let project = load(empty.path(), &options);
    let built_in = |parts: &[provision::project::Part]| parts.iter().all(|part| part.origin == Origin::BuiltIn) && !parts.is_empty();
    assert!(built_in(&project.environment.playbooks) && built_in(&project.environment.inventory));
    assert_eq!(project.environment.releases[0].namespace, "phishing");
    // As the bundled file writes the defaults out.
    let bundled = load(Path::new(env!("CARGO_MANIFEST_DIR")), &Options::default());
    assert_eq!(project.environment.releases[0].images, bundled.environment.releases[0].images);
    assert_eq!(project.machines.expect("built in").iter().count(), 3);

    // Whoever brings hosts and playbooks gets no strangers.
    write(own.path(), &[("inventory/hosts", "web1\n"), ("playbooks/site.yml", "[]")]);
    let project = load(own.path(), &options);
    assert!(project.machines.is_none() && project.environment.releases.is_empty());
    assert_eq!(project.inventory.hosts.len(), 1);
}

#[test]
fn an_environment_names_its_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            (
                "provision.yaml",
                "name: prod\nmachines: ~\ninventory: [a, 'x1,x2']\nplaybooks: site.yml\nreleases:\n  - {chart: charts/app, values: [v1.yaml]}\n",
            ),
            ("a", "web1\n"),
            ("site.yml", "[]"),
            ("v1.yaml", ""),
            ("charts/app/Chart.yaml", ""),
        ],
    );
    let project = load(folder.path(), &Options::default());
    assert_eq!(project.inventory.hosts.len(), 3);
    let release = &project.environment.releases[0];
    assert_eq!((release.name.as_str(), release.namespace.as_str(), release.values.len()), ("app", "app", 1));
    assert!(project.machines.is_none());
}

/// What is a release's is known by its name, in every namespace: of two with one name each would take the other's away.
#[test]
fn two_releases_of_one_name_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let releases = "releases:\n  - {chart: charts/app}\n  - {chart: charts/app, namespace: other}\n  - {chart: charts/app, name: other}\n";
    write(folder.path(), &[("provision.yaml", releases), ("charts/app/Chart.yaml", "")]);
    let (project, diagnostics) = Project::load(folder.path(), &Options::default(), &mut |_| None);
    let report = diagnostics.render(&project.files.sources);
    assert!(report.starts_with("error: a second release with the name `app`\n") && report.contains("provision.yaml:3:5"), "{report}");
    assert_eq!(report.matches("error:").count(), 1, "{report}");
}

#[test]
fn settings_come_from_the_file_and_variables_win() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        &[
            (
                "ansible.cfg",
                "[defaults]\ninventory = hosts, more\nroles_path = roles:~/r:$X/y\nforks=20\ntimeout = 4\nask_pass = yes\nconnection_password_file = secret/ssh\nbecome_password_file = absent\nremote_user = deploy ; why\nhost_key_checking = False\ngathering = explicit\nprivate_key_file = keys/id\n[privilege_escalation]\nbecome = yes\n[ssh_connection]\npipelining = True\nssh_args = -o A=1\n   -o B=2\n",
            ),
            ("hosts", "web1\n"),
            ("more", "web2\n"),
        ],
    );
    let environment: BTreeMap<String, String> =
        [("ANSIBLE_REMOTE_USER", "root"), ("X", "/x"), ("ANSIBLE_FORKS", "7"), ("ANSIBLE_BECOME_PASSWORD_FILE", "-")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    let project = load(folder.path(), &Options { environment, ..Options::default() });
    let settings = &project.settings;
    assert_eq!(project.inventory.hosts.len(), 2);
    assert_eq!(
        (settings.remote_user.as_deref(), settings.forks, settings.host_key_checking, settings.become_),
        (Some("root"), 7, false, true)
    );
    assert_eq!((settings.timeout, settings.ask_pass), (Some(4), true));
    assert_eq!(settings.connection_password_file, Some(folder.path().join("secret/ssh")));
    assert_eq!(settings.become_password_file.as_deref(), Some(Path::new("-")), "standard input");
    assert_eq!(settings.gathering, Gathering::Explicit);
    assert_eq!(settings.private_key_file, Some(folder.path().join("keys/id")));
    assert_eq!((settings.roles_path[0].clone(), settings.roles_path[2].clone()), (folder.path().join("roles"), "/x/y".into()));
    assert_eq!(settings.ssh_args.as_deref(), Some("-o A=1 -o B=2"));
}

#[test]
fn a_configuration_that_anyone_may_write_is_not_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[("ansible.cfg", "[defaults]\nforks=20\n")]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let (project, diagnostics) = Project::load(folder.path(), &Options::default(), &mut |_| None);
    assert_eq!(project.settings.forks, 5);
    assert!(diagnostics.render(&project.files.sources).starts_with("warning: `ansible.cfg` is not read: anyone may write to its folder\n"));
}

#[test]
fn extra_vars_keep_their_order_and_types() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[("v.yml", "from_file: 1\na: file\n")]);
    let extra_vars = vec!["a=1 b='x y'".to_owned(), "@v.yml".to_owned(), "{\"c\": [1, true], \"t\": \"{{ a }}\"}".to_owned()];
    let project = load(folder.path(), &Options { extra_vars, ..Options::default() });
    let value = |name: &str| project.extra.get(name).expect("a variable").value.clone();
    assert_eq!(value("a").literal().and_then(Value::as_str), Some("file"));
    assert_eq!(value("b").literal().and_then(Value::as_str), Some("x y"));
    assert!(matches!(&*value("c"), Tree::Literal(Value::List(_))));
    assert!(matches!(&*value("t"), Tree::Template(_)));
}

#[test]
fn a_limit_leaves_hosts_in_the_inventorys_order() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[("inventory/hosts", "[web]\nweb1\nweb2\n[db]\ndb1\n"), ("failed.txt", "db1\n\nweb2\n")]);
    let limited = |limit: &str| {
        let project = load(folder.path(), &Options { limit: Some(limit.into()), ..Options::default() });
        project.limit.expect("a limit").join(" ")
    };
    assert_eq!(limited("web2,db"), "web2 db1");
    assert_eq!(limited("all:!web"), "db1");
    assert_eq!(limited("@failed.txt"), "db1 web2");
}

#[test]
fn a_password_file_of_the_settings_opens_group_vars() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vault");
    write(
        folder.path(),
        &[("inventory/hosts", "web1\n"), ("pw", "correct horse\n"), ("ansible.cfg", "[defaults]\nvault_password_file = pw\n")],
    );
    fs::create_dir(folder.path().join("inventory/group_vars")).expect("make a folder");
    fs::copy(fixtures.join("file-1.1.yml"), folder.path().join("inventory/group_vars/all.yml")).expect("copy");
    let project = load(folder.path(), &Options { passwords: Passwords::default(), ..Options::default() });
    let layers = project.inventory.layers("web1", None);
    assert!(layers[0].get("db_password").expect("opened").value.literal().expect("a value").holds_secret());
}
