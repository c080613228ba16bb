//! What can go wrong with a cluster, and what its API server answers.

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

/// A failed operation on a cluster.
pub type Error = crate::error::Error<ErrorKind>;

/// What every operation of this part gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
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
