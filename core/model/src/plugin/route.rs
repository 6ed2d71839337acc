//! Routes: addresses under `/x/<plugin>/` that a plugin answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::Name;

/// The longest path of a route, in bytes.
pub const ROUTE_BYTES_MAX: usize = 256;
/// Requests that a route answers in a minute if it does not say.
pub const ROUTE_PER_MINUTE: u32 = 60;
/// The most requests of a minute that a route can ask for.
pub const ROUTE_PER_MINUTE_MAX: u32 = 60_000;
/// Bytes of a request's body that a route takes if it does not say.
pub const ROUTE_BODY_BYTES: u32 = 64 << 10;
/// The most bytes of a body that a route can ask for.
pub const ROUTE_BODY_BYTES_MAX: u32 = 1 << 20;

/// Who may send requests to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever signs with a secret that both sides know.
    Signed,
    /// Whoever has a key of the workspace.
    Users,
}

impl Access {
    /// All names.
    pub const NAMES: &[&str] = &["public", "signed", "users"];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Signed => "signed",
            Self::Users => "users",
        }
    }

    /// The access of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Public, Self::Signed, Self::Users].into_iter().find(|access| access.as_str() == text)
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Does something.
    Post,
    /// Puts something in its place.
    Put,
    /// Changes a part.
    Patch,
    /// Takes away.
    Delete,
}

impl Method {
    /// Whether it only reads.
    #[must_use]
    pub const fn only_reads(self) -> bool {
        matches!(self, Self::Get)
    }

    /// All names.
    pub const NAMES: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete].into_iter().find(|method| method.as_str() == text)
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Word(String),
    Param(Name),
}

/// The path of a route below `/x/<plugin>`: `/partners/{partner}/earn`. A `{name}` stands for one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePath(Vec<Step>);

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is no path of a route: {why}")]
pub struct InvalidRoutePath {
    path: String,
    why: &'static str,
}

impl RoutePath {
    /// The values of the parameters if `path` is meant; none if it is not.
    #[must_use]
    pub fn matches<'p>(&self, path: &'p str) -> Option<Vec<(&Name, &'p str)>> {
        let rest = path.strip_prefix('/')?;
        let steps: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
        if steps.len() != self.0.len() {
            return None;
        }
        let mut params = Vec::new();
        for (step, given) in self.0.iter().zip(steps) {
            match step {
                Step::Word(word) if word == given => {}
                Step::Param(name) if !given.is_empty() => params.push((name, given)),
                _ => return None,
            }
        }
        Some(params)
    }

    /// Whether it has the parameter `name`.
    #[must_use]
    pub fn has_param(&self, name: &Name) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Param(own) if own == name))
    }

    /// Whether some path is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |(left, right): (&Step, &Step)| match (left, right) {
            (Step::Word(left), Step::Word(right)) => left == right,
            _ => true,
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(meet)
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|step| match step {
            Step::Word(word) => write!(f, "/{word}"),
            Step::Param(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl FromStr for RoutePath {
    type Err = InvalidRoutePath;
    fn from_str(text: &str) -> Result<Self, InvalidRoutePath> {
        let bad = |why| InvalidRoutePath { path: text.chars().take(100).collect(), why };
        if text.len() > ROUTE_BYTES_MAX {
            return Err(bad("it is longer than 256 bytes"));
        }
        let rest = text.strip_prefix('/').ok_or_else(|| bad("it begins with `/`"))?;
        if rest.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut steps: Vec<Step> = Vec::new();
        for part in rest.split('/') {
            let step = if let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                let name = Name::new(name).map_err(|_| bad("what stands in `{}` is a lower-case name"))?;
                if steps.contains(&Step::Param(name.clone())) {
                    return Err(bad("it has the same parameter twice"));
                }
                Step::Param(name)
            } else {
                let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
                if part.is_empty() || part.starts_with('.') || !part.bytes().all(ok) {
                    return Err(bad("its steps are lower-case letters, digits, `-`, `_` and `.`, or a `{name}`"));
                }
                Step::Word(part.to_owned())
            };
            steps.push(step);
        }
        Ok(Self(steps))
    }
}

impl Serialize for RoutePath {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoutePath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A route as a plugin declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteDef {
    /// The methods that it answers.
    pub methods: Vec<Method>,
    /// The path below `/x/<plugin>`.
    pub path: RoutePath,
    /// Who may send requests.
    pub access: Access,
    /// The secret that requests are signed with, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Requests of one client that it answers in a minute; all clients together get ten times as many.
    pub per_minute: u32,
    /// Bytes of a body that it takes.
    pub body_bytes_max: u32,
    /// The parameter of the path that names the record on whose lane its runs work; the parameter has the name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Name>,
}

impl RouteDef {
    /// Whether some request is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.methods.iter().any(|method| other.methods.contains(method)) && self.path.overlaps(&other.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RoutePath {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_gives_its_parameters() {
        let earn = path("/partners/{partner}/earn");
        let params = earn.matches("/partners/acme/earn").unwrap();
        assert_eq!((params[0].0.as_str(), params[0].1), ("partner", "acme"));
        for other in ["/partners/acme", "/partners//earn", "/partners/a/b/earn", "partners/a/earn", "/partners/a/earn/"]
        {
            assert!(earn.matches(other).is_none(), "{other}");
        }
        assert_eq!(path("/").matches("/"), Some(vec![]));
        assert_eq!(earn.to_string(), "/partners/{partner}/earn");
        assert!(earn.has_param(&Name::new("partner").unwrap()) && !earn.has_param(&Name::new("earn").unwrap()));
    }

    #[test]
    fn paths_overlap_if_one_request_could_mean_both() {
        assert!(path("/a/{x}").overlaps(&path("/a/b")));
        assert!(path("/{x}/b").overlaps(&path("/a/{y}")));
        assert!(!path("/a/b").overlaps(&path("/a/c")));
        assert!(!path("/a").overlaps(&path("/a/{x}")));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in ["", "a", "/A", "/a//b", "/../a", "/.x", "/{}", "/{A}", "/{x}/{x}", "/a b", "/a?x", "/a%2f"] {
            assert!(bad.parse::<RoutePath>().is_err(), "{bad}");
        }
    }
}
