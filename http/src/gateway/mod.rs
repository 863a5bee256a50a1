//! The two HTTP APIs: routes, parameters, errors and headers as the contract defines them (contract 2.1, 2.2, 3, 15).
//!
//! Requests are converted to calls of [`ManagementApi`] or [`RoomsApi`], and results to JSON. There are no rules about
//! schedulers or rooms here, and HTTP types do not leave this module: gRPC services call the same traits.
//!
//! The routes are our own table behind actix-web's default service, because the contract's matching (decoded segments,
//! empty segments, 501 for a known path, redirects) differs from actix-web's. Services mounted earlier take precedence.

mod answer;
mod body;
mod context;
mod input;
mod management;
mod observer;
mod params;
mod path;
mod query;
mod rooms;
mod route;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, web};
use maestro_api::{Api, ManagementApi, RoomsApi};

pub(crate) use answer::{refusal, refused_unread};
pub(crate) use body::{BodyLimits, read_own as read_body};
pub(crate) use context::{deadline, request_id};
pub(crate) use observer::Observers;
pub use observer::RequestObserver;

use crate::endpoint::Described;
use route::Route;
use serve::Served;

/// One API, which can be mounted in any number of actix apps.
pub struct Gateway<A: ?Sized + 'static> {
    inner: Arc<Served<A>>,
}

/// The management API (contract 2), backed by an implementation of its calls.
pub fn management(api: Arc<dyn ManagementApi>) -> Gateway<dyn ManagementApi> {
    Gateway::new(api, Api::Management, management::ROUTES)
}

/// The rooms API (contract 3), backed by an implementation of its calls.
pub fn rooms(api: Arc<dyn RoomsApi>) -> Gateway<dyn RoomsApi> {
    Gateway::new(api, Api::Rooms, rooms::ROUTES)
}

/// The routes of the management API, for the OpenAPI description.
pub(crate) fn management_routes() -> Vec<Described> {
    management::ROUTES.iter().map(route::described).collect()
}

/// The routes of the rooms API, for the OpenAPI description.
pub(crate) fn rooms_routes() -> Vec<Described> {
    rooms::ROUTES.iter().map(route::described).collect()
}

impl<A: ?Sized + 'static> Gateway<A> {
    fn new(api: Arc<A>, kind: Api, routes: &'static [Route<A>]) -> Self {
        let (limits, observers) = (BodyLimits::default(), Observers::default());
        Self {
            inner: Arc::new(Served {
                api,
                kind,
                routes,
                limits,
                observers,
            }),
        }
    }

    fn with(self, change: impl FnOnce(&mut Served<A>)) -> Self {
        let Served {
            api,
            kind,
            routes,
            limits,
            observers,
        } = &*self.inner;
        let mut inner = Served {
            api: api.clone(),
            kind: *kind,
            routes,
            limits: *limits,
            observers: observers.clone(),
        };
        change(&mut inner);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Reports every request to `observer`.
    #[must_use]
    pub fn observer(self, observer: Arc<dyn RequestObserver>) -> Self {
        self.with(|inner| inner.observers = Observers::new(observer))
    }

    /// The observers of its requests, for endpoints mounted alongside it.
    pub(crate) fn observers(&self) -> Observers {
        self.inner.observers.clone()
    }

    /// Maximum size of a body in bytes; the default is 1 MiB. Larger bodies are answered with 413.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        self.with(|inner| inner.limits.bytes = bytes)
    }

    /// Time limit for receiving a body; the default is 10 s. Slower ones are answered with 408.
    #[must_use]
    pub fn body_deadline(self, deadline: Duration) -> Self {
        self.with(|inner| inner.limits.deadline = deadline)
    }
}

impl<A: ?Sized + Send + Sync + 'static> Gateway<A> {
    /// Mounts the API as the app's default service: `App::new().configure(|cfg| gateway.configure(cfg))`.
    pub fn configure(&self, config: &mut ServiceConfig) {
        let inner = self.inner.clone();
        config.default_service(web::to(
            move |request: HttpRequest, payload: web::Payload| {
                let inner = inner.clone();
                async move { serve::serve(&inner, &request, payload).await }
            },
        ));
    }
}

impl<A: ?Sized + 'static> Clone for Gateway<A> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

/// The `handler` labels of the management API's routes.
pub(crate) fn management_labels() -> impl Iterator<Item = &'static str> {
    management::ROUTES.iter().map(|route| route.label)
}

/// The `handler` labels of the rooms API's routes.
pub(crate) fn rooms_labels() -> impl Iterator<Item = &'static str> {
    rooms::ROUTES.iter().map(|route| route.label)
}

#[cfg(test)]
mod tests;
