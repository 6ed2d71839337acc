//! What customers are compared by to find out who is there twice: keys that are the same for what people write in different ways.
//!
//! Keys are made here alone, so both databases hold the same. They belong to the standard object `customer`: an object of somebody else's
//! with fields of the same names has none.
//!
//! ```text
//! email      Anna.Muller+news@GoogleMail.com  ─▶ annamuller@gmail.com
//! phone      +49 170 1234567, 0170/1234567    ─▶ 701234567
//! postcode   sw1a 1aa                         ─▶ SW1A1AA   among those with one, names are compared
//! name       Müller, Anna                     ─▶ anna muller
//! ```

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization;

use crate::record::Record;
use crate::schema::Origin;
use crate::search::is_diacritic;

/// The object whose records are compared.
pub const OBJECT: &str = "customer";
/// The longest key, in bytes: an index takes no longer one everywhere, and no address or postcode is longer.
pub const KEY_BYTES_MAX: usize = 320;
/// How many characters of a name are compared.
pub const NAME_CHARS_MAX: usize = 64;
/// The fewest digits of a phone number, without leading zeros.
const PHONE_DIGITS_MIN: usize = 7;
/// How many of its last digits count: country codes and the zero before national numbers stand in front of them.
const PHONE_DIGITS: usize = 9;
/// The domain whose mailboxes do not see dots, and its other name.
const GMAIL: (&str, &str) = ("gmail.com", "googlemail.com");

/// What a key is made of. They are in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchKind {
    /// The e-mail address.
    Email,
    /// The phone number.
    Phone,
    /// The postcode of somebody with a name.
    Postcode,
}

impl MatchKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Email, Self::Phone, Self::Postcode];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Postcode => "postcode",
        }
    }
}

/// A word that is the name of no kind of key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of key: email, phone and postcode are")]
pub struct UnknownKind(pub String);

impl FromStr for MatchKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// A key. Customers with the same may be one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatchKey {
    /// What it is made of.
    pub kind: MatchKind,
    /// The key, never empty.
    pub key: String,
}

impl fmt::Display for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.key)
    }
}

/// Whether records like this one have keys.
#[must_use]
pub fn is_compared(record: &Record) -> bool {
    record.object.name.as_str() == OBJECT && record.object.origin == Origin::Standard
}

/// Whether the keys of two states of a record can differ. Cheap.
#[must_use]
pub fn may_differ(before: &Record, after: &Record) -> bool {
    ["email", "phone", "postcode", "name"].iter().any(|field| before.get(field) != after.get(field))
}

/// The keys of a record, in their order, one of each kind at most.
#[must_use]
pub fn keys(record: &Record) -> Vec<MatchKey> {
    if !is_compared(record) {
        return Vec::new();
    }
    let text = |field: &str| record.get(field).as_text();
    let named = || !name(text("name").unwrap_or_default()).is_empty();
    let made = [
        (MatchKind::Email, text("email").and_then(email)),
        (MatchKind::Phone, text("phone").and_then(phone)),
        (MatchKind::Postcode, text("postcode").and_then(postcode).filter(|_| named())),
    ];
    made.into_iter().filter_map(|(kind, key)| Some(MatchKey { kind, key: key? })).collect()
}

fn short(key: String) -> Option<String> {
    (!key.is_empty() && key.len() <= KEY_BYTES_MAX).then_some(key)
}

/// An e-mail address in lower case and NFKC, without what follows a `+` in its local part; without the dots there, if the mailbox is one
/// of gmail's.
#[must_use]
pub fn email(text: &str) -> Option<String> {
    let lower = text.nfkc().collect::<String>().to_lowercase();
    let text = lower.nfkc().collect::<String>();
    let (local, domain) = text.trim().rsplit_once('@')?;
    let (local, domain) = (local.split_once('+').map_or(local, |(base, _)| base), domain.trim());
    let gmail = [GMAIL.0, GMAIL.1].contains(&domain);
    let (local, domain) = if gmail { (without_dots(local), GMAIL.0) } else { (local.to_owned(), domain) };
    let local = local.trim();
    if local.is_empty() || domain.is_empty() { None } else { short(format!("{local}@{domain}")) }
}

/// Marks that a dot kept apart are in the order of NFKC thereafter.
fn without_dots(local: &str) -> String {
    local.chars().filter(|c| *c != '.').nfkc().collect()
}

/// The last nine digits of a phone number, so that `+49 170 1234567`, `0049 170 1234567` and `0170 1234567` are the same. Leading zeros do
/// not count; fewer than seven digits are no number.
///
/// A number that has fewer than nine digits behind its country code is the same only if it is written with the code each time, or without.
#[must_use]
pub fn phone(text: &str) -> Option<String> {
    let digits: String = text.nfkc().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (digits.len() >= PHONE_DIGITS_MIN).then(|| digits[digits.len().saturating_sub(PHONE_DIGITS)..].to_owned())
}

/// The letters and digits of a postcode, in upper case.
#[must_use]
pub fn postcode(text: &str) -> Option<String> {
    let upper = text.nfkc().collect::<String>().to_uppercase();
    // Marks that stood apart are next to each other now, in an order of their own.
    short(upper.nfkc().filter(|c| c.is_alphanumeric()).nfkc().collect())
}

