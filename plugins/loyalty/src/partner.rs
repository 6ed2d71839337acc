//! Partners: shops of others in which members earn. They report what was earned, signed with a secret that they share.

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Fields, Json, events, records};
use serde_json::json;

use crate::ledger::POINTS_MAX;

/// A report of a partner.
#[derive(serde::Deserialize)]
struct Report {
    /// The partner's own name for what it reports: the same one counts once.
    id: String,
    /// The member, by id or by a unique field.
    customer: String,
    /// How many points.
    points: i64,
    /// How long they can be spent.
    valid_days: Option<i64>,
    /// The partner.
    partner: String,
}

/// The object of reports, so that each counts once.
const REPORT: &str = "loyalty_partner_report";

/// Takes in a report: the member gets the points as a bonus. The host has seen to the signature.
pub(crate) fn earn(request: &Request) -> Result<Response, Error> {
    let Ok(report) = request.json::<Report>() else { return Ok(said(400, "rejected_malformed")) };
    let named = !report.id.is_empty() && !report.partner.is_empty();
    if !named || !(1..=POINTS_MAX).contains(&report.points) || report.valid_days.is_some_and(|days| days < 0) {
        return Ok(said(422, "rejected_amount"));
    }
    let key = format!("{}/{}", report.partner, report.id);
    if records::get(REPORT, &format!("key:{key}"))?.is_some() {
        return Ok(said(200, "duplicate_ignored"));
    }
    let Some(customer) = records::get("customer", &report.customer)? else {
        return Ok(said(404, "rejected_unknown"));
    };
    let fields = Fields::new().with("key", key).with("customer", customer.reference()).with("points", report.points);
    records::create(REPORT, &fields)?;
    let data = Fields::new()
        .with("points", report.points)
        .with("valid_days", report.valid_days)
        .with("reason", format!("partner {}", report.partner));
    events::emit("loyalty.bonus", &customer.reference(), &data)?;
    Ok(said(202, "ok"))
}

fn said(status: u16, result: &str) -> Response {
    let json: Json = json!({ "result": result });
    Response::json(status, &json)
}
