//! What came of surveys: counts by value from the database, scores from the counts. No answer is read by itself.

mod judged;
mod period;
mod themes;

use std::collections::BTreeMap;

use rapport_sdk::query::{self, Aggregate, Row};
use rapport_sdk::{Error, Json, Record};
use serde_json::json;

use crate::books::{self, ANSWER, MONTH};
use crate::call::Call;
use crate::flow::{Definition, Kind, Question};
use crate::scores::{self, Counts, Estimate, Interval, Item};

pub(crate) use judged::judge;
use period::{Part, Period};
pub(crate) use themes::{texts, themes};

/// The most segments of one report: each is a question to the database.
const SEGMENTS_MAX: usize = 50;

/// Which answers count.
#[derive(Debug, Clone, Copy)]
struct Choice<'a> {
    survey: &'a str,
    period: Period,
    /// A rule beside; empty: none.
    segment: &'a str,
}

/// How often something was answered.
struct Found {
    group: String,
    number: Option<i64>,
    value: Option<String>,
    /// Who gave it, counted once even if he chose several.
    people: i64,
    rows: i64,
    total: f64,
}

impl Choice<'_> {
    /// The counts of a question, or of all scales of the survey, in one part of the period.
    fn tallies(&self, question: Option<&str>, part: &Part) -> Aggregate {
        let mut rules = Vec::new();
        let mut all = query::aggregate(part.object);
        if let Some(question) = question {
            rules.push("item == i".to_owned());
            all = all.param("i", format!("{}/{question}", self.survey));
        } else {
            rules.push("item > i && item < j && number != null".to_owned());
            // Items are SURVEY/QUESTION, and `0` follows `/`.
            all = all.param("i", format!("{}/", self.survey)).param("j", format!("{}0", self.survey));
        }
        let field = if part.object == MONTH { "month" } else { "day" };
        if let Some(from) = &part.from {
            rules.push(format!("{field} >= since"));
            all = all.param("since", from.as_str());
        }
        if let Some(until) = &part.until {
            rules.push(format!("{field} < until"));
            all = all.param("until", until.as_str());
        }
        all.filter(&rules.join(" && "))
    }

    /// How often each answer to a question, or each number to any, was given, by the values of a field.
    fn summed(&self, question: Option<&str>, by: Option<&str>) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for part in self.period.parts(by)? {
            let grouped = by.into_iter().fold(self.tallies(question, &part), Aggregate::by);
            let rows = grouped.by("number").by("value").sum("people").sum("rows").sum("total").run()?;
            for row in &rows {
                found.push(of_tallies(row, by.is_some())?);
            }
        }
        Ok(found)
    }

    /// The answers of a question for which the rule of the segment holds. They are read one and all: by the database.
    fn answers(&self, question: &str) -> Aggregate {
        let mut rules = format!("item == i && ({})", self.segment);
        let mut all = query::aggregate(ANSWER).param("i", format!("{}/{question}", self.survey));
        if let Some(from) = self.period.from {
            rules.push_str(" && answered_at >= since");
            all = all.param("since", from);
        }
        if let Some(to) = self.period.to {
            rules.push_str(" && answered_at < until");
            all = all.param("until", to);
        }
        all.filter(&rules)
    }

    /// How often each answer to a question was given.
    fn found(&self, question: &Question, by: Option<&str>) -> Result<Vec<Found>, Error> {
        if !self.segment.is_empty() {
            let rows = self.answers(&question.key).by("number").by("value").by("first").count().sum("amount").run()?;
            return rows.iter().map(of_answers).collect();
        }
        self.summed(Some(&question.key), by)
    }
}

fn of_answers(row: &Row) -> Result<Found, Error> {
    let rows = row.int(3)?.unwrap_or(0);
    let people = if row.read::<bool>(2)? == Some(true) { rows } else { 0 };
    Ok(Found { group: String::new(), number: row.int(0)?, value: row.text(1)?, people, rows, total: real(row, 4)? })
}

fn of_tallies(row: &Row, is_grouped: bool) -> Result<Found, Error> {
    let at = usize::from(is_grouped);
    Ok(Found {
        group: if is_grouped { row.text(0)?.unwrap_or_default() } else { String::new() },
        number: row.int(at)?,
        value: row.text(at + 1)?,
        people: row.int(at + 2)?.unwrap_or(0),
        rows: row.int(at + 3)?.unwrap_or(0),
        total: real(row, at + 4)?,
    })
}

fn real(row: &Row, column: usize) -> Result<f64, Error> {
    Ok(row.decimal(column)?.and_then(|sum| sum.to_string().parse().ok()).unwrap_or(0.0))
}

/// What there is of a question in a group.
#[derive(Debug, Clone)]
struct Tally {
    counts: Counts,
    values: BTreeMap<String, i64>,
    answered: i64,
    total: f64,
}

