//! The name that an author probably meant.

/// The candidate nearest to `name`, if it is near enough to be a slip of the fingers.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(64).collect();
    let allowed = (name.len() / 3).clamp(1, 3);
    let distances = candidates.map(|candidate| (distance(&name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}

/// How many characters must be put in, taken out, changed or exchanged with their neighbour.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let mut best = (above[j] + usize::from(l != r)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *r && right[j - 1] == *l {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

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
    fn a_slip_of_the_fingers_is_recognised() {
        let names = ["country", "city", "customer_no"];
        assert_eq!(nearest("contry", names.into_iter()), Some("country"));
        assert_eq!(nearest("cuontry", names.into_iter()), Some("country"));
        assert_eq!(nearest("Country", names.into_iter()), Some("country"));
        assert_eq!(nearest("amount", names.into_iter()), None);
    }

    #[test]
    fn without_a_near_name_the_known_ones_are_listed() {
        assert_eq!(suggestion("zzzz", ["a", "b"].into_iter()), "known here: `a`, `b`");
        assert_eq!(suggestion("zzzz", [].into_iter()), "");
    }
}
