//! The person at the terminal, for SSH: passphrases of keys, questions of servers.

use std::io::IsTerminal;
use std::sync::Arc;

use crate::program::Text;
use crate::report;
use crate::ssh::{Ask, Question};

/// `None`: nobody is there to be asked.
pub fn person() -> Option<Ask> {
    let ask: Ask = Arc::new(|question: &Question| {
        let prompt = format!("{}: ", question.prompt);
        let answer = if question.echo { report::ask_plain(&prompt) } else { report::ask_secret(&prompt) };
        answer.map(Text::secret)
    });
    std::io::stdin().is_terminal().then_some(ask)
}
