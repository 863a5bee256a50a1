//! Routes, and how decoded paths are matched to them (contract 2.1, 2.2).

use std::pin::Pin;

use actix_web::http::Method;
use maestro_api::RequestContext;
use maestro_api::codec::{Declaration, Field};

use super::answer::Failure;
use super::input::Input;
use super::params::Params;
use crate::endpoint::{About, Described};

/// The source of a request's fields, in addition to its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    Body,
    /// The query; for a form POST, the form as well.
    Query,
}

pub type Call<'a> = Pin<Box<dyn Future<Output = Result<String, Failure>> + 'a>>;

/// An entry of the route table.
pub struct Route<A: ?Sized> {
    pub method: Method,
    /// Literal segments and `{field}`, where `field` is the proto name of a string field of the request.
    pub template: &'static str,
    /// The `handler` label of the HTTP metrics (contract 9).
    pub label: &'static str,
    pub reads: Reads,
    pub rpc: Rpc<A>,
    /// Documentation for the OpenAPI description.
    pub about: About,
}

impl<A: ?Sized> Route<A> {
    /// Whether the query can set any field. If the path sets them all, the original does not parse the query.
    pub fn has_query(&self) -> bool {
        let in_path = |field: &Field| self.template.contains(&format!("{{{}}}", field.proto));
        self.reads == Reads::Query && !self.rpc.request.fields.iter().all(in_path)
    }
}

/// The route as the OpenAPI description needs it.
pub fn described<A: ?Sized>(route: &'static Route<A>) -> Described {
    Described {
        method: route.method.clone(),
        template: route.template,
        reads_body: route.reads == Reads::Body,
        name: route.rpc.name,
        request: route.rpc.request,
        answer: route.rpc.answer,
        about: &route.about,
    }
}

/// The call that a route makes.
pub struct Rpc<A: ?Sized> {
    /// The name of the trait's method.
    pub name: &'static str,
    pub request: &'static Declaration,
    pub answer: &'static Declaration,
    pub call: for<'a> fn(&'a A, &'a RequestContext, Input<'a>) -> Call<'a>,
}

/// Builds an [`Rpc`]: converts the request's parts to a message, and the result to a response.
macro_rules! rpc {
    ($name:ident($request:ty) -> $answer:ty) => {
        $crate::gateway::route::Rpc {
            name: stringify!($name),
            request: <$request as maestro_api::codec::Message>::DECLARATION,
            answer: <$answer as maestro_api::codec::Message>::DECLARATION,
            call: |api, context, input| {
                Box::pin(async move {
                    let request: $request = input.message()?;
                    drop(input);
                    let answer: $answer = api.$name(context, request).await?;
                    Ok(maestro_api::codec::encode(&answer))
                })
            },
        }
    };
}

pub(super) use rpc;

/// The result of looking up a method and a path.
pub enum Target<'r, 'p, A: ?Sized> {
    Found(&'r Route<A>, Params<'p>),
    /// The path exists, but with other methods.
    WrongMethod(&'r Route<A>),
    Nowhere,
}

impl<A: ?Sized> Target<'_, '_, A> {
    /// The metrics label of the matched path, whatever the method.
    pub fn label(&self) -> Option<&'static str> {
        match self {
            Self::Found(route, _) => Some(route.label),
            Self::WrongMethod(route) => Some(route.label),
            Self::Nowhere => None,
        }
    }

    /// The scheduler named in the path.
    pub fn scheduler(&self) -> Option<&str> {
        match self {
            Self::Found(_, params) => params.scheduler(),
            Self::WrongMethod(_) | Self::Nowhere => None,
        }
    }
}

/// Finds the route of a decoded path. `form` allows a POST to reach a GET route (contract 2.1 "Method fallback").
pub fn find<'r, 'p, A: ?Sized>(
    routes: &'r [Route<A>],
    method: &Method,
    path: &'p str,
    form: bool,
) -> Target<'r, 'p, A> {
    let mut other = None;
    for route in routes {
        let Some(params) = matches(route.template, path) else {
            continue;
        };
        if route.method == *method {
            return Target::Found(route, params);
        }
        if other.is_none_or(|(known, _): (&Route<A>, _)| known.method != Method::GET) {
            other = Some((route, params));
        }
    }
    match other {
        Some((route, params)) if form && route.method == Method::GET => {
            Target::Found(route, params)
        }
        Some((route, _)) => Target::WrongMethod(route),
        None => Target::Nowhere,
    }
}

/// Matches segment by segment. A parameter takes exactly one segment, which may be empty.
fn matches<'p>(template: &'static str, path: &'p str) -> Option<Params<'p>> {
    let mut params = Params::default();
    let (mut template, mut path) = (Some(template), Some(path));
    while let (Some(wanted), Some(given)) = (template, path) {
        let (segment, value);
        (segment, template) = first_segment(wanted);
        (value, path) = first_segment(given);
        match segment.strip_prefix('{') {
            Some(name) => params.push(name.trim_end_matches('}'), value),
            None if segment == value => {}
            None => return None,
        }
    }
    (template.is_none() && path.is_none()).then_some(params)
}

/// The text up to the first slash, and what follows it. It runs for each ping: for a few bytes, a plain loop is cheaper
/// than the search that `split` sets up.
fn first_segment(text: &str) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == b'/') {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    }
}
