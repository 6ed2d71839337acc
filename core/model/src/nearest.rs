//! Finds the name that somebody probably meant.

/// The candidate nearest to `name` by edit distance, case aside, if it is near enough to be a slip of the pen.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let name: Vec<char> = name.to_lowercase().chars().take(64).collect();
    let allowed = (name.len() / 3).clamp(1, 3);
    let distances = candidates.map(|candidate| (distance(&name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, c)| c.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let names = ["points", "tier", "country"];
        assert_eq!(nearest("pionts", names.into_iter()), Some("points".into()));
        assert_eq!(nearest("zzzzzz", names.into_iter()), None);
    }

    #[test]
    fn an_exchange_of_neighbours_and_case_count_little() {
        let names = ["country", "city", "customer_no"];
        assert_eq!(nearest("cuontry", names.into_iter()), Some("country".into()));
        assert_eq!(nearest("Country", names.into_iter()), Some("country".into()));
        assert_eq!(nearest("amount", names.into_iter()), None);
    }
}
