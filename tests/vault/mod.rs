//! The vault against files that the real `ansible-vault` made, and back.

use std::path::{Path, PathBuf};
use std::process::Command;

use provision::project::{Files, Passwords, Vault};
use provision::source::{Diagnostics, Opener as _};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vault").join(name)
}

fn content(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).expect("read a fixture")
}

fn vault(ids: &[&str], files: &[&str]) -> Vault {
    let mut diagnostics = Diagnostics::default();
    let ids = ids.iter().map(|id| match id.split_once('@') {
        Some((label, file)) => format!("{label}@{}", fixture(file).display()),
        None => fixture(id).display().to_string(),
    });
    let passwords = Passwords { ids: ids.collect(), files: files.iter().map(|file| fixture(file)).collect(), ..Passwords::default() };
    let vault = Vault::load(&passwords, &mut |_| None, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    vault
}

#[test]
fn files_of_ansible_vault_are_opened() {
    assert_eq!(vault(&[], &["password"]).open_bytes(&content("file-1.1.yml")).expect("1.1"), content("plain.yml"));
    let both = vault(&["prod@other-password"], &["password"]);
    assert_eq!(both.open_bytes(&content("file-1.2.yml")).expect("1.2"), content("plain.yml"));
    assert_eq!(both.open_bytes(&content("file-1.1.yml")).expect("1.1, second password"), content("plain.yml"));
}

#[test]
fn an_encrypted_file_is_secret_and_an_inline_text_too() {
    let mut files = Files::new(&fixture(""));
    files.vault = vault(&[], &["password"]);
    let layer = files.vars_file(&fixture("file-1.1.yml")).expect("opened");
    assert_eq!(layer.variables.len(), 2);
    assert!(format!("{:?}", layer.get("db_password").expect("variable").value).contains("***"));
    let layer = files.vars_file(&fixture("inline.yml")).expect("read");
    let value = layer.get("inline").expect("variable").value.literal().expect("literal").clone();
    assert_eq!((value.as_str(), value.holds_secret()), (Some("grüße"), true));
    assert!(files.diagnostics.is_empty());
}

#[test]
fn what_cannot_be_opened_says_why() {
    let refusal = |vault: &Vault, data: &[u8]| {
        let refusal = vault.open_bytes(data).expect_err("refused");
        format!("{} / {}", refusal.message, refusal.hint.unwrap_or_default())
    };
    let one = vault(&[], &["password"]);
    assert!(
        refusal(&Vault::default(), &content("file-1.1.yml"))
            .starts_with("an encrypted value, and no vault password was given / give `--vault-password-file")
    );
    assert_eq!(
        refusal(&one, &content("file-1.2.yml")),
        "no vault password opens this value (it is labelled `prod`) / tried: default; give `--vault-id prod@FILE`"
    );
    assert!(
        refusal(&vault(&[], &["other-password"]), &content("file-1.1.yml"))
            .starts_with("no vault password opens this value / tried: default; either")
    );
    let cut = &content("file-1.1.yml")[..200];
    assert!(refusal(&one, cut).starts_with("damaged vault data"), "{}", refusal(&one, cut));
    assert!(refusal(&one, b"$ANSIBLE_VAULT;1.0;AES\n00").starts_with("vault format 1.0 with cipher AES is not supported"));
    assert!(one.open("hunter2").expect_err("refused").message.contains("not encrypted"));
}

#[test]
fn passwords_come_from_scripts_and_prompts() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = |name: &str, body: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.path().join(name);
        std::fs::write(&path, body).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    };
    let client = script("secret-client.sh", "#!/bin/sh\n[ \"$1 $2\" = '--vault-id prod' ] && echo 'battery staple'\n");
    let failing = script("failing", "#!/bin/sh\necho 'no keyring' >&2; exit 3\n");
    let mut diagnostics = Diagnostics::default();
    let mut asked = Vec::new();
    let passwords = Passwords {
        ids: vec![format!("prod@{}", client.display()), "me@prompt".to_owned(), format!("x@{}", failing.display())],
        files: vec![folder.path().join("absent")],
        ..Passwords::default()
    };
    let vault = Vault::load(
        &passwords,
        &mut |question| {
            asked.push(question.to_owned());
            Some("correct horse\n".to_owned())
        },
        &mut diagnostics,
    );
    assert_eq!(asked, ["Vault password (me): "]);
    assert!(vault.open_bytes(&content("file-1.2.yml")).is_ok());
    assert!(vault.open_bytes(&content("file-1.1.yml")).is_ok());
    let messages: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].ends_with("the script exited with 3: no keyring"), "{messages:?}");
    assert!(messages[1].ends_with("absent`: no such file"), "{messages:?}");
}

/// The oracle: ansible-vault opens what we seal.
#[test]
fn ansible_vault_opens_what_is_sealed_here() {
    let Some(ansible) = crate::oracle::ansible("ansible-vault") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sealed.yml");
    let vault = vault(&["prod@other-password"], &[]);
    let text = "ä: 1\n".repeat(40);
    std::fs::write(&path, vault.seal(text.as_bytes(), Some("prod"), &[7; 32]).expect("sealed")).expect("write");
    let output = Command::new(ansible)
        .args(["view", "--vault-id"])
        .arg(format!("prod@{}", fixture("other-password").display()))
        .arg(&path)
        .env_remove("ANSIBLE_CONFIG")
        .current_dir(folder.path())
        .output()
        .expect("run ansible-vault");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), text.trim_end(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(vault.open_bytes(&std::fs::read(&path).expect("read")).expect("opened"), text.as_bytes());
}
