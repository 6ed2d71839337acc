//! Surveys: flows that operators write, invitations, a public page, scores.
//!
//! `scores` holds the formulas and knows no host; `flow` reads what operators write and asks it what comes next; `sitting` is somebody
//! before a survey, by a page (`pages`, `view`) or by the API (`embed`); `report` counts what came of it.

pub mod scores;

mod books;
mod call;
mod embed;
mod flow;
mod invitations;
mod pages;
mod publish;
mod report;
mod score;
mod sitting;
mod tally;
mod theme;
mod token;
mod view;
mod words;

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Json, OnAction, OnRequest};

/// The plugin.
pub struct Survey;

impl OnAction for Survey {
    fn on_action(called: rapport_sdk::Call) -> Result<Json, Error> {
        let call = call::Call { input: &called.input, caller: &called.caller };
        match called.action.as_str() {
            "score" => score::score(call.input),
            "publish" => publish::publish(call),
            "close" => publish::close(call),
            "invite" => invitations::invite(call),
            "form" => embed::form(call),
            "submit" => embed::submit(call),
            "report" => report::report(call),
            "compare" => report::compare(call),
            "themes" => report::themes(call),
            "texts" => report::texts(call),
            "judge" => report::judge(call),
            name => Err(Error::new("invalid", format!("there is no action `{name}`"))),
        }
    }
}

impl OnRequest for Survey {
    fn on_request(request: Request) -> Result<Response, Error> {
        pages::answer(&request)
    }
}

#[cfg(test)]
mod tests;

#[cfg(target_family = "wasm")]
rapport_sdk::export!(Survey: on_action, on_request);
