//! One error: what we were doing, on what; the cause; what to type next.

use std::fmt;

/// What a caller may choose by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no kubeconfig yet, or it is not one.
    Kubeconfig,
    /// Nobody answers at the API server's address, or not in time.
    Unreachable,
    /// The API server does not know us, or does not let us.
    Forbidden,
    /// The API server says that what we want is wrong.
    Refused,
    /// A field belongs to another manager.
    Conflict,
    /// The object, or its kind, is not there.
    Missing,
    /// It did not become so within the limit.
    TimedOut,
    /// A name of ours is used by something that is not ours.
    Foreign,
}

/// A failed operation on a cluster. `Display` is one line without the hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// A lowercase phrase: what we were doing and on what.
    pub doing: String,
    /// Why it failed, from near to far.
    pub causes: Vec<String>,
    /// The next command, or what to change.
    pub hint: Option<String>,
}

/// What every operation of this part gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), causes: Vec::new(), hint: None }
    }

    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An answer of the API server, or none. `doing` is the phrase: ``apply Deployment shop/web``.
    pub(super) fn api(doing: impl Into<String>, error: &kube::Error) -> Self {
        let doing = doing.into();
        let kube::Error::Api(status) = error else {
            let unreachable = Self::new(ErrorKind::Unreachable, doing);
            let unreachable = chain(error).into_iter().fold(unreachable, Self::because);
            return unreachable.hint("run `provision status` to see whether the control plane runs");
        };
        let cause = if status.message.is_empty() {
            format!("the API server answered {} {}", status.code, status.reason)
        } else {
            status.message.clone()
        };
        match status.code {
            401 => Self::new(ErrorKind::Forbidden, doing)
                .because(cause)
                .hint("the kubeconfig is of another or an older cluster: run `provision up` to fetch it anew"),
            403 => Self::new(ErrorKind::Forbidden, doing).because(cause),
            404 => Self::new(ErrorKind::Missing, doing).because(cause),
            409 => Self::new(ErrorKind::Conflict, doing).because(cause),
            429 | 503 | 504 => Self::new(ErrorKind::Unreachable, doing).because(cause),
            _ => Self::new(ErrorKind::Refused, doing).because(cause),
        }
    }
}

/// The sources of an error, each said once; kube's own prefixes say nothing to a user.
fn chain(error: &kube::Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string();
        let wrapper = text.starts_with("ServiceError") || text.starts_with("HyperError") || text.starts_with("client error");
        if (!wrapper || next.is_none()) && !causes.iter().any(|cause| cause.contains(&text)) {
            causes.push(text);
        }
    }
    causes
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Error {}
