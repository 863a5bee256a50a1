//! Calls of a Prometheus server's HTTP API, with what it asks of its callers: a token, TLS, a tenant.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use maestro_core::ports::MetricsError;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::answer::read;
use crate::tls;

/// Names the tenant of Mimir, Cortex, Thanos and others.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
/// The most bytes of an answer: many times what 11,000 samples take.
const ANSWER_MAX: usize = 16 << 20;

/// Which server, and how it is called.
#[derive(Clone, Debug)]
pub struct PrometheusSettings {
    /// Its URL, perhaps with a path: `http://localhost:9090`.
    pub url: String,
    /// How long one query may take.
    pub timeout: Duration,
    /// A file with the bearer token. It is read for each query, because tokens of pods are renewed.
    pub token_file: Option<PathBuf>,
    /// The tenant, sent as `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// A PEM file of authorities; otherwise those of the system are trusted.
    pub authorities: Option<PathBuf>,
}

/// Why no server can be called.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none.
    #[error("prometheus.url {0:?} is no URL such as http://localhost:9090")]
    Url(String),
    /// The file of authorities is of no use.
    #[error("the authorities of prometheus.caFile={0} cannot be read: {1}")]
    Authorities(String, String),
    /// The tenant cannot be sent.
    #[error("prometheus.tenant {0:?} cannot be sent as a header")]
    Tenant(String),
}

pub struct PrometheusClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    timeout: Duration,
    token_file: Option<PathBuf>,
    tenant: Option<HeaderValue>,
}

impl PrometheusClient {
    pub fn new(settings: PrometheusSettings) -> Result<Self, OpenError> {
        let base = settings.url.trim_end_matches('/').to_owned();
        let uri: Option<Uri> = base.parse().ok();
        let known = |uri: Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        if !uri.is_some_and(known) {
            return Err(OpenError::Url(settings.url));
        }
        let config = tls::config(settings.authorities.as_deref()).map_err(|why| {
            let file = settings.authorities.unwrap_or_default();
            OpenError::Authorities(file.display().to_string(), why)
        })?;
        let tenant = settings.tenant.map(|tenant| {
            let header = HeaderValue::from_str(&tenant);
            header.map_err(|_| OpenError::Tenant(tenant))
        });
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            base,
            timeout: settings.timeout,
            token_file: settings.token_file,
            tenant: tenant.transpose()?,
        })
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks with a form, which holds queries that no URL would.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, MetricsError> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let fields = form
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        let form = fields.collect::<Vec<_>>().join("&");
        self.call(Method::POST, path, form).await
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, MetricsError> {
        self.call(Method::GET, path, String::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        form: String,
    ) -> Result<T, MetricsError> {
        let asked = self.ask(method, path, form);
        let answered = tokio::time::timeout(self.timeout, asked).await;
        let (status, body) = answered.unwrap_or_else(|_| {
            Err(MetricsError::Late(format!(
                "Prometheus at {} did not answer within {:?}",
                self.base, self.timeout
            )))
        })?;
        read(&self.base, status, &body)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        form: String,
    ) -> Result<(http::StatusCode, Bytes), MetricsError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if !form.is_empty() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(tenant) = &self.tenant {
            request = request.header(TENANT, tenant);
        }
        if let Some(token) = self.token().await? {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Full::new(form.into()))
            .map_err(|error| MetricsError::Internal(error.to_string()))?;
        let away = |error: &(dyn std::error::Error + 'static)| {
            let chain = std::iter::successors(Some(error), |error| error.source());
            let cause = chain.last().unwrap_or(error);
            MetricsError::Unavailable(format!(
                "Prometheus at {} cannot be reached: {cause}; see prometheus.url",
                self.base
            ))
        };
        let answer = self.http.request(request).await;
        let (head, body) = answer.map_err(|error| away(&error))?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| away(&*error))?;
        Ok((head.status, body.to_bytes()))
    }

    async fn token(&self) -> Result<Option<HeaderValue>, MetricsError> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        let unusable = |why: String| {
            MetricsError::Unprepared(format!(
                "prometheus.bearerTokenFile={} cannot be used: {why}",
                file.display()
            ))
        };
        let token = tokio::fs::read_to_string(file).await;
        let token = token.map_err(|error| unusable(error.to_string()))?;
        let header = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut header = header.map_err(|_| unusable("it is no token".to_owned()))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}
