//! Requests to the addresses of plugins, `/x/PLUGIN/…`.
//!
//! ```text
//! request ─▶ route? ─┬─ GET, HEAD ─▶ slice without event and run, which only reads ─▶ response
//!                    └─ others ────▶ commit: run.invoked + its run ─▶ slices … ─▶ run.ended with the response
//! ```
//! A request that may change something is an event of the core and a run, as a call of an action is: it is explained, tried again,
//! undone and played again as any run. What the event keeps of it holds nothing that authorises anybody. Who may send requests, how many
//! and how large ones, is the server's to see to, by what the route says; what a plugin answers is vetted here, before its run is kept.

mod address;
mod answer;
mod reply;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rapport_model::plugin::{Access, Asked, Method, RouteDef};
use rapport_model::run::INVOKED;
use rapport_model::{AutomationId, Declaration, Digest, Event, Value};
use rapport_sandbox::work::Request;
use rapport_sandbox::{GuestFailure, Output};
use serde_json::{Value as Json, json};

pub use self::answer::RouteAnswer;
pub use self::reply::RouteReply;
use crate::engine::Engine;
use crate::gate::Caller;
use crate::invoked;
use crate::plugins::State;
use crate::registry::{AutomationKind, Version};

/// Headers that are the host's own business: they authorise, or speak of the connection and of who stands between.
const KEPT_BACK: [&str; 16] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "webhook-signature",
    "x-api-key",
    "x-real-ip",
];
/// What the names of others of that kind begin with.
const KEPT_BACK_PREFIXES: [&str; 3] = ["proxy-", "x-forwarded-", "sec-"];

/// A route of a live plugin that a request means.
#[derive(Debug, Clone)]
pub struct FoundRoute {
    version: Arc<Version>,
    place: usize,
    method: Method,
    path: String,
    params: Vec<(String, String)>,
}

/// Why no route is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteMiss {
    /// The address cannot be read.
    #[error("the address {0}")]
    Unreadable(&'static str),
    /// There is no such plugin, or it has no such route, or nobody granted it.
    #[error("there is nothing at this address")]
    NotFound,
    /// There is one, but not for this method.
    #[error("this address answers {0}")]
    Method(String),
    /// The plugin was switched off.
    #[error("this address does not answer at present")]
    Off,
}

/// A request, as far as the plugin sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteRequest {
    /// The query, decoded, in its order.
    pub query: Vec<(String, String)>,
    /// All headers, names in lower case; those that are none of the plugin's business are taken out here.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Who sent a request, after the server has looked at what the route asks for.
#[derive(Debug, Clone, Copy)]
pub enum Sender<'a> {
    /// Nobody that is known.
    Nobody,
    /// Whoever signs with the route's secret.
    Signed,
    /// Somebody with a key.
    Caller(&'a Caller),
}

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOptions {
    /// Names the request, so that it happens once however often it is sent; with what was sent.
    pub once: Option<(String, Digest)>,
    /// How long to wait for the end of its run.
    pub wait: Duration,
}

/// Reads the query of an address.
///
/// # Errors
/// [`RouteMiss::Unreadable`].
pub fn read_query(raw: &str) -> Result<Vec<(String, String)>, RouteMiss> {
    address::query(raw).map_err(RouteMiss::Unreadable)
}

/// Writes pairs as a form is sent.
pub(crate) fn form(pairs: &[(String, String)]) -> String {
    address::form(pairs)
}

impl FoundRoute {
    /// The route as the plugin declares it.
    #[must_use]
    pub fn def(&self) -> &RouteDef {
        // It is where it was found, in a version that does not change.
        &self.version.declaration.routes[self.place]
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &AutomationId {
        &self.version.id
    }

    /// The plugin and its route: `loyalty POST /partners/{partner}/earn`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {} {}", self.version.id, self.method.as_str(), self.def().path)
    }

    /// Whether the request only reads.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        self.method.only_reads()
    }

    /// The request as the guest gets it.
    fn request(&self, request: RouteRequest, sender: Sender<'_>) -> Request {
        let RouteRequest { query, mut headers, body } = request;
        headers.retain(|(name, _)| is_for_plugins(name));
        let actor = match (sender, &self.def().secret) {
            (Sender::Caller(caller), _) => caller.actor.to_string(),
            (Sender::Signed, Some(secret)) => format!("signed:{secret}"),
            (Sender::Signed | Sender::Nobody, _) => String::new(),
        };
        Request {
            route: self.def().path.to_string(),
            method: self.method.as_str().to_owned(),
            path: self.path.clone(),
            path_params: self.params.clone(),
            query,
            headers,
            body,
            actor,
        }
    }
}

