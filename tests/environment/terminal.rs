//! What a person sees of `up` at a terminal: one question, a last line that lives, what to mend.

use std::process::Command;

use super::Folder;
use crate::support::person::Person;

fn on_terminal(folder: &Folder, arguments: &[&str]) -> Person {
    let mut command: Command = folder.command(arguments);
    Person::starts(command.env("TERM", "xterm-256color"))
}

#[test]
fn a_person_is_asked_once_sees_what_goes_on_and_is_told_what_to_mend() {
    let Some(folder) = Folder::new() else { return };
    let site = std::fs::read_to_string(folder.path().join("playbooks/site.yaml")).expect("readable");

    // No is no.
    let mut person = on_terminal(&folder, &["up"]);
    person.sees("+ control").sees("Apply? [y/N] ").types("\n").leaves_with(6);
    assert!(folder.states().iter().all(|state| state.ends_with(" absent")), "{}", person.shown);

    // Machines that were confirmed become what the folder says: no second question.
    let mut person = on_terminal(&folder, &["up"]);
    person.sees("+ control").sees("Apply? [y/N] ").types("y\n").sees("✔ machines").sees("✔ hosts").sees("Done in ").leaves_with(0);
    assert_eq!(person.shown.matches("Apply?").count(), 1, "{}", person.shown);
    // Between the lines that stay: a spinner, and what is being done.
    let lives =
        |layer: &str| person.shown.lines().any(|line| line.contains(layer) && line.chars().any(|letter| ('⠁'..='⣿').contains(&letter)));
    assert!(lives("machines") || lives("hosts"), "{}", person.shown);

    // What would change a machine that is there is asked.
    folder.write("playbooks/site.yaml", &site.replace("seen by", "known to"));
    on_terminal(&folder, &["up"]).sees("~ note").sees("Apply? [y/N] ").types("n\n").leaves_with(6);

    // One host fails, the other goes on.
    let breaks = "    - name: look for room\n      shell: echo no room >&2; exit 3\n      when: inventory_hostname == 'worker-1'\n    \
                  - name: after\n      copy: {dest: /etc/after, content: a}\n";
    folder.write("playbooks/site.yaml", &format!("{site}{breaks}"));
    let (_, story) = folder.expect(2, &["up", "--yes"]);
    let failure: Vec<&str> = story.lines().skip_while(|line| !line.contains("✘")).collect();
    assert!(failure[0].starts_with("  ✘ worker-1   look for room "), "{story}");
    for said in ["      no room", "    playbooks/site.yaml:5:"] {
        assert!(failure.iter().any(|line| line.starts_with(said)), "{said:?} in\n{story}");
    }
    let last = "worker-1 stopped here; control went on. Run `provision up` again once it is mended: what is done already costs nothing.";
    assert_eq!(story.lines().last(), Some(last), "{story}");
    assert_eq!(folder.expect(0, &["ssh", "control", "--", "cat /etc/after"]).0, "a");

    // Mended, it is completed.
    folder.write("playbooks/site.yaml", &format!("{site}{}", breaks.replace("exit 3", "true")));
    folder.expect(0, &["up", "--yes"]);
    assert_eq!(folder.expect(0, &["ssh", "worker-1", "--", "cat /etc/after"]).0, "a");
}
