//! `/x/PLUGIN/…`: the addresses of plugins, from the first look at a request to the last header of its answer.
//!
//! ```text
//! route? ─▶ client within its limit? ─▶ who sends? (key, signature) ─▶ body ─▶ engine ─▶ answer with the host's headers
//! ```
//! Strangers are told what is wrong with their request, and never what is wrong in here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use rapport_engine::{
    Caller, EngineError, FoundRoute, RouteAnswer, RouteMiss, RouteOptions, RouteReply, RouteRequest, Sender, read_query,
};
use rapport_model::plugin::Access;
use serde_json::json;

use super::actions::wait;
use super::extract::{bearer, fingerprint, read_body, write_options};
use super::{Api, json_response};
use crate::outbound::{Network, Secrets, SignedBy, verify_webhook};
use crate::problem::Problem;

/// How long a stranger waits for the end of a run.
const WAIT: Duration = Duration::from_secs(10);
/// What a page may do in a browser: show itself with the styles and pictures of this server, and send its forms here. No script, no frame,
/// no style in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// The address at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Marks the answer of a plugin: it stays as it is, also if its status is that of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfPlugin;

/// Answers a request below `/x/`.
pub(super) async fn answer(State(api): State<Api>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let address = parts.uri.path().strip_prefix("/x/").unwrap_or_default().to_owned();
    let mut response = match api.engine.find_route(&address, parts.method.as_str()) {
        Ok(route) => answered(&api, &route, &parts, body).await.unwrap_or_else(IntoResponse::into_response),
        Err(miss) => missed(&miss),
    };
    protect(response.headers_mut());
    response
}

async fn answered(api: &Api, route: &FoundRoute, parts: &Parts, body: Body) -> Result<Response, Refused> {
    let (name, per_minute, now) = (route.name(), route.def().per_minute, api.engine.now());
    let client = client(parts, &api.limits.trusted_proxies);
    api.limiter.client(&name, per_minute, client, now).map_err(Refused::Later)?;
    let query = read_query(parts.uri.query().unwrap_or_default()).map_err(|e| problem("bad_request", e.to_string()))?;
    let caller = match route.def().access {
        Access::Users => Some(api.engine.authenticate(bearer(&parts.headers)?).await.map_err(Problem::from)?),
        Access::Public | Access::Signed => None,
    };
    let max = usize::try_from(route.def().body_bytes_max).unwrap_or(usize::MAX);
    let body = if route.only_reads() { Bytes::new() } else { read_body(api, &parts.headers, body, max).await? };
    let signed = match &route.def().secret {
        Some(secret) => Some(signature(api, secret, (parts, &body)).await?),
        None => None,
    };
    api.limiter.all(&name, per_minute, now).map_err(Refused::Later)?;
    let options = options(parts, &body, (caller.as_ref(), signed))?;
    let sender = match (&caller, route.def().access) {
        (Some(caller), _) => Sender::Caller(caller),
        (None, Access::Signed) => Sender::Signed,
        (None, _) => Sender::Nobody,
    };
    let headers = headers(&parts.headers);
    let request = RouteRequest { query, headers, body: body.to_vec() };
    match api.engine.answer_route(route, request, sender, &options).await {
        Ok(answer) => Ok(response(answer, route, &parts.method)),
        Err(error) => Err(Refused::Problem(told(route, error))),
    }
}

/// Why a request is not answered by the plugin.
enum Refused {
    Problem(Problem),
    /// It comes too soon, by as many seconds.
    Later(u64),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Later(seconds) => {
                let detail = format!("too many requests: send the next one in {seconds} s");
                with(Problem::new("rate_limited", detail), &header::RETRY_AFTER, &seconds.to_string())
            }
        }
    }
}

fn problem(code: &'static str, detail: impl Into<String>) -> Refused {
    Refused::Problem(Problem::new(code, detail))
}

fn missed(miss: &RouteMiss) -> Response {
    let detail = miss.to_string();
    match miss {
        RouteMiss::Unreadable(_) => Problem::new("bad_request", detail).into_response(),
        RouteMiss::NotFound => Problem::new("not_found", detail).into_response(),
        RouteMiss::Off => Problem::new("unavailable", detail).into_response(),
        RouteMiss::Method(allow) => with(Problem::new("method_not_allowed", detail), &header::ALLOW, allow),
    }
}

fn with(problem: Problem, name: &HeaderName, value: &str) -> Response {
    let mut response = problem.into_response();
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// What a sender is told of an error: those with a key all of it, strangers that there was one.
fn told(route: &FoundRoute, error: EngineError) -> Problem {
    let code = error.code();
    if matches!(code, "route_failed" | "unavailable" | "internal" | "disk_full") {
        tracing::warn!(plugin.id = %route.plugin(), error.code = code, "a request was not answered: {error}");
    }
    if route.def().access == Access::Users {
        return error.into();
    }
    match error {
        EngineError::Idempotency(_) => Problem::new(code, "this webhook-id was used for another message"),
        EngineError::RouteFailed { .. } | EngineError::Internal(_) => {
            Problem::new("route_failed", "this address could not answer")
        }
        _ => Problem::new("unavailable", "this address does not answer at present"),
    }
}

/// Who sends: the other end of the connection, or whom a proxy that the operator trusts says that it speaks for.
fn client(parts: &Parts, trusted: &[Network]) -> IpAddr {
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.to_canonical());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let told = parts.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = told.flat_map(|value| value.split(',')).map(str::trim).collect();
    // Each proxy adds whom it has seen at the end; what stands before the first stranger is only said.
    let mut last = peer;
    for hop in hops.iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        last = address.to_canonical();
        if !is_trusted(last) {
            break;
        }
    }
    last
}

