//! Takes in the answers of a page: all of it in one slice, so that nothing is lost between an answer and what follows from it.

use rapport_sdk::{Decimal, Error, Fields, Json, Record, Reference, Value, clock, events, log, records};
use serde_json::json;

use super::{Page, Sitting, State, on_path};
use crate::books::{self, ANSWER, INVITATION, RESPONSE, with_json};
use crate::flow::answer::{self, Fault};
use crate::flow::{Answers, Kind, Question};
use crate::tally::{self, Counted};

/// Answers that were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Posted {
    /// The page, from 0; none: the one that comes next.
    pub(crate) page: Option<usize>,
    /// The questions that the sender saw; empty: those of the page.
    pub(crate) asked: Vec<String>,
    pub(crate) language: String,
    /// The texts that were sent for each question.
    pub(crate) values: Vec<(String, Vec<String>)>,
}

/// What came of answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Saved {
    /// They are kept; this page is next.
    Next(usize),
    /// They are kept, and were the last.
    Complete,
    /// A quota is full: nothing more is asked.
    Screened,
    /// They are kept, and the flow goes no further.
    Stuck,
    /// Nothing is kept, since some are wrong.
    Wrong(Page, Vec<(String, Fault)>),
    /// None are taken.
    Closed(State),
}

impl Posted {
    fn sent(&self, key: &str) -> Vec<&str> {
        let found = self.values.iter().find(|(name, _)| name == key);
        found.map(|(_, values)| values.iter().map(String::as_str).collect()).unwrap_or_default()
    }
}

