//! What time does: points ripen and expire, and tiers end, each at its own instant.

use rapport_sdk::Timestamp;

use super::entry::{Amounts, Entry, Kind, Part};
use super::{Booked, Books, LOTS_PER_PAGE, Ledger};

/// How far an account was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// All that fell due is booked.
    UpToDate,
    /// There is more: settle again.
    More,
}

impl<B: Books> Ledger<'_, B> {
    /// Books what fell due until `now`, in the order of its instants, and touches some `lots_max` lots at most.
    ///
    /// At one instant points expire before others ripen, and tiers end last. What ripens repays debt at once. Whatever it
    /// booked stands, also if there is more.
    ///
    /// # Errors
    /// Those of the books.
    pub fn settle(&mut self, now: Timestamp, lots_max: usize) -> Booked<Settled, B> {
        let now = self.account.as_of.map_or(now, |before| before.max(now));
        self.timed = true;
        let settled = self.settle_in_order(now, lots_max)?;
        self.timed = false;
        self.refresh()?;
        Ok(settled)
    }

    pub(super) fn settle_in_order(&mut self, now: Timestamp, lots_max: usize) -> Booked<Settled, B> {
        let (mut settled, before) = (0, self.account.as_of);
        loop {
            self.refresh()?;
            let account = &self.account;
            let Some(due) = account.next_due().filter(|due| *due <= now) else { break };
            if settled >= lots_max {
                return Ok(Settled::More);
            }
            let at = account.as_of.map_or(due, |so_far| so_far.max(due));
            let (expires, ripens) = (account.next_expiry == Some(due), account.next_ripening == Some(due));
            self.account.as_of = Some(at);
            settled += if expires {
                self.expire_at(due, lots_max - settled)?
            } else if ripens {
                self.ripen_at(due, lots_max - settled)?
            } else {
                self.end_tier(due)?;
                1
            };
        }
        self.account.as_of = Some(before.map_or(now, |before| before.max(now)));
        Ok(Settled::UpToDate)
    }

    /// Lets lots that expire at `due` expire, `lots_max` of them at most. Returns how many did.
    fn expire_at(&mut self, due: Timestamp, lots_max: usize) -> Booked<usize, B> {
        let (mut amounts, mut parts) = (Amounts::default(), Vec::new());
        // Where the account was wrong about its lots, it is asked again what comes next.
        self.stale.expiry = true;
        loop {
            let wanted = LOTS_PER_PAGE.min(lots_max - parts.len());
            let page = self.books.expiring_at(due, wanted)?;
            let full = page.len() == wanted;
            for mut lot in page {
                let points = lot.remaining;
                *if lot.pending { &mut amounts.pending } else { &mut amounts.available } -= points;
                amounts.expired += points;
                lot.expired += points;
                parts.push(Part { lot: lot.number, points: -points });
                self.change(&mut lot, -points)?;
            }
            if !full || parts.len() >= lots_max {
                break;
            }
        }
        let lots = parts.len();
        if lots > 0 {
            self.book(Entry { amounts, parts, time: due, ..Entry::of(Kind::Expire) })?;
        }
        Ok(lots.max(1))
    }

    /// Makes lots available that ripen at `due`, `lots_max` of them at most, and repays debt with them.
    fn ripen_at(&mut self, due: Timestamp, lots_max: usize) -> Booked<usize, B> {
        let (mut points, mut parts) = (0, Vec::new());
        self.stale.ripening = true;
        loop {
            let wanted = LOTS_PER_PAGE.min(lots_max - parts.len());
            let mut page = self.books.ripening(wanted)?;
            page.retain(|lot| lot.available_at == due);
            let full = page.len() == wanted;
            for mut lot in page {
                lot.pending = false;
                points += lot.remaining;
                parts.push(Part { lot: lot.number, points: 0 });
                self.change(&mut lot, 0)?;
            }
            if !full || parts.len() >= lots_max {
                break;
            }
        }
        let lots = parts.len();
        if lots > 0 {
            let amounts = Amounts { available: points, pending: -points, ..Amounts::default() };
            self.book(Entry { amounts, parts, time: due, ..Entry::of(Kind::Ripen) })?;
        }
        self.repay()?;
        Ok(lots.max(1))
    }
}