impl Tally {
    fn of(question: &Question) -> Self {
        let (min, max) = question.scale().unwrap_or((0, 0));
        Self { counts: Counts::of_scale(min, max), values: BTreeMap::new(), answered: 0, total: 0.0 }
    }

    fn add(&mut self, question: &Question, found: &Found) {
        if question.scale().is_some() {
            // What lies beyond the scale was answered when it was another one.
            let people = u64::try_from(found.people).unwrap_or(0);
            if let Some(number) = found.number {
                self.counts.add(number, people);
            }
            return;
        }
        self.answered += found.people;
        self.total += found.total;
        if let Some(value) = &found.value {
            *self.values.entry(value.clone()).or_default() += found.rows;
        }
    }

    fn estimate(&self, question: &Question) -> Option<Estimate> {
        if question.kind == Kind::Nps {
            return scores::nps(&self.counts).map(|nps| Estimate { score: nps.score, interval: nps.interval });
        }
        let (_, max) = question.scale()?;
        let share = scores::share(self.counts.between(question.positive_from(), max), self.counts.n())?;
        Some(Estimate { score: share.score, interval: share.interval })
    }

    fn to_json(&self, question: &Question) -> Json {
        if question.scale().is_none() {
            let share = |(value, n): (&String, &i64)| {
                let share = scores::share(u64::try_from(*n).unwrap_or(0), u64::try_from(self.answered).unwrap_or(0));
                let (score, interval) = (share.map(|share| share.score), share.map(|share| share.interval));
                json!({ "value": value, "n": n, "score": score, "interval": interval })
            };
            if question.kind == Kind::Number {
                return json!({ "n": self.answered, "mean": scores::ratio(self.total, self.answered) });
            }
            return json!({ "n": self.answered, "values": self.values.iter().map(share).collect::<Vec<_>>() });
        }
        let estimate = self.estimate(question);
        let interval: Option<Interval> = estimate.map(|estimate| estimate.interval);
        json!({
            "n": self.counts.n(),
            "score": estimate.map(|estimate| estimate.score),
            "interval": interval,
            "mean": self.counts.mean(),
            "counts": self.counts.points(),
        })
    }
}

/// What there is of a question, by the values of a field; under an empty name, if by none.
fn tallies(choice: &Choice<'_>, question: &Question, by: Option<&str>) -> Result<BTreeMap<String, Tally>, Error> {
    let mut groups = BTreeMap::new();
    if by.is_none() {
        groups.insert(String::new(), Tally::of(question));
    }
    for found in choice.found(question, by)? {
        groups.entry(found.group.clone()).or_insert_with(|| Tally::of(question)).add(question, &found);
    }
    Ok(groups)
}

/// The question that is asked about: the one that is named, or the one that gives the survey its score.
fn question_of<'a>(call: Call<'_>, definition: &'a Definition) -> Result<Option<&'a Question>, Error> {
    Ok(match call.optional_text("question")? {
        Some(key) => definition.question(key),
        None => definition.main(),
    })
}

fn unknown(what: &str) -> Json {
    json!({ "result": what })
}

/// The action `survey.report`.
pub(crate) fn report(call: Call<'_>) -> Result<Json, Error> {
    let name = call.text("survey")?;
    let Some((_, definition)) = books::survey(name)? else { return Ok(unknown("unknown_survey")) };
    let Some(question) = question_of(call, &definition)? else { return Ok(unknown("unknown_question")) };
    let choice = Choice { survey: name, period: Period::read(call.input, "")?, segment: "" };
    let by = call.optional_text("by")?;
    let total = tallies(&choice, question, None)?;
    let total = total.get("").map_or(Json::Null, |tally| tally.to_json(question));
    let mut groups = match by {
        None => Vec::new(),
        Some("question") => by_question(&choice, &definition)?,
        Some(field) => {
            let all = tallies(&choice, question, Some(field))?;
            all.iter().map(|(group, tally)| named(group, tally.to_json(question))).collect()
        }
    };
    for (segment, rule) in &segments(&call.input["segments"])? {
        let of = Choice { segment: rule, ..choice };
        let found = tallies(&of, question, None)?;
        groups.extend(found.values().map(|tally| named(segment, tally.to_json(question))));
    }
    Ok(json!({
        "result": "ok",
        "survey": name,
        "question": question.key,
        "kind": question.kind.as_str(),
        "total": total,
        "groups": groups,
        "index": index(&choice, &definition)?,
    }))
}

