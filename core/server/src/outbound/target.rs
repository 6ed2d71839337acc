//! Where an HTTP call goes: a URL, read by the rules of browsers and then refused if anything about it is odd.
//!
//! What is dialled, what stands in `Host` and what TLS asks for all come from here, so that no two readings of one URL can differ.

use std::net::IpAddr;

use rapport_engine::Failure;
use url::{Host, Url};

use super::failure::permanent;

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 8 << 10;

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// How it is guarded on the way.
    pub(super) scheme: Scheme,
    /// The name or address, as the URL's rules write it: lower case, numbers in their usual form.
    pub(super) host: Host<String>,
    /// The port.
    pub(super) port: u16,
    /// The host and, unless it is the usual one, the port: the header `Host`.
    pub(super) authority: String,
    /// The path and the query.
    pub(super) path: String,
}

/// How a call is guarded on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Not at all.
    Http,
    /// By TLS.
    Https,
}

impl Target {
    /// Reads `url`.
    ///
    /// # Errors
    /// [`Failure`] `invalid_url` or `refused_address`, which no other attempt would change.
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let invalid = |why: &str| permanent("invalid_url", format!("`{}` cannot be called: {why}", shown(url)));
        if url.len() > URL_BYTES_MAX {
            return Err(invalid(&format!("it is longer than {URL_BYTES_MAX} bytes")));
        }
        // The rules of browsers drop these silently, and then two readers of one text see two addresses.
        if url.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(invalid("a URL holds no spaces, control characters or backslashes: encode them"));
        }
        let parsed = Url::parse(url).map_err(|e| invalid(&e.to_string()))?;
        let scheme = match parsed.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(invalid(&format!("`{other}` is not spoken here, only https and http"))),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            let hint = "names and passwords do not belong in a URL: use a header, or a secret by its name";
            return Err(permanent("invalid_url", hint));
        }
        let host = parsed.host().ok_or_else(|| invalid("it names no host"))?.to_owned();
        let port = parsed.port_or_known_default().ok_or_else(|| invalid("it names no port"))?;
        if let Host::Domain(name) = &host {
            check_name(name)?;
        }
        let authority = parsed.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let query = parsed.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self { scheme, port, authority, path: format!("{}{query}", parsed.path()), host })
    }

    /// The address, if the URL names one rather than a name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    /// The host without what surrounds or ends it: no brackets, no last dot.
    pub(super) fn name(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.trim_end_matches('.').to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// What shares a limit and a circuit, such as `https://api.example:443`.
    pub(super) fn destination(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// A name of the local network is refused before anybody is asked for its address.
fn check_name(name: &str) -> Result<(), Failure> {
    let bare = name.trim_end_matches('.');
    if bare.contains('.') && !bare.ends_with(".localhost") {
        return Ok(());
    }
    let hint = "it is a name of this machine or network: write the full name or the address";
    Err(permanent("refused_address", format!("`{bare}` is not called: {hint}")))
}

/// The beginning of a URL, without what may be a password.
fn shown(url: &str) -> String {
    let text: String = url.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(100).collect();
    let text = text.split('?').next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    fn refusal(url: &str) -> (String, String) {
        let failure = Target::parse(url).unwrap_err();
        assert!(!failure.retryable, "{url}");
        (failure.code, failure.message)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let secure = target("https://API.Example/v1/pay?x=1#part");
        assert_eq!((secure.scheme, secure.port, secure.authority.as_str()), (Scheme::Https, 443, "api.example"));
        assert_eq!((secure.path.as_str(), secure.destination().as_str()), ("/v1/pay?x=1", "https://api.example:443"));
        let plain = target("http://api.example.:8080");
        assert_eq!(
            (plain.authority.as_str(), plain.path.as_str(), plain.name().as_str()),
            ("api.example.:8080", "/", "api.example")
        );
        assert_eq!(target("http://bücher.example/ü").authority, "xn--bcher-kva.example");
    }

    #[test]
    fn every_way_to_write_an_address_is_that_address() {
        for (url, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://0x7f.0.0.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://127.0.1/", "127.0.0.1"),
            ("http://0/", "0.0.0.0"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://%31%32%37.0.0.1/", "127.0.0.1"),
            ("http://127。0。0。1/", "127.0.0.1"),
            ("http://①②⑦.⓪.⓪.①/", "127.0.0.1"),
            ("http://[::1]/", "::1"),
            ("http://[0:0:0:0:0:0:0:1]/", "::1"),
            ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
            ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1"),
            ("http://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1"),
        ] {
            assert_eq!(target(url).address(), Some(address.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn odd_schemes_are_refused_by_name() {
        for scheme in ["file", "gopher", "ftp", "ws", "wss", "dict", "ldap", "data", "javascript", "unix"] {
            let (code, message) = refusal(&format!("{scheme}://public.example/x"));
            assert_eq!(code, "invalid_url");
            assert!(message.contains(&format!("`{scheme}` is not spoken here")), "{message}");
        }
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        for url in [
            "http://a.example\n.evil.example/",
            "http://a.example\t/",
            " http://a.example/",
            "http://a.example/a b",
            "http:\\\\a.example\\",
            "http://a.example\\@b.example/",
            "http://a.example:99999/",
            "http://",
            "http:///",
            "a.example/x",
            "//a.example/x",
            "http://[::1",
            "http://256.1.1.1/",
            "http://a.example:port/",
        ] {
            assert_eq!(refusal(url).0, "invalid_url", "{url}");
        }
        assert_eq!(refusal(&format!("http://a.example/{}", "x".repeat(URL_BYTES_MAX))).0, "invalid_url");
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        for url in ["http://ann:s3cret@a.example/", "http://s3cret@a.example/", "gopher://ann:s3cret@a.example/"] {
            let (code, message) = refusal(url);
            assert!(code == "invalid_url" && !message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn names_of_this_machine_and_network_are_refused() {
        for url in
            ["http://localhost/", "http://LOCALHOST./", "https://a.localhost/", "http://intranet/", "http://db:80/"]
        {
            assert_eq!(refusal(url).0, "refused_address", "{url}");
        }
    }
}
