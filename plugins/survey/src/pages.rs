//! What visitors are answered. They are known by nothing but the token of their link.

mod open;

use rapport_sdk::Error;
use rapport_sdk::route::{Request, Response};

use crate::books;
use crate::flow::Answers;
use crate::flow::answer::Fault;
use crate::flow::text::Filling;
use crate::sitting::{Page, Posted, Saved, Sitting, State, on_path};
use crate::view;
use crate::words::{Say, Words, accepted};

/// The longest name of a language that is looked at.
const LANGUAGE_CHARS_MAX: usize = 20;
/// The most pages that somebody goes back.
const PAGES_MAX: usize = 1_000;

/// Answers a request.
pub(crate) fn answer(request: &Request) -> Result<Response, Error> {
    match (request.route.as_str(), request.method.as_str()) {
        ("/theme/style.css", _) => crate::theme::style(),
        ("/open/{survey}", "POST") => open::begin(request),
        ("/open/{survey}", _) => open::start(request),
        (_, "POST") => send(request),
        _ => look(request),
    }
}

/// The words for a visitor of whom only the browser is known.
fn words(request: &Request) -> Words {
    accepted(request.header("accept-language")).first().map_or(Words::English, |language| Words::of(language))
}

/// The answer to a token that nobody was given: the same for all.
fn unknown(request: &Request) -> Response {
    let words = words(request);
    view::note(404, words, (Say::UnknownTitle, words.say(Say::Unknown)))
}

fn malformed(request: &Request) -> Response {
    let words = words(request);
    view::note(400, words, (Say::MalformedTitle, words.say(Say::Malformed)))
}

fn short(language: Option<&str>) -> Option<String> {
    language.filter(|text| text.len() <= LANGUAGE_CHARS_MAX).map(str::to_owned)
}

fn page_number(text: Option<&str>) -> Option<usize> {
    text.and_then(|text| text.parse().ok()).filter(|page| *page < PAGES_MAX)
}

/// The language of a sitting: what was chosen, what was spoken before, what the invitation says, what the browser asks for.
fn spoken(sitting: &Sitting, chosen: Option<String>, request: &Request) -> Result<String, Error> {
    let before = sitting.response.as_ref().map_or(Ok(None), |response| response.text("language"))?;
    let invited = sitting.invitation.text("language")?;
    let mut all: Vec<String> = [chosen, before, invited].into_iter().flatten().collect();
    all.extend(accepted(request.header("accept-language")));
    sitting.language(all.iter().map(String::as_str))
}

/// Shows where somebody stands. Nothing counts by being looked at, also not the answer in a link of a mail: scanners look at links.
fn look(request: &Request) -> Result<Response, Error> {
    let Some(sitting) = Sitting::find(request.path_param("token").unwrap_or_default())? else {
        return Ok(unknown(request));
    };
    let language = spoken(&sitting, short(request.query("lang")), request)?;
    let state = sitting.state()?;
    if state != State::Open {
        return closed(&sitting, state, (&language, request.query("done").is_some()));
    }
    match sitting.page(page_number(request.query("page")))? {
        Ok(Some(page)) => {
            let mut answers = sitting.answers()?;
            if let (Some(chosen), Some(key), None) = (request.query("answer"), page.keys.first(), &sitting.response) {
                prefill(&sitting, key, chosen, &mut answers);
            }
            let values = |key: &str| view::texts_of(&answers, key);
            form(200, &sitting, &page, (&language, &values, &[]))
        }
        Ok(None) => closed(&sitting, State::Complete, (&language, true)),
        Err(problem) => {
            rapport_sdk::log::error(&format!("{} ({})", problem.message, problem.code));
            let words = Words::of(&language);
            Ok(view::note(200, words, (Say::StuckTitle, words.say(Say::Stuck))))
        }
    }
}

/// Chooses the answer that the link of a mail has, if it can be one.
fn prefill(sitting: &Sitting, key: &str, chosen: &str, answers: &mut Answers) {
    let Some(question) = sitting.definition.question(key) else { return };
    if let Ok(answer) = crate::flow::answer::read(question, &[chosen]) {
        answers.insert(key.to_owned(), answer);
    }
}

