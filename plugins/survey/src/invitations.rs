//! Invitations: who is asked, by which way, and how long a link holds.

mod mail;

use rapport_sdk::{Error, Fields, Json, Record, Timestamp, Value, clock, events, flow as host, records, settings};
use serde_json::json;

use crate::books::{self, INVITATION, with_json};
use crate::call::Call;
use crate::flow::walk::{self, Step};
use crate::flow::{Answers, Definition};
use crate::sitting::{is_closed, is_full};
use crate::token;

const DAY_MICROS: i64 = 86_400_000_000;
/// The longest span in settings, in days.
const DAYS_MAX: i64 = 3_650;

/// Whom an invitation is for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Invitation<'a> {
    pub(crate) customer: Option<&'a Record>,
    pub(crate) channel: &'a str,
    pub(crate) language: Option<&'a str>,
    pub(crate) order: Option<&'a str>,
    pub(crate) ticket: Option<&'a str>,
    pub(crate) reference: Option<&'a str>,
    pub(crate) expires_days: Option<i64>,
}

/// An invitation that was made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) token: String,
    pub(crate) record: Record,
    pub(crate) expires_at: Timestamp,
    /// The keys of the first page; none if the flow fails already there.
    pub(crate) first: Vec<String>,
}

/// Makes an invitation. Only who is given the token can find it again.
///
/// # Errors
/// The host's.
pub(crate) fn make(survey: &Record, definition: &Definition, wanted: &Invitation<'_>) -> Result<Made, Error> {
    let (token, now) = (token::draw()?, clock::now());
    let Some(hash) = token::hash(&token) else { return Err(Error::new("invalid", "a token was drawn that is none")) };
    let days = match wanted.expires_days.or(definition.expires_days) {
        Some(days) => days,
        None => setting_days("expires_days", 1)?,
    };
    let expires_at = Timestamp(now.0.saturating_add(days.saturating_mul(DAY_MICROS)));
    let customer = books::customer_json(wanted.customer);
    let script = books::text(survey, "script")?;
    let first = match walk::next(&script, definition, &Answers::new(), &customer) {
        Ok(Step::Page(keys)) => keys,
        Ok(Step::End) | Err(_) => Vec::new(),
    };
    let fields = Fields::new()
        .with("token_hash", hash)
        .with("survey", survey.reference())
        .with("customer", books::or_null(wanted.customer.map(Record::reference).as_ref()))
        .with("channel", wanted.channel)
        .with("language", wanted.language.map(str::to_owned))
        .with("order_name", wanted.order.map(str::to_owned))
        .with("ticket", wanted.ticket.map(str::to_owned))
        .with("reference", wanted.reference.map(str::to_owned))
        .with("invited_at", now)
        .with("expires_at", expires_at);
    let record = records::create(INVITATION, &with_json(fields, "shown", json!(first)))?;
    Ok(Made { token, record, expires_at, first })
}

fn setting_days(name: &str, min: i64) -> Result<i64, Error> {
    let days: i64 = settings::get(name)?;
    let wrong = || Error::new("setting", format!("setting `{name}`: {days} is not from {min} to {DAYS_MAX} days"));
    (min..=DAYS_MAX).contains(&days).then_some(days).ok_or_else(wrong)
}

/// The action `survey.invite`. What speaks against it is a result, with the reason.
pub(crate) fn invite(call: Call<'_>) -> Result<Json, Error> {
    let refused = |result: &str| Ok(json!({ "result": result }));
    let Some((survey, definition)) = books::survey(call.text("survey")?)? else { return refused("unknown_survey") };
    let (channel, customer) = (call.text("channel")?, call.customer("customer")?);
    if customer.is_none() && call.optional_text("customer")?.is_some() {
        return refused("unknown_customer");
    }
    if is_closed(&survey, &definition)? || is_full(&survey, &definition)? {
        return refused("closed");
    }
    if let Some(customer) = &customer {
        if channel == "mail" && !may_be_mailed(customer)? {
            return refused("no_consent");
        }
        if let Some(until) = rests(customer, &definition)? {
            return Ok(json!({ "result": "resting", "until": books::instant_text(until) }));
        }
    }
    let mailed = match (channel, &customer) {
        ("mail", Some(customer)) if customer.text("email")?.is_some_and(|email| !email.is_empty()) => Some(customer),
        ("mail", _) => return refused("no_address"),
        _ => None,
    };
    let own = customer.as_ref().map_or(Ok(None), |customer| customer.text("language"))?;
    let language = definition.language(call.optional_text("language")?.into_iter().chain(own.as_deref()));
    let wanted = Invitation {
        customer: customer.as_ref(),
        channel,
        language: Some(&language),
        order: call.optional_text("order")?,
        ticket: call.optional_text("ticket")?,
        reference: call.optional_text("reference")?,
        expires_days: call.integer("expires_days")?,
    };
    let made = make(&survey, &definition, &wanted)?;
    let address = address(&made.token)?;
    if let Some(customer) = mailed {
        let mail =
            mail::Mail { definition: &definition, made: &made, customer, language: &language, address: &address };
        mail::send(&mail, call.optional_text("template")?)?;
    }
    let data = Fields::new().with("survey", books::text(&survey, "name")?).with("invitation", made.record.id.as_str());
    let subject = customer.as_ref().map_or_else(|| made.record.reference(), Record::reference);
    events::emit("survey.invited", &subject, &data.with("channel", channel))?;
    let until = books::instant_text(made.expires_at);
    Ok(json!({ "result": "ok", "token": made.token, "address": address, "invitation": made.record.id, "until": until }))
}

/// Where the page of a token is: with the server's name, if the settings say it.
fn address(token: &str) -> Result<String, Error> {
    let base: String = settings::get("base_url")?;
    Ok(format!("{}/x/survey/{token}", base.trim_end_matches('/')))
}

/// Until when a customer is left alone, if an invitation is not long enough ago.
fn rests(customer: &Record, definition: &Definition) -> Result<Option<Timestamp>, Error> {
    let days = match definition.rest_days {
        Some(days) => days,
        None => setting_days("rest_days", 0)?,
    };
    if days == 0 {
        return Ok(None);
    }
    // Two invitations at the same moment would not see each other.
    host::lock(&format!("survey/rest/{}", customer.id))?;
    let (span, now) = (days.saturating_mul(DAY_MICROS), clock::now().0);
    let last = records::find(INVITATION)
        .filter("customer == c && invited_at > since")
        .param("c", Value::Ref(customer.reference()))
        .param("since", Timestamp(now.saturating_sub(span)))
        .order("-invited_at")
        .limit(1)
        .run()?;
    let last = last.first().map_or(Ok(None), |invitation| books::instant(invitation, "invited_at"))?;
    Ok(last.map(|at| Timestamp(at.0.saturating_add(span))).filter(|until| until.0 > now))
}

/// Whether nothing speaks against a mail: the latest word of the customer on mails, of all purposes or of surveys.
fn may_be_mailed(customer: &Record) -> Result<bool, Error> {
    let found = records::find("consent")
        .filter("customer == c && channel in ['email', 'mail']")
        .param("c", Value::Ref(customer.reference()))
        .order("-happened_at")
        .limit(100)
        .run()?;
    for consent in found {
        let purpose = consent.text("purpose")?.unwrap_or_default();
        if purpose.is_empty() || purpose.starts_with("survey") || purpose == "all" {
            return Ok(consent.text("state")?.as_deref() != Some("withdrawn"));
        }
    }
    Ok(true)
}
