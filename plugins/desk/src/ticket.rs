//! A ticket as the plugin works on it: read from its record, written back where it differs.

use rapport_sdk::{Error, Fields, Record, Reference, Timestamp, records};

use crate::status::Status;

/// The object.
pub(crate) const OBJECT: &str = "ticket";

/// What is promised by when: a first answer, or a solution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Promise {
    /// How much business time was promised: `4 hours`.
    pub(crate) target: Option<String>,
    /// When it is due; none while the clock stands still, and if nothing was promised.
    pub(crate) due: Option<Timestamp>,
    /// Business seconds that are left, while the clock stands still.
    pub(crate) left: Option<i64>,
    /// When a warning is due.
    pub(crate) warn_at: Option<Timestamp>,
    /// When it was warned.
    pub(crate) warned_at: Option<Timestamp>,
    /// When it was due and had not been kept.
    pub(crate) breached_at: Option<Timestamp>,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ticket {
    pub(crate) id: String,
    /// `T-1001`; none before it was taken up.
    pub(crate) number: Option<String>,
    pub(crate) subject: String,
    pub(crate) description: String,
    pub(crate) language: Option<String>,
    pub(crate) status: Status,
    pub(crate) priority: String,
    pub(crate) kind: String,
    pub(crate) queue: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) customer: Option<Reference>,
    /// The address of who asks, in lower case.
    pub(crate) requester: Option<String>,
    pub(crate) tier: Option<String>,
    pub(crate) calendar: Option<String>,
    /// The first answer.
    pub(crate) response: Promise,
    /// The solution.
    pub(crate) resolution: Promise,
    pub(crate) opened_at: Option<Timestamp>,
    pub(crate) responded_at: Option<Timestamp>,
    pub(crate) solved_at: Option<Timestamp>,
    pub(crate) closed_at: Option<Timestamp>,
    pub(crate) waiting_since: Option<Timestamp>,
    /// Business seconds that did not count.
    pub(crate) paused: i64,
    /// Business seconds from opening to solving, without those that did not count.
    pub(crate) handling: Option<i64>,
    pub(crate) replies: i64,
    pub(crate) messages: i64,
    pub(crate) reopens: i64,
    pub(crate) first_contact: bool,
    pub(crate) merged_into: Option<Reference>,
    /// When the plugin looks at it next.
    pub(crate) clock_next: Option<Timestamp>,
    /// Until when a negative answer is to be closed.
    pub(crate) loop_due: Option<Timestamp>,
}

impl Promise {
    fn read(record: &Record, name: &str) -> Result<Self, Error> {
        let of = |part: &str| format!("{name}_{part}");
        Ok(Self {
            target: record.text(&of("target"))?,
            due: record.read(&of("due"))?,
            left: record.int(&of("left"))?,
            warn_at: record.read(&of("warn_at"))?,
            warned_at: record.read(&of("warned_at"))?,
            breached_at: record.read(&of("breached_at"))?,
        })
    }

    fn write(&self, fields: &mut Fields, name: &str) {
        fields.set(format!("{name}_target"), self.target.clone());
        fields.set(format!("{name}_due"), self.due);
        fields.set(format!("{name}_left"), self.left);
        fields.set(format!("{name}_warn_at"), self.warn_at);
        fields.set(format!("{name}_warned_at"), self.warned_at);
        fields.set(format!("{name}_breached_at"), self.breached_at);
    }
}

