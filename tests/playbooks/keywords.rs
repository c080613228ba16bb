//! The table of keywords beside Ansible's own list.

use std::process::Command;

use provision::playbook::keyword;

#[test]
fn every_keyword_of_ansible_is_in_the_table() {
    let Some(program) = crate::oracle::ansible("ansible-doc") else { return };
    let output =
        Command::new(program).args(["-t", "keyword", "-l"]).env("PAGER", "cat").env("COLUMNS", "80").output().expect("ansible-doc runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
    let names: Vec<&str> =
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))).collect();
    assert!(names.len() > 60, "{text}");
    let missing: Vec<&&str> = names.iter().filter(|name| keyword::find(name).is_none()).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}
