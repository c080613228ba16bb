//! Variables of hosts that read other hosts' variables, and plays whose tags are not chosen, beside ansible-core.
//! The former is more than Ansible has: there `hostvars` is undefined in a variable that is read by `hostvars`.

use super::local::Project;

const INVENTORY: &str = "\
[all]
one next=two
two next=three
three next=one
apart next=one
[all:vars]
ansible_connection=local
number='of {{ inventory_hostname }}'
told='{{ inventory_hostname }} heard {{ hostvars[next].said }}'
further='{{ hostvars[next].told }} and {{ hostvars[next].number }}'
";

const SITE: &str = r"
- hosts: one:two:three
  gather_facts: false
  tasks:
    - {name: say, set_fact: {said: '{{ inventory_hostname }} says {{ next }}'}}
    - name: what others read of others
      copy:
        content: '{{ hostvars[next].told }}; {{ hostvars[next].further }}; {{ hostvars.apart.told }}; {{ hostvars | length }}'
        dest: '{{ root }}/heard-by-{{ inventory_hostname }}'
";

#[test]
fn a_variable_of_a_host_reads_those_of_others() {
    let Some(project) = Project::new(&[("site.yml", SITE)]) else { return };
    project.write("hosts.ini", INVENTORY);
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, ours.code), (2, 0), "{said}");
    let heard = "two heard three says one; three heard one says two and of three; apart heard one says two; 4";
    assert_eq!(ours.files.get("heard-by-one").map(String::as_str), Some(heard), "{said}");
}

#[test]
fn variables_that_read_each_other_in_a_circle_are_told() {
    let site = "- {hosts: one, gather_facts: false, tasks: [{debug: {msg: \"{{ hostvars.two.circle }}\"}}]}\n";
    let Some(project) = Project::new(&[("site.yml", site)]) else { return };
    project.write(
        "hosts.ini",
        "[all]\none next=two\ntwo next=one\n[all:vars]\nansible_connection=local\ncircle='{{ hostvars[next].circle }}'\n",
    );
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, ours.code), (2, 2), "{said}");
    assert!(said.contains("read each other in a circle"), "{said}");
}

const TAGGED: &str = r"
- {hosts: one, tags: [web], tasks: [{name: web, command: 'true', when: ansible_facts.system is defined}]}
- {hosts: one, tasks: [{name: plain, command: 'true', tags: [db], when: ansible_facts.system is defined}]}
- {hosts: two, tags: [web], tasks: [{name: alone, command: 'true', tags: [always], when: ansible_facts.system is defined}]}
";

#[test]
fn a_play_with_tags_of_its_own_gathers_facts_with_them() {
    let Some(project) = Project::new(&[("site.yml", TAGGED)]) else { return };
    project.write("hosts.ini", "[all]\none\ntwo\n[all:vars]\nansible_connection=local\n");
    for flags in [&[][..], &["--tags", "web"], &["--tags", "db"], &["--skip-tags", "web"], &["--tags", "untagged"]] {
        let (theirs, ours, said) = project.both(&[&["site.yml"], flags].concat(), &[]);
        assert_eq!((theirs.code, &theirs.told), (ours.code, &ours.told), "{flags:?}\n{said}");
    }
}
