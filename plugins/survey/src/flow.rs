//! A flow: what a survey asks, as its script says it in `fn survey()`, and which question comes next.
//!
//! The script is the operator's and pure; the plugin calls it by `scripts::run` and believes nothing that it says.

pub(crate) mod answer;
mod check;
mod read;
pub(crate) mod text;
pub(crate) mod walk;

use rapport_sdk::Json;
use serde_json::{Map, json};

pub(crate) use check::{Walked, rehearse};
pub(crate) use text::Texts;

/// Answers by the keys of their questions; null for a question that was left empty.
pub(crate) type Answers = Map<String, Json>;

/// The most questions that one person is asked.
pub(crate) const ASKED_MAX: usize = 100;
/// The most characters of a text answer, and how many if the question does not say.
pub(crate) const TEXT_CHARS_MAX: i64 = 10_000;
pub(crate) const TEXT_CHARS: i64 = 2_000;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nps,
    Csat,
    Ces,
    Likert,
    Single,
    Multiple,
    Text,
    Number,
    Date,
    Consent,
}

impl Kind {
    pub(crate) const ALL: [(&'static str, Self); 10] = [
        ("nps", Self::Nps),
        ("csat", Self::Csat),
        ("ces", Self::Ces),
        ("likert", Self::Likert),
        ("single", Self::Single),
        ("multiple", Self::Multiple),
        ("text", Self::Text),
        ("number", Self::Number),
        ("date", Self::Date),
        ("consent", Self::Consent),
    ];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind)
    }

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("text", |(name, _)| name)
    }

    /// The usual ends of its scale, if it has one.
    pub(crate) const fn scale(self) -> Option<(i64, i64)> {
        match self {
            Self::Nps => Some((0, 10)),
            Self::Csat | Self::Likert => Some((1, 5)),
            Self::Ces => Some((1, 7)),
            _ => None,
        }
    }

    /// Whether it gives a survey its score.
    pub(crate) const fn is_score(self) -> bool {
        matches!(self, Self::Nps | Self::Csat | Self::Ces)
    }
}

/// One of the answers of a question that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) key: String,
    pub(crate) text: Texts,
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) key: String,
    pub(crate) kind: Kind,
    pub(crate) text: Texts,
    pub(crate) help: Option<Texts>,
    /// What its ends mean.
    pub(crate) low: Option<Texts>,
    pub(crate) high: Option<Texts>,
    /// What stands beside the box of a consent.
    pub(crate) label: Option<Texts>,
    pub(crate) required: bool,
    /// The ends of a scale or number, the length of a text, how many can be chosen.
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) options: Vec<Choice>,
    /// How many answers of a value are wanted.
    pub(crate) quotas: Vec<(String, i64)>,
    pub(crate) weight: Option<f64>,
    pub(crate) positive_from: Option<i64>,
    /// The channel that a consent is for.
    pub(crate) channel: Option<String>,
    /// Counts up when something of it changes.
    pub(crate) version: i64,
    /// Whether it is no longer asked.
    pub(crate) retired: bool,
}

impl Question {
    /// The ends of its scale, if it has one.
    pub(crate) fn scale(&self) -> Option<(i64, i64)> {
        self.kind.scale().map(|(min, max)| (self.min.unwrap_or(min), self.max.unwrap_or(max)))
    }

    /// From which value on an answer is a good one.
    pub(crate) fn positive_from(&self) -> i64 {
        self.positive_from.unwrap_or(match self.kind {
            Kind::Nps => 9,
            Kind::Ces => 5,
            _ => 4,
        })
    }
}

/// What a survey asks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    /// The first is the one for whom none fits.
    pub(crate) languages: Vec<String>,
    pub(crate) title: Texts,
    pub(crate) intro: Option<Texts>,
    pub(crate) thanks: Option<Texts>,
    pub(crate) questions: Vec<Question>,
    /// After how many responses it ends.
    pub(crate) closes_after: Option<i64>,
    /// When it ends, in microseconds since 1970.
    pub(crate) closes_at: Option<i64>,
    pub(crate) expires_days: Option<i64>,
    pub(crate) rest_days: Option<i64>,
    /// Whether anybody can begin at its open link.
    pub(crate) open: bool,
}

impl Definition {
    /// The question of that key, also one that is no longer asked.
    pub(crate) fn question(&self, key: &str) -> Option<&Question> {
        self.questions.iter().find(|question| question.key == key)
    }

    /// The question that gives the survey its score.
    pub(crate) fn main(&self) -> Option<&Question> {
        self.questions.iter().find(|question| question.kind.is_score() && !question.retired)
    }

    /// The language of the survey that suits best what somebody understands, the dearest first.
    pub(crate) fn language<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> String {
        let base = |language: &str| language.split('-').next().unwrap_or_default().to_ascii_lowercase();
        for one in wanted {
            let exact = self.languages.iter().find(|known| known.eq_ignore_ascii_case(one));
            let found = exact.or_else(|| self.languages.iter().find(|known| base(known) == base(one)));
            if let Some(found) = found {
                return found.clone();
            }
        }
        self.languages.first().cloned().unwrap_or_else(|| "en".into())
    }

    /// Reads what is kept of a survey.
    ///
    /// # Errors
    /// What is wrong with it, if somebody changed it by hand.
    pub(crate) fn kept(kept: &Json) -> Result<Self, String> {
        let mut definition = read::definition(&kept["flow"])?;
        for question in &mut definition.questions {
            question.version = kept["versions"][&question.key].as_i64().unwrap_or(1);
        }
        for raw in kept["retired"].as_array().into_iter().flatten() {
            let mut question = read::question(raw, &definition.languages)?;
            question.version = kept["versions"][&question.key].as_i64().unwrap_or(1);
            question.retired = true;
            definition.questions.push(question);
        }
        Ok(definition)
    }
}

/// What is kept of a survey whose script says `flow` now, and of which `before` was kept: each question with the version of its wording,
/// and those that are no longer asked, since people may have their pages open.
pub(crate) fn keep(flow: &Json, before: &Json) -> Json {
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let key = |question: &Json| question["key"].as_str().unwrap_or_default().to_owned();
    let now = list(&flow["questions"]);
    let mut known = list(&before["flow"]["questions"]);
    known.extend(list(&before["retired"]));
    let mut versions = before["versions"].as_object().cloned().unwrap_or_default();
    for question in &now {
        let old = known.iter().find(|old| key(old) == key(question));
        let version = versions.get(&key(question)).and_then(Json::as_i64).unwrap_or(1);
        let version = if old.is_some_and(|old| old != question) { version + 1 } else { version };
        versions.insert(key(question), version.into());
    }
    let retired: Vec<Json> = known.into_iter().filter(|old| now.iter().all(|new| key(new) != key(old))).collect();
    json!({ "flow": flow, "versions": versions, "retired": retired })
}

/// Reads what a script says.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn definition(flow: &Json) -> Result<Definition, String> {
    read::definition(flow)
}
