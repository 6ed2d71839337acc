//! Opens tickets: by an action, by mail, and those that somebody has written as a record.

use rapport_sdk::{Error, Fields, Json, Record, Reference, Timestamp, clock, records, settings};
use serde_json::json;

use crate::business;
use crate::desk::{Work, next_number, warn_at};
use crate::input::{Flag, Input, instant_text, refused};
use crate::status::{self, Status};
use crate::ticket::{OBJECT, Promise, Ticket};
use crate::{comments, targets};

/// The longest subject, in characters.
pub(crate) const SUBJECT_CHARS_MAX: usize = 250;

/// What a ticket is opened with.
#[derive(Debug, Default)]
pub(crate) struct Opening<'a> {
    pub(crate) subject: &'a str,
    pub(crate) description: &'a str,
    pub(crate) customer: Option<Record>,
    /// The address of who asks.
    pub(crate) requester: Option<&'a str>,
    pub(crate) priority: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) queue: Option<&'a str>,
    pub(crate) owner: Option<&'a str>,
    pub(crate) channel: Option<&'a str>,
    pub(crate) tier: Option<&'a str>,
    pub(crate) language: Option<&'a str>,
    pub(crate) calendar: Option<&'a str>,
    /// What it is about is opened once.
    pub(crate) key: Option<&'a str>,
    pub(crate) tags: Vec<&'a str>,
}

/// Does the action `open`.
///
/// # Errors
/// The host's; `invalid` for what is no priority or queue.
pub(crate) fn open(input: Input<'_>) -> Result<Json, Error> {
    if let Some(key) = input.optional("key")?
        && let Some(known) = records::get(OBJECT, &format!("key:{key}"))?
    {
        return Ok(answer("duplicate_ignored", &Ticket::read(&known)?));
    }
    let customer = match input.customer("customer") {
        Err(error) if error.code() == "unknown_customer" => return Ok(refused("rejected_unknown", error.to_string())),
        found => found?,
    };
    let email = input.optional("email")?;
    let customer = match (customer, email) {
        (None, Some(email)) => records::get("customer", &format!("email:{}", email.to_lowercase()))?,
        (customer, _) => customer,
    };
    let opening = Opening {
        subject: input.text("subject")?,
        description: input.optional("description")?.unwrap_or_default(),
        customer,
        requester: email,
        priority: input.optional("priority")?,
        kind: input.optional("kind")?,
        queue: input.optional("queue")?,
        owner: input.optional("owner")?,
        channel: input.optional("channel")?.or(Some("api")),
        tier: input.optional("tier")?,
        language: input.optional("language")?,
        calendar: input.optional("calendar")?,
        key: input.optional("key")?,
        tags: input.texts("tags"),
    };
    if let Some(queue) = opening.queue
        && queue_of(queue)?.is_none()
    {
        return Ok(refused(
            "rejected_unknown",
            format!("there is no queue `{queue}`: create a record of `ticket_queue`"),
        ));
    }
    let mut work = begin(&opening)?;
    if input.flag("acknowledge", Flag::Off) {
        acknowledge(&mut work)?;
    }
    Ok(answer("ok", &work.finish()?))
}

/// The answer about a ticket.
pub(crate) fn answer(result: &str, ticket: &Ticket) -> Json {
    json!({
        "result": result, "ticket": ticket.id, "number": ticket.name(), "status": ticket.status.as_str(),
        "priority": ticket.priority, "owner": ticket.owner, "tier": ticket.tier,
        "first_response_due": ticket.response.due.map(instant_text), "resolution_due": ticket.resolution.due.map(instant_text),
    })
}

/// The queue of that name.
///
/// # Errors
/// The host's.
pub(crate) fn queue_of(name: &str) -> Result<Option<Record>, Error> {
    records::get("ticket_queue", &format!("name:{name}"))
}

/// Writes a new ticket, with all that is promised for it.
///
/// # Errors
/// The host's; `invalid` for what is no priority.
pub(crate) fn begin(opening: &Opening<'_>) -> Result<Work, Error> {
    let now = clock::now();
    let mut ticket = blank(opening);
    take_up(&mut ticket, opening.customer.as_ref(), opening.priority, now)?;
    let mut fields = ticket.fields().with("key", opening.key);
    if !opening.tags.is_empty() {
        fields.set("tags", Json::from(opening.tags.clone()));
    }
    let record = records::create(OBJECT, &fields)?;
    ticket.id = record.id;
    let mut work = Work::anew(ticket, now);
    told(&mut work);
    Ok(work)
}

