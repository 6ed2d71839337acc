//! Surveys that anybody can begin: looking makes nothing; beginning makes an invitation without a customer.

use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Record, clock, kv, settings};

use super::{short, title_of, unknown, words};
use crate::books;
use crate::flow::Definition;
use crate::invitations::{self, Invitation};
use crate::sitting::{is_closed, is_full};
use crate::view;
use crate::words::{Say, Words, accepted};

const MINUTE_MICROS: i64 = 60_000_000;

/// The survey of the address, if anybody can begin it.
fn survey(request: &Request) -> Result<Option<(Record, Definition)>, Error> {
    let found = books::survey(request.path_param("survey").unwrap_or_default())?;
    Ok(found.filter(|(_, definition)| definition.open))
}

fn spoken(definition: &Definition, chosen: Option<String>, request: &Request) -> String {
    let mut all: Vec<String> = chosen.into_iter().collect();
    all.extend(accepted(request.header("accept-language")));
    definition.language(all.iter().map(String::as_str))
}

fn over(language: &str) -> Response {
    let words = Words::of(language);
    view::note(410, words, (Say::ClosedTitle, words.say(Say::Closed)))
}

/// The page before the first one.
pub(super) fn start(request: &Request) -> Result<Response, Error> {
    let Some((survey, definition)) = survey(request)? else { return Ok(unknown(request)) };
    let language = spoken(&definition, short(request.query("lang")), request);
    if is_closed(&survey, &definition)? || is_full(&survey, &definition)? {
        return Ok(over(&language));
    }
    let (title, intro) = title_of(&definition, &language);
    Ok(view::start(&language, &title, (intro.as_deref(), &books::text(&survey, "name")?)))
}

/// Makes an invitation for whoever asks, and sends the browser to it. Only so many begin in a minute.
pub(super) fn begin(request: &Request) -> Result<Response, Error> {
    let Some((survey, definition)) = survey(request)? else { return Ok(unknown(request)) };
    let chosen = request.form().ok().and_then(|form| short(form.get("lang")));
    let language = spoken(&definition, chosen, request);
    if is_closed(&survey, &definition)? || is_full(&survey, &definition)? {
        return Ok(over(&language));
    }
    if let Some(seconds) = is_flooded(&books::text(&survey, "name")?)? {
        let words = words(request);
        let page = view::note(429, words, (Say::FloodTitle, words.say(Say::Flood)));
        return Ok(page.header("retry-after", &seconds.to_string()));
    }
    let wanted = Invitation { channel: "open", language: Some(&language), ..Invitation::default() };
    let made = invitations::make(&survey, &definition, &wanted)?;
    Ok(view::unlisted(Response::redirect(&format!("/x/survey/{}?lang={language}", made.token))))
}

/// How many seconds to wait, if more have begun in this minute than may.
fn is_flooded(name: &str) -> Result<Option<i64>, Error> {
    let most: i64 = settings::get("open_per_minute")?;
    let now = clock::now().0;
    let (minute, prefix) = (now.div_euclid(MINUTE_MICROS), format!("open/{name}/"));
    let key = format!("{prefix}{minute:012}");
    let begun = kv::increment(&key, 1)?;
    if begun == 1 {
        // The minutes before are over.
        for (old, _) in kv::list(&prefix, "", 20)?.into_iter().filter(|(old, _)| *old < key) {
            kv::delete(&old)?;
        }
    }
    let left = (MINUTE_MICROS - now.rem_euclid(MINUTE_MICROS)).div_euclid(1_000_000).max(1);
    Ok((begun > most).then_some(left))
}