impl Sitting {
    /// Takes in answers to one page.
    ///
    /// A question that was shown and is no longer asked is taken too: somebody may have had the page open while the flow was edited.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn save(mut self, posted: &Posted) -> Result<Saved, Error> {
        let state = self.state()?;
        if state != State::Open {
            return Ok(Saved::Closed(state));
        }
        let path = self.path()?;
        let page = self.page_of(posted, &path)?;
        let keys = self.taken(&page, posted)?;
        if keys.is_empty() {
            return self.go_on(&path, page.index);
        }
        let (read, wrong) = self.read(&keys, posted);
        if !wrong.is_empty() {
            return Ok(Saved::Wrong(Page { index: page.index, keys }, wrong));
        }
        let before = self.answers()?;
        let changed: Vec<&String> = keys.iter().filter(|key| before.get(*key) != read.get(*key)).collect();
        if self.is_over_quota(&changed, &read)? {
            self.end("screened", &posted.language)?;
            return Ok(Saved::Screened);
        }
        let mut path = path;
        if page.index == path.len() {
            path.push(keys.clone());
        } else if !changed.is_empty() {
            path.truncate(page.index + 1);
        }
        let mut answers = before.clone();
        answers.extend(read.clone());
        self.begin(&posted.language)?;
        for key in changed {
            self.keep_answer(key, before.get(key), &answers[key], &posted.language)?;
        }
        let fields = with_json(Fields::new(), "path", json!(path)).with("language", posted.language.as_str());
        self.update(&with_json(fields, "answers", Json::Object(answers)))?;
        self.go_on(&path, page.index + 1)
    }

    /// The page that the answers are to.
    fn page_of(&self, posted: &Posted, path: &[Vec<String>]) -> Result<Page, Error> {
        let next = |keys| Page { index: path.len(), keys };
        let is_next = posted.page.is_none_or(|page| page >= path.len());
        let shown = self.shown()?;
        if is_next && !posted.asked.is_empty() && posted.asked.iter().all(|key| shown.contains(key)) {
            // What was shown is known: the flow need not be asked again.
            return Ok(next(shown));
        }
        // A flow that has failed since the page was shown names none.
        Ok(self.page(posted.page)?.unwrap_or_default().unwrap_or_else(|| next(Vec::new())))
    }

    /// The questions whose answers are taken: those of the page, and those that were shown before the flow was edited.
    fn taken(&self, page: &Page, posted: &Posted) -> Result<Vec<String>, Error> {
        if posted.asked.is_empty() {
            return Ok(page.keys.clone());
        }
        let (shown, path) = (self.shown()?, self.path()?);
        let is_next = page.index == path.len();
        let may = |key: &&String| {
            let known = self.definition.question(key).is_some();
            known && (page.keys.contains(key) || is_next && shown.contains(key))
        };
        Ok(posted.asked.iter().filter(may).cloned().collect())
    }

    fn read(&self, keys: &[String], posted: &Posted) -> (Answers, Vec<(String, Fault)>) {
        let (mut read, mut wrong) = (Answers::new(), Vec::new());
        for question in self.questions(keys) {
            match answer::read(question, &posted.sent(&question.key)) {
                Ok(answer) => _ = read.insert(question.key.clone(), answer),
                Err(fault) => wrong.push((question.key.clone(), fault)),
            }
        }
        (read, wrong)
    }

    /// Whether as many have given one of these answers as are wanted.
    fn is_over_quota(&self, changed: &[&String], read: &Answers) -> Result<bool, Error> {
        let name = books::text(&self.survey, "name")?;
        for key in changed {
            let Some(question) = self.definition.question(key) else { continue };
            let value = value_text(&read[*key]);
            let Some((_, wanted)) = question.quotas.iter().find(|(of, _)| Some(of) == value.as_ref()) else { continue };
            if tally::given(&format!("{name}/{key}"), &value.unwrap_or_default())? >= *wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens the response, if this is the first page.
    fn begin(&mut self, language: &str) -> Result<(), Error> {
        if self.response.is_some() {
            return Ok(());
        }
        let customer = books::referred(&self.invitation, "customer")?;
        let fields = Fields::new()
            .with("invitation", self.invitation.reference())
            .with("survey", self.survey.reference())
            .with("customer", books::or_null(customer.as_ref()))
            .with("channel", books::text(&self.invitation, "channel")?)
            .with("language", language)
            .with("revision", self.survey.int("revision")?)
            .with("began_at", clock::now());
        self.response = Some(records::create(RESPONSE, &fields)?);
        records::update(&self.invitation.reference(), &Fields::new().with("state", "begun"))
    }

    fn response(&self) -> Result<&Record, Error> {
        self.response.as_ref().ok_or_else(|| Error::new("not_found", "nothing has been answered yet"))
    }

    fn update(&mut self, fields: &Fields) -> Result<(), Error> {
        let response = self.response()?.reference();
        records::update(&response, fields)?;
        if let Some(response) = &mut self.response {
            fields.iter().for_each(|(name, value)| response.fields.set(name, value.clone()));
        }
        Ok(())
    }

    /// Says which page is next, after all that is kept.
    fn go_on(mut self, path: &[Vec<String>], index: usize) -> Result<Saved, Error> {
        if index < path.len() {
            return Ok(Saved::Next(index));
        }
        match self.page(None)? {
            Ok(Some(page)) => {
                if self.response.is_some() {
                    let shown = with_json(Fields::new(), "shown", json!(page.keys));
                    self.update(&shown.with("problem", Value::Null))?;
                }
                Ok(Saved::Next(page.index))
            }
            Ok(None) if self.response.is_some() => {
                self.complete(path)?;
                Ok(Saved::Complete)
            }
            // A flow that asks nothing has nothing to keep.
            Ok(None) => Ok(Saved::Complete),
            Err(problem) => {
                log::error(&format!("{} ({})", problem.message, problem.code));
                if let Some(response) = &self.response
                    && books::text(response, "problem")? != problem.message
                {
                    let data = Fields::new().with("survey", books::text(&self.survey, "name")?);
                    let data = data.with("response", response.id.as_str()).with("code", problem.code.as_str());
                    events::emit(
                        "survey.failed",
                        &self.survey.reference(),
                        &data.with("message", problem.message.as_str()),
                    )?;
                    self.update(&Fields::new().with("problem", problem.message))?;
                }
                Ok(Saved::Stuck)
            }
        }
    }

    /// Ends the sitting without its score.
    fn end(&mut self, state: &str, language: &str) -> Result<(), Error> {
        self.begin(language)?;
        self.update(&Fields::new().with("state", state).with("completed_at", clock::now()))?;
        records::update(&Reference::new(INVITATION, &self.invitation.id), &Fields::new().with("state", state))
    }

    /// All is answered: answers that lie beside the path go, and everybody is told.
    fn complete(&mut self, path: &[Vec<String>]) -> Result<(), Error> {
        let (all, language) = (self.answers()?, books::text(self.response()?, "language")?);
        let answers = on_path(path, &all);
        for (key, given) in all.iter().filter(|(key, _)| !answers.contains_key(*key)) {
            self.keep_answer(key, Some(given), &Json::Null, &language)?;
        }
        let mut main = self.definition.questions.iter().filter(|question| question.kind.is_score());
        let main = main.find_map(|question| Some((question.kind, answers.get(&question.key)?.as_i64()?)));
        let fields = with_json(Fields::new(), "answers", Json::Object(answers.clone()));
        self.update(&fields.with("score", main.map(|(_, score)| score)).with("problem", Value::Null))?;
        self.end("complete", &language)?;
        let text = |key: &String| {
            let question = self.definition.question(key).filter(|question| question.kind == Kind::Text)?;
            answers.get(&question.key)?.as_str().map(str::to_owned)
        };
        let comment = path.iter().flatten().find_map(text);
        let survey = books::text(&self.survey, "name")?;
        let data = Fields::new()
            .with("survey", survey.as_str())
            .with("response", self.response()?.id.as_str())
            .with("kind", main.map(|(kind, _)| kind.as_str()))
            .with("score", main.map(|(_, score)| score))
            .with("comment", comment)
            .with("channel", books::text(&self.invitation, "channel")?)
            .with("language", language)
            .with("order", self.invitation.text("order_name")?)
            .with("ticket", self.invitation.text("ticket")?)
            .with("reference", self.invitation.text("reference")?);
        match books::referred(&self.invitation, "customer")? {
            Some(customer) => {
                events::emit("survey.completed", &customer, &data)?;
                events::emit("survey.answered", &customer, &Fields::new().with("survey", survey))
            }
            None => events::emit("survey.completed", &self.response()?.reference(), &data),
        }
    }

    /// Keeps what one question was answered, in place of what it was answered before.
    fn keep_answer(&self, key: &str, before: Option<&Json>, now: &Json, language: &str) -> Result<(), Error> {
        let Some(question) = self.definition.question(key) else { return Ok(()) };
        let response = self.response()?;
        let rows = |answer: &Json| -> Vec<String> {
            match answer {
                Json::Null => Vec::new(),
                Json::Array(chosen) => chosen.iter().filter_map(|one| Some(format!("/{}", one.as_str()?))).collect(),
                _ => vec![String::new()],
            }
        };
        let wanted = rows(now);
        for gone in before.map(rows).unwrap_or_default().iter().filter(|row| !wanted.contains(row)) {
            records::delete(&Reference::new(ANSWER, format!("key:{}/{key}{gone}", response.id)))?;
        }
        let fields = self.answer_fields(question, language)?;
        for (place, row) in wanted.iter().enumerate() {
            let of_row = fields.clone().with("key", format!("{}/{key}{row}", response.id)).with("first", place == 0);
            let value = if row.is_empty() { now.clone() } else { row[1..].into() };
            let tally = tally::of(&self.counted(question, &value, language)?)?;
            records::upsert(ANSWER, "key", &of_value(of_row.with("tally", tally), question, &value))?;
        }
        if question.kind == Kind::Consent && *now == Json::Bool(true) {
            self.agree(question)?;
        }
        Ok(())
    }

    fn answer_fields(&self, question: &Question, language: &str) -> Result<Fields, Error> {
        let name = books::text(&self.survey, "name")?;
        Ok(Fields::new()
            .with("survey", self.survey.reference())
            .with("response", self.response()?.reference())
            .with("customer", books::or_null(books::referred(&self.invitation, "customer")?.as_ref()))
            .with("item", format!("{name}/{}", question.key))
            .with("question", question.key.as_str())
            .with("kind", question.kind.as_str())
            .with("wording", question.version)
            .with("channel", books::text(&self.invitation, "channel")?)
            .with("language", language)
            .with("answered_at", clock::now()))
    }

    /// By what an answer is counted. Texts, numbers and days are counted without what they say.
    fn counted(&self, question: &Question, value: &Json, language: &str) -> Result<Counted, Error> {
        let is_counted = !matches!(question.kind, Kind::Text | Kind::Number | Kind::Date);
        Ok(Counted {
            survey: self.survey.reference(),
            item: format!("{}/{}", books::text(&self.survey, "name")?, question.key),
            question: question.key.clone(),
            number: value.as_i64().filter(|_| question.scale().is_some()),
            value: value_text(value).filter(|_| is_counted),
            channel: books::text(&self.invitation, "channel")?,
            language: language.to_owned(),
        })
    }

    /// Notes that a known customer has agreed to be reached.
    fn agree(&self, question: &Question) -> Result<(), Error> {
        let (Some(channel), Some(customer)) = (&question.channel, books::referred(&self.invitation, "customer")?)
        else {
            return Ok(());
        };
        let fields = Fields::new()
            .with("customer", customer)
            .with("channel", channel.as_str())
            .with("purpose", format!("survey {}", books::text(&self.survey, "name")?))
            .with("state", "granted")
            .with(
                "proof",
                format!("response {}, question {} as of {}", self.response()?.id, question.key, question.version),
            )
            .with("happened_at", clock::now());
        records::create("consent", &fields).map(drop)
    }
}

/// The fields that hold a value, each kind of value its own.
fn of_value(fields: Fields, question: &Question, value: &Json) -> Fields {
    match question.kind {
        Kind::Nps | Kind::Csat | Kind::Ces | Kind::Likert => fields.with("number", value.as_i64()),
        Kind::Number => {
            let amount = Decimal::from_str_exact(&value.to_string()).ok();
            fields.with("amount", amount.map_or(Value::Null, Value::Decimal))
        }
        Kind::Text => fields.with("body", value.as_str().map(str::to_owned)),
        _ => fields.with("value", value_text(value)),
    }
}

/// A value as a text by which answers are grouped.
fn value_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(yes) => Some(if *yes { "yes" } else { "no" }.into()),
        _ => None,
    }
}
