//! `rapport doctor`: looks after all invariants at once and says what to do about what is broken.

use std::process::ExitCode;

use serde_json::Value as Json;

use super::{Common, Outcome};
use crate::output::{cell, plain};

pub(super) fn run(common: &Common) -> Outcome {
    let report = common.client()?.get("/v1/health/invariants")?;
    common.output().show(&report, text);
    Ok(if report["ok"] == true { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn items(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(report: &Json) -> String {
    let mut lines = Vec::new();
    let mut found = 0;
    for check in items(&report["checks"]) {
        let findings = items(&check["findings"]);
        let more = check["more"].as_u64().unwrap_or(0);
        found += findings.len() as u64 + more;
        let mark = match (&check["failed"], findings) {
            (Json::Null, []) => "ok  ",
            (Json::Null, _) => "BAD ",
            _ => "?   ",
        };
        lines.push(format!(
            "{mark} {:<15} {} ({} looked at)",
            cell(&check["check"]),
            whole(&check["about"]),
            check["looked_at"]
        ));
        if let Some(why) = check["failed"].as_str() {
            lines.push(format!("       could not look to the end: {why}"));
        }
        for finding in findings {
            lines.push(format!("       {}: {}", cell(&finding["about"]), whole(&finding["what"])));
            lines.push(format!("         what to do: {}", whole(&finding["remedy"])));
        }
        if more > 0 {
            lines.push(format!("       and {more} more"));
        }
    }
    lines.push(match found {
        0 => "nothing is wrong".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        n => format!("{n} things are wrong"),
    });
    plain(&lines.join("\n"))
}

fn whole(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_what_to_do() {
        let finding = json!({"about": "run r1", "what": "nobody works on it", "remedy": "pause and resume it"});
        let report = json!({"ok": false, "checks": [
            {"check": "wake_sources", "about": "all are woken", "looked_at": 3, "findings": [], "more": 0, "failed": null},
            {"check": "lost_runs", "about": "none is lost", "looked_at": 9, "findings": [finding], "more": 2, "failed": null},
            {"check": "counts", "about": "they add up", "looked_at": 0, "findings": [], "more": 0, "failed": "away"},
        ]});
        insta::assert_snapshot!(text(&report), @r"
        ok   wake_sources    all are woken (3 looked at)
        BAD  lost_runs       none is lost (9 looked at)
               run r1: nobody works on it
                 what to do: pause and resume it
               and 2 more
        ?    counts          they add up (0 looked at)
               could not look to the end: away
        3 things are wrong
        ");
    }
}
