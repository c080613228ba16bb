//! What templates and expressions say of the controller: its clock, its name, its files, beside ansible-core.

use std::process::Command;

use super::local::Project;

const ABOUT: &str = r"# {{ ansible_managed }}
{{ template_host }} {{ template_uid }} {{ template_uid is number }} {{ template_path }} {{ template_fullpath }}
{{ template_destpath | default('none', true) }}
{{ template_mtime }} {{ template_mtime.strftime('%d.%m.%Y %H:%M %z%Z|%s') }} {{ template_mtime.timestamp() }} {{ template_mtime.hour }}
{{ template_run_date.strftime('%Y-%m-%d %H') }} {{ (template_run_date - template_mtime).days > 0 }} {{ template_run_date is string }}
{% include 'part.j2' %}
";

const CLOCK: &str = r"{{ ((now(utc=true) - now()).total_seconds() / 60) | round | int }} {{ now().strftime('%z|%Z|') }} {{ now(fmt='%H') == ('%H' | strftime) }}
{{ '%z %Z' | strftime(1782864000) }} {{ '%z %Z' | strftime(1767225600) }} {{ '%z %Z' | strftime(1782864000, utc=true) }}
{{ '%Y-%m-%d %H:%M:%S %s' | strftime(1782864000) }} {{ '%c %X %x' | strftime(1767225600.75) }} {{ '%H' | strftime(second=0, utc=true) }}
{{ ('2026-07-01 12:00:00' | to_datetime).timestamp() }} {{ ('2026-01-01 12:00:00' | to_datetime).strftime('%s %z.') }}
{{ (now() - now(utc=true)).total_seconds() | abs > 3000 }} {{ (now().timestamp() - ('%s' | strftime | int)) | abs < 30 }}
";

const SITE: &str = r#"
- hosts: one
  gather_facts: false
  vars: {named_by_cfg: "{{ named_by_that }}", named_by_that: "only there"}
  tasks:
    - {name: about, template: {src: about.j2, dest: "{{ root }}/about"}}
    - {name: owner, template: {src: nobody.j2, dest: "{{ root }}/nobody"}}
    - {name: in a role, include_role: {name: some}}
    - {name: looked up, copy: {content: "{{ lookup('template', 'about.j2') }}", dest: "{{ root }}/lookup"}}
    - {name: clock, template: {src: clock.j2, dest: "{{ root }}/clock"}}
    - {name: expression, copy: {content: "{{ now(fmt='%Y-%m-%d') }} {{ stamp }}", dest: "{{ root }}/expression"}, vars: {stamp: "{{ '%z' | strftime }}"}}
    - {name: hidden, template: {src: hidden.j2, dest: "{{ root }}/hidden"}, vars: {template_host: mine, template_uid: mine}}
- hosts: two
  gather_facts: false
  vars: {ansible_managed: "{{ template_path }} by {{ template_uid }}, {{ template_mtime.year }}"}
  tasks:
    - {name: about, template: {src: about.j2, dest: "{{ root }}/two/about"}}
"#;

fn project() -> Option<Project> {
    let project = Project::new(&[
        ("site.yml", SITE),
        ("templates/about.j2", ABOUT),
        ("templates/part.j2", "part of {{ template_path }} of {{ template_uid }}: {{ ansible_managed }}\n"),
        ("templates/clock.j2", CLOCK),
        ("templates/hidden.j2", "{{ template_uid }} {{ template_host == 'mine' }} {{ ansible_managed }}\n"),
        ("templates/nobody.j2", "{{ template_uid }} {{ template_uid is number }}\n"),
        ("roles/some/tasks/main.yml", "- {name: of the role, template: {src: role.j2, dest: \"{{ root }}/role\"}}\n"),
        ("roles/some/templates/role.j2", ABOUT),
        ("roles/some/templates/part.j2", "{{ template_uid }}\n"),
    ])?;
    for (name, time) in
        [("templates/about.j2", "2026-07-01 10:20:30.123456 UTC"), ("roles/some/templates/role.j2", "2026-01-02 03:04:05 UTC")]
    {
        assert!(Command::new("touch").arg("-d").arg(time).arg(project.path(name)).status().expect("touch runs").success());
    }
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(project.path("templates/nobody.j2"), Some(54_321), None).expect("root may");
    }
    Some(project)
}

/// Of each of Ansible's files that we wrote otherwise.
fn differences(project: &Project, zone: &str) -> String {
    let (theirs, ours, said) = project.both(&["site.yml"], &[("TZ", zone)]);
    assert_eq!(theirs.code, 0, "{said}");
    assert!(theirs.files.len() >= 8, "{theirs:?}");
    let lines = theirs.files.iter().map(|(name, text)| {
        let ours = ours.files.get(name).map_or("", String::as_str);
        similar::TextDiff::from_lines(text, ours).unified_diff().header(name, "ours").to_string()
    });
    let lines: String = lines.collect();
    if lines.is_empty() && ours.code == 0 { lines } else { format!("{zone}: {lines}\n{said}") }
}

#[test]
fn templates_say_of_themselves_what_ansibles_say() {
    let Some(project) = project() else { return };
    let mut different = differences(&project, "CET-1CEST,M3.5.0,M10.5.0/3");
    project.write(
        "ansible.cfg",
        "[defaults]\nansible_managed = {file} by {uid} on {host}, %Y-%m-%d %H:%M {{{{ 1 + 1 }}}} {{{{ named_by_cfg }}}}\n",
    );
    different += &differences(&project, "EST5EDT,M3.2.0,M11.1.0");
    assert!(different.is_empty(), "{different}");
}

const DELIMITERS: &str = r#"
- hosts: one
  gather_facts: false
  vars: {name_of: world, many: 7, opening: "<%", parts: {inner: deep}, only_inside: "{{ parts.inner }}"}
  tasks:
    - name: its own
      template: {src: own.j2, dest: "{{ root }}/own", variable_start_string: "[[", variable_end_string: "]]", block_start_string: "[%", block_end_string: "%]"}
    - name: the same file as it is
      template: {src: both.j2, dest: "{{ root }}/usual"}
      vars: {kept: usual}
    - name: and otherwise
      template: {src: both.j2, dest: "{{ root }}/otherwise", variable_start_string: "[[", variable_end_string: "]]"}
      vars: {taken: own}
    - name: known at run time
      template: {src: late.j2, dest: "{{ root }}/late", variable_start_string: "{{ opening }}", variable_end_string: "%>"}
"#;

#[test]
fn a_template_has_the_delimiters_that_its_task_gives() {
    let files = [
        ("site.yml", DELIMITERS),
        ("templates/own.j2", "hello [[ name_of ]] [% if many > 3 %]big[% endif %] {{ kept.by.go }} [% include 'part.j2' %] {% raw\n"),
        ("templates/part.j2", "part [[ only_inside ]] {{ kept }}"),
        ("templates/both.j2", "{{ kept | default('none') }} [[ taken | default('none') ]]\n"),
        ("templates/late.j2", "<% name_of | upper %> {{ kept }} [[ kept ]]\n"),
    ];
    let Some(project) = Project::new(&files) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, theirs.files.len()), (0, 4), "{said}");
    assert_eq!(theirs.files, ours.files, "{said}");
}
