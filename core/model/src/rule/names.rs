//! Advice for a name that nothing has.

use crate::nearest::nearest;

/// The help for an unknown name: the nearest one, else all of them if they are few.
pub(super) fn suggestion<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(found) = nearest(name, candidates.clone()) {
        return format!("did you mean `{found}`?");
    }
    let all: Vec<String> = candidates.take(13).map(|candidate| format!("`{candidate}`")).collect();
    match all.len() {
        0 => String::new(),
        1..=12 => format!("known here: {}", all.join(", ")),
        _ => format!("known here: {}, …", all[..12].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(suggestion("zzzz", ["a", "b"].into_iter()), "known here: `a`, `b`");
        assert_eq!(suggestion("zzzz", [].into_iter()), "");
    }
}
