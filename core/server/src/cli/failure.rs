//! What a command ends with when it does not succeed, and the exit code that says so.

use std::process::ExitCode;

use serde_json::Value as Json;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::output::plain;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A check failed, or something here could not be done.
    #[error("{0}")]
    Failed(String),
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// The server cannot be reached.
    #[error("cannot reach the server at {server}: {why}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        why: String,
    },
    /// The server refused.
    #[error("{}", shown(*.0, .1))]
    Refused(u16, Json),
    /// The database failed while serving.
    #[error("the database failed: {0}")]
    Fatal(String),
}

/// A problem of the server for people: its detail, a line per bad field, the request id.
fn shown(status: u16, problem: &Json) -> String {
    let text = |name: &str| problem.get(name).and_then(Json::as_str).map(plain);
    let mut lines = vec![match (text("code"), text("detail")) {
        (Some(code), Some(detail)) => format!("{detail} ({code})"),
        _ => format!("the server answered {status}"),
    }];
    let errors = problem.get("errors").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if errors.len() > 1 {
        let part = |e: &Json, name: &str| plain(e.get(name).and_then(Json::as_str).unwrap_or_default());
        lines.extend(errors.iter().map(|e| format!("  {}: {}", part(e, "pointer"), part(e, "detail"))));
    }
    if status >= 500
        && let Some(id) = text("request_id")
    {
        lines.push(format!("  request {id}"));
    }
    lines.join("\n")
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 4,
            Self::Refused(401 | 403, _) => 5,
            Self::Failed(_) | Self::Refused(..) => 1,
            Self::Fatal(_) => 70,
        }
    }

    /// Writes it to the standard error stream.
    pub fn print(&self) {
        eprintln!("error: {self}");
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_has_the_exit_code_of_the_help() {
        let refused = |status| Failure::Refused(status, json!({})).code();
        assert_eq!((refused(401), refused(403), refused(404), refused(422), refused(500)), (5, 5, 1, 1, 1));
        assert_eq!(Failure::Usage(String::new()).code(), 2);
        assert_eq!(Failure::Unreachable { server: String::new(), why: String::new() }.code(), 4);
        assert_eq!(Failure::Fatal(String::new()).code(), 70);
    }

    #[test]
    fn a_refusal_names_each_bad_field() {
        let problem = json!({"code": "invalid", "detail": "2 fields", "errors": [
            {"pointer": "/a", "detail": "no"}, {"pointer": "/b", "detail": "nor"}]});
        assert_eq!(Failure::Refused(422, problem).to_string(), "2 fields (invalid)\n  /a: no\n  /b: nor");
    }

    #[test]
    fn a_server_cannot_paint_the_terminal() {
        let problem = json!({"code": "invalid", "detail": "\u{1b}[31mred\u{1b}[0m"});
        assert!(!Failure::Refused(422, problem).to_string().contains('\u{1b}'));
    }

    #[test]
    fn an_answer_that_is_no_problem_still_says_its_status() {
        assert_eq!(Failure::Refused(502, Json::Null).to_string(), "the server answered 502");
    }
}
