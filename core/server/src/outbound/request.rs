//! The HTTP request as it is sent: what the caller gave, checked, and what the door adds.
//!
//! What frames a message or steers the connection is the door's alone: a caller that set it could smuggle a second request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request};
use rapport_engine::Failure;

use super::failure::permanent;
use super::target::Target;

/// What a call is sent as.
pub(super) type Outgoing = Request<Full<Bytes>>;

/// Headers of one request, and bytes of all of them.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 32 << 10;

/// The methods that are spoken.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Headers that only the door sets, besides all that begin with `proxy-`.
const OWN_HEADERS: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Builds requests to one target.
#[derive(Debug)]
pub(super) struct RequestBuilder {
    method: Method,
    headers: HeaderMap,
}

impl RequestBuilder {
    /// A request with this method and these headers.
    ///
    /// # Errors
    /// [`Failure`] `invalid_request` naming the method or header that cannot be sent.
    pub(super) fn new(method: &str, headers: &[(String, String)]) -> Result<Self, Failure> {
        let known = METHODS.into_iter().find(|known| known.as_str() == method);
        let Some(method) = known else {
            let all = METHODS.each_ref().map(Method::as_str).join(", ");
            return Err(invalid(format!("`{}` is not sent here: there are {all}", method.escape_debug())));
        };
        if headers.len() > HEADERS_MAX {
            return Err(invalid(format!("{} headers are more than {HEADERS_MAX}", headers.len())));
        }
        if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > HEADER_BYTES_MAX {
            return Err(invalid(format!("the headers are longer than {HEADER_BYTES_MAX} bytes")));
        }
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(header_name(name)?, header_value(name, value.as_bytes())?);
        }
        Ok(Self { method, headers: all })
    }

    /// Whether repeating the request may do something twice.
    pub(super) fn changes(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// Adds a header, unless it is there.
    ///
    /// # Errors
    /// [`Failure`] `invalid_request` if it cannot be sent.
    pub(super) fn default_header(mut self, name: &'static str, value: &str) -> Result<Self, Failure> {
        let value = header_value(name, value.as_bytes())?;
        self.headers.entry(name).or_insert(value);
        Ok(self)
    }

    /// Adds a secret, kept out of every log of the libraries below.
    ///
    /// # Errors
    /// [`Failure`] `invalid_request` if the header cannot be sent, or is there already.
    pub(super) fn secret_header(mut self, name: &str, value: &str) -> Result<Self, Failure> {
        let header = header_name(name)?;
        if self.headers.contains_key(&header) {
            return Err(invalid(format!("the header `{header}` is given, and is to carry the secret: leave it out")));
        }
        let mut value = header_value(name, value.as_bytes())?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    /// The request to `target` with `body`.
    ///
    /// # Errors
    /// [`Failure`] `invalid_request` if the target has a path that cannot be sent.
    pub(super) fn build(self, target: &Target, body: Vec<u8>) -> Result<Outgoing, Failure> {
        let agent = concat!("rapport/", env!("CARGO_PKG_VERSION"));
        let mut built = self.default_header("user-agent", agent)?.default_header("accept", "*/*")?;
        built.headers.insert("host", header_value("host", target.authority.as_bytes())?);
        built.headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = built.method;
        *request.uri_mut() = target.path.parse().map_err(|_| invalid("the path of the URL cannot be sent"))?;
        *request.headers_mut() = built.headers;
        Ok(request)
    }
}

fn header_name(name: &str) -> Result<HeaderName, Failure> {
    let header: HeaderName =
        name.parse().map_err(|_| invalid(format!("`{}` is no name of a header", name.escape_debug())))?;
    if OWN_HEADERS.contains(&header.as_str()) || header.as_str().starts_with("proxy-") {
        return Err(invalid(format!("the header `{header}` is set here and by nobody else: leave it out")));
    }
    Ok(header)
}

fn header_value(name: &str, value: &[u8]) -> Result<HeaderValue, Failure> {
    let wrong =
        || invalid(format!("the header `{}` has a line break or control character in its value", name.escape_debug()));
    HeaderValue::from_bytes(value).map_err(|_| wrong())
}

fn invalid(message: impl Into<String>) -> Failure {
    permanent("invalid_request", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(method: &str, headers: &[(&str, &str)]) -> Result<Outgoing, Failure> {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        RequestBuilder::new(method, &headers)?.build(&Target::parse("http://a.example:81/x?y").unwrap(), Vec::new())
    }

    fn refusal(method: &str, headers: &[(&str, &str)]) -> String {
        let failure = built(method, headers).unwrap_err();
        assert!(failure.code == "invalid_request" && !failure.retryable);
        failure.message
    }

    #[test]
    fn the_door_names_host_and_itself_and_asks_for_nothing_packed() {
        let request = built("GET", &[("X-A", "1"), ("x-a", "2"), ("Accept", "text/plain")]).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("host"), header("accept-encoding")), ("a.example:81".to_owned(), "identity".to_owned()));
        assert_eq!(
            (header("user-agent"), header("accept")),
            (concat!("rapport/", env!("CARGO_PKG_VERSION")).to_owned(), "text/plain".to_owned())
        );
        assert_eq!(request.headers().get_all("x-a").iter().count(), 2);
        assert_eq!(request.uri(), "/x?y");
    }

    #[test]
    fn whatever_a_path_holds_is_sent_in_a_form_that_splits_no_line() {
        let url = "http://a.example/a|b^c[d]{e}`f<g>\"h'ü%0d%0a?x={y}|z^[1]\"'<>`ü&%0d%0a";
        let request = RequestBuilder::new("GET", &[]).unwrap().build(&Target::parse(url).unwrap(), Vec::new()).unwrap();
        let sent = request.uri().to_string();
        assert!(sent.starts_with("/a|b^c[d]%7Be%7D%60f%3Cg%3E%22h'%C3%BC%0d%0a?x="), "{sent}");
        assert!(sent.chars().all(|c| c.is_ascii_graphic()), "{sent}");
    }

    #[test]
    fn headers_that_frame_or_steer_are_refused_by_name() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "keep-alive",
            "Proxy-Authorization",
            "proxy-connection",
            "TE",
            "trailer",
            "upgrade",
            "expect",
            "accept-encoding",
        ] {
            let said = refusal("POST", &[(name, "x")]);
            assert!(said.contains(&format!("`{}`", name.to_lowercase())), "{said}");
        }
    }

    #[test]
    fn nothing_is_injected_through_names_or_values() {
        for value in ["a\r\nhost: evil", "a\nb", "a\rb", "a\0b", "\u{7f}"] {
            assert!(refusal("GET", &[("x-a", value)]).contains("`x-a`"), "{value:?}");
        }
        for name in ["", "x a", "x:a", "x\r\na", "x\0", "ü", "x-a:"] {
            assert!(refusal("GET", &[(name, "1")]).contains("is no name of a header"), "{name:?}");
        }
    }

    #[test]
    fn only_known_methods_are_sent() {
        for method in ["CONNECT", "TRACE", "get", "", "GET / HTTP/1.1\r\nx: y", "PURGE"] {
            assert!(refusal(method, &[]).contains("there are GET, HEAD, POST"), "{method:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_headers() {
        assert!(refusal("GET", &[("x", "1"); HEADERS_MAX + 1]).contains("65 headers"));
        assert!(refusal("GET", &[("x", &"1".repeat(HEADER_BYTES_MAX))]).contains("longer than"));
    }

    #[test]
    fn a_secret_takes_no_header_that_is_given() {
        let headers = [("authorization".to_owned(), "mine".to_owned())];
        let twice = RequestBuilder::new("GET", &headers).unwrap().secret_header("Authorization", "Bearer x");
        assert!(twice.unwrap_err().message.contains("`authorization`"));
        let own = RequestBuilder::new("GET", &[]).unwrap().secret_header("Host", "x");
        assert_eq!(own.unwrap_err().code, "invalid_request");
        let request = RequestBuilder::new("GET", &[]).unwrap().secret_header("x-key", "s3cret").unwrap();
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
