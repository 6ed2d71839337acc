//! Somebody sits before a survey: found by token, shown a page, saved page by page.
//!
//! ```text
//! open ──▶ begun ──▶ complete
//!            ├─────▶ screened   a quota was full
//!            ╰─ stuck: the flow failed; all answers stay, and a mended flow goes on
//! ```

mod save;

use rapport_sdk::{Error, Json, Record, clock, flow as host, records};

use crate::books::{self, INVITATION, RESPONSE};
use crate::flow::walk::{self, Problem, Step};
use crate::flow::{Answers, Definition, Question};
use crate::token;

pub(crate) use save::{Posted, Saved};

/// Somebody before a survey.
#[derive(Debug, Clone)]
pub(crate) struct Sitting {
    pub(crate) token: String,
    pub(crate) invitation: Record,
    pub(crate) survey: Record,
    pub(crate) definition: Definition,
    pub(crate) response: Option<Record>,
    pub(crate) customer: Json,
}

/// Whether answers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// They are.
    Open,
    /// All is answered.
    Complete,
    /// A quota was full.
    Screened,
    /// The invitation has expired.
    Expired,
    /// The survey has ended, or has as many responses as it wants.
    Closed,
}

/// Page `index` of a sitting, from 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) index: usize,
    pub(crate) keys: Vec<String>,
}

impl Sitting {
    /// The sitting that a token opens; none for a token that nobody was given.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn find(token: &str) -> Result<Option<Self>, Error> {
        let Some(hash) = token::hash(token) else { return Ok(None) };
        let Some(invitation) = records::get(INVITATION, &format!("token_hash:{hash}"))? else { return Ok(None) };
        Self::of(token, invitation).map(Some)
    }

    /// As [`Self::find`], while nobody else works on the same sitting.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn find_alone(token: &str) -> Result<Option<Self>, Error> {
        let Some(hash) = token::hash(token) else { return Ok(None) };
        // Only what exists is locked: who guesses takes no locks.
        if records::get(INVITATION, &format!("token_hash:{hash}"))?.is_none() {
            return Ok(None);
        }
        host::lock(&format!("survey/{hash}"))?;
        Self::find(token)
    }

    fn of(token: &str, invitation: Record) -> Result<Self, Error> {
        let lost = |what: &str| Error::new("not_found", format!("the {what} of an invitation is gone"));
        let survey = books::referred(&invitation, "survey")?.ok_or_else(|| lost("survey"))?;
        let survey = records::get(books::SURVEY, &survey.id)?.ok_or_else(|| lost("survey"))?;
        let definition = books::definition(&survey)?;
        let response = match invitation.text("state")?.as_deref() {
            Some("open") | None => None,
            Some(_) => records::get(RESPONSE, &format!("invitation:{}", invitation.id))?,
        };
        let customer = match books::referred(&invitation, "customer")? {
            Some(customer) => records::get("customer", &customer.id)?,
            None => None,
        };
        let customer = books::customer_json(customer.as_ref());
        Ok(Self { token: token.to_owned(), invitation, survey, definition, response, customer })
    }

    /// Whether answers are taken now.
    ///
    /// # Errors
    /// If a record holds something else than it should.
    pub(crate) fn state(&self) -> Result<State, Error> {
        match books::text(&self.invitation, "state")?.as_str() {
            "complete" => return Ok(State::Complete),
            "screened" => return Ok(State::Screened),
            _ => {}
        }
        let now = clock::now();
        if books::instant(&self.invitation, "expires_at")?.is_some_and(|at| at <= now) {
            return Ok(State::Expired);
        }
        if is_closed(&self.survey, &self.definition)? {
            return Ok(State::Closed);
        }
        // Who has begun may end, also if others were quicker.
        let full = self.response.is_none() && is_full(&self.survey, &self.definition)?;
        Ok(if full { State::Closed } else { State::Open })
    }

    /// The pages that were answered, each with the keys of its questions.
    pub(crate) fn path(&self) -> Result<Vec<Vec<String>>, Error> {
        let Some(response) = &self.response else { return Ok(Vec::new()) };
        Ok(books::list(response, "path")?.iter().map(books::strings).collect())
    }

    /// All answers that there are, also those beside the path.
    pub(crate) fn answers(&self) -> Result<Answers, Error> {
        self.response.as_ref().map_or_else(|| Ok(Answers::new()), |response| books::map(response, "answers"))
    }

    /// The questions that were shown last.
    pub(crate) fn shown(&self) -> Result<Vec<String>, Error> {
        let shown = books::list(self.response.as_ref().unwrap_or(&self.invitation), "shown")?;
        Ok(books::strings(&Json::Array(shown)))
    }

    /// The page `wanted`, if it has been answered; else the one that comes next.
    ///
    /// # Errors
    /// The host's; within, why the flow goes no further.
    pub(crate) fn page(&self, wanted: Option<usize>) -> Result<Result<Option<Page>, Problem>, Error> {
        let path = self.path()?;
        if let Some((index, keys)) = wanted.and_then(|index| path.get(index).map(|keys| (index, keys))) {
            let there = |key: &&String| self.definition.question(key).is_some_and(|question| !question.retired);
            let keys: Vec<String> = keys.iter().filter(there).cloned().collect();
            if !keys.is_empty() {
                return Ok(Ok(Some(Page { index, keys })));
            }
        }
        let script = books::text(&self.survey, "script")?;
        let answers = on_path(&path, &self.answers()?);
        let step = walk::next(&script, &self.definition, &answers, &self.customer);
        Ok(step.map(|step| match step {
            Step::Page(keys) => Some(Page { index: path.len(), keys }),
            Step::End => None,
        }))
    }

    /// The questions of these keys.
    pub(crate) fn questions<'a>(&'a self, keys: &'a [String]) -> impl Iterator<Item = &'a Question> {
        keys.iter().filter_map(|key| self.definition.question(key))
    }

    /// The language that is spoken, if somebody wants `wanted` (the dearest first); else that of the invitation, or of the customer.
    pub(crate) fn language<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Result<String, Error> {
        let mut all: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
        all.extend(self.invitation.text("language")?);
        all.extend(self.customer["language"].as_str().map(str::to_owned));
        Ok(self.definition.language(all.iter().map(String::as_str).filter(|one| !one.is_empty())))
    }
}

/// Whether a survey takes no more answers from anybody.
pub(crate) fn is_closed(survey: &Record, definition: &Definition) -> Result<bool, Error> {
    let ended = definition.closes_at.is_some_and(|at| at <= clock::now().0);
    Ok(ended || books::text(survey, "state")? == "closed")
}

/// Whether a survey has as many responses as it wants.
pub(crate) fn is_full(survey: &Record, definition: &Definition) -> Result<bool, Error> {
    let Some(wanted) = definition.closes_after else { return Ok(false) };
    Ok(survey.int("completed")?.unwrap_or(0) >= wanted)
}

/// The answers to the questions of a path; null for those that were left empty.
pub(crate) fn on_path(path: &[Vec<String>], answers: &Answers) -> Answers {
    let one = |key: &String| (key.clone(), answers.get(key).cloned().unwrap_or_default());
    path.iter().flatten().map(one).collect()
}
