//! The model service: in this process, or at a URL.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, Uri, header};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::ServiceExt as _;

use crate::unread::Unread;

pub(super) type Client = legacy::Client<HttpConnector, Body>;

pub enum Upstream {
    /// The model service's own router.
    Here(Router),
    /// `base` has no slash at its end.
    There { base: String, client: Box<Client> },
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Down {
    Late(Duration),
    Unreachable(String),
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(patience) => write!(f, "no answer within {patience:?}"),
            Self::Unreachable(cause) => f.write_str(cause),
        }
    }
}

pub(super) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(Duration::from_secs(20)).build(connector)
}

impl Upstream {
    /// From the URL of the service, or of its `/predict`; both are in use. A host alone is meant as `http`.
    pub fn at(url: &str) -> Result<Self> {
        let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let base = whole.trim_end_matches('/');
        let base = base.strip_suffix("/predict").unwrap_or(base).trim_end_matches('/').to_owned();
        let parsed: Uri = base.parse().with_context(|| format!("read the model service's URL `{url}`"))?;
        if parsed.scheme_str() == Some("https") {
            bail!("the model service's URL `{url}`: https is not spoken; name it by http inside of the cluster");
        }
        ensure!(
            parsed.scheme_str() == Some("http") && parsed.host().is_some() && parsed.query().is_none(),
            "the model service's URL `{url}`: write it as http://HOST:PORT"
        );
        Ok(Self::There { base, client: Box::new(client()) })
    }

    /// Sends a request to a path of the model service, which begins with `/`.
    pub(super) async fn send(&self, path: &str, mut request: Request<Body>, patience: Duration) -> Result<Response<Body>, Down> {
        // What axum noted of our route is not the other router's.
        let unread = request.extensions_mut().remove::<Unread>();
        request.extensions_mut().clear();
        if let Some(unread) = unread {
            request.extensions_mut().insert(unread);
        }
        let wrong = |error: &dyn fmt::Display| Down::Unreachable(format!("the path `{path}`: {error}"));
        let answer = match self {
            Self::Here(router) => {
                *request.uri_mut() = path.parse().map_err(|error| wrong(&error))?;
                // Its queue is bounded, and says so when it is full: nothing hangs here.
                let answer: Result<_, Infallible> = router.clone().oneshot(request).await;
                Ok(answer.map_err(|never| match never {}))
            }
            Self::There { base, client } => {
                *request.uri_mut() = format!("{base}{path}").parse().map_err(|error| wrong(&error))?;
                request.headers_mut().remove(header::HOST);
                of_this_hop(request.headers_mut());
                let answer = tokio::time::timeout(patience, client.request(request)).await;
                answer.map(|answer| answer.map(|answer| answer.map(Body::new)).map_err(|error| Down::Unreachable(causes(&error))))
            }
        };
        let mut answer = answer.map_err(|_| Down::Late(patience))??;
        of_this_hop(answer.headers_mut());
        Ok(answer)
    }
}

/// Headers that are for one connection only (RFC 9110, 7.6.1).
fn of_this_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_owned()))
        .collect();
    for name in named.iter().map(String::as_str).chain([
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]) {
        headers.remove(name);
    }
}

/// hyper's errors tell their causes one by one.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        told.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> String {
        match Upstream::at(url) {
            Ok(Upstream::There { base, .. }) => base,
            Ok(Upstream::Here(_)) => "here".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn both_forms_of_the_url_mean_the_same() {
        for url in ["http://model:8080", "http://model:8080/", "http://model:8080/predict", "http://model:8080/predict/", "model:8080"] {
            assert_eq!(base(url), "http://model:8080", "{url}");
        }
        assert_eq!(base("http://gateway/model/predict"), "http://gateway/model");
        assert!(base("https://model").contains("https is not spoken"));
        assert!(base("http://model/?a=b").contains("write it as http://HOST:PORT"));
        assert!(base("").contains("URL"));
    }
}