/// The name that a signed request has, if whoever sent it knows the secret.
async fn signature(api: &Api, secret: &str, (parts, body): (&Parts, &Bytes)) -> Result<String, Problem> {
    let text =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let signed = SignedBy {
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp"),
        signatures: text("webhook-signature"),
    };
    let (secrets, name, body, now) = (Secrets::new(&api.data), secret.to_owned(), body.clone(), api.engine.now());
    let verified =
        tokio::task::spawn_blocking(move || verify_webhook(&secrets, &name, (&signed, &body), now).map(|()| signed.id));
    match verified.await {
        Ok(Ok(id)) => Ok(id),
        Ok(Err(refusal)) if refusal.ours => {
            tracing::error!(secret.name = secret, "a signed request was not taken: {}", refusal.message);
            Err(Problem::new("unavailable", "this address does not answer at present"))
        }
        Ok(Err(refusal)) => Err(Problem::new("invalid_signature", refusal.message)),
        Err(_) => Err(Problem::internal("the signature could not be looked at")),
    }
}

fn options(
    parts: &Parts,
    body: &Bytes,
    (caller, signed): (Option<&Caller>, Option<String>),
) -> Result<RouteOptions, Problem> {
    Ok(match (caller, signed) {
        (Some(_), _) => RouteOptions { once: write_options(parts, body)?.idempotency_key, wait: wait(&parts.headers)? },
        (None, Some(id)) => RouteOptions { once: Some((id, fingerprint(parts, body))), wait: WAIT },
        (None, None) => RouteOptions { once: None, wait: WAIT },
    })
}

fn headers(all: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), std::str::from_utf8(value.as_bytes()).ok()?.to_owned()))
    };
    all.iter().filter_map(text).collect()
}

fn response(answer: RouteAnswer, route: &FoundRoute, method: &Method) -> Response {
    let (mut response, run) = match answer {
        RouteAnswer::Reply { reply, run, replayed } => {
            let mut response = of_plugin(reply, method);
            if replayed {
                response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
            }
            (response, run)
        }
        RouteAnswer::Open { run, status } => {
            let mut told = json!({ "status": status.as_str() });
            if route.def().access != Access::Public {
                told["run"] = json!(run);
            }
            (json_response(StatusCode::ACCEPTED, &told), Some(run))
        }
    };
    let run = run.filter(|_| route.def().access != Access::Public);
    if let Some(value) = run.and_then(|run| HeaderValue::try_from(run.to_string()).ok()) {
        response.headers_mut().insert("rapport-run", value);
    }
    response
}

/// The answer of a plugin. Its body is left to the connection to leave out where only the head was asked for.
fn of_plugin(reply: RouteReply, method: &Method) -> Response {
    let RouteReply { status, headers, body } = reply;
    let length = body.len();
    let has_body = !matches!(status, 204 | 304);
    let mut response = Response::new(if *method == Method::HEAD { Body::empty() } else { Body::from(body) });
    // The engine has vetted it.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kept = response.headers_mut();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            kept.insert(name, value);
        }
    }
    if has_body && *method == Method::HEAD {
        kept.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if has_body && length > 0 && !kept.contains_key(header::CONTENT_TYPE) {
        kept.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    response.extensions_mut().insert(OfPlugin);
    response
}

/// What the host says to browsers, whatever the plugin answered.
fn protect(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_by(peer: &str, forwarded: &[&str]) -> Parts {
        let mut builder = Request::get("/");
        for value in forwarded {
            builder = builder.header("x-forwarded-for", *value);
        }
        let (mut parts, ()) = builder.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        parts
    }

    #[test]
    fn a_client_is_whom_a_trusted_proxy_has_seen() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].iter().map(|n| n.parse().unwrap()).collect();
        let seen = |peer: &str, forwarded: &[&str]| client(&sent_by(peer, forwarded), &trusted).to_string();
        // Nobody is believed who is not trusted.
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        // What the client itself has written stands before what the proxies have added.
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7, nonsense"]), "10.0.0.1");
        assert_eq!(client(&sent_by("10.0.0.1", &["198.51.100.7"]), &[]).to_string(), "10.0.0.1");
    }

    #[test]
    fn the_hosts_own_headers_stand_on_every_answer() {
        let reply = RouteReply {
            status: 404,
            headers: vec![("content-type".into(), "text/html".into())],
            body: b"no".to_vec(),
        };
        let mut response = of_plugin(reply, &Method::GET);
        protect(response.headers_mut());
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(
            (&response.headers()["cache-control"], response.status()),
            (&HeaderValue::from_static("no-store"), StatusCode::NOT_FOUND)
        );
    }
}
