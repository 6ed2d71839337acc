//! The HTTP API: one table of routes, from which the router and `openapi.json` are both made.
//!
//! A handler reads the request, calls one engine function and writes the answer. Rights are the engine's; here a key is
//! only recognised.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use futures::FutureExt;
use rapport_engine::Engine;
use tokio::sync::{Semaphore, watch};
use tower_service::Service as _;

use crate::config::ServerConfig;
use crate::problem::Problem;

mod actions;
mod audit;
mod automations;
mod backtests;
mod backup;
mod bulk;
mod customers;
mod docs;
mod effects;
mod events;
mod extract;
mod files;
mod health;
mod keys;
mod limiter;
mod loads;
mod objects;
mod page;
mod pages;
mod plugins;
mod pump;
mod records;
mod relations;
mod rollups;
mod route;
mod runs;
mod schedules;
mod segments;
mod stream;
mod tags;
mod undos;
mod users;
mod versions;

pub(crate) use backtests::SCRATCH_FOLDER;
pub use extract::API_LIMITS;
pub(crate) use pages::Peer;
pub use route::Route;

/// What every handler works with.
pub struct Shared {
    /// The engine.
    pub engine: Engine,
    /// What one client may take.
    pub limits: ServerConfig,
    /// The data folder, for backups and the key that signs anchors.
    pub data: PathBuf,
    /// Turns true when the server stops: streams end then.
    pub stopping: watch::Receiver<bool>,
    /// Counters for `/metrics`.
    pub counters: Counters,
    /// Places for readers of the event stream.
    pub streams: Arc<Semaphore>,
    limiter: limiter::Limiter,
    openapi: String,
    ids: RequestIds,
}

/// The state of the router: cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

impl std::ops::Deref for Api {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl axum::extract::FromRef<Api> for Engine {
    fn from_ref(api: &Api) -> Self {
        api.engine.clone()
    }
}

/// Counts of what was answered, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers by the first digit of their status, 1 to 5.
    by_class: [AtomicU64; 5],
    /// Microseconds from head read to answer begun, summed.
    busy_micros: AtomicU64,
    /// Requests being worked on.
    in_flight: AtomicUsize,
}

/// Makes ids that tell requests of this process apart, and from those of another.
#[derive(Debug)]
struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let mut random = [0; 4];
        // Without randomness of the machine the ids are still different within this process.
        let prefix = if getrandom::fill(&mut random).is_ok() { u32::from_be_bytes(random) } else { std::process::id() };
        Self { prefix: format!("{prefix:08x}"), next: AtomicU64::new(1) }
    }

    /// The id that the client gave, if it is a plain one, else a new one.
    fn of(&self, request: &Request<impl Sized>) -> String {
        let given = request.headers().get(&REQUEST_ID).and_then(|v| v.to_str().ok());
        let plain = |t: &&str| {
            (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        match given.filter(plain) {
            Some(id) => id.to_owned(),
            None => format!("{}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the API is made from.
pub struct Parts {
    /// The engine.
    pub engine: Engine,
    /// What one client may take.
    pub limits: ServerConfig,
    /// The data folder.
    pub data: PathBuf,
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// The whole API as a service: request in, answer out, never an error.
#[derive(Clone)]
pub struct Service {
    api: Api,
    router: Router,
}

impl Service {
    /// Puts the routes together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { engine, limits, data, stopping } = parts;
        let routes = routes();
        let openapi = crate::openapi::document(&routes).to_string();
        let streams = Arc::new(Semaphore::new(limits.streams_max));
        let counters = Counters::default();
        let ids = RequestIds::new();
        let limiter = limiter::Limiter::default();
        let api = Api(Arc::new(Shared { engine, limits, data, stopping, counters, streams, limiter, openapi, ids }));
        let mut router = Router::new();
        for route in routes {
            router = router.route(route.path, route.handler);
        }
        router = router.route("/x/{*address}", any(pages::answer));
        let router = router.fallback(no_such_address).method_not_allowed_fallback(no_such_method);
        Self { router: router.with_state(api.clone()), api }
    }

    /// Answers one request. A problem gets the request id here, and every answer its header.
    pub async fn answer(mut self, request: Request<Body>) -> Response {
        let began = Instant::now();
        let id = self.api.ids.of(&request);
        let counters = &self.api.counters;
        counters.in_flight.fetch_add(1, Ordering::Relaxed);
        let guard = InFlight(counters);
        let answered = AssertUnwindSafe(self.router.call(request)).catch_unwind().await;
        let mut response = match answered {
            Ok(Ok(response)) => finished(response, &id),
            // The panic itself went to the log with its place; the other requests go on.
            Err(_) => Problem::internal("the handler panicked").finish(&id),
        };
        drop(guard);
        let class = usize::from(response.status().as_u16() / 100).clamp(1, 5) - 1;
        counters.by_class[class].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        counters.busy_micros.fetch_add(micros, Ordering::Relaxed);
        if let Ok(value) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID.clone(), value);
        }
        response
    }
}

/// Counts a request as in flight, also one whose client went away.
struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Turns an answer that carries a problem, or a bare error status, into problem+json.
fn finished(response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions().get::<Arc<Problem>>() {
        let mut extra = response.headers().clone();
        // The router measured the empty body that stood in for the problem.
        extra.remove(header::CONTENT_LENGTH);
        let mut done = problem.finish(id);
        done.headers_mut().extend(extra);
        return done;
    }
    if response.extensions().get::<pages::OfPlugin>().is_some() {
        return response;
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        return Problem::of_status(status).finish(id);
    }
    response
}

async fn no_such_address(request: Request<Body>) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new("not_found", format!("there is nothing at `{path}`; /docs lists every address"))
}

async fn no_such_method(State(_): State<Api>, request: Request<Body>) -> Problem {
    Problem::new(
        "method_not_allowed",
        format!("`{}` does not work at this address; /docs says what does", request.method()),
    )
}

/// Every route of the API.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut all = objects::routes();
    all.extend(rollups::routes());
    all.extend(records::routes());
    all.extend(tags::routes());
    all.extend(relations::routes());
    all.extend(customers::routes());
    all.extend(files::routes());
    all.extend(segments::routes());
    all.extend(bulk::routes());
    all.extend(loads::routes());
    all.extend(events::routes());
    all.extend(stream::routes());
    all.extend(automations::routes());
    all.extend(versions::routes());
    all.extend(plugins::routes());
    all.extend(actions::routes());
    all.extend(backtests::routes());
    all.extend(effects::routes());
    all.extend(runs::routes());
    all.extend(schedules::routes());
    all.extend(undos::routes());
    all.extend(keys::routes());
    all.extend(users::routes());
    all.extend(audit::routes());
    all.extend(backup::routes());
    all.extend(health::routes());
    all.extend(docs::routes());
    all
}

/// A JSON answer.
fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a handler answers.
type Answer = Result<Response, Problem>;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests;
