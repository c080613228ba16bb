//! The passwords of the login and of become, from where the user says they are. Never an argument: those are readable by everyone.

use std::fmt::Display;
use std::io::{IsTerminal, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Exit;
use super::shared::Selection;
use crate::program::Text;
use crate::project::Settings;
use crate::report;

/// Both are secrets.
#[derive(Debug, Default)]
pub struct Passwords {
    pub connection: Option<Text>,
    pub become_: Option<Text>,
}

/// Where a password is to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source<'a> {
    Nowhere,
    Person,
    /// Standard input, called `-`.
    Input,
    File(&'a Path),
}

/// Asks, or reads, what the command line or else ansible.cfg names.
pub fn ask(selection: &Selection, settings: &Settings) -> Result<Passwords, Exit> {
    let connection = Source::of(selection.ask_pass, selection.connection_password_file.as_deref())
        .or(Source::of(settings.ask_pass, settings.connection_password_file.as_deref()));
    let become_ = Source::of(selection.ask_become_pass, selection.become_password_file.as_deref())
        .or(Source::of(settings.become_ask_pass, settings.become_password_file.as_deref()));
    if (connection, become_) == (Source::Input, Source::Input) {
        report::error(
            "standard input holds one password, not those of the login and of become",
            Some("give --connection-password-file or --become-password-file a file or a program"),
        );
        return Err(Exit::Usage);
    }
    let not_given = |flag: &str, message: &str| {
        report::error(message, Some(&format!("give {flag}, with a file, a program, or - for standard input")));
        Exit::NotConfirmed
    };
    let login = connection.password("connection", "SSH password: ");
    let login = login.map_err(|message| not_given("--connection-password-file", &message))?.filter(|text| !text.as_str().is_empty());
    // As in ansible-core: an empty answer is the answer before.
    let before = login.clone().filter(|_| connection == Source::Person && become_ == Source::Person);
    let question = if before.is_some() { "BECOME password[defaults to SSH password]: " } else { "BECOME password: " };
    let password = become_.password("become", question).map_err(|message| not_given("--become-password-file", &message))?;
    let is_empty = password.as_ref().is_some_and(|text| text.as_str().is_empty());
    Ok(Passwords { connection: login, become_: before.filter(|_| is_empty).or(password) })
}

impl<'a> Source<'a> {
    fn of(asks: bool, file: Option<&'a Path>) -> Self {
        match file {
            _ if asks => Self::Person,
            Some(file) if file.as_os_str() == "-" => Self::Input,
            Some(file) => Self::File(file),
            None => Self::Nowhere,
        }
    }

    fn or(self, other: Self) -> Self {
        if self == Self::Nowhere { other } else { self }
    }

    /// The password, without the end of its line; `what` names it in a sentence.
    fn password(self, what: &str, question: &str) -> Result<Option<Text>, String> {
        let named = |path: &Path, error: &dyn Display| format!("read the {what} password from {}: {error}", path.display());
        let path = match self {
            Self::Nowhere => return Ok(None),
            Self::Person => {
                let asked = report::ask_secret(question).ok_or_else(|| {
                    if std::io::stdin().is_terminal() {
                        format!("no {what} password was given")
                    } else {
                        format!("no terminal to ask for the {what} password on")
                    }
                });
                return asked.map(secret);
            }
            Self::Input => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|error| named(Path::new("-"), &error))?;
                return Ok(secret(text));
            }
            Self::File(path) => path,
        };
        let failed = |error: &dyn Display| named(path, error);
        let about = std::fs::metadata(path).map_err(|error| failed(&error))?;
        if about.is_file() && about.permissions().mode() & 0o111 != 0 {
            let program = std::fs::canonicalize(path).map_err(|error| failed(&error))?;
            let output = Command::new(program).stderr(Stdio::inherit()).output().map_err(|error| failed(&error))?;
            if !output.status.success() {
                return Err(failed(&format_args!("it ended with {}", output.status)));
            }
            return Ok(secret(String::from_utf8_lossy(&output.stdout)));
        }
        std::fs::read_to_string(path).map(secret).map_err(|error| failed(&error))
    }
}

fn secret(text: impl AsRef<str>) -> Option<Text> {
    Some(Text::secret(text.as_ref().trim_matches(['\r', '\n'])))
}