/// The groups that are asked for, each with its rule over single answers: rules by name, or names of segments of customers.
fn segments(asked: &Json) -> Result<Vec<(String, String)>, Error> {
    let all: Vec<(String, String)> = match asked {
        Json::Object(rules) => {
            rules.iter().map(|(name, rule)| (name.clone(), rule.as_str().unwrap_or_default().to_owned())).collect()
        }
        // No name has a quote in it: the input was held against its schema.
        Json::Array(names) => {
            let names = names.iter().filter_map(Json::as_str);
            names.map(|name| (name.to_owned(), format!("in_segment('{name}', customer)"))).collect()
        }
        _ => Vec::new(),
    };
    if all.len() > SEGMENTS_MAX {
        return Err(Error::new("invalid", format!("`segments`: {} are more than {SEGMENTS_MAX}", all.len())));
    }
    Ok(all)
}

fn named(group: &str, mut tally: Json) -> Json {
    tally["group"] = group.into();
    tally
}

/// Each scale of the survey by itself.
fn by_question(choice: &Choice<'_>, definition: &Definition) -> Result<Vec<Json>, Error> {
    let found = numbers(choice)?;
    let scales = definition.questions.iter().filter(|question| question.scale().is_some());
    Ok(scales.map(|question| named(&question.key, tally_in(&found, question).to_json(question))).collect())
}

/// How often each number was answered, by question.
fn numbers(choice: &Choice<'_>) -> Result<Vec<Found>, Error> {
    choice.summed(None, Some("question"))
}

fn tally_in(found: &[Found], question: &Question) -> Tally {
    let mut tally = Tally::of(question);
    for one in found.iter().filter(|one| one.group == question.key) {
        tally.add(question, one);
    }
    tally
}

/// The weighted index of all questions that have a weight, each on its own scale; null without any, or without answers.
fn index(choice: &Choice<'_>, definition: &Definition) -> Result<Json, Error> {
    let weighted: Vec<(&Question, f64)> = definition
        .questions
        .iter()
        .filter(|question| !question.retired)
        .filter_map(|question| Some((question, question.weight?)))
        .collect();
    if weighted.is_empty() {
        return Ok(Json::Null);
    }
    let found = numbers(choice)?;
    let item = |(question, weight): &(&Question, f64)| {
        let tally = tally_in(&found, question);
        // Scales may differ: each mean is brought to 0 to 1 by its own.
        let mean = tally.counts.mean().zip(question.scale()).map(|(mean, (min, max))| scores::placed(mean, (min, max)));
        Item { weight: *weight, mean }
    };
    let items: Vec<Item> = weighted.iter().map(item).collect();
    Ok(scores::index(&items, (0.0, 1.0)).into())
}

/// The action `survey.compare`: two periods, and how much the later one is more.
pub(crate) fn compare(call: Call<'_>) -> Result<Json, Error> {
    let name = call.text("survey")?;
    let Some((_, definition)) = books::survey(name)? else { return Ok(unknown("unknown_survey")) };
    let question = question_of(call, &definition)?.filter(|question| question.scale().is_some());
    let Some(question) = question else { return Ok(unknown("unknown_question")) };
    let one = |of: &str| -> Result<Tally, Error> {
        let choice = Choice { survey: name, period: Period::read(&call.input[of], &format!("{of}/"))?, segment: "" };
        let mut found = tallies(&choice, question, None)?;
        Ok(found.remove("").unwrap_or_else(|| Tally::of(question)))
    };
    let (before, after) = (one("before")?, one("after")?);
    let both = before.estimate(question).zip(after.estimate(question));
    let difference = both.map(|(before, after)| scores::difference(before, after));
    let interval: Option<Interval> = difference.map(|found| found.interval);
    Ok(json!({
        "result": "ok",
        "survey": name,
        "question": question.key,
        "kind": question.kind.as_str(),
        "before": before.to_json(question),
        "after": after.to_json(question),
        "difference": difference.map(|found| found.score),
        "interval": interval,
    }))
}

/// Answers in words, for `themes`.
fn text_rule(choice: &Choice<'_>, question: &Question) -> (String, Vec<(&'static str, rapport_sdk::Value)>) {
    let mut params: Vec<(&'static str, rapport_sdk::Value)> =
        vec![("i", format!("{}/{}", choice.survey, question.key).into())];
    let mut rule = "item == i && body != null".to_owned();
    if let Some(from) = choice.period.from {
        rule.push_str(" && answered_at >= since");
        params.push(("since", from.into()));
    }
    if let Some(to) = choice.period.to {
        rule.push_str(" && answered_at < until");
        params.push(("until", to.into()));
    }
    (rule, params)
}

/// The survey and the text question that are asked about.
fn text_question(call: Call<'_>) -> Result<Result<(Record, Question), Json>, Error> {
    let Some((survey, definition)) = books::survey(call.text("survey")?)? else {
        return Ok(Err(unknown("unknown_survey")));
    };
    let found = match call.optional_text("question")? {
        Some(key) => definition.question(key).filter(|question| question.kind == Kind::Text),
        None => definition.questions.iter().find(|question| question.kind == Kind::Text && !question.retired),
    };
    Ok(found.cloned().map(|question| (survey, question)).ok_or_else(|| unknown("unknown_question")))
}
