//! The mail of an invitation, with one link for each point of the first question.

use rapport_sdk::{Error, Fields, Record, Value, messages};
use serde_json::json;

use super::Made;
use crate::books;
use crate::flow::text::Filling;
use crate::flow::{Answers, Definition, Question};
use crate::words::Words;

/// An invitation that goes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mail<'a> {
    pub(super) definition: &'a Definition,
    pub(super) made: &'a Made,
    pub(super) customer: &'a Record,
    pub(super) language: &'a str,
    pub(super) address: &'a str,
}

/// Sends the mail by the template that is named, or the plugin's own in its language.
///
/// # Errors
/// `base_url` if the settings do not say where this server is; the host's.
pub(super) fn send(mail: &Mail<'_>, template: Option<&str>) -> Result<(), Error> {
    if !mail.address.starts_with("https://") && !mail.address.starts_with("http://") {
        let why =
            "the address in the mail would lead nowhere: set the plugin's `base_url`, such as https://crm.example";
        return Err(Error::new("base_url", why));
    }
    let (answers, customer) = (Answers::new(), books::customer_json(Some(mail.customer)));
    let filling =
        Filling { definition: mail.definition, answers: &answers, customer: &customer, language: mail.language };
    let first = mail.made.first.first().and_then(|key| mail.definition.question(key));
    let scale = first.and_then(Question::scale);
    let points: Vec<_> = scale.map(|(min, max)| (min..=max).collect()).unwrap_or_default();
    let points: Vec<_> =
        points.into_iter().map(|n: i64| json!({ "value": n, "url": format!("{}?answer={n}", mail.address) })).collect();
    let data = Fields::new()
        .with("title", filling.text(&mail.definition.title))
        .with("intro", mail.definition.intro.as_ref().map(|intro| filling.text(intro)).unwrap_or_default())
        .with("question", first.map(|question| filling.text(&question.text)).unwrap_or_default())
        .with("address", mail.address)
        .with("until", books::instant_text(mail.made.expires_at).chars().take(10).collect::<String>())
        .with("points", Value::Json(points.into()));
    let own = match Words::of(mail.language) {
        Words::English => "survey.invitation_en",
        Words::Chinese => "survey.invitation_zh",
    };
    messages::email(&mail.customer.reference(), template.unwrap_or(own), &data).map(drop)
}
