//! Where a ticket stands, and how pressing it is.
//!
//! ```text
//! new ─▶ open ⇄ waiting, on_hold ─▶ solved ─▶ closed
//!                    ▲                 │
//!                    └────reopened─────┘
//! ```
//! All but a closed ticket may be closed, all that are not solved may be solved. A closed one stays closed.

use rapport_sdk::Error;

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nobody has done anything yet.
    New,
    /// Somebody works on it.
    Open,
    /// The customer is to answer: the clock stands still.
    Waiting,
    /// Somebody else is to do something. The clock goes on: the customer waits.
    OnHold,
    /// Done, as the desk sees it.
    Solved,
    /// Done for good.
    Closed,
}

impl Status {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 6] = [Self::New, Self::Open, Self::Waiting, Self::OnHold, Self::Solved, Self::Closed];

    /// As records have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::OnHold => "on_hold",
            Self::Solved => "solved",
            Self::Closed => "closed",
        }
    }

    /// Reads what records have.
    ///
    /// # Errors
    /// `invalid` for anything else.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| Error::new("invalid", format!("`{text}` is no status of a ticket")))
    }

    /// Whether there is still something to do.
    pub(crate) const fn is_active(self) -> bool {
        !matches!(self, Self::Solved | Self::Closed)
    }

    /// Whether a ticket that stands here may go there.
    pub(crate) fn may_become(self, next: Self) -> bool {
        match (self, next) {
            _ if self == next => true,
            (Self::Closed, _) | (_, Self::New) => false,
            (Self::Solved, next) => matches!(next, Self::Open | Self::Closed),
            _ => true,
        }
    }

    /// What is wrong with going there, and what to do instead; none if nothing is.
    pub(crate) fn refusal(self, next: Self) -> Option<String> {
        if self.may_become(next) {
            return None;
        }
        let way_out = match self {
            Self::Closed => "a closed ticket stays closed: open a new one and link it",
            Self::Solved => "reopen it first",
            _ => "only a ticket that nobody has touched is new",
        };
        Some(format!("a ticket that is {} cannot become {}: {way_out}", self.as_str(), next.as_str()))
    }
}

/// How pressing tickets can be, the least first.
pub(crate) const PRIORITIES: [&str; 4] = ["low", "normal", "urgent", "major"];

/// The priority of that name.
///
/// # Errors
/// `invalid` for anything else.
pub(crate) fn priority(text: &str) -> Result<&'static str, Error> {
    let found = PRIORITIES.into_iter().find(|priority| *priority == text);
    found.ok_or_else(|| {
        Error::new("invalid", format!("`{text}` is no priority: write one of {}", PRIORITIES.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_ticket_stays_closed_and_a_solved_one_is_reopened_first() {
        for next in Status::ALL {
            assert_eq!(Status::Closed.may_become(next), next == Status::Closed, "{next:?}");
        }
        assert!(Status::Solved.may_become(Status::Open));
        assert_eq!(
            Status::Solved.refusal(Status::Waiting).unwrap(),
            "a ticket that is solved cannot become waiting: reopen it first"
        );
    }

    #[test]
    fn nothing_becomes_new_again() {
        assert!(Status::ALL.into_iter().all(|status| status == Status::New || !status.may_become(Status::New)));
    }
}
