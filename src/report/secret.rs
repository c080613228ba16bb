//! Secrets typed on the terminal: not shown, asked one at a time, the terminal always put back.

use std::io::{IsTerminal, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::{ask, line, live};

/// The terminal as it was, while a secret is typed. The process may end in the middle of a question.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The process is about to end.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Two hosts may ask at once.
static TURN: Mutex<()> = Mutex::new(());

/// Asks for a secret on the terminal, without echo; `None` without a terminal, or where the person typed ^D or ^C. The latter
/// is what it always is: a SIGINT to this process.
pub fn ask_secret(question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let silenced = silence()?;
    let _asking = live::asking();
    ask(question);
    let typed = read();
    drop(silenced);
    line("");
    match typed {
        Typed::Line(text) => Some(text),
        Typed::End => None,
        Typed::Interrupt => {
            let _ = raise(Signal::SIGINT);
            None
        }
    }
}

/// Puts the terminal back where a question was cut off: before the process ends. Nobody is asked any more.
pub fn put_back() {
    // Another thread may wait for its turn to ask: it would silence the terminal once more.
    ENDS.store(true, Ordering::SeqCst);
    restore();
}

fn restore() {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = before.take() {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &before);
    }
}

/// Nothing is shown, each key comes at once, and ^C is a key: the terminal has to be put back before it ends us.
fn silence() -> Option<Silenced> {
    let mut kept = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if ENDS.load(Ordering::SeqCst) {
        return None;
    }
    let before = tcgetattr(std::io::stdin()).ok()?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    *kept = Some(before);
    let set = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &silent);
    drop(kept);
    let silenced = Silenced;
    set.ok()?;
    Some(silenced)
}

struct Silenced;

impl Drop for Silenced {
    fn drop(&mut self) {
        restore();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Line(String),
    End,
    Interrupt,
}

fn read() -> Typed {
    let mut keys = std::io::stdin().lock().bytes();
    edit(|| keys.next()?.ok())
}

/// One line of keys, with those that correct it.
fn edit(mut key: impl FnMut() -> Option<u8>) -> Typed {
    let mut text: Vec<u8> = Vec::new();
    loop {
        match key() {
            Some(b'\n' | b'\r') => return Typed::Line(String::from_utf8_lossy(&text).into_owned()),
            Some(0x03) => return Typed::Interrupt,
            None | Some(0x04) => return Typed::End,
            // Backspace takes a whole letter, ^U everything.
            Some(0x08 | 0x7f) => while text.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            Some(0x15) => text.clear(),
            Some(byte) => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Typed {
        let mut keys = keys.iter().copied();
        edit(|| keys.next())
    }

    #[test]
    fn a_line_can_be_corrected_and_given_up() {
        assert_eq!(typed(b"secret words\rmore"), Typed::Line("secret words".to_owned()));
        assert_eq!(typed("wrong\u{15}sä\u{7f}e\n".as_bytes()), Typed::Line("se".to_owned()));
        assert_eq!(typed(b"\x7f\n"), Typed::Line(String::new()));
        assert_eq!(typed(b"abc\x03"), Typed::Interrupt);
        assert_eq!(typed(b"\x04"), Typed::End);
        assert_eq!(typed(b"abc"), Typed::End);
    }
}
