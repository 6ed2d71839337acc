//! What a slice sends: messages made from templates, HTTP calls. Kept beside its writes, and carried out after its commit.

use std::sync::Arc;
use std::time::Duration;

use rapport_model::automation::{Need, is_secret_name};
use rapport_model::effect::{HTTP, effect_call, effect_id};
use rapport_model::json::{field_to_json, to_json};
use rapport_model::limits::{EFFECT_BYTES_MAX, EFFECT_DEADLINE_MICROS, HTTP_TIMEOUT_MICROS, HTTP_TIMEOUT_MICROS_MAX};
use rapport_model::{Effect, EffectId, EffectStatus, Record, RunId, Timestamp, duration};
use rapport_sandbox::{GuestFailure, HostError, HttpRequest, Outgoing, Sandbox, SandboxError, TemplatePart};
use serde_json::{Map, Value as Json, json};
use url::Url;

use super::{Answer, SliceHost, limit};
use crate::effects::request::{call_json, message_json};
use crate::effects::transport::{Failure, HttpCall, Message, SecretUse, Transport};
use crate::engine::Inner;
use crate::key;
use crate::replay::Replay;

/// The object that templates are records of.
const TEMPLATE: &str = "template";
/// The method names that are taken: the standard ones that carry a request (RFC 9110, RFC 5789).
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What a slice has sent so far, and what it needs for that.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) effects: Vec<Effect>,
    transport: Arc<dyn Transport>,
    sandbox: Sandbox,
    /// What was answered then, if a recorded log is played again.
    pub(crate) replay: Option<Arc<Replay>>,
    run: RunId,
    slice: i64,
}

impl Outbound {
    /// That of slice `slice` of `run`.
    pub(crate) fn new(inner: &Inner, run: RunId, slice: i64) -> Self {
        let (transport, sandbox) = (inner.transport.clone(), inner.sandbox.clone());
        let replay = inner.replay.get().cloned();
        Self { effects: Vec::new(), transport, sandbox, replay, run, slice }
    }
}

impl Outbound {
    /// That of what is called beside the slice: nothing of its own.
    pub(crate) fn beside(other: &Self) -> Self {
        Self {
            effects: Vec::new(),
            transport: other.transport.clone(),
            sandbox: other.sandbox.clone(),
            replay: other.replay.clone(),
            run: other.run,
            slice: other.slice,
        }
    }

    pub(crate) const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What uses secrets, which the slice never sees.
    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// The number of the slice in its run, from 0.
    pub(crate) fn slice_number(&self) -> u64 {
        u64::try_from(self.slice).unwrap_or(0)
    }
}

/// An effect before it has its key.
struct Draft {
    channel: String,
    destination: String,
    request: Json,
    deadline_at: Timestamp,
}

impl SliceHost {
    /// Makes the slice one of a run that has waited before.
    pub(crate) fn begins_slice(&mut self, slice: i64) {
        self.outbound.slice = slice;
    }

    fn add_effect(&mut self, draft: Draft) -> Answer<EffectId> {
        let count = self.outbound.effects.len();
        if u32::try_from(count).is_ok_and(|n| n >= self.limits.effects_max) {
            return Err(limit("effects", "sent", self.limits.effects_max, "messages and calls"));
        }
        if draft.request.to_string().len() > EFFECT_BYTES_MAX {
            let message = format!("a message or call of more than {EFFECT_BYTES_MAX} bytes is not sent");
            return Err(HostError::permanent("too_large", message));
        }
        let call = effect_call(self.outbound.slice, count);
        let id = effect_id(self.outbound.run, call);
        let Draft { channel, destination, request, deadline_at } = draft;
        self.outbound.effects.push(Effect {
            id,
            run: self.outbound.run,
            call,
            channel,
            destination,
            request,
            status: EffectStatus::Pending,
            attempt: 0,
            next_at: Some(self.time),
            deadline_at,
            created_at: self.time,
            finished_at: None,
            reply: None,
            error: None,
        });
        Ok(id)
    }

