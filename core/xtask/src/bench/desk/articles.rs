//! Articles of a help centre, made from lists of words: the same in each run. Words at the beginning of a list come often, those at its
//! end hardly ever; and each article has words that next to no other has.

use crate::bench::workload::mixed;

/// What an article is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

const ENGLISH: [&str; 96] = [
    "order",
    "return",
    "parcel",
    "refund",
    "delivery",
    "account",
    "payment",
    "invoice",
    "card",
    "address",
    "exchange",
    "size",
    "voucher",
    "password",
    "stock",
    "warranty",
    "repair",
    "courier",
    "pickup",
    "store",
    "points",
    "member",
    "discount",
    "receipt",
    "customs",
    "colour",
    "battery",
    "charger",
    "lamp",
    "kettle",
    "manual",
    "screw",
    "shelf",
    "cushion",
    "blanket",
    "curtain",
    "mug",
    "plate",
    "spoon",
    "clock",
    "frame",
    "candle",
    "mirror",
    "carpet",
    "drawer",
    "handle",
    "hinge",
    "cable",
    "switch",
    "socket",
    "filter",
    "hose",
    "valve",
    "gasket",
    "thermostat",
    "remote",
    "antenna",
    "speaker",
    "headphones",
    "keyboard",
    "printer",
    "cartridge",
    "scanner",
    "tripod",
    "lens",
    "helmet",
    "saddle",
    "pedal",
    "brake",
    "tyre",
    "pump",
    "tent",
    "rucksack",
    "compass",
    "whistle",
    "thermos",
    "gloves",
    "scarf",
    "sandals",
    "laces",
    "zipper",
    "button",
    "needle",
    "thread",
    "fabric",
    "dye",
    "varnish",
    "sandpaper",
    "chisel",
    "trowel",
    "bucket",
    "ladder",
    "gutter",
    "chimney",
    "mortar",
    "grout",
];
const CHINESE: [&str; 96] = [
    "订单", "退货", "包裹", "退款", "配送", "账户", "付款", "发票", "银行", "地址", "换货", "尺寸", "优惠", "密码",
    "库存", "保修", "维修", "快递", "自提", "门店", "积分", "会员", "折扣", "收据", "海关", "颜色", "电池", "充电",
    "台灯", "水壶", "说明", "螺丝", "书架", "靠垫", "毛毯", "窗帘", "杯子", "盘子", "勺子", "时钟", "相框", "蜡烛",
    "镜子", "地毯", "抽屉", "把手", "铰链", "电缆", "开关", "插座", "滤网", "软管", "阀门", "垫片", "温控", "遥控",
    "天线", "音箱", "耳机", "键盘", "打印", "墨盒", "扫描", "支架", "镜头", "头盔", "车座", "踏板", "刹车", "轮胎",
    "气泵", "帐篷", "背包", "罗盘", "哨子", "暖瓶", "手套", "围巾", "凉鞋", "鞋带", "拉链", "纽扣", "针线", "布料",
    "染料", "清漆", "砂纸", "凿子", "泥刀", "水桶", "梯子", "水槽", "烟囱", "砂浆", "填缝", "胶带",
];
/// Parts of words that next to no article has.
const SYLLABLES: [&str; 20] = [
    "bra", "cel", "dor", "fen", "gri", "hul", "jam", "kos", "lun", "mar", "nep", "oru", "pli", "quo", "rus", "sta",
    "tev", "uli", "vox", "wyn",
];
const CHARACTERS: [char; 60] = [
    '琥', '珀', '翡', '翠', '玛', '瑙', '珊', '瑚', '琉', '璃', '麒', '麟', '凤', '凰', '蝙', '蝠', '蜻', '蜓', '蝴',
    '蝶', '葡', '萄', '枇', '杷', '橄', '榄', '柠', '檬', '茉', '莉', '蔷', '薇', '牡', '丹', '芙', '蓉', '玫', '瑰',
    '菖', '蒲', '鸳', '鸯', '鹦', '鹉', '鹌', '鹑', '鲲', '鹏', '骆', '驼', '狐', '狸', '羚', '羊', '豹', '猫', '鲸',
    '鲨', '鳟', '鲑',
];
/// Words of a body, and those of a title.
const BODY: u64 = 120;
const TITLE: u64 = 5;
/// The place of the words in a body that next to no other article has.
const RARE_EACH: u64 = 60;

impl Language {
    /// As the knowledge base calls it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// A word of the list: the smaller of two draws is often a small one.
    fn word(self, seed: u64) -> &'static str {
        let list = match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        };
        let (one, other) = (seed % list.len() as u64, (seed >> 20) % list.len() as u64);
        list[usize::try_from(one.min(other)).unwrap_or(0)]
    }

    /// A word that next to no other article has.
    fn rare(self, seed: u64) -> String {
        let place = |shift: u32, length: usize| usize::try_from((seed >> shift) % length as u64).unwrap_or(0);
        match self {
            Self::English => [0, 12, 24].map(|shift| SYLLABLES[place(shift, SYLLABLES.len())]).concat(),
            Self::Chinese => [0, 16].map(|shift| CHARACTERS[place(shift, CHARACTERS.len())]).into_iter().collect(),
        }
    }

    /// What stands between two words.
    const fn between(self) -> &'static str {
        match self {
            Self::English => " ",
            Self::Chinese => "",
        }
    }
}

/// What a word of an article is drawn by.
const fn seed(article: u64, place: u64) -> u64 {
    mixed(article * 1_000 + place)
}

fn word(language: Language, article: u64, place: u64) -> String {
    if place % RARE_EACH == RARE_EACH - 1 {
        return language.rare(seed(article, place));
    }
    language.word(seed(article, place)).to_owned()
}

/// The title of an article.
pub(super) fn title(language: Language, article: u64) -> String {
    let words: Vec<String> = (500..500 + TITLE).map(|place| word(language, article, place)).collect();
    words.join(language.between())
}

/// The text of an article, ten words to a sentence.
pub(super) fn body(language: Language, article: u64) -> String {
    let end = if language == Language::English { ". " } else { "。" };
    let sentence = |first: u64| {
        let words: Vec<String> = (first..first + 10).map(|place| word(language, article, place)).collect();
        words.join(language.between()) + end
    };
    (0..BODY).step_by(10).map(sentence).collect()
}

/// What somebody asks for who is to find an article: one word, two words that stand side by side, two that stand apart, or one that
/// next to no other article has.
pub(super) fn question(language: Language, kind: u64, article: u64) -> String {
    let place = kind / 4 % 5 * 10;
    match kind % 4 {
        0 => word(language, article, place),
        1 => [word(language, article, place), word(language, article, place + 1)].join(language.between()),
        2 => [word(language, article, place), word(language, article, place + 21)].join(" "),
        _ => word(language, article, RARE_EACH - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stands_in_the_article() {
        for language in [Language::English, Language::Chinese] {
            let body = body(language, 7);
            for kind in 0..20 {
                let question = question(language, kind, 7);
                assert!(question.split(' ').all(|word| body.contains(word)), "{question} in {body}");
            }
        }
    }

    #[test]
    fn some_words_stand_in_many_articles_and_some_in_few() {
        let articles = |word: &str| (0..500).filter(|n| body(Language::English, *n).contains(word)).count();
        assert!(articles("order") > 300);
        assert!(articles(&question(Language::English, 3, 7)) < 10);
    }

    #[test]
    fn articles_differ_and_stay_as_they_are() {
        assert_ne!(title(Language::Chinese, 1), title(Language::Chinese, 2));
        assert_eq!(body(Language::English, 3), body(Language::English, 3));
    }
}
