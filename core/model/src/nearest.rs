//! Finds the name that somebody probably meant.

/// The candidate nearest to `name` by edit distance, if it is near enough to be a slip of the pen.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let name: Vec<char> = name.chars().take(64).collect();
    let allowed = (name.len() / 3).max(1);
    let scored = candidates.map(|c| (distance(&name, &c.chars().collect::<Vec<_>>()), c));
    scored.filter(|(d, _)| *d <= allowed).min().map(|(_, c)| c.to_owned())
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let step = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], step);
        }
    }
    row[b.len()]
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
}