fn is_for_plugins(name: &str) -> bool {
    !KEPT_BACK.contains(&name) && !KEPT_BACK_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl Engine {
    /// The route that a request for `address` means: what follows `/x/` in its path, as it was sent.
    ///
    /// # Errors
    /// [`RouteMiss`].
    pub fn find_route(&self, address: &str, method: &str) -> Result<FoundRoute, RouteMiss> {
        let (plugin, rest) = address.split_at(address.find('/').unwrap_or(address.len()));
        let id = AutomationId::new(plugin).map_err(|_| RouteMiss::NotFound)?;
        let packed = self.inner.plugins.find(&id);
        match packed.as_ref().map(|packed| packed.state) {
            Some(State::Disabled) => return Err(RouteMiss::Off),
            Some(State::Waiting | State::Uninstalled) => return Err(RouteMiss::NotFound),
            Some(State::Enabled) | None => {}
        }
        if packed.as_ref().is_some_and(|packed| packed.is_stopped()) {
            return Err(RouteMiss::Off);
        }
        let live = self.inner.snapshot.load();
        let version = live.version(&id).filter(|version| version.kind == AutomationKind::Plugin);
        let version = version.ok_or(RouteMiss::NotFound)?;
        let granted = |route: &RouteDef, method| {
            packed.as_ref().is_none_or(|packed| {
                let secret =
                    route.secret.as_ref().is_none_or(|secret| packed.granted.holds(&format!("secret:{secret}")));
                secret && packed.granted.holds(&Asked::route(route, method))
            })
        };
        let path = address::path(rest).map_err(RouteMiss::Unreadable)?;
        let wanted = Method::parse(if method == "HEAD" { "GET" } else { method });
        let mut others = Vec::new();
        for (place, route) in version.declaration.routes.iter().enumerate() {
            let Some(params) = route.path.matches(&path) else { continue };
            let methods: Vec<Method> = route.methods.iter().copied().filter(|method| granted(route, *method)).collect();
            if let Some(method) = wanted.filter(|wanted| methods.contains(wanted)) {
                let params = params.into_iter().map(|(name, value)| (name.to_string(), value.to_owned())).collect();
                return Ok(FoundRoute { version: version.clone(), place, method, path, params });
            }
            others.extend(methods);
        }
        if others.is_empty() { Err(RouteMiss::NotFound) } else { Err(RouteMiss::Method(allowed(others))) }
    }
}

/// The methods as a header says them.
fn allowed(mut methods: Vec<Method>) -> String {
    methods.sort();
    methods.dedup();
    let mut text = String::new();
    for method in methods {
        let _ = write!(text, "{}{}", if text.is_empty() { "" } else { ", " }, method.as_str());
        if method == Method::Get {
            text.push_str(", HEAD");
        }
    }
    text
}

/// The request that `event` stands for, if it does.
pub(crate) fn request_in(event: &Event) -> Option<Request> {
    if event.kind.as_str() != INVOKED {
        return None;
    }
    let Value::Json(kept) = invoked::field(event, "request")? else { return None };
    let text = |name: &str| kept[name].as_str().unwrap_or_default().to_owned();
    Some(Request {
        route: text("route"),
        method: text("method"),
        path: text("path"),
        path_params: reply::pairs(&kept["params"]),
        query: reply::pairs(&kept["query"]),
        headers: reply::pairs(&kept["headers"]),
        body: reply::body_of(kept),
        actor: text("from"),
    })
}

/// The request as its event keeps it.
fn kept(request: &Request) -> Json {
    let mut json = json!({
        "route": request.route,
        "method": request.method,
        "path": request.path,
        "params": request.path_params,
        "query": request.query,
        "headers": request.headers,
        "from": request.actor,
    });
    reply::put_body(&mut json, &request.body);
    json
}

/// What a guest answered to a request, if it may answer so.
pub(crate) fn read_response(output: Output) -> Result<RouteReply, GuestFailure> {
    let wrong = |message: String| GuestFailure::Failed { code: "invalid_response".into(), message, retryable: false };
    match output {
        Output::Response(response) => RouteReply::vetted(response).map_err(wrong),
        _ => Err(wrong("the plugin answered nothing".into())),
    }
}

/// The routes of a plugin as they are shown, each with its address.
pub(crate) fn to_json(id: &AutomationId, declaration: &Declaration, granted: Option<&Asked>) -> Json {
    let shown = |route: &RouteDef| {
        let is_granted = |method: &Method| granted.is_none_or(|all| all.holds(&Asked::route(route, *method)));
        json!({
            "methods": route.methods,
            "url": format!("/x/{id}{}", route.path),
            "access": route.access,
            "secret": route.secret,
            "per_minute": route.per_minute,
            "body_bytes_max": route.body_bytes_max,
            "lane": route.lane,
            "granted": route.methods.iter().all(is_granted),
        })
    };
    declaration.routes.iter().map(shown).collect()
}

impl Sender<'_> {
    /// Whether a route of this access takes requests from whom this is.
    const fn suits(self, access: Access) -> bool {
        matches!(
            (self, access),
            (Sender::Nobody, Access::Public) | (Sender::Signed, Access::Signed) | (Sender::Caller(_), Access::Users)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_sees_no_header_that_authorises() {
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-forwarded-for",
            "forwarded",
            "webhook-signature",
            "host",
        ] {
            assert!(!is_for_plugins(name), "{name}");
        }
        for name in ["content-type", "accept-language", "user-agent", "webhook-id", "x-github-event"] {
            assert!(is_for_plugins(name), "{name}");
        }
    }

    #[test]
    fn who_reads_may_also_look_at_the_head() {
        assert_eq!(allowed(vec![Method::Post, Method::Get, Method::Post]), "GET, HEAD, POST");
        assert_eq!(allowed(vec![Method::Delete]), "DELETE");
    }
}
