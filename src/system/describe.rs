//! An action in words (what a plan shows) and as a digest (what an apply is compared with its plan by).

use sha2::Digest as _;

use super::{Action, Content, Ownership};

impl Action {
    /// One sentence for people: `write /etc/hostname (mode 0644)`. Never a file's content; a command's line is its label.
    pub fn describe(&self) -> String {
        match self {
            Action::WriteFile { path, ownership, backup, unsafe_writes, validate, .. } => {
                let mut sentence = format!("write {}{}", path.display(), details(ownership));
                if let Some(command) = validate {
                    sentence = format!("{sentence}, checked by `{command}`");
                }
                if *backup {
                    sentence += ", keeping a backup";
                }
                if *unsafe_writes {
                    sentence += ", in place if it must be";
                }
                sentence
            }
            Action::MakeDirectory { path, ownership } => format!("make directory {}{}", path.display(), details(ownership)),
            Action::Symlink { path, target, ownership } => {
                format!("link {} -> {}{}", path.display(), target.display(), details(ownership))
            }
            Action::HardLink { path, target } => format!("hard link {} -> {}", path.display(), target.display()),
            Action::SetOwnership { path, ownership, .. } => format!("set {}{}", path.display(), details(ownership)),
            Action::SetTimes { path, accessed, modified } => {
                let times = match (accessed, modified) {
                    (Some(_), Some(_)) => "access and modification time",
                    (Some(_), None) => "access time",
                    _ => "modification time",
                };
                format!("set {times} of {}", path.display())
            }
            Action::Remove { path } => format!("remove {}", path.display()),
            Action::SetKernelHostname { name } => format!("set the kernel's host name to {name}"),
            Action::SetSysctl { name, value } => format!("set kernel parameter {name} = {value}"),
            Action::LoadKernelModule { name, parameters } => format!("load kernel module {name} {parameters}").trim_end().to_owned(),
            Action::UnloadKernelModule { name } => format!("unload kernel module {name}"),
            Action::Run(command) => command.label.clone(),
            Action::Sleep { duration } => format!("wait {} s", duration.as_secs_f64()),
            Action::Reboot { .. } => "reboot".to_owned(),
        }
    }

    /// The same for the same change, on any machine and at any time: SHA-256 in hex of the action, with contents by their
    /// own SHA-256 and without times of the clock.
    pub fn digest(&self) -> String {
        let mut stable = self.clone();
        match &mut stable {
            Action::WriteFile { content, .. } => {
                if let Content::Inline(bytes) = content {
                    *content = Content::Digest { sha256: sha256(&bytes.0).into(), size: bytes.0.len() as u64 };
                }
            }
            Action::SetTimes { accessed, modified, .. } => {
                for time in [accessed, modified] {
                    *time = time.map(|_| 0.0);
                }
            }
            // What it leaves depends on what stood there before; what it does is in its words.
            Action::Run(command) => command.effect = super::Effect::None,
            _ => {}
        }
        // Field names and all values: two different actions never read the same.
        sha256(&serde_json::to_vec(&stable).expect("an action is plain data"))
    }

    /// The bytes that have to come from the controller: SHA-256 and size.
    pub fn wanted_content(&self) -> Option<(&str, u64)> {
        match self {
            Action::WriteFile { content: Content::Digest { sha256, size }, .. } => Some((sha256, *size)),
            _ => None,
        }
    }
}

/// ` (mode 0644, owner root)`, or nothing.
fn details(ownership: &Ownership) -> String {
    let mut parts = Vec::new();
    if let Some(mode) = ownership.mode {
        parts.push(format!("mode {mode:04o}"));
    }
    for (name, value) in [("owner", &ownership.owner), ("group", &ownership.group), ("attributes", &ownership.attributes)] {
        if let Some(value) = value {
            parts.push(format!("{name} {value}"));
        }
    }
    if let Some(context) = &ownership.context {
        let context: Vec<&str> = context.iter().map(|part| part.as_deref().unwrap_or("*")).collect();
        parts.push(format!("context {}", context.join(":")));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// SHA-256 in lowercase hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Bytes;
    use crate::system::Command;

    fn write(content: Content) -> Action {
        let ownership = Ownership { mode: Some(0o644), owner: Some("root".into()), ..Ownership::default() };
        Action::WriteFile { path: "/etc/hostname".into(), content, ownership, backup: true, unsafe_writes: false, validate: None }
    }

    #[test]
    fn a_sentence_says_what_and_where() {
        let action = write(Content::Inline(Bytes(b"worker-1\n".as_slice().into())));
        assert_eq!(action.describe(), "write /etc/hostname (mode 0644, owner root), keeping a backup");
        assert_eq!(Action::Run(Command::new("start nginx", ["systemctl", "start", "nginx"])).describe(), "start nginx");
    }

    #[test]
    fn digests_depend_on_content_not_on_how_it_travels() {
        let inline = write(Content::Inline(Bytes(b"abc".as_slice().into())));
        let by_digest = write(Content::Digest { sha256: sha256(b"abc").into(), size: 3 });
        assert_eq!(inline.digest(), by_digest.digest());
        assert_ne!(inline.digest(), write(Content::Inline(Bytes(b"abd".as_slice().into()))).digest());
        let touched = |time| Action::SetTimes { path: "/a".into(), accessed: Some(time), modified: None }.digest();
        assert_eq!(touched(1.0), touched(2.0));
    }

    #[test]
    fn commands_differ_by_what_they_are_given() {
        let with = |stdin: &[u8]| {
            let mut command = Command::new("x", ["cat"]);
            command.stdin = Some(Bytes(stdin.into()));
            Action::Run(command).digest()
        };
        assert_ne!(with(b"a"), with(b"b"));
    }
}
