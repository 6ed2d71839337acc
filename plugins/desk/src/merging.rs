//! Makes two tickets one: what was said, its files and links go over, the one that goes is closed and says where.

use rapport_sdk::{Error, Fields, Json, records};

use crate::comments::{self, Comment, unknown};
use crate::desk::Work;
use crate::input::{Input, refused};
use crate::open::answer;
use crate::status::Status;
use crate::{links, ticket};

/// The most comments that go over in one merge.
const COMMENTS_MAX: u32 = 300;

/// Does the action `merge`.
///
/// # Errors
/// The host's.
pub(crate) fn merge(input: Input<'_>) -> Result<Json, Error> {
    let (from, into) = (input.text("ticket")?, input.text("into")?);
    let Some(goes) = ticket::find(from)? else { return Ok(unknown(from)) };
    let Some(stays) = ticket::find(into)? else { return Ok(unknown(into)) };
    let (mut goes, mut stays) = (Work::on(&goes)?, Work::on(&ticket::survivor(stays)?)?);
    if goes.ticket.id == stays.ticket.id {
        return Ok(refused("rejected_merge", format!("{} would be merged into itself", goes.ticket.name())));
    }
    if let Some(other) = &goes.ticket.merged_into {
        return Ok(refused("rejected_merge", format!("{} has been merged into `{other}` already", goes.ticket.name())));
    }
    if stays.ticket.status == Status::Closed {
        return Ok(refused(
            "rejected_merge",
            format!("{} is closed: merge into one that is open", stays.ticket.name()),
        ));
    }
    let (a, b) = (&goes.ticket.customer, &stays.ticket.customer);
    if let (Some(a), Some(b)) = (a, b)
        && a.id != b.id
    {
        return Ok(refused(
            "rejected_merge",
            "they are of two customers, and each would read what the other wrote: link them",
        ));
    }
    let comments = comments::of(&goes.ticket.reference(), "", COMMENTS_MAX + 1)?;
    if comments.len() > usize::try_from(COMMENTS_MAX).unwrap_or(usize::MAX) {
        return Ok(refused(
            "rejected_merge",
            format!("it has more than {COMMENTS_MAX} comments: merge the other way round"),
        ));
    }
    for comment in &comments {
        records::update(&comment.reference(), &Fields::new().with("ticket", stays.ticket.reference()))?;
    }
    links::pass_on(&goes.ticket.reference(), &stays.ticket.reference())?;
    say(
        &stays,
        input.caller,
        &format!(
            "{} was merged into this one: {}\n\n{}",
            goes.ticket.name(),
            goes.ticket.subject,
            goes.ticket.description
        ),
    )?;
    stays.ticket.messages += goes.ticket.messages;
    stays.ticket.replies += goes.ticket.replies;
    stays.ticket.customer = stays.ticket.customer.take().or_else(|| goes.ticket.customer.clone());
    stays.ticket.requester = stays.ticket.requester.take().or_else(|| goes.ticket.requester.clone());
    say(&goes, input.caller, &format!("This was merged into {}.", stays.ticket.name()))?;
    goes.go(Status::Closed)?;
    goes.ticket.merged_into = Some(stays.ticket.reference());
    let moved = comments.len();
    goes.finish()?;
    let mut told = answer("ok", &stays.finish()?);
    told["comments"] = moved.into();
    Ok(told)
}

fn say(work: &Work, caller: &str, body: &str) -> Result<(), Error> {
    let comment = Comment { author: caller, body, via: "desk", ..Comment::default() };
    comments::write(&work.ticket, &comment, work.now).map(drop)
}
