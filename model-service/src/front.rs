//! What answers a connection's requests: the routes, and before them, where the model service is in this process, its `/predict`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request, header};
use axum::response::Response;
use tower::ServiceExt as _;

use crate::service::Service;

#[derive(Clone)]
pub(crate) struct Front {
    router: Router,
    service: Option<Arc<Service>>,
}

impl From<Router> for Front {
    fn from(router: Router) -> Self {
        Self { router, service: None }
    }
}

impl Front {
    pub fn new(router: Router, service: Arc<Service>) -> Self {
        Self { router, service: Some(service) }
    }

    /// The routes would answer the same; a program that asks for predictions is spared the way through the app's and the service's.
    pub async fn answer<B>(self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        match self.service {
            Some(service) if is_prediction(&request) => service.answer_prediction(request.map(Body::new)).await,
            _ => self.router.oneshot(request).await.unwrap_or_else(|never| match never {}),
        }
    }
}

/// Whether it is for `service::predict` and no other: a form may be for the app.
fn is_prediction<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.method() == Method::POST
        && request.uri().path() == "/predict"
        && kind.is_some_and(|kind| kind.as_bytes() == b"application/json")
}
