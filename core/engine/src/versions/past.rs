//! What the log says of the versions of one automation: a fold over its events.

use std::sync::Arc;

use rapport_model::event::Body;
use rapport_model::{Actor, AutomationId, Digest, Event, Value};

use super::DIGITS_MIN;
use crate::error::EngineError;

/// A time during which a version was live.
#[derive(Debug)]
pub(crate) struct Period {
    /// The event that made it live.
    pub(crate) from: Arc<Event>,
    /// The event that ended that.
    pub(crate) until: Option<Arc<Event>>,
    /// Whether somebody went back to it.
    pub(crate) rollback: bool,
}

/// A version that the log knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) digest: Digest,
    /// The event that named it first.
    pub(crate) first: Arc<Event>,
    /// When it was live, oldest first.
    pub(crate) live: Vec<Period>,
    /// The position of the event that made it a draft, until it goes live.
    draft: Option<i64>,
}

/// What the log says of the versions of one automation.
#[derive(Debug)]
pub(crate) struct Past {
    id: AutomationId,
    known: Vec<Known>,
    /// What was live, the present on top; none: the automation was out of service. Going back takes off the top.
    stack: Vec<Option<Digest>>,
    by_host: Option<Digest>,
}

impl Past {
    pub(crate) const fn new(id: AutomationId) -> Self {
        Self { id, known: Vec::new(), stack: Vec::new(), by_host: None }
    }

    /// Takes in the next event of the log, whichever automation it is about.
    pub(crate) fn take(&mut self, event: &Arc<Event>) {
        if field(event, "automation").and_then(Value::as_text) != Some(self.id.as_str()) {
            return;
        }
        let digest = field(event, "digest").and_then(Value::as_text).and_then(|text| text.parse().ok());
        match (event.kind.as_str(), digest) {
            ("automation.pushed", Some(digest)) => self.name(digest, event).draft = Some(event.position),
            ("automation.activated", Some(digest)) => self.activated(digest, event),
            ("automation.deactivated", _) => {
                self.end_period(event);
                if self.stack.last() != Some(&None) {
                    self.stack.push(None);
                }
            }
            _ => return,
        }
        if event.actor == Actor::System {
            self.by_host = digest;
        }
    }

    fn activated(&mut self, digest: Digest, event: &Arc<Event>) {
        let rollback = matches!(field(event, "rollback"), Some(Value::Bool(true)));
        self.end_period(event);
        let known = self.name(digest, event);
        known.draft = None;
        known.live.push(Period { from: event.clone(), until: None, rollback });
        if rollback {
            self.stack.pop();
            while self.stack.last().is_some_and(|top| *top != Some(digest)) {
                self.stack.pop();
            }
        }
        if self.stack.last() != Some(&Some(digest)) {
            self.stack.push(Some(digest));
        }
    }

    fn end_period(&mut self, event: &Arc<Event>) {
        let open = self.known.iter_mut().filter_map(|known| known.live.last_mut());
        open.filter(|period| period.until.is_none()).for_each(|period| period.until = Some(event.clone()));
    }

    fn name(&mut self, digest: Digest, event: &Arc<Event>) -> &mut Known {
        let place = self.known.iter().position(|known| known.digest == digest).unwrap_or_else(|| {
            self.known.push(Known { digest, first: event.clone(), live: Vec::new(), draft: None });
            self.known.len() - 1
        });
        &mut self.known[place]
    }

    /// How many versions there are.
    pub(crate) const fn len(&self) -> usize {
        self.known.len()
    }

    /// All versions, the one that was named first last.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().rev()
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<&Known> {
        self.known.iter().find(|known| known.digest == *digest)
    }

    /// The version that is live.
    pub(crate) fn active(&self) -> Option<Digest> {
        self.stack.last().copied().flatten()
    }

    /// The newest draft.
    pub(crate) fn draft(&self) -> Option<Digest> {
        let drafts = self.known.iter().filter(|known| known.draft.is_some());
        drafts.max_by_key(|known| known.draft).map(|known| known.digest)
    }

    /// The version that was live before the present one.
    pub(crate) fn before(&self) -> Option<Digest> {
        let active = self.active();
        self.stack.iter().rev().skip(1).flatten().find(|digest| Some(**digest) != active).copied()
    }

    /// What the host itself made live or drafted last, if that was its last word.
    pub(crate) const fn by_host(&self) -> Option<Digest> {
        self.by_host
    }