fn blank(opening: &Opening<'_>) -> Ticket {
    let text = |text: Option<&str>| text.map(str::to_owned);
    Ticket {
        id: String::new(),
        number: None,
        subject: opening.subject.trim().chars().take(SUBJECT_CHARS_MAX).collect(),
        description: opening.description.to_owned(),
        language: text(opening.language),
        status: Status::New,
        priority: opening.priority.unwrap_or("normal").to_owned(),
        kind: opening.kind.unwrap_or("question").to_owned(),
        queue: text(opening.queue),
        owner: text(opening.owner),
        channel: text(opening.channel),
        customer: opening.customer.as_ref().map(Record::reference),
        requester: opening.requester.map(str::to_lowercase),
        tier: text(opening.tier),
        calendar: text(opening.calendar),
        response: Promise::default(),
        resolution: Promise::default(),
        opened_at: None,
        responded_at: None,
        solved_at: None,
        closed_at: None,
        waiting_since: None,
        paused: 0,
        handling: None,
        replies: 0,
        messages: 1,
        reopens: 0,
        first_contact: false,
        merged_into: None,
        clock_next: None,
        loop_due: None,
    }
}

/// Gives a ticket its number, what follows from its queue, and what is promised from `now` on.
fn take_up(
    ticket: &mut Ticket,
    customer: Option<&Record>,
    priority: Option<&str>,
    now: Timestamp,
) -> Result<(), Error> {
    if ticket.number.is_none() {
        ticket.number = Some(next_number()?);
    }
    ticket.opened_at = Some(now);
    if ticket.queue.is_none() {
        ticket.queue = Some(settings::get::<String>("queue")?).filter(|queue| !queue.is_empty());
    }
    let queue = ticket.queue.as_deref().map(queue_of).transpose()?.flatten();
    if let Some(queue) = queue {
        ticket.owner = ticket.owner.take().or(queue.text("owner")?);
        ticket.calendar = ticket.calendar.take().or(queue.text("calendar")?);
    }
    ticket.priority = match priority {
        Some(said) => status::priority(said)?,
        None => targets::grade(ticket, customer)?,
    }
    .to_owned();
    if ticket.requester.is_none()
        && let Some(customer) = customer
    {
        ticket.requester = customer.text("email")?.map(|email| email.to_lowercase());
    }
    targets::promise(ticket, customer, now, warn_at()?)?;
    let span: String = settings::get("loop_span")?;
    if ticket.kind == "feedback" && !span.is_empty() && ticket.calendar.is_some() {
        ticket.loop_due = Some(business::due(ticket.calendar.as_deref().unwrap_or_default(), now, &span)?);
    }
    Ok(())
}

fn told(work: &mut Work) {
    let ticket = &work.ticket;
    let data = Fields::new().with("channel", ticket.channel.clone()).with("tier", ticket.tier.clone());
    work.tell("desk.ticket_opened", &data);
}

/// Takes up a ticket that somebody has written as a record: from then on it is like any other.
///
/// # Errors
/// As for [`begin`].
pub(crate) fn adopt(record: &Record) -> Result<(), Error> {
    let mut work = Work::on(record)?;
    let customer = customer_of(&work.ticket)?;
    let (priority, now) = (work.ticket.priority.clone(), work.now);
    work.ticket.messages = work.ticket.messages.max(1);
    take_up(&mut work.ticket, customer.as_ref(), Some(&priority), now)?;
    told(&mut work);
    if !work.ticket.status.is_active() {
        // Written as done: nothing is promised any more.
        work.ticket.stop(now)?;
        work.ticket.responded_at.get_or_insert(now);
        work.ticket.closed_at = work.ticket.closed_at.or((work.ticket.status == Status::Closed).then_some(now));
        work.ticket.solved_at = work.ticket.solved_at.or((work.ticket.status == Status::Solved).then_some(now));
    }
    work.finish().map(drop)
}

/// The customer of a ticket.
///
/// # Errors
/// The host's.
pub(crate) fn customer_of(ticket: &Ticket) -> Result<Option<Record>, Error> {
    let get = |customer: &Reference| records::get("customer", &customer.id);
    ticket.customer.as_ref().map(get).transpose().map(Option::flatten)
}

/// Tells who asks that the ticket has come, by the template of the setting `acknowledge_template`, if there is one.
///
/// # Errors
/// The host's.
pub(crate) fn acknowledge(work: &mut Work) -> Result<(), Error> {
    let template: String = settings::get("acknowledge_template")?;
    if template.is_empty() {
        return Ok(());
    }
    let subject = work.ticket.subject.clone();
    if let Some(key) = comments::send(&work.ticket, &template, &subject)? {
        let note = comments::Comment {
            kind: comments::Kind::Internal,
            author: "desk",
            body: "The receipt was sent.",
            via: "mail",
            message: Some(&key),
            ..comments::Comment::default()
        };
        comments::write(&work.ticket, &note, work.now)?;
    }
    Ok(())
}
