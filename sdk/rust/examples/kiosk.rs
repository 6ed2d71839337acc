//! A plugin of pages and webhooks: a guest book that anybody can write into, a report that partners sign, and a look at members.

use rapport_sdk::html::Html;
use rapport_sdk::route::{Request, Response};
use rapport_sdk::{Error, Fields, OnRequest, Record, context, flow, records};
use serde_json::json;

/// Keeps the kiosk.
struct Kiosk;

impl OnRequest for Kiosk {
    fn on_request(request: Request) -> Result<Response, Error> {
        match request.route.as_str() {
            "/" => book(),
            "/sign" => sign(&request),
            "/partners/{partner}/earn" => earn(&request),
            "/members/{customer}" => member(&request),
            "/members/{customer}/visit" => visit(&request),
            "/echo/{what}" => Ok(echo(&request)),
            "/slow/{span}" => slow(&request),
            _ => misbehave(&request),
        }
    }
}

fn customer(request: &Request) -> Result<Option<Record>, Error> {
    records::get("customer", request.path_param("customer").unwrap_or_default())
}

/// The page with the form, and what stands in the book.
fn book() -> Result<Response, Error> {
    let entries = records::find("task").filter("assignee == 'kiosk'").run()?;
    let entry = |entry: &Record| {
        let title = entry.text("title").ok().flatten().unwrap_or_default();
        Html::new().raw("<li>").text(title).raw("</li>")
    };
    let body = Html::new()
        .raw("<form method=\"post\" action=\"/x/kiosk/sign\"><input name=\"name\"><button>Sign</button></form><ul>")
        .each(&entries, entry)
        .raw("</ul>");
    Ok(Response::html(200, Html::page("Guest book", &body)).header("cache-control", "max-age=5"))
}

fn sign(request: &Request) -> Result<Response, Error> {
    let Ok(form) = request.form() else { return Ok(Response::text(400, "send the form")) };
    let Some(name) = form.get("name").filter(|name| !name.is_empty()) else {
        return Ok(Response::html(422, Html::page("Guest book", &Html::new().raw("<p>Who are you?</p>"))));
    };
    records::create("task", &Fields::new().with("title", name).with("assignee", "kiosk"))?;
    Ok(Response::redirect("/x/kiosk/"))
}

/// A partner reports points of a member.
fn earn(request: &Request) -> Result<Response, Error> {
    #[derive(serde::Deserialize)]
    struct Report {
        customer: String,
        points: i64,
    }
    let Ok(report) = request.json::<Report>() else {
        return Ok(Response::json(400, &json!({ "result": "malformed" })));
    };
    let Some(found) = records::get("customer", &report.customer)? else {
        return Ok(Response::json(404, &json!({ "result": "unknown" })));
    };
    records::increment(&found.reference(), "points", report.points)?;
    let told = json!({ "result": "ok", "partner": request.path_param("partner"), "actor": request.actor });
    Ok(Response::json(200, &told))
}

fn member(request: &Request) -> Result<Response, Error> {
    let Some(found) = customer(request)? else { return Ok(Response::html(404, "<p>nobody")) };
    Ok(Response::json(200, &json!({ "points": found.int("points")?, "asked_by": request.actor }))
        .header("etag", "\"1\""))
}

fn visit(request: &Request) -> Result<Response, Error> {
    let Some(found) = customer(request)? else { return Ok(Response::new(404)) };
    records::increment(&found.reference(), "points", 1)?;
    Ok(Response::new(204))
}

/// Says what the request looks like from here.
fn echo(request: &Request) -> Response {
    let json = json!({
        "route": request.route, "method": request.method, "path": request.path, "params": request.path_params,
        "query": request.query, "headers": request.headers, "body": request.body, "actor": request.actor,
        "context": context::actor(),
    });
    Response::json(200, &json)
}

fn slow(request: &Request) -> Result<Response, Error> {
    flow::sleep(request.path_param("span").unwrap_or("1 hour"))?;
    Ok(Response::text(200, "done"))
}

fn misbehave(request: &Request) -> Result<Response, Error> {
    records::get("customer", "customer_no:a")?;
    let write = || records::create("task", &Fields::new().with("title", "should not be").with("assignee", "kiosk"));
    match request.path_param("how").unwrap_or_default() {
        "write" => write().map(|_| Response::new(200)),
        "cookie" => write().map(|_| Response::new(200).header("set-cookie", "session=1")),
        "status" => write().map(|_| Response::new(99)),
        "away" => write().map(|_| Response::redirect("http://evil.example")),
        "large" => Ok(Response::text(200, vec![b'x'; 600_000])),
        "fail" => write().and(Err(Error::new("out_of_paper", "the secret reason"))),
        "later" => Err(Error::retryable("busy", "once more")),
        "trap" => panic!("the kiosk fell over"),
        "loop" => loop {
            std::hint::black_box(0);
        },
        "bytes" => Ok(Response::new(200).header("content-type", "image/png").body(vec![0, 159, 255])),
        _ => Ok(Response::html(404, "<p>no such thing")),
    }
}

rapport_sdk::export!(Kiosk: on_request);
