//! Chooses by which words of a text articles are looked for: the search wants all of them, so that each is looked for by itself.

/// Words that say nothing of what a text is about.
const COMMON: [&str; 97] = [
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "but", "by", "can", "could", "dear", "did", "do", "does", "don", "for", "from", "get", "got", "had", "has",
    "have", "hello", "help", "hi", "how", "i", "if", "in", "is", "it", "its", "just", "me", "my", "need", "no", "not",
    "now", "of", "on", "one", "or", "our", "out", "please", "question", "re", "regards", "so", "some", "still",
    "thank", "thanks", "that", "the", "their", "them", "then", "there", "they", "this", "to", "too", "up", "us",
    "very", "want", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would",
    "you", "your", "fwd", "ticket", "issue", "problem", "order",
];
/// Characters that say nothing by themselves and stand in hardly any word that does.
const BINDING: &str = "的了吗呢吧啊呀我你您他她它们么怎何谁哪是就也都还又很想";
/// Pairs of characters that say nothing of what a text is about.
const COMMON_PAIRS: [&str; 12] =
    ["请问", "可以", "如果", "因为", "所以", "但是", "这个", "那个", "没有", "谢谢", "问题", "帮助"];

/// Whether a character is a Chinese one.
pub(crate) const fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// Up to `most` words by which to look for what texts are about: those of the first text first, longer ones before shorter ones.
pub(super) fn telling(texts: &[&str], most: usize) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    for text in texts {
        let mut words = words_of(text);
        words.sort_by_key(|word| std::cmp::Reverse(weight(word)));
        for word in words {
            if chosen.len() < most && !chosen.contains(&word) {
                chosen.push(word);
            }
        }
    }
    chosen
}

/// A pair of Chinese characters says as much as a word of seven letters.
fn weight(word: &str) -> usize {
    if word.chars().all(is_han) { 7 } else { word.chars().count() }
}

fn words_of(text: &str) -> Vec<String> {
    let lower: String = text.chars().take(2_000).flat_map(char::to_lowercase).collect();
    let mut words = Vec::new();
    let mut runs = Vec::new();
    let mut run = String::new();
    for c in lower.chars().chain([' ']) {
        let han = is_han(c);
        let same = run.chars().last().is_none_or(|last| is_han(last) == han);
        if (c.is_alphanumeric() && !BINDING.contains(c)) && same {
            run.push(c);
            continue;
        }
        runs.push(std::mem::take(&mut run));
        if c.is_alphanumeric() && !BINDING.contains(c) {
            run.push(c);
        }
    }
    for run in runs {
        if run.chars().next().is_some_and(is_han) {
            let chars: Vec<char> = run.chars().collect();
            // Where words end nobody says: all pairs are looked for, and those that are no words are found nowhere.
            let pairs = chars.windows(2).map(|pair| pair.iter().collect::<String>());
            words.extend(pairs.filter(|pair| !COMMON_PAIRS.contains(&pair.as_str())));
        } else if run.chars().count() > 2 && !COMMON.contains(&run.as_str()) && !run.chars().all(char::is_numeric) {
            words.push(run.chars().take(40).collect());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_left_out() {
        assert_eq!(telling(&["How can I get a refund for my broken lamp?"], 5), ["refund", "broken", "lamp"]);
        assert_eq!(telling(&["请问怎么申请退款？"], 5), ["申请", "请退", "退款"]);
        assert!(telling(&["Hello, is it 12345?", "的了吗"], 5).is_empty());
    }

    #[test]
    fn words_of_the_subject_go_first() {
        assert_eq!(telling(&["Lamp", "The electricity went off"], 3), ["lamp", "electricity", "went"]);
        assert_eq!(telling(&["Lamp lamp LAMP"], 3), ["lamp"]);
    }

    #[test]
    fn letters_and_characters_are_told_apart() {
        assert_eq!(telling(&["iphone充电器"], 5), ["充电", "电器", "iphone"]);
    }
}
