//! What a plugin may answer to a request: held against a list before anything of its run is kept.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rapport_model::limits::ROUTE_REPLY_BYTES_MAX;
use rapport_sandbox::work::Response;
use serde_json::{Value as Json, json};

/// The headers that a plugin may send. Cookies belong to the host, and so does what concerns the connection.
const HEADERS: [&str; 11] = [
    "cache-control",
    "content-disposition",
    "content-language",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "vary",
    "x-robots-tag",
];
/// The most headers of an answer.
const HEADERS_MAX: usize = 32;
/// The longest value of a header, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;
/// Statuses that are the host's own to give: they speak of ranges, of proxies and of the connection.
const NOT_ITS_OWN: [u16; 6] = [206, 407, 416, 421, 426, 511];

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReply {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case, each once.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RouteReply {
    /// What a plugin answered, if it may answer so.
    ///
    /// # Errors
    /// What it may not, and what to do instead.
    pub(crate) fn vetted(response: Response) -> Result<Self, String> {
        let Response { status, headers, body } = response;
        if !(200..=599).contains(&status) || NOT_ITS_OWN.contains(&status) {
            return Err(format!(
                "{status} is no status of an answer: take one from 200 to 599 that is about the request"
            ));
        }
        if body.len() > ROUTE_REPLY_BYTES_MAX {
            return Err(format!("the answer has {} bytes, {ROUTE_REPLY_BYTES_MAX} at most", body.len()));
        }
        if matches!(status, 204 | 304) && !body.is_empty() {
            return Err(format!("an answer of status {status} has no body"));
        }
        if headers.len() > HEADERS_MAX {
            return Err(format!("the answer has {} headers, {HEADERS_MAX} at most", headers.len()));
        }
        let mut kept: Vec<(String, String)> = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            may_send(&name, &value)?;
            if kept.iter().any(|(known, _)| *known == name) {
                return Err(format!("the header `{name}` is there twice: write its values into one, with commas"));
            }
            kept.push((name, value));
        }
        Ok(Self { status, headers: kept, body })
    }

    /// The header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As it is kept in the log as the result of a run.
    pub(crate) fn to_json(&self) -> Json {
        let mut json = json!({ "status": self.status, "headers": self.headers });
        put_body(&mut json, &self.body);
        json
    }

    /// What [`Self::to_json`] made.
    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        let status = u16::try_from(json["status"].as_u64()?).ok()?;
        Some(Self { status, headers: pairs(&json["headers"]), body: body_of(json) })
    }
}

/// Writes a body into JSON: as text where it is one, else in base64.
pub(super) fn put_body(json: &mut Json, body: &[u8]) {
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(text) if !text.contains('\0') => json["body"] = text.into(),
        _ => json["body_base64"] = BASE64_STANDARD.encode(body).into(),
    }
}

/// The body that [`put_body`] wrote.
pub(super) fn body_of(json: &Json) -> Vec<u8> {
    match (json["body"].as_str(), json["body_base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        (None, None) => Vec::new(),
    }
}

/// Pairs of texts.
pub(super) fn pairs(json: &Json) -> Vec<(String, String)> {
    let pair = |json: &Json| Some((json.get(0)?.as_str()?.to_owned(), json.get(1)?.as_str()?.to_owned()));
    json.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn may_send(name: &str, value: &str) -> Result<(), String> {
    let shown = || name.escape_debug().take(64).collect::<String>();
    if !HEADERS.contains(&name) {
        let all = HEADERS.join(", ");
        return Err(format!("the header `{}` is none that a plugin may send: it may send {all}", shown()));
    }
    if value.len() > VALUE_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(format!("the header `{name}` is one line of {VALUE_BYTES_MAX} bytes at most"));
    }
    match name {
        "location" if !leads_on(value) => {
            Err("`location` leads to an address below `https://` or to one of this server, such as `/x/…`".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether a redirect may lead there: to a page behind TLS, or to this server.
fn leads_on(target: &str) -> bool {
    if let Some(host) = target.strip_prefix("https://") {
        return host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && !target.contains(['\\', '@']);
    }
    // What stands before the first colon would be a scheme, and two slashes a host.
    let first = target.split(['/', '?', '#']).next().unwrap_or_default();
    !target.is_empty()
        && !target.starts_with("//")
        && !target.contains('\\')
        && !first.contains(':')
        && !target.starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Result<RouteReply, String> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RouteReply::vetted(Response { status, headers, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn a_page_may_be_answered() {
        let page = answer(200, &[("Content-Type", "text/html; charset=utf-8"), ("etag", "\"1\"")], "<p>hi").unwrap();
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(RouteReply::from_json(&page.to_json()).unwrap(), page);
        let binary = RouteReply { status: 200, headers: vec![], body: vec![0, 255, 7] };
        assert_eq!(RouteReply::from_json(&binary.to_json()).unwrap(), binary);
        let nothing = answer(204, &[], "").unwrap();
        assert_eq!(RouteReply::from_json(&nothing.to_json()).unwrap(), nothing);
    }

    #[test]
    fn what_is_the_hosts_own_is_refused() {
        for (status, headers, body) in [
            (101, vec![], ""),
            (199, vec![], ""),
            (600, vec![], ""),
            (407, vec![], ""),
            (204, vec![], "x"),
            (200, vec![("set-cookie", "a=b")], ""),
            (200, vec![("Connection", "close")], ""),
            (200, vec![("transfer-encoding", "chunked")], ""),
            (200, vec![("content-length", "3")], ""),
            (200, vec![("content-security-policy", "default-src *")], ""),
            (200, vec![("access-control-allow-origin", "*")], ""),
            (200, vec![("etag", "a\r\nset-cookie: b")], ""),
            (200, vec![("etag", "a"), ("ETag", "b")], ""),
            (200, vec![("link", "<https://evil.example/x>; rel=preload")], ""),
        ] {
            assert!(answer(status, &headers, body).is_err(), "{status} {headers:?}");
        }
        assert!(answer(200, &[], &"x".repeat(ROUTE_REPLY_BYTES_MAX + 1)).is_err());
        let said = answer(200, &[("set-cookie", "secret")], "").unwrap_err();
        assert!(said.contains("`set-cookie`") && said.contains("content-type") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn a_redirect_stays_here_or_goes_by_tls() {
        for good in ["/x/a/b", "thanks", "?page=2", "./b", "https://partner.example/x?y=1", "#top", "/a:b"] {
            assert!(answer(303, &[("location", good)], "").is_ok(), "{good}");
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "http://a.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "https:evil",
            "https://",
            "https://a@b.example",
            " //evil.example",
            "\\\\evil.example",
        ] {
            assert!(answer(303, &[("location", bad)], "").is_err(), "{bad}");
        }
    }
}
