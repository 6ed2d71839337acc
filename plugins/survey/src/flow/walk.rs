//! Asks a script which question comes next.

use rapport_sdk::{Json, scripts};

use super::{ASKED_MAX, Answers, Definition};

/// How often a script is asked anew, since it names only questions that are no longer there.
const SKIPS_MAX: usize = 20;

/// Where somebody stands in a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// These questions come next, on one page.
    Page(Vec<String>),
    /// That was all.
    End,
}

/// Why a flow goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A stable code: of the host, `unknown_question`, `loop`, `too_long`, `malformed`.
    pub(crate) code: String,
    /// What is wrong, with the script and where it can be, its line.
    pub(crate) message: String,
}

/// What comes after the answers that there are. Questions that are no longer asked count as left empty, and the script is asked anew.
///
/// # Errors
/// [`Problem`] if the script fails, names a question that never was, or one that has been answered, or does not come to an end.
pub(crate) fn next(script: &str, definition: &Definition, answers: &Answers, customer: &Json) -> Result<Step, Problem> {
    let problem = |code: &str, why: String| Problem { code: code.into(), message: format!("{script}: next: {why}") };
    let mut answers = answers.clone();
    for _ in 0..SKIPS_MAX {
        let arguments = [Json::Object(answers.clone()), customer.clone()];
        let said = scripts::run(script, "next", &arguments)
            .map_err(|error| Problem { code: error.code().into(), message: format!("{script}: {error}") })?;
        let keys = keys(&said).ok_or_else(|| {
            let shown: String = said.to_string().chars().take(80).collect();
            problem("malformed", format!("{shown} is no key, no list of keys, and not ()"))
        })?;
        if keys.is_empty() {
            return Ok(Step::End);
        }
        if let Some(unknown) = keys.iter().find(|key| definition.question(key).is_none()) {
            return Err(problem("unknown_question", format!("there is no question `{unknown}`")));
        }
        let (gone, fresh): (Vec<_>, Vec<_>) = keys
            .iter()
            .filter(|key| !answers.contains_key(*key))
            .cloned()
            .partition(|key| definition.question(key).is_some_and(|question| question.retired));
        if !fresh.is_empty() {
            if answers.len() + fresh.len() > ASKED_MAX {
                return Err(problem("too_long", format!("more than {ASKED_MAX} questions are asked")));
            }
            return Ok(Step::Page(fresh));
        }
        if gone.is_empty() {
            let asked = keys.join("`, `");
            return Err(problem("loop", format!("`{asked}` has been answered, and is asked again")));
        }
        answers.extend(gone.into_iter().map(|key| (key, Json::Null)));
    }
    Err(problem("loop", format!("it named only questions that are no longer there, {SKIPS_MAX} times")))
}

/// The keys that a script named, each once.
fn keys(said: &Json) -> Option<Vec<String>> {
    let mut keys: Vec<String> = match said {
        Json::Null => Vec::new(),
        Json::String(key) => vec![key.clone()],
        Json::Array(all) => all.iter().map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        _ => return None,
    };
    let mut seen = Vec::new();
    keys.retain(|key| {
        !seen.contains(key) && {
            seen.push(key.clone());
            true
        }
    });
    Some(keys)
}
