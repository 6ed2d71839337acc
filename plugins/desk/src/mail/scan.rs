//! Looks for line breaks eight bytes at a time: a message is long, and in a guest each step counts.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Where the line that begins at `at` ends: behind its line break, or at the end of all.
pub(super) fn line_end(bytes: &[u8], at: usize) -> usize {
    let (words, rest) = bytes[at..].as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        // The lowest byte that is marked is zero; those above it may be marked wrongly.
        let marked = differs.wrapping_sub(ONES) & !differs & HIGHS;
        if marked != 0 {
            return at + n * 8 + marked.trailing_zeros() as usize / 8 + 1;
        }
    }
    let tail = bytes.len() - rest.len();
    rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| tail + n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn lines_end_where_their_breaks_are(bytes in proptest::collection::vec(9_u8..13, 0..60)) {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let (mut at, mut found) = (0, Vec::new());
            while at < bytes.len() {
                let end = line_end(&bytes, at);
                found.push(&bytes[at..end]);
                at = end;
            }
            proptest::prop_assert_eq!(found, lines);
        }
    }
}
