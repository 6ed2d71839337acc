//! Lists of words in English and Chinese, put together for this plugin: small, plain, and open to see.

use std::collections::{BTreeMap, BTreeSet};

/// How a text sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mood {
    Positive,
    Neutral,
    Negative,
}

impl Mood {
    /// The mood of that name.
    pub(crate) fn read(name: &str) -> Option<Self> {
        match name {
            "positive" => Some(Self::Positive),
            "neutral" => Some(Self::Neutral),
            "negative" => Some(Self::Negative),
            _ => None,
        }
    }
}

const GOOD: &[&str] = &[
    "good",
    "great",
    "excellent",
    "amazing",
    "awesome",
    "love",
    "loved",
    "lovely",
    "nice",
    "perfect",
    "happy",
    "pleased",
    "satisfied",
    "fast",
    "quick",
    "quickly",
    "easy",
    "friendly",
    "helpful",
    "kind",
    "polite",
    "recommend",
    "reliable",
    "best",
    "better",
    "beautiful",
    "fair",
    "cheap",
    "clean",
    "comfortable",
    "fresh",
    "thanks",
    "thank",
    "smooth",
    "solved",
];
const BAD: &[&str] = &[
    "bad",
    "terrible",
    "awful",
    "poor",
    "horrible",
    "hate",
    "hated",
    "worst",
    "worse",
    "broken",
    "damaged",
    "defective",
    "slow",
    "late",
    "delayed",
    "delay",
    "rude",
    "unfriendly",
    "unhelpful",
    "expensive",
    "overpriced",
    "wrong",
    "missing",
    "lost",
    "dirty",
    "difficult",
    "hard",
    "confusing",
    "annoying",
    "angry",
    "disappointed",
    "disappointing",
    "unhappy",
    "problem",
    "problems",
    "complaint",
    "refund",
    "useless",
    "waste",
    "fail",
    "failed",
    "faulty",
    "ugly",
];
const NOT: &[&str] = &["not", "no", "never", "hardly", "without", "cannot", "nothing", "neither", "nor"];
/// How many words before a word a negation reaches it.
const REACH: usize = 3;

/// Chinese words with what they say; longer ones go first, so that `不错` is not `错`, and `差不多` says nothing.
const CHINESE: &[(&str, i32)] = &[
    ("差不多", 0),
    ("没问题", 1),
    ("没毛病", 1),
    ("不耐烦", -1),
    ("无语", -1),
    ("不错", 1),
    ("不足", -1),
    ("不便", -1),
    ("满意", 1),
    ("喜欢", 1),
    ("推荐", 1),
    ("优秀", 1),
    ("完美", 1),
    ("方便", 1),
    ("快速", 1),
    ("及时", 1),
    ("热情", 1),
    ("耐心", 1),
    ("专业", 1),
    ("友好", 1),
    ("礼貌", 1),
    ("舒服", 1),
    ("漂亮", 1),
    ("实惠", 1),
    ("划算", 1),
    ("新鲜", 1),
    ("感谢", 1),
    ("谢谢", 1),
    ("开心", 1),
    ("高兴", 1),
    ("好用", 1),
    ("好吃", 1),
    ("很快", 1),
    ("解决了", 1),
    ("失望", -1),
    ("糟糕", -1),
    ("垃圾", -1),
    ("讨厌", -1),
    ("生气", -1),
    ("投诉", -1),
    ("退款", -1),
    ("破损", -1),
    ("损坏", -1),
    ("坏了", -1),
    ("丢失", -1),
    ("缺货", -1),
    ("太慢", -1),
    ("很慢", -1),
    ("延迟", -1),
    ("迟到", -1),
    ("太贵", -1),
    ("很贵", -1),
    ("麻烦", -1),
    ("敷衍", -1),
    ("粗鲁", -1),
    ("恶劣", -1),
    ("错误", -1),
    ("问题", -1),
    ("假货", -1),
    ("难用", -1),
    ("难吃", -1),
    ("脏", -1),
    ("慢", -1),
    ("贵", -1),
    ("差", -1),
    ("错", -1),
    ("烂", -1),
    ("好", 1),
    ("棒", 1),
    ("赞", 1),
];
const CHINESE_NOT: &[char] = &['不', '没', '无', '未', '别', '非'];
/// Characters between a negation and what it denies: `不太好`, `没有解决了`.
const CHINESE_REACH: usize = 2;

const STOP: &[&str] = &[
    "the", "and", "for", "was", "were", "with", "that", "this", "but", "you", "your", "our", "are", "has", "have",
    "had", "very", "too", "all", "can", "will", "from", "they", "them", "their", "its", "it's", "just", "more", "when",
    "what", "which", "there", "been", "not", "would", "could", "should", "about", "only", "also", "than", "then",
    "out", "some",
];
const CHINESE_STOP: &str = "的了是我你他她它们很都在和就也这那有吗呢吧啊与及或\
    被把让给对为以到从又还但而且一个不没太";

