//! What guests are called with beside events, and what they answer, as it passes the border.

use wasmtime::component::{ComponentType, Lift, Lower};

use super::{FIELD_BYTES, OutEvent, OutField, OutValue, bytes_of};
use crate::host::GuestFields;
use crate::work::{ActionCall, MigrationStep, ProposedChange, Refusal, Request, Response, Undone};

/// A name and a value on their way to a guest.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutPair {
    name: String,
    value: String,
}

/// A name and a value from a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InPair {
    name: String,
    value: String,
}

fn out_pairs(pairs: Vec<(String, String)>) -> Vec<OutPair> {
    pairs.into_iter().map(|(name, value)| OutPair { name, value }).collect()
}

fn pairs_bytes(pairs: &[OutPair]) -> usize {
    pairs.iter().map(|p| FIELD_BYTES + p.name.len() + p.value.len()).sum()
}

/// A call of an action.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutCall {
    action: String,
    input: String,
    caller: String,
    #[component(name = "event-position")]
    event_position: u64,
}

impl From<ActionCall> for OutCall {
    fn from(ActionCall { action, input, caller, event_position }: ActionCall) -> Self {
        Self { action, input, caller, event_position: u64::try_from(event_position).unwrap_or(0) }
    }
}

impl OutCall {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        FIELD_BYTES + self.action.len() + self.input.len() + self.caller.len()
    }
}

/// A request.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutRequest {
    route: String,
    method: String,
    path: String,
    #[component(name = "path-params")]
    path_params: Vec<OutPair>,
    query: Vec<OutPair>,
    headers: Vec<OutPair>,
    body: Vec<u8>,
    actor: String,
}

impl From<Request> for OutRequest {
    fn from(request: Request) -> Self {
        let Request { route, method, path, path_params, query, headers, body, actor } = request;
        let (path_params, query, headers) = (out_pairs(path_params), out_pairs(query), out_pairs(headers));
        Self { route, method, path, path_params, query, headers, body, actor }
    }
}

impl OutRequest {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.route, &self.method, &self.path, &self.actor].into_iter().map(String::len).sum::<usize>();
        let pairs = [&self.path_params, &self.query, &self.headers].into_iter().map(|p| pairs_bytes(p)).sum::<usize>();
        FIELD_BYTES + texts + pairs + self.body.len()
    }
}

/// The answer to a request.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InResponse {
    status: u16,
    headers: Vec<InPair>,
    body: Vec<u8>,
}

impl InResponse {
    /// The bytes that it costs the host.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|p| FIELD_BYTES + p.name.len() + p.value.len()).sum();
        headers + self.body.len()
    }
}

impl From<InResponse> for Response {
    fn from(InResponse { status, headers, body }: InResponse) -> Self {
        Self { status, headers: headers.into_iter().map(|p| (p.name, p.value)).collect(), body }
    }
}

/// A change that is to be judged.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutChange {
    object: String,
    id: String,
    operation: String,
    before: Vec<OutField>,
    after: Vec<OutField>,
    actor: String,
}

impl From<ProposedChange> for OutChange {
    fn from(ProposedChange { object, id, operation, before, after, actor }: ProposedChange) -> Self {
        let fields = |all: GuestFields| {
            all.into_iter().map(|(name, value)| OutField { name: name.into(), value: OutValue::new(&value, None) })
        };
        let (before, after) = (fields(before).collect(), fields(after).collect());
        Self { object, id, operation, before, after, actor }
    }
}

impl OutChange {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.object, &self.id, &self.operation, &self.actor].into_iter().map(String::len).sum::<usize>();
        FIELD_BYTES + texts + bytes_of(&self.before) + bytes_of(&self.after)
    }
}

/// Why a change is refused.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct InRefusal {
    code: String,
    message: String,
    field: String,
}

impl From<InRefusal> for Refusal {
    fn from(InRefusal { code, message, field }: InRefusal) -> Self {
        Self { code, message, field }
    }
}

/// A run that is to be taken back.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutUndone {
    run: String,
    #[component(name = "automation-digest")]
    automation_digest: String,
    event: Option<OutEvent>,
    action: Option<OutCall>,
}

impl From<Undone> for OutUndone {
    fn from(Undone { run, automation_digest, event, action }: Undone) -> Self {
        Self { run, automation_digest, event: event.map(OutEvent::from), action: action.map(OutCall::from) }
    }
}

impl OutUndone {
    /// The bytes that it costs a guest.
    pub(crate) fn bytes(&self) -> usize {
        let called = self.event.as_ref().map_or(0, OutEvent::bytes) + self.action.as_ref().map_or(0, OutCall::bytes);
        FIELD_BYTES + self.run.len() + self.automation_digest.len() + called
    }
}

/// A step of a migration.
#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OutStep {
    from: String,
    to: String,
    cursor: String,
    #[component(name = "dry-run")]
    dry_run: bool,
}

impl From<MigrationStep> for OutStep {
    fn from(MigrationStep { from, to, cursor, dry_run }: MigrationStep) -> Self {
        Self { from, to, cursor, dry_run }
    }
}

impl OutStep {
    /// The bytes that it costs a guest.
    pub(crate) const fn bytes(&self) -> usize {
        FIELD_BYTES + self.from.len() + self.to.len() + self.cursor.len()
    }
}