/// A name as names are compared: its words without punctuation and diacritics, in lower case and sorted; the first characters of a long
/// one. Empty if there are no letters and digits in it.
#[must_use]
pub fn name(text: &str) -> String {
    let lower = text.nfkc().collect::<String>().to_lowercase();
    let folded: String = lower.nfd().filter(|c| !is_diacritic(*c)).nfc().collect();
    let mut words: Vec<&str> = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.join(" ").chars().take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::id::RecordId;
    use crate::image;
    use crate::name::Name;
    use crate::record::Change;
    use crate::standard;
    use crate::time::Timestamp;
    use crate::value::Value;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for text in ["anna@example.org", "  Anna+news@EXAMPLE.org ", "ＡＮＮＡ@example.org", "anna+a+b@example.org"]
        {
            assert_eq!(email(text).as_deref(), Some("anna@example.org"), "{text}");
        }
        for text in ["a.n.na@gmail.com", "anna@googlemail.com", "An.na+x@GoogleMail.com", ". anna . @ gmail.com"] {
            assert_eq!(email(text).as_deref(), Some("anna@gmail.com"), "{text}");
        }
        assert_eq!(email("an.na@example.org").as_deref(), Some("an.na@example.org"), "dots count elsewhere");
    }

    #[test]
    fn what_is_no_address_has_no_key() {
        let long = format!("{}@example.org", "a".repeat(KEY_BYTES_MAX));
        for text in ["", "anna", "@example.org", "anna@", "+x@example.org", "..@gmail.com", " @ ", &long] {
            assert_eq!(email(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_the_same_with_and_without_its_country() {
        for text in ["+49 170 1234567", "0049 (0)170-1234567", "0170/1234567", "１７０ 1234567"] {
            assert_eq!(phone(text).as_deref(), Some("701234567"), "{text}");
        }
        assert_eq!(phone("0731 12345").as_deref(), Some("73112345"));
        for text in ["", "110", "123456", "000000000000", "call me", "+٤٩ ١٧٠ ١٢٣٤٥٦٧"] {
            assert_eq!(phone(text), None, "{text}");
        }
    }

    #[test]
    fn a_postcode_is_its_letters_and_digits() {
        assert_eq!(postcode(" sw1a-1aa ").as_deref(), Some("SW1A1AA"));
        assert_eq!(postcode("89 073").as_deref(), Some("89073"));
        assert_eq!(
            postcode("\u{1e023} \u{c55}"),
            postcode("\u{c55}\u{1e023}"),
            "marks are in one order, whatever stood between them"
        );
        assert_eq!((postcode(" - "), postcode("\u{1f600}"), postcode(&"9".repeat(400))), (None, None, None));
    }

    #[test]
    fn a_name_is_its_words() {
        for text in ["Müller, Anna", "anna MULLER", " Anna\u{a0}Mu\u{308}ller. "] {
            assert_eq!(name(text), "anna muller", "{text}");
        }
        assert_eq!((name("\u{1f600} --"), name("O'Brien")), (String::new(), "brien o".to_owned()));
        assert_eq!(name("ガガ"), "ガガ", "marks that make another letter stay");
        assert_eq!(name(&"x".repeat(10_000)).len(), NAME_CHARS_MAX);
    }

    fn record(object: &str, fields: &[(&str, &str)]) -> Record {
        let object = standard::objects().into_iter().find(|o| o.name.as_str() == object).unwrap();
        let changes: Vec<(Name, Change)> =
            fields.iter().map(|(field, text)| (Name::new(field).unwrap(), Change::Set(Value::text(text)))).collect();
        image::created(&Arc::new(object), RecordId::from_parts(0, [1; 10]), Timestamp::EPOCH, &changes).unwrap()
    }

    #[test]
    fn a_customer_has_a_key_of_each_kind_and_nobody_else_has_any() {
        let fields = [("email", "A@b.c"), ("phone", "0170 1234567"), ("postcode", "89073"), ("name", "Anna")];
        let customer = record(OBJECT, &fields);
        let shown: Vec<String> = keys(&customer).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["email a@b.c", "phone 701234567", "postcode 89073"]);
        assert!(keys(&customer).is_sorted());
        assert!(
            keys(&record(OBJECT, &[("postcode", "89073")])).is_empty(),
            "without a name there is nothing to compare"
        );
        assert!(keys(&record("company", &[("phone", "0170 1234567"), ("name", "Acme")])).is_empty());
        let mut custom = (*customer.object).clone();
        custom.origin = Origin::Custom;
        assert!(keys(&Record { object: Arc::new(custom), ..customer }).is_empty());
    }

    #[test]
    fn kinds_are_in_the_order_of_their_names() {
        let names = MatchKind::ALL.map(MatchKind::as_str);
        assert!(names.is_sorted() && MatchKind::ALL.is_sorted());
        assert_eq!(names.map(str::parse::<MatchKind>), MatchKind::ALL.map(Ok));
        assert!("fax".parse::<MatchKind>().is_err());
    }

    /// Letters and marks of several orders, with what keys leave out between them.
    const MARKED: &str = "[aA1. \u{301}\u{323}\u{c55}\u{1e023}\u{e38}\u{ac00}\u{11a8}]{1,8}";

    proptest! {
        #[test]
        fn a_key_is_the_key_of_itself(
            text in prop_oneof![any::<String>(), MARKED],
            domain in "[a-zA-Z.]{1,10}|GoogleMail.com",
        ) {
            let address = format!("{text}@{domain}");
            for (key, again) in [
                (email(&address), email as fn(&str) -> Option<String>),
                (phone(&text), phone),
                (postcode(&text), postcode),
            ] {
                let Some(key) = key else { continue };
                prop_assert!(!key.is_empty() && key.len() <= KEY_BYTES_MAX);
                prop_assert_eq!(again(&key), Some(key.clone()));
            }
            let name_of = name(&text);
            if name_of.chars().count() < NAME_CHARS_MAX {
                prop_assert_eq!(name(&name_of), name_of);
            }
        }
    }
}
