//! What goes wrong in a chart, with its place; and the report that a user sees.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::program::Span;
use crate::source::{Diagnostic, Diagnostics, Sources};

/// A place in a text, by byte offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    pub file: u32,
    pub offset: usize,
    /// Bytes that are underlined; 0 is one.
    pub width: usize,
}

/// A mistake that was met, and how the template came there.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: At,
    /// A lowercase phrase.
    pub message: String,
    pub label: Option<String>,
    pub hint: Option<String>,
    /// Calls that led here, the innermost first.
    pub trail: Vec<(At, String)>,
}

impl Fault {
    pub fn new(at: At, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), label: None, hint: None, trail: Vec::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn label(mut self, label: Option<String>) -> Self {
        self.label = label;
        self
    }
}

/// The texts of a chart and those that its templates made, by the index that [`At::file`] holds.
#[derive(Clone, Debug, Default)]
pub struct Texts(Vec<(Arc<str>, Arc<str>)>);

impl Texts {
    /// Remembers a text by the name that is shown.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> u32 {
        self.0.push((name.into(), text.into()));
        self.0.len() as u32 - 1
    }

    pub fn text(&self, file: u32) -> Arc<str> {
        self.0.get(file as usize).map_or_else(|| "".into(), |(_, text)| Arc::clone(text))
    }

    /// The name that is shown.
    pub fn name(&self, file: u32) -> &str {
        self.0.get(file as usize).map_or("?", |(name, _)| name)
    }

    /// Line and column, both from 1 on.
    pub fn span(&self, at: At) -> Span {
        let text = self.text(at.file);
        let before = text.get(..at.offset).unwrap_or(&text);
        let line = before.matches('\n').count() as u32 + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Span { file: at.file, line, column: before[start..].chars().count() as u32 + 1 }
    }

    /// All texts, as the report needs them.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::default();
        for (index, (name, text)) in self.0.iter().enumerate() {
            sources.add(&**name, Path::new(&format!("{index} {name}")), &**text);
        }
        sources
    }

    fn width(&self, at: At) -> u32 {
        let text = self.text(at.file);
        let rest = text.get(at.offset..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let shown = line.get(..at.width.min(line.len())).unwrap_or(line);
        (shown.chars().count() as u32).max(1)
    }

    /// The mistake as `source` shows them.
    pub fn diagnostic(&self, fault: &Fault) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(fault.message.clone(), self.span(fault.at), self.width(fault.at));
        diagnostic.label.clone_from(&fault.label);
        diagnostic.hint.clone_from(&fault.hint);
        for (at, label) in &fault.trail {
            diagnostic = diagnostic.other(self.span(*at), self.width(*at), label.clone());
        }
        diagnostic
    }
}

/// A chart that cannot be used: every mistake with file, line, column and the source line. Displayed, it is the whole report.
#[derive(Clone, Debug)]
pub struct Refused {
    /// A lowercase phrase: ``render the chart `phishing` ``.
    pub doing: String,
    pub sources: Arc<Sources>,
    pub diagnostics: Diagnostics,
}

impl Refused {
    pub fn new(doing: impl Into<String>, texts: &Texts, diagnostics: Diagnostics) -> Self {
        Self { doing: doing.into(), sources: Arc::new(texts.sources()), diagnostics }
    }

    /// One mistake at a place in the texts.
    pub fn fault(doing: impl Into<String>, texts: &Texts, fault: &Fault) -> Self {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(texts.diagnostic(fault));
        Self::new(doing, texts, diagnostics)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}\n{}", self.doing, self.diagnostics.render(&self.sources).trim_end())
    }
}

impl std::error::Error for Refused {}

/// What the parts of a chart give.
pub type Result<T> = std::result::Result<T, Refused>;
