//! Partners: shops of others in which members earn. They report what was earned, signed with a secret that they share.

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Fields, clock, records};
use serde_json::json;

use crate::ledger::{Bonus, Outcome, POINTS_MAX, Rules};
use crate::program::{Cause, book};

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
}

/// The object of reports, so that each counts once, whenever it comes again.
const REPORT: &str = "loyalty_partner_report";
/// The longest name of a report.
const ID_BYTES_MAX: usize = 200;

/// Takes in a report: the member gets the points as a bonus. The host has seen to the signature.
pub(crate) fn earn(request: &Request, rules: &Rules, cause: Cause<'_>) -> Result<Response, Error> {
    let partner = request.path_param("partner").unwrap_or_default();
    let Ok(report) = request.json::<Report>() else { return Ok(said(400, "rejected_malformed")) };
    if report.id.is_empty() || report.id.len() > ID_BYTES_MAX {
        return Ok(said(400, "rejected_malformed"));
    }
    if !(1..=POINTS_MAX).contains(&report.points) || report.valid_days.is_some_and(|days| days < 0) {
        return Ok(said(422, "rejected_amount"));
    }
    let key = format!("{partner}/{}", report.id);
    if records::get(REPORT, &format!("key:{key}"))?.is_some() {
        return Ok(said(200, "duplicate_ignored"));
    }
    let Some(customer) = records::get("customer", &report.customer)? else { return Ok(said(404, "rejected_unknown")) };
    let (customer, reason) = (customer.reference(), format!("partner {partner}"));
    let bonus = Bonus { points: report.points, valid_days: report.valid_days, reason: &reason };
    let (outcome, account) = book(&customer, rules, cause, |ledger| ledger.bonus(&bonus, clock::now()))?;
    if outcome != Outcome::Ok {
        return Ok(said(422, outcome.as_str()));
    }
    let fields = Fields::new().with("key", key).with("customer", customer).with("points", report.points);
    records::create(REPORT, &fields.with("run", cause.run))?;
    Ok(Response::json(200, &json!({ "result": outcome.as_str(), "available": account.amounts.available })))
}

fn said(status: u16, result: &str) -> Response {
    Response::json(status, &json!({ "result": result }))
}
