//! Walks through a flow before anybody is asked.

use std::collections::VecDeque;

use rapport_sdk::Json;
use serde_json::json;

use super::walk::{Problem, Step, next};
use super::{Answers, Definition, Kind, Question};

/// How often the script is asked at most.
const CALLS_MAX: usize = 60;

/// What came of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Walked {
    /// How often the script was asked.
    pub(crate) calls: usize,
    /// Whether all ways were walked that differ in one of the answers tried.
    pub(crate) whole: bool,
    /// Questions that nobody was asked on these ways.
    pub(crate) never: Vec<String>,
}

/// Walks through a flow with the answers that usually make a difference: the ends and the middle of scales, each option, yes and no,
/// and nothing.
///
/// # Errors
/// [`Problem`] with the answers that led there.
pub(crate) fn rehearse(script: &str, definition: &Definition, customer: &Json) -> Result<Walked, Problem> {
    let mut open = VecDeque::from([Answers::new()]);
    let (mut walked, mut met) = (Walked { whole: true, ..Walked::default() }, Vec::new());
    while let Some(answers) = open.pop_front() {
        if walked.calls == CALLS_MAX {
            walked.whole = false;
            break;
        }
        walked.calls += 1;
        let step = match next(script, definition, &answers, customer) {
            Ok(step) => step,
            // What there is to try is more than one slice can: what was walked was right.
            Err(problem) if problem.code == "budget" && walked.calls > 1 => {
                walked.whole = false;
                break;
            }
            Err(Problem { code, message }) => {
                let after = Json::Object(answers);
                return Err(Problem { code, message: format!("{message}; after the answers {after}") });
            }
        };
        let Step::Page(keys) = step else { continue };
        let asked: Vec<&Question> = keys.iter().filter_map(|key| definition.question(key)).collect();
        met.extend(keys.iter().cloned());
        let most = asked.iter().map(|question| tries(question).len()).max().unwrap_or(1);
        for turn in 0..most {
            let mut answers = answers.clone();
            for question in &asked {
                let tries = tries(question);
                answers.insert(question.key.clone(), tries[turn % tries.len()].clone());
            }
            open.push_back(answers);
        }
    }
    let never = definition.questions.iter().filter(|question| !question.retired && !met.contains(&question.key));
    walked.never = never.map(|question| question.key.clone()).collect();
    Ok(walked)
}

/// Answers that are worth trying, at least one.
fn tries(question: &Question) -> Vec<Json> {
    let mut tries = match question.kind {
        Kind::Nps | Kind::Csat | Kind::Ces | Kind::Likert => {
            let (min, max) = question.scale().unwrap_or((0, 10));
            let mut ends = vec![json!(min), json!(max), json!(question.positive_from() - 1)];
            ends.dedup();
            ends
        }
        Kind::Single => question.options.iter().map(|option| option.key.as_str().into()).collect(),
        Kind::Multiple => vec![question.options.iter().take(1).map(|option| option.key.as_str()).collect()],
        Kind::Text => vec!["-".into()],
        Kind::Number => vec![question.min.unwrap_or(0).into(), question.max.unwrap_or(1_000).into()],
        Kind::Date => vec!["2026-01-01".into()],
        Kind::Consent => vec![true.into(), false.into()],
    };
    if !question.required {
        tries.push(Json::Null);
    }
    tries
}
