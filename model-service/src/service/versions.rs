//! What is on every answer, errors too: the versions that made it; and each answer is counted.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::answered;
use super::{APP_VERSION, ROUTES, Service, predict};
use crate::metrics::Answered;
use crate::swap::Served;

/// Count the answer and put the versions on it, whatever it is. The model that is current now answers this request to its end.
pub(super) async fn observed(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let route = ROUTES.into_iter().find(|route| *route == path).unwrap_or("other");
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let served = service.models.current();
    request.extensions_mut().insert(Arc::clone(&served));
    let response = answered(next.run(request)).await;
    counted(&service, &served, route, method, response)
}

/// The versions on the administration's answers, with the model that is current after it. They are not counted.
pub(super) async fn told(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let response = answered(next.run(request)).await;
    marked(&service, &service.models.current(), response)
}

impl Service {
    /// What the routes answer to `POST /predict`.
    pub(crate) async fn answer_prediction(&self, request: Request) -> Response {
        let served = self.models.current();
        let (head, body) = request.into_parts();
        let response = answered(predict::answer(self, &served, &head.headers, body)).await;
        let mut response = counted(self, &served, "/predict", "POST", response);
        // The app's in this process, which it puts on what comes by its routes.
        response.headers_mut().insert("x-app-variant", HeaderValue::from_static(self.variant.name()));
        response
    }
}

fn counted(service: &Service, served: &Served, route: &'static str, method: &'static str, response: Response) -> Response {
    service.metrics.requests.get_or_create(&Answered { route, method, status: response.status().as_u16() }).inc();
    marked(service, served, response)
}

fn marked(service: &Service, served: &Served, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("x-model-id", served.id.clone());
    headers.insert("x-model-version", served.version.clone());
    headers.insert("x-app-version", HeaderValue::from_static(APP_VERSION));
    headers.insert("x-canary", HeaderValue::from_static(canary(service.canary)));
    response
}

/// Whether this instance is the canary, as `x-canary` tells.
pub(crate) fn canary(is_canary: bool) -> &'static str {
    if is_canary { "canary" } else { "stable" }
}