    pub(super) async fn do_send(&mut self, message: Outgoing) -> Answer<String> {
        let Outgoing { channel, to, template, data } = message;
        self.allow(Need::Message(&channel))?;
        let record = self.addressee(&channel, &to).await?;
        let address = match &record {
            Some(record) => address_of(record)?,
            None => to,
        };
        let route = self.outbound.transport.route(&channel, &address).map_err(undeliverable)?;
        let mut variables: Map<String, Json> =
            data.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
        let mut sent = Message {
            key: String::new(),
            channel: channel.clone(),
            to: address,
            template,
            subject: String::new(),
            text: String::new(),
            html: None,
            data: Json::Object(variables.clone()),
            created_at: self.time,
        };
        if channel != "webhook" {
            if let Some(record) = &record {
                // Under its object's name, and under one that fits them all.
                for name in [record.object.name.as_str(), "to"] {
                    variables.entry(name).or_insert_with(|| record_variables(record));
                }
            }
            self.fill_in(&mut sent, &Json::Object(variables)).await?;
        }
        let about = record.map(|record| format!("{}/{}", record.object.name, record.id));
        let request = message_json(&sent, about.as_deref());
        let deadline_at = self.time.plus_micros(EFFECT_DEADLINE_MICROS);
        self.add_effect(Draft { channel, destination: route.destination, request, deadline_at })
            .map(|id| id.to_string())
    }

    /// The record that a message goes to, if `to` names one.
    async fn addressee(&mut self, channel: &str, to: &str) -> Answer<Option<Arc<Record>>> {
        let Some((object, key)) = key::split_subject(to).filter(|_| channel != "webhook") else { return Ok(None) };
        if object.contains('@') {
            return Ok(None);
        }
        self.allow(Need::Read(object))?;
        let object = self.object(object)?;
        self.count_rows(1)?;
        self.roll(&[&object.name]).await?;
        let record = self.must_locate(&object, key).await?;
        Ok(Some(rapport_model::formula::shown(&record, self.time)))
    }

    /// Fills in the parts of the template that `message` names.
    async fn fill_in(&self, message: &mut Message, variables: &Json) -> Answer<()> {
        let object = self.schema.object(TEMPLATE).cloned();
        let object = object.ok_or_else(|| HostError::permanent("not_found", "there are no templates here"))?;
        let found = self.locate(&object, &format!("name:{}", message.template)).await?;
        let missing = || {
            let name = &message.template;
            let how = format!("create it: `rapport record create template name={name} subject=… text=…`");
            HostError::permanent("unknown_template", format!("there is no template `{name}`: {how}"))
        };
        let template = found.ok_or_else(missing)?;
        let filled = fill_in(&self.outbound.sandbox, &template, variables).await?;
        (message.subject, message.text, message.html) = (filled.subject, filled.text, filled.html);
        Ok(())
    }

    /// Takes a call down; it is made after the commit.
    pub(crate) fn prepare_http(&mut self, request: HttpRequest) -> Answer<EffectId> {
        let invalid = |why: String| HostError::permanent("invalid", why);
        let method = request.method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            let brief: String = request.method.chars().take(20).collect();
            return Err(invalid(format!("`{brief}` is no method: write one of {}", METHODS.join(", "))));
        }
        let url = Url::parse(&request.url).map_err(|e| invalid(format!("the URL does not read: {e}")))?;
        self.allow(Need::Http(&authority(&url)?))?;
        let secret = if request.secret.is_empty() {
            None
        } else {
            if !is_secret_name(&request.secret) {
                return Err(invalid("the name of a secret has lower-case letters, digits, `-` and `_`".into()));
            }
            self.allow(Need::Secret(&request.secret))?;
            let header = if request.secret_header.is_empty() { "Authorization".into() } else { request.secret_header };
            Some(SecretUse { name: request.secret, header })
        };
        let timeout = span(&request.timeout, HTTP_TIMEOUT_MICROS)?.clamp(1_000, HTTP_TIMEOUT_MICROS_MAX);
        let deadline = span(&request.deadline, EFFECT_DEADLINE_MICROS)?;
        let call = HttpCall {
            key: String::new(),
            method,
            url: url.to_string(),
            headers: request.headers,
            body: request.body,
            secret,
            timeout: Duration::from_micros(u64::try_from(timeout).unwrap_or(0)),
        };
        let request = call_json(&call, request.attempts);
        let destination = url.origin().ascii_serialization();
        let deadline_at = self.time.plus_micros(deadline);
        self.add_effect(Draft { channel: HTTP.into(), destination, request, deadline_at })
    }
}

