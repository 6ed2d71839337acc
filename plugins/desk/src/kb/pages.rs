//! The public pages: what there is, what was looked for, an article, and whether it has helped. No script, no cookie,
//! nothing from elsewhere: the host's policy (`Content-Security-Policy` on every answer of a plugin) would not let them in either.

use rapport_sdk::html::Html;
use rapport_sdk::route::{Request, Response};
use rapport_sdk::search::Hit;
use rapport_sdk::{Error, Record, query, records};

use super::{ARTICLE, LANGUAGES, article, search, text, votes};

/// Articles on the first page.
const LISTED_MAX: u32 = 50;
/// Hits that are shown.
const HITS_MAX: u32 = 20;

/// What pages say, by language.
struct Words {
    title: &'static str,
    search: &'static str,
    nothing: &'static str,
    helped: &'static str,
    yes: &'static str,
    no: &'static str,
    thanks: &'static str,
    missing: &'static str,
    back: &'static str,
    remark: &'static str,
}

const ENGLISH: Words = Words {
    title: "Help",
    search: "Search",
    nothing: "Nothing was found.",
    helped: "Did this help?",
    yes: "Yes",
    no: "No",
    thanks: "Thank you.",
    missing: "There is no such article.",
    back: "All articles",
    remark: "What was missing?",
};

const CHINESE: Words = Words {
    title: "帮助中心",
    search: "搜索",
    nothing: "没有找到相关内容。",
    helped: "这篇文章有帮助吗？",
    yes: "有",
    no: "没有",
    thanks: "谢谢您的反馈。",
    missing: "没有这篇文章。",
    back: "全部文章",
    remark: "还缺少什么？",
};

/// The language that a visitor reads: as the address says, else as the browser does.
fn language(request: &Request) -> &'static str {
    let said = request.query("lang").unwrap_or_default();
    if let Some(language) = LANGUAGES.into_iter().find(|language| *language == said) {
        return language;
    }
    if request.header("accept-language").unwrap_or_default().trim_start().to_ascii_lowercase().starts_with("zh") {
        "zh"
    } else {
        "en"
    }
}

fn words(language: &str) -> &'static Words {
    if language == "zh" { &CHINESE } else { &ENGLISH }
}

/// The style of the pages.
const STYLE: &str = "body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 sans-serif}";

/// Answers a request to the knowledge base.
///
/// # Errors
/// The host's.
pub(crate) fn answer(request: &Request) -> Result<Response, Error> {
    match request.route.as_str() {
        "/kb" => front(request),
        "/style.css" => {
            let style = Response::new(200).header("content-type", "text/css; charset=utf-8");
            Ok(style.header("cache-control", "public, max-age=300").body(STYLE))
        }
        "/kb/{slug}" => show(request),
        "/kb/{slug}/vote" => vote(request),
        _ => Ok(Response::text(404, "there is no such page")),
    }
}

fn page(status: u16, title: &str, body: &Html) -> Response {
    let style = Html::new().raw("<link rel=\"stylesheet\" href=\"/x/desk/style.css\">");
    Response::html(status, Html::page(title, &style.html(body)))
}

fn field(record: &Record, name: &str) -> String {
    record.text(name).ok().flatten().unwrap_or_default()
}

/// The form to search with.
fn form(question: &str, language: &str) -> Html {
    Html::new()
        .raw("<form method=\"get\" action=\"/x/desk/kb\"><input type=\"hidden\" name=\"lang\" value=\"")
        .text(language)
        .raw("\"><input type=\"search\" name=\"q\" maxlength=\"200\" value=\"")
        .text(question)
        .raw("\"><button>")
        .text(words(language).search)
        .raw("</button></form>")
}

fn link(slug: &str, language: &str, title: &str) -> Html {
    Html::new().raw("<a href=\"/x/desk/kb/").text(slug).raw("?lang=").text(language).raw("\">").text(title).raw("</a>")
}

fn front(request: &Request) -> Result<Response, Error> {
    let language = language(request);
    let said = words(language);
    let question: String = request.query("q").unwrap_or_default().chars().take(200).collect();
    let list = if question.trim().is_empty() { all(language)? } else { found(&question, language, said)? };
    let body = Html::new().raw("<h1>").text(said.title).raw("</h1>").html(&form(&question, language)).html(&list);
    Ok(page(200, said.title, &body))
}

fn all(language: &str) -> Result<Html, Error> {
    let rows = query::select(ARTICLE, &["slug", "title"])
        .filter("status == 'published' && language == l")
        .param("l", language)
        .order("title")
        .limit(LISTED_MAX)
        .run()?
        .rows;
    let text = |row: &query::Row, at: usize| row.text(at).ok().flatten().unwrap_or_default();
    let item =
        |row: &query::Row| Html::new().raw("<li>").html(&link(&text(row, 0), language, &text(row, 1))).raw("</li>");
    Ok(Html::new().raw("<ul>").each(&rows, item).raw("</ul>"))
}