type Shown<'a> = (&'a str, &'a dyn Fn(&str) -> Vec<String>, &'a [(String, Fault)]);

fn form(status: u16, sitting: &Sitting, page: &Page, (language, values, wrong): Shown<'_>) -> Result<Response, Error> {
    let answers: Answers = on_path(&sitting.path()?, &sitting.answers()?);
    let (definition, customer) = (&sitting.definition, &sitting.customer);
    let filling = Filling { definition, answers: &answers, customer, language };
    let title = filling.text(&definition.title);
    let intro = definition.intro.as_ref().filter(|_| page.index == 0).map(|intro| filling.text(intro));
    let questions: Vec<_> = sitting.questions(&page.keys).collect();
    let token = sitting.token.as_str();
    let form = view::Form {
        token,
        page: page.index,
        questions: &questions,
        filling,
        values,
        wrong,
        title: &title,
        intro: intro.as_deref(),
    };
    Ok(view::questions(status, &form))
}

/// Says why no answers are taken.
fn closed(sitting: &Sitting, state: State, (language, is_new): (&str, bool)) -> Result<Response, Error> {
    let words = Words::of(language);
    let said = |status, title, text| Ok(view::note(status, words, (title, words.say(text))));
    match state {
        State::Complete if is_new => {
            let (answers, customer) = (sitting.answers()?, &sitting.customer);
            let filling = Filling { definition: &sitting.definition, answers: &answers, customer, language };
            let thanks = sitting.definition.thanks.as_ref().map(|thanks| filling.text(thanks));
            let text = thanks.unwrap_or_else(|| words.say(Say::Thanks).to_owned());
            Ok(view::note(200, words, (Say::ThanksTitle, &text)))
        }
        State::Complete | State::Open => said(200, Say::AlreadyTitle, Say::Already),
        State::Screened => said(200, Say::ThanksTitle, Say::Screened),
        State::Expired => said(410, Say::ExpiredTitle, Say::Expired),
        State::Closed => said(410, Say::ClosedTitle, Say::Closed),
    }
}

/// Takes the answers of a page, and sends the browser on, so that going back or loading again sends nothing twice.
fn send(request: &Request) -> Result<Response, Error> {
    let token = request.path_param("token").unwrap_or_default();
    let Some(sitting) = Sitting::find_alone(token)? else { return Ok(unknown(request)) };
    let Ok(form_sent) = request.form() else { return Ok(malformed(request)) };
    let language = spoken(&sitting, short(form_sent.get("lang")), request)?;
    let mut posted = Posted {
        page: page_number(form_sent.get("page")),
        asked: form_sent
            .get("asked")
            .unwrap_or_default()
            .split(' ')
            .filter(|key| !key.is_empty())
            .map(str::to_owned)
            .collect(),
        language: language.clone(),
        values: Vec::new(),
    };
    for question in &sitting.definition.questions {
        let sent: Vec<String> = form_sent.all(&format!("q_{}", question.key)).map(str::to_owned).collect();
        if !sent.is_empty() {
            posted.values.push((question.key.clone(), sent));
        }
    }
    let to = |rest: &str| Ok(view::unlisted(Response::redirect(&format!("/x/survey/{token}{rest}"))));
    match sitting.clone().save(&posted)? {
        Saved::Next(page) => to(&format!("?page={page}&lang={language}")),
        Saved::Complete => to("?done=1"),
        Saved::Screened | Saved::Stuck | Saved::Closed(_) => to(""),
        Saved::Wrong(page, wrong) => {
            let values = |key: &str| {
                let found = posted.values.iter().find(|(name, _)| name == key);
                found.map(|(_, sent)| sent.clone()).unwrap_or_default()
            };
            form(422, &sitting, &page, (&language, &values, &wrong))
        }
    }
}

/// The text of a title that needs no answers.
fn title_of(definition: &crate::flow::Definition, language: &str) -> (String, Option<String>) {
    let (answers, customer) = (Answers::new(), books::customer_json(None));
    let filling = Filling { definition, answers: &answers, customer: &customer, language };
    (filling.text(&definition.title), definition.intro.as_ref().map(|intro| filling.text(intro)))
}