/// A template with everything in its place.
pub(crate) struct Filled {
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: Option<String>,
}

/// Fills in the parts of `template`, a record of the object `template`.
pub(crate) async fn fill_in(sandbox: &Sandbox, template: &Record, variables: &Json) -> Answer<Filled> {
    let part = |field: &str, name: &str| {
        let source = template.get(field).as_text()?.to_owned();
        Some(TemplatePart { name: name.to_owned(), source })
    };
    let present = [part("subject", "subject.txt"), part("text", "text.txt"), part("html", "html.html")];
    let places: Vec<bool> = present.iter().map(Option::is_some).collect();
    let parts: Vec<TemplatePart> = present.into_iter().flatten().collect();
    let filled = sandbox.render(parts, variables.to_string()).await.map_err(|error| of_template(template, error))?;
    let mut filled = filled.into_iter();
    let mut next = |there: bool| if there { filled.next() } else { None };
    let (subject, text, html) = (next(places[0]), next(places[1]), next(places[2]));
    // A subject is one line, whatever its variables hold.
    let subject = subject.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Filled { subject, text: text.unwrap_or_default(), html })
}

fn of_template(template: &Record, error: SandboxError) -> HostError {
    let name = template.get("name").as_text().unwrap_or_default();
    match error {
        SandboxError::Guest(GuestFailure::Failed { message, .. }) => {
            HostError::permanent("template", format!("`{name}`: {message}"))
        }
        SandboxError::Guest(failure) => HostError::permanent("template", format!("`{name}`: {failure}")),
        other => HostError::ending("unavailable", other.to_string()),
    }
}

/// The fields of a record as a template sees them.
pub(crate) fn record_variables(record: &Record) -> Json {
    let mut fields: Map<String, Json> = record
        .object
        .fields
        .iter()
        .enumerate()
        .map(|(i, f)| (f.name.to_string(), field_to_json(&f.kind, record.at(i))))
        .collect();
    let formulas = (record.object.first_formula()..).zip(&record.object.formulas);
    fields.extend(formulas.map(|(i, formula)| (formula.name.to_string(), to_json(record.at(i)))));
    fields.insert("id".into(), json!(record.id.to_string()));
    Json::Object(fields)
}

fn address_of(record: &Record) -> Answer<String> {
    let address = record.get("email").as_text().filter(|text| !text.trim().is_empty());
    let missing = || {
        let message = format!("{}/{} has no e-mail address: its field `email` is empty", record.object.name, record.id);
        HostError::permanent("no_address", message)
    };
    address.map(str::to_owned).ok_or_else(missing)
}

fn undeliverable(failure: Failure) -> HostError {
    HostError { code: failure.code.into(), message: failure.message, retryable: false, ends_slice: false }
}

/// The host of `url` as a right names it.
fn authority(url: &Url) -> Answer<String> {
    let plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let host = url.host_str().filter(|_| plain).ok_or_else(|| {
        HostError::permanent("invalid", "a call goes to `https://HOST/…` or `http://HOST/…`, without a user in it")
    })?;
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn span(text: &str, usual: i64) -> Answer<i64> {
    if text.trim().is_empty() {
        return Ok(usual);
    }
    duration::parse(text).map_err(|e| HostError::permanent("invalid", e.to_string()))
}
