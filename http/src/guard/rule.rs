//! Whether a request may be served, by its head alone.

use actix_http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};

use super::authority::{Authority, Origin};
use super::cors;
use super::trusted::{TrustedHost, TrustedOrigin};

pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What operators trust in addition to this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Names under which the servers may be called (`api.allowedHosts`).
    pub hosts: Vec<TrustedHost>,
    /// Names of this server that other settings reveal. They are accepted like `hosts`, but do not by themselves cause
    /// names to be checked.
    pub own_names: Vec<TrustedHost>,
    /// Origins whose pages may call the servers (`api.allowedOrigins`).
    pub origins: Vec<TrustedOrigin>,
}

/// The guard's rules for one listener.
#[derive(Clone, Debug)]
pub struct Rule {
    pub trusted: Trusted,
    /// Whether host names are checked. On a loopback listener they are: its clients are local processes or a local
    /// proxy.
    pub names: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its host name is not ours: a DNS name that was made to resolve to this server.
    ForeignHost,
    /// Its `Origin` is a page from elsewhere.
    ForeignOrigin,
    /// The browser marked it as sent by a page of another site.
    CrossSite,
}

impl Reason {
    pub const ALL: [Self; 3] = [Self::ForeignHost, Self::ForeignOrigin, Self::CrossSite];

    /// The reason in one word, for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::ForeignHost => "foreign-host",
            Self::ForeignOrigin => "foreign-origin",
            Self::CrossSite => "cross-site",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::ForeignHost => {
                "the request calls a host name that this server does not know: call it by its IP address or as localhost, or add \
                 the name to api.allowedHosts"
            }
            Self::ForeignOrigin => {
                "the request comes from a web page of another origin: to let that page call this server, add its origin to \
                 api.allowedOrigins"
            }
            Self::CrossSite => {
                "the browser sends this request for a web page of another site: to let that page call this server, add its \
                 origin to api.allowedOrigins"
            }
        }
    }
}

/// The verdict on a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict<'a> {
    Serve,
    /// Serve, and tell the browser that this trusted origin may read the response.
    ServeFor(&'a HeaderValue),
    /// Answer the browser's preflight request of this trusted origin.
    Preflight(&'a HeaderValue),
    Refuse(Reason),
}

impl Rule {
    /// Judges a request by its head alone.
    pub fn judge<'a>(&self, method: &Method, uri: &Uri, headers: &'a HeaderMap) -> Verdict<'a> {
        if self.names && !self.knows_names(uri, headers) {
            return Verdict::Refuse(Reason::ForeignHost);
        }
        let mut origins = headers.get_all(header::ORIGIN);
        if let Some(origin) = origins.next() {
            // Browsers send exactly one.
            let alone = origins.next().is_none();
            if alone && self.trusts(origin) {
                return match cors::is_preflight(method, headers) {
                    true => Verdict::Preflight(origin),
                    false => Verdict::ServeFor(origin),
                };
            }
            let ours = alone && is_ours(origin, uri, headers);
            if !ours && !is_navigation(method, headers) {
                return Verdict::Refuse(Reason::ForeignOrigin);
            }
        }
        if is_cross_site(headers) && !is_navigation(method, headers) {
            return Verdict::Refuse(Reason::CrossSite);
        }
        Verdict::Serve
    }

    /// Whether all names in the request are ours: the one in its target, which takes precedence, and those in `Host`.
    fn knows_names(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let target = uri.authority().map(|authority| authority.as_str());
        target.is_none_or(|text| self.knows(text))
            && headers
                .get_all(header::HOST)
                // A client that has no name for us sends an empty one (RFC 9112, 3.2).
                .filter(|host| !host.is_empty())
                .all(|host| text(host).is_some_and(|text| self.knows(text)))
    }

    fn knows(&self, authority: &str) -> bool {
        let Some(Authority { host, .. }) = Authority::parse(authority) else {
            return false;
        };
        let Trusted {
            hosts, own_names, ..
        } = &self.trusted;
        host.is_local() || hosts.iter().chain(own_names).any(|known| known.is(&host))
    }

    fn trusts(&self, origin: &HeaderValue) -> bool {
        let trusted = &self.trusted.origins;
        if trusted.is_empty() {
            return false;
        }
        let Some(origin) = text(origin).and_then(Origin::parse) else {
            return false;
        };
        trusted.iter().any(|known| known.is(&origin))
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Whether the origin matches the target of the request, in every header that states it.
fn is_ours(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(origin) = text(origin).and_then(Origin::parse) else {
        return false;
    };
    let is_at = |called: &str| Authority::parse(called).is_some_and(|called| origin.is_at(&called));
    let target = uri.authority().map(|authority| authority.as_str());
    let mut hosts = headers.get_all(header::HOST).peekable();
    let named = target.is_some() || hosts.peek().is_some();
    named && target.is_none_or(is_at) && hosts.all(|host| text(host).is_some_and(is_at))
}

/// The item of a structured header, without the parameters after a `;`.
fn word(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b';');
    bytes[..end.unwrap_or(bytes.len())].trim_ascii()
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get_all(SEC_FETCH_SITE).any(|site| {
        let is = |other: &str| word(site).eq_ignore_ascii_case(other.as_bytes());
        is("cross-site") || is("same-site")
    })
}

/// A user follows a link or types an address: the user sees the response, and no page can read it.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: HeaderName, wanted: &str| {
        let mut all = headers.get_all(name);
        let first = all.next();
        first.is_some_and(|value| word(value).eq_ignore_ascii_case(wanted.as_bytes()))
            && all.next().is_none()
    };
    *method == Method::GET && is(SEC_FETCH_MODE, "navigate") && is(SEC_FETCH_DEST, "document")
}
