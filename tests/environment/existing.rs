//! Hosts that were there before, beside machines of our own.

use super::Folder;

#[test]
fn an_existing_host_is_configured_and_entered_and_stays() {
    let number = std::process::id() % 120 + 120;
    let Some(theirs) = Folder::named("theirs", &format!("10.218.{number}")) else { return };
    let ours = Folder::named("ours", &format!("10.219.{number}")).expect("a folder");
    theirs.expect(0, &["up", "--yes"]);
    let db = format!("{}.2", theirs.network);
    let network = &ours.network;
    ours.write(
        "vms/dev.yaml",
        &format!(
            "networks: [{network}.0/24]\ndefaults: {{image: debian-12, cpus: 1, memory: 512MiB}}\nmachines:\n  \
             control: {{address: {network}.2, groups: [control_plane]}}\n  \
             db: {{address: {db}, provider: existing, groups: [workers]}}\n"
        ),
    );
    let key = theirs.path().join(format!(".provision/t-{}-theirs/id_ed25519", std::process::id()));
    ours.write(
        "inventory/group_vars/workers.yaml",
        &format!(
            "ansible_user: root\nansible_port: 2222\nansible_ssh_private_key_file: {}\nansible_host_key_checking: false\n",
            key.display()
        ),
    );

    // Nobody listens there: nothing is made either.
    assert_eq!(ours.states(), [format!("control {network}.2 absent"), format!("db {db} not-ready")]);
    let (_, silent) = ours.expect(1, &["up", "--yes"]);
    assert!(silent.contains(&format!("error: reaching the existing hosts over SSH: db ({db}): ")), "{silent}");
    assert!(silent.contains("hint: see whether they are on"), "{silent}");
    assert_eq!(ours.states()[0], format!("control {network}.2 absent"));

    theirs.expect(
        0,
        &[
            "ssh",
            "control",
            "--",
            "echo Port 22 > /etc/ssh/sshd_config.d/ports.conf; echo Port 2222 >> /etc/ssh/sshd_config.d/ports.conf; systemctl restart ssh",
        ],
    );
    let (plan, _) = ours.expect(2, &["plan", "--detailed-exitcode"]);
    assert!(plan.contains("+ control") && !plan.contains("+ db"), "{plan}");
    let (_, story) = ours.expect(0, &["up", "--yes"]);
    assert!(story.contains("    control, db                        note"), "{story}");
    assert_eq!(ours.states(), [format!("control {network}.2 ready"), format!("db {db} ready")]);
    ours.expect(0, &["plan", "--detailed-exitcode"]);

    let (note, _) = ours.expect(0, &["ssh", "db", "--", "cat", "/etc/note"]);
    assert_eq!(note, "db seen by db\n");
    ours.expect(9, &["ssh", "db", "--", "exit 9"]);
    let (config, _) = ours.expect(0, &["ssh-config"]);
    assert!(
        config.contains(&format!("Host db\n  HostName {db}\n  User root\n  Port 2222\n  IdentityFile {}\n", key.display())),
        "{config}"
    );

    let (_, refused) = ours.expect(5, &["destroy", "--yes", "db"]);
    assert!(refused.contains("error: db was there before (`provider: existing`): it is not ours to destroy"), "{refused}");
    let (_, gone) = ours.expect(0, &["destroy", "--yes"]);
    assert!(gone.contains("- control, their disks") && !gone.contains("db"), "{gone}");
    assert_eq!(ours.states(), [format!("control {network}.2 absent"), format!("db {db} ready")]);
    let (_, again) = ours.expect(0, &["destroy", "--yes"]);
    assert!(again.contains("Nothing of "), "{again}");
    // It has a journal of ours, which this key reads.
    assert!(ours.path().join(".provision/journal.key").is_file());
    assert_eq!(theirs.states()[0], format!("control {db} ready"));
}
