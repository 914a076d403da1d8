//! The table of routes: what is served where, by whom, and what is said of it. The router and the OpenAPI document are
//! two readings of it, so neither can know a route that the other doesn't.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::edge::Edge;
use super::openapi::Operation;
use crate::metrics::Work;

/// Some routes, in the order in which they are documented.
#[derive(Clone, Default)]
pub(super) struct Routes(Vec<Route>);

/// One method at one path.
#[derive(Clone)]
pub(super) struct Route {
    /// The path, in axum's terms, which are OpenAPI's: `/users/{name}`.
    pub(super) path: String,
    /// The method, in lower case as OpenAPI has it.
    pub(super) method: &'static str,
    /// What is said of it.
    pub(super) operation: Operation,
    handler: MethodRouter<Arc<Edge>>,
}

impl Routes {
    /// The same routes and one for GET, which answers HEAD as well.
    pub(super) fn get<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<Edge>>,
        T: 'static,
    {
        self.with(path, ("get", MethodFilter::GET), handler, operation)
    }

    /// The same routes and one for POST.
    pub(super) fn post<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<Edge>>,
        T: 'static,
    {
        self.with(path, ("post", MethodFilter::POST), handler, operation)
    }

    /// The same routes and one for PUT.
    pub(super) fn put<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<Edge>>,
        T: 'static,
    {
        self.with(path, ("put", MethodFilter::PUT), handler, operation)
    }

    /// The same routes and one for PATCH.
    pub(super) fn patch<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<Edge>>,
        T: 'static,
    {
        self.with(path, ("patch", MethodFilter::PATCH), handler, operation)
    }

    /// The same routes and one for DELETE.
    pub(super) fn delete<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<Edge>>,
        T: 'static,
    {
        self.with(path, ("delete", MethodFilter::DELETE), handler, operation)
    }

    fn with<H, T>(
        mut self,
        path: &str,
        (method, filter): (&'static str, MethodFilter),
        handler: H,
        operation: Operation,
    ) -> Self
    where
        H: Handler<T, Arc<Edge>>,
        T: 'static,
    {
        // A password that comes with it waits for its turn, instead of being refused (see `Call`).
        let waits = Work::of(&method.to_ascii_uppercase(), path) == Work::Revoke;
        let operation = if waits { operation.waits() } else { operation };
        self.0.push(Route { path: path.to_owned(), method, operation, handler: on(filter, handler) });
        self
    }

    /// The same routes below a prefix.
    pub(super) fn below(&self, prefix: &str) -> Self {
        let below = |route: &Route| Route { path: format!("{prefix}{}", route.path), ..route.clone() };
        Self(self.0.iter().map(below).collect())
    }

    /// These routes and those.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// What serves them.
    pub(super) fn into_router(self) -> Router<Arc<Edge>> {
        self.0.into_iter().fold(Router::new(), |router, route| router.route(&route.path, route.handler))
    }
}
