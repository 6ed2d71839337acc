//! Macros: an operator's script says in steps what is to be done with a ticket, and the plugin does it.
//!
//! `desk.macro` with `name = "refund"` calls `fn steps(ticket, customer, input)` of the script `desk/macros/refund`. It is pure and returns
//! a list of maps, each with `do`. All of the steps are done, or, if one of them does not read, none.

use rapport_sdk::{Error, Json, Record, scripts};
use serde_json::json;

use crate::actions::{Changes, set, set_owner, tag};
use crate::comments::{self, Comment, unknown};
use crate::desk::Work;
use crate::input::{Input, record_json, refused};
use crate::open::{answer, customer_of};
use crate::status::Status;
use crate::targets::ticket_json;
use crate::{canned, links, ticket};

/// The most steps of one macro.
const STEPS_MAX: usize = 20;

/// Does the action `macro`.
///
/// # Errors
/// The host's; what the script fails with; `macro` for a step that does not read.
pub(crate) fn run(input: Input<'_>) -> Result<Json, Error> {
    let key = input.text("ticket")?;
    let Some(record) = ticket::find(key)? else { return Ok(unknown(key)) };
    let mut work = Work::on(&ticket::survivor(record)?)?;
    let name = input.text("name")?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        return Ok(refused(
            "rejected_unknown",
            format!("`{name}` is no name of a macro: that of a script in `desk/macros`"),
        ));
    }
    let customer = customer_of(&work.ticket)?;
    let script = format!("desk/macros/{name}");
    let arguments =
        [ticket_json(&work.ticket), customer.as_ref().map_or(Json::Null, record_json), input.json("input").clone()];
    let said = match scripts::run(&script, "steps", &arguments) {
        Err(error) if error.code() == "unknown_script" => {
            return Ok(refused("rejected_unknown", format!("there is no macro `{name}`: write the script `{script}`")));
        }
        said => said?,
    };
    let Some(steps) = said.as_array().filter(|steps| steps.len() <= STEPS_MAX) else {
        return Err(wrong(&script, 0, &format!("it returns a list of at most {STEPS_MAX} steps")));
    };
    let doer = Doer { script: &script, caller: input.caller, customer: customer.as_ref() };
    for (at, step) in steps.iter().enumerate() {
        // A step that leads nowhere fails all of them: those before it have written already.
        doer.step(&mut work, at + 1, step).map_err(|error| match error.code() {
            "rejected_status" | "invalid" => wrong(&script, at + 1, &error.to_string()),
            _ => error,
        })?;
    }
    let count = steps.len();
    let mut told = answer("ok", &work.finish()?);
    told["steps"] = json!(count);
    Ok(told)
}

fn wrong(script: &str, at: usize, why: &str) -> Error {
    Error::new("macro", format!("step {at} of `{script}`: {why}"))
}

/// Who does the steps of a macro.
struct Doer<'a> {
    script: &'a str,
    caller: &'a str,
    customer: Option<&'a Record>,
}

impl Doer<'_> {
    fn step(&self, work: &mut Work, at: usize, step: &Json) -> Result<(), Error> {
        let input = Input::new(step, self.caller);
        match step["do"].as_str().unwrap_or_default() {
            "set" => set(
                work,
                Changes {
                    priority: input.optional("priority")?,
                    queue: input.optional("queue")?,
                    kind: input.optional("kind")?,
                    subject: input.optional("subject")?,
                    tier: input.optional("tier")?,
                },
            ),
            "comment" => self.say(work, input.text("body")?, input.optional("kind")?),
            "canned" => {
                let text = canned::fill(input.text("name")?, input.optional("language")?, &work.ticket, self.caller)?;
                let text = text.map_err(|why| wrong(self.script, at, &why))?;
                self.say(work, &text, input.optional("kind")?)
            }
            "assign" => set_owner(work, input.optional("owner")?),
            "tag" => tag(work, &input.texts("tags"), &[]),
            "untag" => tag(work, &[], &input.texts("tags")),
            "link" => {
                let linked = links::add(work, input.text("to")?, input.optional("kind")?.unwrap_or("relates"))?;
                linked.map(drop).map_err(|why| wrong(self.script, at, &why))
            }
            "wait" => work.go(Status::Waiting),
            "hold" => work.go(Status::OnHold),
            "resume" => work.go(Status::Open),
            "solve" => work.go(Status::Solved),
            "close" => work.go(Status::Closed),
            other => {
                let known = "set, comment, canned, assign, tag, untag, link, wait, hold, resume, solve, close";
                Err(wrong(
                    self.script,
                    at,
                    &format!("there is nothing to do that is called `{other}`; there are {known}"),
                ))
            }
        }
    }

    fn say(&self, work: &mut Work, body: &str, kind: Option<&str>) -> Result<(), Error> {
        let comment = Comment { author: self.caller, body, via: "macro", ..Comment::default() };
        if kind == Some("public") {
            let mail = self.customer.is_some() || work.ticket.requester.is_some();
            return comments::reply(work, &comment, mail).map(drop);
        }
        comments::write(&work.ticket, &comment, work.now)?;
        comments::noted(work, &comment, "agent");
        Ok(())
    }
}
