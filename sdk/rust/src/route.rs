//! Requests to a plugin's addresses, and answers to them.

use serde::de::DeserializeOwned;

use crate::bindings::rapport::plugin::calls as wire;
use crate::{Error, Json};

mod form;

pub use form::Form;

/// A request to one of the plugin's addresses below `/x/PLUGIN/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The route that matched, as the manifest has it: `/members/{member}`.
    pub route: String,
    /// `GET`, `POST`, ….
    pub method: String,
    /// What follows `/x/PLUGIN`, decoded.
    pub path: String,
    /// The parts of the path that the route names.
    pub path_params: Vec<(String, String)>,
    /// The query, decoded, in its order.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Who sent it: `user:…` or `key:…`; `signed:SECRET` for whoever knows the secret; empty on a public route.
    pub actor: String,
}

fn of_name<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

impl Request {
    /// The part of the path that the route calls `name`.
    #[must_use]
    pub fn path_param(&self, name: &str) -> Option<&str> {
        of_name(&self.path_params, name)
    }

    /// The first value of `name` in the query.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        of_name(&self.query, name)
    }

    /// The first header of that name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        of_name(&self.headers, name)
    }

    /// The body, JSON, as a type of the plugin's own.
    ///
    /// # Errors
    /// `invalid`, if it is no JSON or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|e| Error::new("invalid", format!("the body: {e}")))
    }

    /// The body, as a form of a page sends it (`application/x-www-form-urlencoded`).
    ///
    /// ```
    /// use rapport_sdk::route::Request;
    /// let request = Request { body: b"name=Ada+L.&topic=a&topic=b".to_vec(), ..Request::default() };
    /// let form = request.form().unwrap();
    /// assert_eq!((form.get("name"), form.all("topic").count()), (Some("Ada L."), 2));
    /// ```
    ///
    /// # Errors
    /// `invalid`, if it is none.
    pub fn form(&self) -> Result<Form, Error> {
        Form::read(self.header("content-type"), &self.body)
    }
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "an answer is what `on_request` returns"]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer without a body.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// JSON.
    ///
    /// ```
    /// use rapport_sdk::route::Response;
    /// let answer = Response::json(200, &serde_json::json!({ "ok": true })).header("cache-control", "no-store");
    /// assert_eq!((answer.status, answer.headers.len()), (200, 2));
    /// ```
    pub fn json(status: u16, json: &Json) -> Self {
        Self::new(status).header("content-type", "application/json").body(json.to_string())
    }

    /// A page. [`Html`](crate::html::Html) puts one together in which what people typed stays text.
    ///
    /// ```
    /// use rapport_sdk::{html::Html, route::Response};
    /// let thanks = Response::html(200, Html::page("Thanks", &Html::new().raw("<p>Thanks, ").text("<Ada>").raw("</p>")));
    /// assert!(String::from_utf8(thanks.body).unwrap().contains("Thanks, &lt;Ada&gt;"));
    /// ```
    pub fn html(status: u16, page: impl Into<Vec<u8>>) -> Self {
        Self::new(status).header("content-type", "text/html; charset=utf-8").body(page)
    }

    /// Sends the browser on, after a form was taken (303): to an address of this server, or one below `https://`.
    ///
    /// ```
    /// use rapport_sdk::route::Response;
    /// assert_eq!(Response::redirect("/x/kiosk/thanks").headers[0].1, "/x/kiosk/thanks");
    /// ```
    pub fn redirect(to: &str) -> Self {
        Self::new(303).header("location", to)
    }

    /// Plain text.
    pub fn text(status: u16, text: impl Into<Vec<u8>>) -> Self {
        Self::new(status).header("content-type", "text/plain; charset=utf-8").body(text)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

fn in_pairs(pairs: Vec<wire::Pair>) -> Vec<(String, String)> {
    pairs.into_iter().map(|p| (p.name, p.value)).collect()
}

impl From<wire::Request> for Request {
    fn from(request: wire::Request) -> Self {
        let wire::Request { route, method, path, path_params, query, headers, body, actor } = request;
        let (path_params, query, headers) = (in_pairs(path_params), in_pairs(query), in_pairs(headers));
        Self { route, method, path, path_params, query, headers, body, actor }
    }
}

impl From<Response> for wire::Response {
    fn from(Response { status, headers, body }: Response) -> Self {
        let headers = headers.into_iter().map(|(name, value)| wire::Pair { name, value }).collect();
        Self { status, headers, body }
    }
}
