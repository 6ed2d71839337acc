//! Campaigns: multipliers for some days, some members, some purchases.

use rapport_sdk::Decimal;

use super::calendar::Day;

/// A multiplier, and for what it holds: for all of its conditions that are set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Campaign {
    /// Its name.
    pub name: String,
    /// The multiplier.
    pub factor: Decimal,
    /// The first local day.
    pub from: Option<Day>,
    /// The last local day.
    pub until: Option<Day>,
    /// Days of the week, 1 for Monday; empty: all.
    pub weekdays: Vec<i8>,
    /// Days of the month, such as the member day; empty: all.
    pub days_of_month: Vec<i8>,
    /// Only in the month of the member's birthday.
    pub birthday_month: bool,
    /// Where it was bought; empty: anywhere.
    pub channels: Vec<String>,
    /// What was bought: one of these; empty: anything.
    pub products: Vec<String>,
}

/// What a campaign looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purchase<'a> {
    /// The local day.
    pub day: Day,
    /// The member's birthday.
    pub birthday: Option<Day>,
    /// Where it was bought.
    pub channel: Option<&'a str>,
    /// What was bought.
    pub products: &'a [String],
}

impl Campaign {
    /// Whether it holds for `purchase`.
    #[must_use]
    pub fn holds(&self, purchase: &Purchase<'_>) -> bool {
        let day = purchase.day;
        self.from.is_none_or(|from| from <= day)
            && self.until.is_none_or(|until| day <= until)
            && among(&self.weekdays, &day.weekday().to_monday_one_offset())
            && among(&self.days_of_month, &day.day())
            && (!self.birthday_month || purchase.birthday.is_some_and(|birthday| birthday.month() == day.month()))
            && (self.channels.is_empty() || purchase.channel.is_some_and(|c| self.channels.iter().any(|own| own == c)))
            && (self.products.is_empty() || self.products.iter().any(|own| purchase.products.contains(own)))
    }
}

fn among<T: PartialEq>(list: &[T], item: &T) -> bool {
    list.is_empty() || list.contains(item)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn on(day: Day) -> Purchase<'static> {
        Purchase { day, birthday: Some(date(1990, 3, 31)), channel: Some("app"), products: &[] }
    }

    #[test]
    fn each_condition_that_is_set_must_hold() {
        let tuesday = date(2026, 3, 3);
        let all = Campaign::default();
        assert!(all.holds(&on(tuesday)));
        assert!(Campaign { from: Some(tuesday), until: Some(tuesday), ..all.clone() }.holds(&on(tuesday)));
        assert!(!Campaign { from: Some(date(2026, 3, 4)), ..all.clone() }.holds(&on(tuesday)));
        assert!(!Campaign { until: Some(date(2026, 3, 2)), ..all.clone() }.holds(&on(tuesday)));
        assert!(Campaign { weekdays: vec![2], ..all.clone() }.holds(&on(tuesday)));
        assert!(!Campaign { weekdays: vec![2], days_of_month: vec![8], ..all.clone() }.holds(&on(tuesday)));
        assert!(Campaign { birthday_month: true, ..all.clone() }.holds(&on(tuesday)));
        assert!(!Campaign { birthday_month: true, ..all.clone() }.holds(&on(date(2026, 4, 1))));
        assert!(Campaign { channels: vec!["app".into()], ..all.clone() }.holds(&on(tuesday)));
        assert!(!Campaign { channels: vec!["shop".into()], ..all.clone() }.holds(&on(tuesday)));
        let products = ["tea".to_owned()];
        let tea = Purchase { products: &products, ..on(tuesday) };
        assert!(Campaign { products: vec!["tea".into(), "cups".into()], ..all.clone() }.holds(&tea));
        assert!(!Campaign { products: vec!["cups".into()], ..all }.holds(&tea));
    }
}