impl Ticket {
    /// The ticket of a record.
    ///
    /// # Errors
    /// `no_field`, `wrong_kind`, or `invalid` if it is none.
    pub(crate) fn read(record: &Record) -> Result<Self, Error> {
        Ok(Self {
            id: record.id.clone(),
            number: record.text("number")?,
            subject: record.text("subject")?.unwrap_or_default(),
            description: record.text("description")?.unwrap_or_default(),
            language: record.text("language")?,
            status: Status::parse(&record.text("status")?.unwrap_or_else(|| "new".into()))?,
            priority: record.text("priority")?.unwrap_or_else(|| "normal".into()),
            kind: record.text("kind")?.unwrap_or_else(|| "question".into()),
            queue: record.text("queue")?,
            owner: record.text("owner")?,
            channel: record.text("channel")?,
            customer: record.read("customer")?,
            requester: record.text("requester")?,
            tier: record.text("tier")?,
            calendar: record.text("calendar")?,
            response: Promise::read(record, "first_response")?,
            resolution: Promise::read(record, "resolution")?,
            opened_at: record.read("opened_at")?,
            responded_at: record.read("first_responded_at")?,
            solved_at: record.read("solved_at")?,
            closed_at: record.read("closed_at")?,
            waiting_since: record.read("waiting_since")?,
            paused: record.int("paused_seconds")?.unwrap_or(0),
            handling: record.int("handling_seconds")?,
            replies: record.int("replies")?.unwrap_or(0),
            messages: record.int("customer_messages")?.unwrap_or(0),
            reopens: record.int("reopens")?.unwrap_or(0),
            first_contact: record.read("first_contact")?.unwrap_or(false),
            merged_into: record.read("merged_into")?,
            clock_next: record.read("clock_next")?,
            loop_due: record.read("loop_due")?,
        })
    }

    /// All its fields.
    pub(crate) fn fields(&self) -> Fields {
        let mut fields = Fields::new()
            .with("number", self.number.clone())
            .with("subject", self.subject.as_str())
            .with("description", self.description.as_str())
            .with("language", self.language.clone())
            .with("status", self.status.as_str())
            .with("priority", self.priority.as_str())
            .with("kind", self.kind.as_str())
            .with("queue", self.queue.clone())
            .with("owner", self.owner.clone())
            .with("channel", self.channel.clone())
            .with("customer", self.customer.clone())
            .with("requester", self.requester.clone())
            .with("tier", self.tier.clone())
            .with("calendar", self.calendar.clone())
            .with("opened_at", self.opened_at)
            .with("first_responded_at", self.responded_at)
            .with("solved_at", self.solved_at)
            .with("closed_at", self.closed_at)
            .with("waiting_since", self.waiting_since)
            .with("paused_seconds", self.paused)
            .with("handling_seconds", self.handling)
            .with("replies", self.replies)
            .with("customer_messages", self.messages)
            .with("reopens", self.reopens)
            .with("first_contact", self.first_contact)
            .with("merged_into", self.merged_into.clone())
            .with("clock_next", self.clock_next)
            .with("loop_due", self.loop_due);
        self.response.write(&mut fields, "first_response");
        self.resolution.write(&mut fields, "resolution");
        fields
    }

    /// A reference to its record.
    pub(crate) fn reference(&self) -> Reference {
        Reference::new(OBJECT, &self.id)
    }

    /// What it is called: its number, or what there is before it has one.
    pub(crate) fn name(&self) -> &str {
        self.number.as_deref().unwrap_or(&self.id)
    }
}

/// The record of the ticket that `key` names: `T-1001`, an id, or `ticket/…`.
///
/// # Errors
/// The host's.
pub(crate) fn find(key: &str) -> Result<Option<Record>, Error> {
    let key = key.strip_prefix("ticket/").unwrap_or(key);
    if key.starts_with("T-") {
        return records::get(OBJECT, &format!("number:{key}"));
    }
    records::get(OBJECT, key)
}

/// The ticket that stands for this one today: where it was merged into, if it was.
///
/// # Errors
/// The host's.
pub(crate) fn survivor(mut record: Record) -> Result<Record, Error> {
    // A merge leads to one that was merged into no other, so that a chain grows by later merges alone.
    for _ in 0..20 {
        let Some(next) = record.read::<Reference>("merged_into")? else { return Ok(record) };
        match records::get(OBJECT, &next.id)? {
            Some(next) => record = next,
            None => return Ok(record),
        }
    }
    Ok(record)
}
