//! Whether two customers may be one: what speaks for it, and how much.
//!
//! ```text
//! score = 1 − Π (1 − weight)    over what agrees: e-mail 0.9, phone 0.7, name and postcode 0.8 × likeness of the names, birthday 0.3
//!         × 0.7                 if both have a birthday and it is not the same
//! ```
//! A birthday alone says nothing: it counts beside something else. Names are compared within a postcode; their likeness is that of Jaro and
//! Winkler, and counts from 0.85 on. Scores and likenesses have four places, so that what is shown adds up.

use crate::match_key::{MatchKey, MatchKind, keys, name};
use crate::record::Record;
use crate::value::Value;

/// The weight of the same e-mail address.
pub const EMAIL_WEIGHT: f64 = 0.9;
/// The weight of the same phone number.
pub const PHONE_WEIGHT: f64 = 0.7;
/// The weight of the same name and postcode; of names that are alike, their likeness of it.
pub const NAME_WEIGHT: f64 = 0.8;
/// The least likeness of names that counts.
pub const LIKENESS_MIN: f64 = 0.85;
/// The weight of the same birthday.
pub const BIRTHDAY_WEIGHT: f64 = 0.3;
/// What is left of a score if the birthdays differ.
pub const OTHER_BIRTHDAY_FACTOR: f64 = 0.7;

/// What a customer is compared by.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its keys, in their order.
    pub keys: Vec<MatchKey>,
    name: String,
    birthday: Value,
}

impl Profile {
    /// That of a customer; of other records one that is like no other.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let name = name(record.get("name").as_text().unwrap_or_default());
        Self { keys: keys(record), name, birthday: record.get("birthday").clone() }
    }
}

/// One thing that speaks for two customers being one, or against it.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The e-mail address or the phone number is the same.
    Same(MatchKey),
    /// The postcode is the same, and the names are alike.
    Name {
        /// The postcode.
        postcode: MatchKey,
        /// How much alike, from [`LIKENESS_MIN`] to 1.
        likeness: f64,
    },
    /// The birthday is the same.
    Birthday,
    /// It is not.
    OtherBirthday,
}

impl Reason {
    /// The key that both have, if that is what it is about.
    #[must_use]
    pub const fn key(&self) -> Option<&MatchKey> {
        match self {
            Self::Same(key) | Self::Name { postcode: key, .. } => Some(key),
            Self::Birthday | Self::OtherBirthday => None,
        }
    }