fn found(question: &str, language: &str, said: &Words) -> Result<Html, Error> {
    let hits = search::find(question, language, HITS_MAX)?;
    if hits.is_empty() {
        return Ok(Html::new().raw("<p>").text(said.nothing).raw("</p>"));
    }
    let mut list = Html::new().raw("<ul>");
    for hit in &hits {
        let Some(article) = records::get(ARTICLE, &hit.id)? else { continue };
        let entry = link(&field(&article, "slug"), language, &field(&article, "title"));
        list = list.raw("<li>").html(&entry).raw("<br>").html(&snippet(hit)).raw("</li>");
    }
    Ok(list.raw("</ul>"))
}

/// The part of an article around what was found, with that marked.
fn snippet(hit: &Hit) -> Html {
    let chars: Vec<char> = hit.text.chars().collect();
    let part = |from: usize, until: usize| chars.get(from..until).unwrap_or_default().iter().collect::<String>();
    let (mut html, mut at) = (Html::new(), 0);
    for place in &hit.matches {
        let (start, end) = (usize::try_from(place.start).unwrap_or(0), usize::try_from(place.end).unwrap_or(0));
        if start < at || end < start || end > chars.len() {
            continue;
        }
        html = html.text(part(at, start)).raw("<mark>").text(part(start, end)).raw("</mark>");
        at = end;
    }
    html.text(part(at, chars.len()))
}

/// The public article of an address, in the visitor's language, else in another one that there is.
fn public(request: &Request) -> Result<Option<(Record, &'static str)>, Error> {
    let slug = request.path_param("slug").unwrap_or_default();
    let wanted = language(request);
    for language in [wanted].into_iter().chain(LANGUAGES.into_iter().filter(|other| *other != wanted)) {
        if let Some(found) = article(language, slug)?.filter(|found| field(found, "status") == "published") {
            return Ok(Some((found, language)));
        }
    }
    Ok(None)
}

fn missing(request: &Request) -> Response {
    let language = language(request);
    let said = words(language);
    page(404, said.title, &Html::new().raw("<p>").text(said.missing).raw("</p>").html(&form("", language)))
}

fn show(request: &Request) -> Result<Response, Error> {
    let Some((article, language)) = public(request)? else { return Ok(missing(request)) };
    let said = words(language);
    let title = field(&article, "title");
    let button = |value: &'static str, text: &str| {
        Html::new().raw("<button name=\"helped\" value=\"").raw(value).raw("\">").text(text).raw("</button> ")
    };
    let body = Html::new()
        .raw("<p><a href=\"/x/desk/kb?lang=")
        .text(language)
        .raw("\">")
        .text(said.back)
        .raw("</a></p><h1>")
        .text(&title)
        .raw("</h1>")
        .html(&text::html(&field(&article, "body")))
        .raw("<hr><form method=\"post\" action=\"/x/desk/kb/")
        .text(field(&article, "slug"))
        .raw("/vote?lang=")
        .text(language)
        .raw("\"><p>")
        .text(said.helped)
        .raw("</p><input type=\"hidden\" name=\"mark\" value=\"")
        .text(votes::mark())
        .raw("\"><input name=\"remark\" maxlength=\"1000\" placeholder=\"")
        .text(said.remark)
        .raw("\"> ")
        .html(&button("yes", said.yes))
        .html(&button("no", said.no))
        .raw("</form>");
    Ok(page(200, &title, &body).header("cache-control", "no-store"))
}

fn vote(request: &Request) -> Result<Response, Error> {
    let Some((article, language)) = public(request)? else { return Ok(missing(request)) };
    let Ok(form) = request.form() else { return Ok(Response::text(400, "send the form of the page")) };
    let helped = match form.get("helped") {
        Some("yes") => true,
        Some("no") => false,
        _ => return Ok(Response::text(422, "say whether it helped: yes or no")),
    };
    let mark = form.get("mark").unwrap_or_default();
    if !votes::note(&article, mark, helped, form.get("remark").unwrap_or_default())? {
        return Ok(Response::text(422, "send the form of the page: it carries a mark"));
    }
    let said = words(language);
    let body = Html::new()
        .raw("<p>")
        .text(said.thanks)
        .raw("</p><p><a href=\"/x/desk/kb?lang=")
        .text(language)
        .raw("\">")
        .text(said.back)
        .raw("</a></p>");
    Ok(page(200, said.title, &body))
}