/// Words by theme.
pub(crate) fn themes() -> BTreeMap<String, Vec<String>> {
    let all: [(&str, &[&str]); 7] = [
        (
            "delivery",
            &["delivery", "shipping", "courier", "parcel", "arrived", "late", "快递", "物流", "配送", "发货", "送货"],
        ),
        (
            "price",
            &["price", "expensive", "cheap", "cost", "money", "overpriced", "价格", "贵", "便宜", "实惠", "划算"],
        ),
        (
            "quality",
            &[
                "quality",
                "broken",
                "damaged",
                "defective",
                "material",
                "faulty",
                "质量",
                "破损",
                "损坏",
                "坏了",
                "做工",
            ],
        ),
        (
            "service",
            &["service", "staff", "support", "rude", "friendly", "helpful", "agent", "服务", "客服", "态度", "耐心"],
        ),
        ("packaging", &["packaging", "package", "box", "wrapped", "包装", "盒子"]),
        (
            "website",
            &["website", "app", "site", "checkout", "login", "payment", "网站", "页面", "支付", "登录", "下单"],
        ),
        ("returns", &["return", "returns", "refund", "exchange", "退货", "退款", "换货", "售后"]),
    ];
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    all.iter().map(|(theme, words)| ((*theme).to_owned(), owned(words))).collect()
}

/// How a text in small letters sounds: good words less bad ones; a negation before a word turns it round.
pub(crate) fn mood(text: &str) -> Mood {
    match (english(text) + chinese(text)).signum() {
        1 => Mood::Positive,
        -1 => Mood::Negative,
        _ => Mood::Neutral,
    }
}

fn tokens(text: &str) -> Vec<&str> {
    // The typographic apostrophe is the one that phones write.
    let parts = text.split(|c: char| !(c.is_ascii_alphabetic() || c == '\'' || c == '’'));
    parts.map(|word| word.trim_matches(['\'', '’'])).filter(|word| !word.is_empty()).collect()
}

fn english(text: &str) -> i32 {
    let tokens = tokens(text);
    let denies = |word: &&str| NOT.contains(word) || word.ends_with("n't") || word.ends_with("n’t");
    let value = |(place, word): (usize, &&str)| {
        let value = i32::from(GOOD.contains(word)) - i32::from(BAD.contains(word));
        let negated = tokens[place.saturating_sub(REACH)..place].iter().any(denies);
        if negated { -value } else { value }
    };
    tokens.iter().enumerate().map(value).sum()
}

fn chinese(text: &str) -> i32 {
    let (mut sum, mut rest, mut before): (i32, &str, Vec<char>) = (0, text, Vec::new());
    while let Some(first) = rest.chars().next() {
        let found = if is_han(first) { CHINESE.iter().find(|(word, _)| rest.starts_with(word)) } else { None };
        let Some((word, value)) = found else {
            before.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let near = before.iter().rev().take(CHINESE_REACH).take_while(|c| is_han(**c));
        let negated = near.into_iter().any(|c| CHINESE_NOT.contains(c));
        sum += if negated { -value } else { *value };
        before.clear();
        rest = &rest[word.len()..];
    }
    sum
}

/// The words of a text in small letters, each once: English words without the commonest, pairs of Chinese characters.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    let english = tokens(text).into_iter().filter(|word| word.len() > 2 && !STOP.contains(word)).map(str::to_owned);
    let mut words: BTreeSet<String> = english.collect();
    let is_word = |c: char| is_han(c) && !CHINESE_STOP.contains(c);
    let characters: Vec<char> = text.chars().collect();
    words.extend(
        characters.windows(2).filter(|pair| pair.iter().all(|c| is_word(*c))).map(|pair| pair.iter().collect()),
    );
    words
}

/// Whether a text speaks of a word: an English one as a whole, a Chinese one wherever it stands.
pub(crate) fn speaks_of(text: &str, words: &BTreeSet<String>, word: &str) -> bool {
    if word.chars().any(is_han) { text.contains(word) } else { words.contains(word) }
}

const fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negation_turns_a_word_round() {
        for text in [
            "good and fast",
            "not bad at all",
            "the best, i love it",
            "wasn’t expensive",
            "很好",
            "服务不错，客服很耐心",
            "没问题",
            "不贵",
            "一点也不慢",
        ] {
            assert_eq!(mood(text), Mood::Positive, "{text}");
        }
        for text in [
            "not good",
            "i would never recommend it",
            "it isn't easy",
            "late and broken",
            "不太好",
            "不满意",
            "快递太慢了",
            "质量差",
        ] {
            assert_eq!(mood(text), Mood::Negative, "{text}");
        }
        for text in ["", "the parcel came on monday", "good but slow", "差不多", "周一到的"] {
            assert_eq!(mood(text), Mood::Neutral, "{text}");
        }
    }

    #[test]
    fn words_are_counted_once_and_without_the_commonest() {
        let found = words("the parcel, the parcel was late; 快递很慢");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["late", "parcel", "快递"]);
        let all = words("x");
        assert!(speaks_of("快递很慢", &all, "快递") && !speaks_of("xlate", &words("xlate"), "late"));
    }
}