    /// What is left of the doubt.
    fn doubt(&self) -> f64 {
        match self {
            Self::Same(key) if key.kind == MatchKind::Email => 1.0 - EMAIL_WEIGHT,
            Self::Same(_) => 1.0 - PHONE_WEIGHT,
            Self::Name { likeness, .. } => 1.0 - NAME_WEIGHT * likeness,
            Self::Birthday => 1.0 - BIRTHDAY_WEIGHT,
            Self::OtherBirthday => 1.0,
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// What speaks for these two being one, in the order of its keys, and what of their birthdays. Nothing if they have no key in common for
/// which `counts` holds.
pub fn reasons(a: &Profile, b: &Profile, counts: impl Fn(&MatchKey) -> bool) -> Vec<Reason> {
    let common = a.keys.iter().filter(|key| b.keys.contains(key) && counts(key));
    let mut all: Vec<Reason> = common.filter_map(|key| reason(a, b, key)).collect();
    if !all.is_empty() && !a.birthday.is_null() && !b.birthday.is_null() {
        all.push(if a.birthday == b.birthday { Reason::Birthday } else { Reason::OtherBirthday });
    }
    all
}

fn reason(a: &Profile, b: &Profile, key: &MatchKey) -> Option<Reason> {
    if key.kind != MatchKind::Postcode {
        return Some(Reason::Same(key.clone()));
    }
    // The measure is not quite the same from either side.
    let (first, second) = if a.name <= b.name { (&a.name, &b.name) } else { (&b.name, &a.name) };
    let likeness = rounded(strsim::jaro_winkler(first, second));
    (likeness >= LIKENESS_MIN).then(|| Reason::Name { postcode: key.clone(), likeness })
}

/// How sure these reasons make that two customers are one, from 0 to 1.
#[must_use]
pub fn score(reasons: &[Reason]) -> f64 {
    let doubt: f64 = reasons.iter().map(Reason::doubt).product();
    let factor = if reasons.contains(&Reason::OtherBirthday) { OTHER_BIRTHDAY_FACTOR } else { 1.0 };
    rounded((1.0 - doubt) * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn profile(keys: &[(MatchKind, &str)], of: &str, birthday: Option<i16>) -> Profile {
        let keys = keys.iter().map(|(kind, key)| MatchKey { kind: *kind, key: (*key).to_owned() }).collect();
        let day = birthday.map_or(Value::Null, |year| Value::Date(jiff::civil::date(year, 1, 2)));
        Profile { keys, name: name(of), birthday: day }
    }

    fn scored(a: &Profile, b: &Profile) -> f64 {
        score(&reasons(a, b, |_| true))
    }

    fn near(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() < 1e-9
    }

    const ALL: [(MatchKind, &str); 3] =
        [(MatchKind::Email, "a@b.c"), (MatchKind::Phone, "701234567"), (MatchKind::Postcode, "89073")];

    #[test]
    fn each_kind_of_evidence_has_its_weight() {
        let names = ("Müller, Anna", "Anna Muller");
        for (keys, wanted) in [
            (&ALL[..1], 0.9),
            (&ALL[1..2], 0.7),
            (&ALL[2..], 0.8),
            (&ALL[..2], 0.97),
            (&ALL[1..], 0.94),
            (&ALL[..], 0.994),
            (&ALL[..0], 0.0),
        ] {
            let found = scored(&profile(keys, names.0, None), &profile(keys, names.1, None));
            assert!(near(found, wanted), "{keys:?}: {found}");
        }
    }

    #[test]
    fn a_birthday_counts_beside_something_else() {
        let one = |keys, birthday| profile(keys, "Anna", birthday);
        for (keys, birthdays, wanted) in [
            (&ALL[1..2], (Some(1990), Some(1990)), 0.79),
            (&ALL[1..2], (Some(1990), Some(1991)), 0.49),
            (&ALL[1..2], (Some(1990), None), 0.7),
            (&ALL[..0], (Some(1990), Some(1990)), 0.0),
        ] {
            let found = scored(&one(keys, birthdays.0), &one(keys, birthdays.1));
            assert!(near(found, wanted), "{keys:?} {birthdays:?}: {found}");
        }
    }

    #[test]
    fn names_that_are_not_alike_are_no_reason() {
        let at = |of| profile(&ALL[2..], of, None);
        assert!(reasons(&at("Anna Müller"), &at("Bert Maier"), |_| true).is_empty());
        let alike = reasons(&at("Anna Müller"), &at("Ana Muller"), |_| true);
        assert!(matches!(alike[..], [Reason::Name { likeness, .. }] if (0.9..1.0).contains(&likeness)), "{alike:?}");
        assert!(scored(&at("Anna Müller"), &at("Ana Muller")) < NAME_WEIGHT);
    }

    #[test]
    fn a_key_that_does_not_count_is_no_reason() {
        let (a, b) = (profile(&ALL, "Anna", Some(1990)), profile(&ALL, "Anna", Some(1990)));
        assert!(reasons(&a, &b, |_| false).is_empty());
        assert_eq!(reasons(&a, &b, |key| key.kind == MatchKind::Phone).len(), 2, "the phone and the birthday");
    }

    proptest! {
        #[test]
        fn a_score_is_the_same_from_either_side_and_within_bounds(a in any::<String>(), b in any::<String>(), n in 0..3_usize) {
            let (a, b) = (profile(&ALL[n..], &a, Some(1990)), profile(&ALL[n..], &b, Some(1991)));
            let (there, back) = (scored(&a, &b), scored(&b, &a));
            prop_assert!(near(there, back), "{} {}", there, back);
            prop_assert!((0.0..=1.0).contains(&there));
        }
    }
}