    /// `active`, `draft` or `retired`.
    pub(crate) fn state(&self, known: &Known) -> &'static str {
        match (self.active() == Some(known.digest), known.draft.is_some()) {
            (true, _) => "active",
            (false, true) => "draft",
            (false, false) => "retired",
        }
    }

    /// The version that `text` names: `active`, `draft` (the newest), `before` (live before the present one), or the first
    /// digits of its digest.
    pub(crate) fn pick(&self, text: &str) -> Result<Digest, EngineError> {
        let id = &self.id;
        if self.known.is_empty() {
            return Err(EngineError::not_found(format!("automation `{id}`")));
        }
        let none = |what: &str| EngineError::not_found(format!("{what}: `rapport script versions {id}` lists all"));
        match text {
            "active" => self.active().ok_or_else(|| none(&format!("live version of `{id}`"))),
            "draft" => self.draft().ok_or_else(|| none(&format!("draft of `{id}`; push one, or name a version"))),
            "before" => self.before().ok_or_else(|| none(&format!("version of `{id}` that was live before"))),
            _ => self.by_digits(text),
        }
    }

    fn by_digits(&self, text: &str) -> Result<Digest, EngineError> {
        let digits = text.to_ascii_lowercase();
        if digits.len() < DIGITS_MIN || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let what = format!(
                "name a version by `active`, `draft`, `before` or {DIGITS_MIN} and more of the first digits of its digest"
            );
            return Err(EngineError::invalid("/version", what));
        }
        let named: Vec<Digest> =
            self.known.iter().map(|known| known.digest).filter(|d| d.to_string().starts_with(&digits)).collect();
        match named.as_slice() {
            [one] => Ok(*one),
            [] => {
                let what = format!("version `{text}` of `{0}`: `rapport script versions {0}` lists all", self.id);
                Err(EngineError::not_found(what))
            }
            several => {
                let all: Vec<String> = several.iter().map(Digest::short).collect();
                Err(EngineError::invalid(
                    "/version",
                    format!("`{text}` may be {}: write more digits", all.join(" or ")),
                ))
            }
        }
    }
}

fn field<'a>(event: &'a Event, name: &str) -> Option<&'a Value> {
    let Some(Body::Data(data)) = &event.body else { return None };
    data.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use rapport_model::{EventType, Name, Timestamp};

    use super::*;

    /// The past of `points` after these words: `+a` activates a, `<a` goes back to a, `?a` pushes a, `-` switches off.
    fn past(words: &str) -> Past {
        let mut past = Past::new(AutomationId::new("points").unwrap());
        for (position, word) in words.split(' ').enumerate() {
            let (kind, rest) = word.split_at(1);
            let kind = match kind {
                "?" => "pushed",
                "-" => "deactivated",
                _ => "activated",
            };
            let mut data = vec![(Name::new("automation").unwrap(), Value::text("points"))];
            if !rest.is_empty() {
                data.push((Name::new("digest").unwrap(), Value::text(&digest(rest).to_string())));
            }
            if word.starts_with('<') {
                data.push((Name::new("rollback").unwrap(), Value::Bool(true)));
            }
            past.take(&Arc::new(event(kind, i64::try_from(position).unwrap() + 1, data)));
        }
        past
    }

    fn event(kind: &str, position: i64, data: rapport_model::event::Fields) -> Event {
        Event {
            position,
            origin: None,
            kind: EventType::new(&format!("automation.{kind}")).unwrap(),
            subject: None,
            lane: None,
            time: Timestamp::EPOCH,
            recorded_at: Timestamp::EPOCH,
            actor: Actor::System,
            run: None,
            cause: None,
            depth: 0,
            body: Some(Body::Data(data)),
        }
    }

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    #[test]
    fn going_back_goes_further_back_each_time() {
        assert_eq!(past("+a +b +c").before(), Some(digest("b")));
        assert_eq!(past("+a +b +c <b").before(), Some(digest("a")));
        assert_eq!(past("+a +b +c <b <a").before(), None);
        assert_eq!(past("+a +b +c <b +d").before(), Some(digest("b")));
    }

    #[test]
    fn what_was_switched_off_goes_back_to_what_was_live() {
        let off = past("+a +b -");
        assert_eq!((off.active(), off.before()), (None, Some(digest("b"))));
        assert_eq!(past("+a +b - <b").before(), Some(digest("a")));
        assert_eq!(past("+a - +a").before(), None);
    }

    #[test]
    fn a_draft_is_one_until_it_goes_live() {
        let pushed = past("+a ?b ?c");
        assert_eq!((pushed.draft(), pushed.active()), (Some(digest("c")), Some(digest("a"))));
        let states = |past: &Past| past.newest_first().map(|known| past.state(known)).collect::<Vec<_>>();
        assert_eq!(states(&pushed), ["draft", "draft", "active"]);
        assert_eq!(states(&past("+a ?b ?c +c")), ["active", "draft", "retired"]);
        assert_eq!(past("+a +b ?a").draft(), Some(digest("a")), "what was live can be a draft again");
    }

    #[test]
    fn a_version_is_named_by_its_first_digits() {
        let all = past("+a +b");
        assert_eq!(all.pick(&digest("a").short()).unwrap(), digest("a"));
        assert_eq!(all.pick("before").unwrap(), digest("a"));
        assert_eq!(all.pick("abc").unwrap_err().code(), "invalid");
        assert_eq!(all.pick("00000000").unwrap_err().code(), "not_found");
        assert_eq!(all.pick("draft").unwrap_err().code(), "not_found");
    }

    #[test]
    fn times_of_being_live_end_where_the_next_begins() {
        let all = past("+a +b <a -");
        let times: Vec<Vec<(i64, Option<i64>)>> = all
            .newest_first()
            .map(|k| k.live.iter().map(|p| (p.from.position, p.until.as_ref().map(|e| e.position))).collect())
            .collect();
        assert_eq!(times, [vec![(2, Some(3))], vec![(1, Some(2)), (3, Some(4))]]);
    }
}
