//! The pages: semantic HTML that works without a script, for thumbs, keyboards and screen readers.
//!
//! Markup stands in this file; whatever operators and visitors wrote goes through [`Html::text`] and stays text.

mod field;

use rapport_sdk::html::Html;
use rapport_sdk::route::Response;

use crate::flow::answer::Fault;
use crate::flow::text::Filling;
use crate::flow::{Answers, Question};
use crate::words::{Say, Words};

/// What a page of questions shows.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) token: &'a str,
    /// From 0.
    pub(crate) page: usize,
    pub(crate) questions: &'a [&'a Question],
    pub(crate) filling: Filling<'a>,
    /// The texts that stand in the fields already.
    pub(crate) values: &'a dyn Fn(&str) -> Vec<String>,
    pub(crate) wrong: &'a [(String, Fault)],
    pub(crate) title: &'a str,
    pub(crate) intro: Option<&'a str>,
}

/// A page around `body`, in the language `language`.
fn page(status: u16, language: &str, title: &str, body: &Html) -> Response {
    let page = Html::new()
        .raw("<!doctype html><html lang=\"")
        .text(language)
        .raw(
            "\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        )
        .raw("<meta name=\"robots\" content=\"noindex\"><meta name=\"referrer\" content=\"no-referrer\"><title>")
        .text(title)
        .raw("</title><link rel=\"stylesheet\" href=\"/x/survey/theme/style.css\"></head><body><main>")
        .html(body)
        .raw("</main></body></html>");
    unlisted(Response::html(status, page)).header("content-language", language)
}

/// An answer that nobody keeps and no search engine lists.
pub(crate) fn unlisted(response: Response) -> Response {
    response.header("cache-control", "no-store").header("x-robots-tag", "noindex")
}

/// A page that says one thing.
pub(crate) fn note(status: u16, words: Words, (title, text): (Say, &str)) -> Response {
    let body = Html::new().raw("<h1>").text(words.say(title)).raw("</h1><p>").text(text).raw("</p>");
    page(status, words.code(), words.say(title), &body)
}

/// The page before a survey that anybody can answer.
pub(crate) fn start(language: &str, title: &str, (intro, name): (Option<&str>, &str)) -> Response {
    let words = Words::of(language);
    let body = Html::new().raw("<h1>").text(title).raw("</h1>");
    let body = match intro {
        Some(intro) => body.raw("<p>").text(intro).raw("</p>"),
        None => body,
    };
    let body = body
        .raw("<form method=\"post\" action=\"/x/survey/open/")
        .text(name)
        .raw("\"><input type=\"hidden\" name=\"lang\" value=\"")
        .text(language)
        .raw("\"><button>")
        .text(words.say(Say::Begin))
        .raw("</button></form>");
    page(200, language, title, &body)
}

/// A page of questions.
pub(crate) fn questions(status: u16, form: &Form<'_>) -> Response {
    let (language, words) = (form.filling.language, Words::of(form.filling.language));
    let number = words.page(form.page + 1);
    let problem = if form.wrong.is_empty() { "" } else { words.say(Say::Problem) };
    let title = format!("{problem} {} · {number}", form.title);
    let keys: Vec<&str> = form.questions.iter().map(|question| question.key.as_str()).collect();
    let mut body = Html::new()
        .raw("<header><h1>")
        .text(form.title)
        .raw("</h1><p class=\"progress\">")
        .text(&number)
        .raw("</p></header>")
        .html(&summary(form, words));
    if let Some(intro) = form.intro {
        body = body.raw("<p>").text(intro).raw("</p>");
    }
    body = body
        .raw("<form method=\"post\" novalidate action=\"/x/survey/")
        .text(form.token)
        .raw("\"><input type=\"hidden\" name=\"page\" value=\"")
        .text(form.page)
        .raw("\"><input type=\"hidden\" name=\"lang\" value=\"")
        .text(language)
        .raw("\"><input type=\"hidden\" name=\"asked\" value=\"")
        .text(keys.join(" "))
        .raw("\">")
        .each(form.questions, |question| field::question(question, form, words))
        .raw("<p class=\"buttons\"><button>")
        .text(words.say(Say::Next))
        .raw("</button>");
    if form.page > 0 {
        body = body
            .raw("<a href=\"/x/survey/")
            .text(form.token)
            .raw("?page=")
            .text(form.page - 1)
            .raw("&amp;lang=")
            .text(language)
            .raw("\">")
            .text(words.say(Say::Back))
            .raw("</a>");
    }
    page(status, language, title.trim(), &body.raw("</p></form>"))
}

/// What is wrong, with links to the fields.
fn summary(form: &Form<'_>, words: Words) -> Html {
    if form.wrong.is_empty() {
        return Html::new();
    }
    let line = |(key, fault): &(String, Fault)| {
        let question = form.questions.iter().find(|question| question.key == *key);
        let text = question.map(|question| form.filling.text(&question.text)).unwrap_or_default();
        let item = Html::new().raw("<li><a href=\"#q-").text(key).raw("\">").text(text).raw("</a> ");
        item.text(words.fault(*fault)).raw("</li>")
    };
    Html::new()
        .raw("<section class=\"summary\" role=\"alert\" aria-labelledby=\"summary\"><h2 id=\"summary\">")
        .text(words.say(Say::Problem))
        .raw("</h2><ul>")
        .each(form.wrong, line)
        .raw("</ul></section>")
}

/// Answers as the texts that stand in fields.
pub(crate) fn texts_of(answers: &Answers, key: &str) -> Vec<String> {
    answers.get(key).and_then(crate::flow::answer::as_sent).unwrap_or_default()
}
