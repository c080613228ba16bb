//! Actions on this very machine, in temporary folders.

mod commands;
mod overlay;
mod writes;

use provision::program::Bytes;
use provision::system::apply::{Applier, Cancel, Child, ContentSource, Failure, Stream, Watch};
use provision::system::{Action, ActionOutcome, Command, Content, Ownership, Result};

/// Writes down what it sees.
#[derive(Default)]
struct Notes {
    lines: Vec<(Stream, String)>,
    children: Vec<(String, Child)>,
    actions: Vec<(usize, bool)>,
    refuses: bool,
}

impl Watch for Notes {
    fn starting(&mut self, command: &Command, child: &Child) -> Result<()> {
        self.children.push((command.label.clone(), child.clone()));
        if self.refuses { Err(provision::system::Error::failed("the journal is full")) } else { Ok(()) }
    }

    fn line(&mut self, stream: Stream, line: &str) {
        self.lines.push((stream, line.to_owned()));
    }

    fn action(&mut self, index: usize, done: bool) -> Result<()> {
        self.actions.push((index, done));
        Ok(())
    }
}

/// Gives the same bytes for every digest.
struct Same(Vec<u8>);

impl ContentSource for Same {
    fn fetch(&mut self, _sha256: &str, sink: &mut dyn std::io::Write) -> Result<()> {
        for chunk in self.0.chunks(3) {
            sink.write_all(chunk).map_err(|error| provision::system::Error::io("write", &error))?;
        }
        Ok(())
    }
}

fn apply(actions: &[Action], notes: &mut Notes) -> Result<Vec<ActionOutcome>, Box<Failure>> {
    apply_with(actions, notes, &mut Same(b"fetched".to_vec()), &Cancel::default())
}

fn apply_with(
    actions: &[Action],
    notes: &mut Notes,
    source: &mut dyn ContentSource,
    cancel: &Cancel,
) -> Result<Vec<ActionOutcome>, Box<Failure>> {
    let environment = vec![("TASK".to_owned(), "from the task".to_owned())];
    Applier { source, watch: notes, cancel: cancel.clone(), environment }.apply(actions)
}

fn write(path: &std::path::Path, text: &str) -> Action {
    Action::WriteFile {
        path: path.to_owned(),
        content: Content::Inline(Bytes(text.as_bytes().into())),
        ownership: Ownership::default(),
        backup: false,
        unsafe_writes: false,
        validate: None,
    }
}

/// Tests that need root do nothing for an ordinary user, unless `PROVISION_ROOT_TESTS` promises root.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("PROVISION_ROOT_TESTS").is_none(), "PROVISION_ROOT_TESTS is set, but this user is not root");
    root
}

/// Everything in a folder by name, with dot files.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("is a folder");
    let mut names: Vec<String> = entries.map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
