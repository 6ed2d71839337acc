//! What the pages themselves say, in English and Chinese.

use crate::flow::answer::Fault;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    English,
    Chinese,
}

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    Next,
    Back,
    Begin,
    Required,
    Optional,
    Choose,
    Problem,
    Thanks,
    ThanksTitle,
    Already,
    AlreadyTitle,
    Screened,
    Expired,
    ExpiredTitle,
    Closed,
    ClosedTitle,
    Unknown,
    UnknownTitle,
    Stuck,
    StuckTitle,
    Flood,
    FloodTitle,
    Malformed,
    MalformedTitle,
    Yes,
    DateHint,
}

impl Words {
    /// The words for a language such as `zh-CN`.
    pub(crate) fn of(language: &str) -> Self {
        if language.to_ascii_lowercase().starts_with("zh") { Self::Chinese } else { Self::English }
    }

    /// As `lang` has it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// A sentence.
    pub(crate) const fn say(self, what: Say) -> &'static str {
        let (english, chinese) = both(what);
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// Which page this is.
    pub(crate) fn page(self, number: usize) -> String {
        match self {
            Self::English => format!("Page {number}"),
            Self::Chinese => format!("第 {number} 页"),
        }
    }

    /// What is wrong with an answer.
    pub(crate) fn fault(self, fault: Fault) -> String {
        let english = self == Self::English;
        match fault {
            Fault::Missing if english => "Please answer this question.".into(),
            Fault::Missing => "请回答这个问题。".into(),
            Fault::NotThere if english => "Please choose one of the answers.".into(),
            Fault::NotThere => "请选择其中一个答案。".into(),
            Fault::NoNumber if english => "Please write a number, with at most six digits behind the point.".into(),
            Fault::NoNumber => "请输入数字，小数点后最多六位。".into(),
            Fault::NoDate if english => "Please write a day as year-month-day, such as 2026-03-31.".into(),
            Fault::NoDate => "请按“年-月-日”填写日期，例如 2026-03-31。".into(),
            Fault::TooLow(min) if english => format!("Please give {min} or more."),
            Fault::TooLow(min) => format!("不能少于 {min}。"),
            Fault::TooHigh(max) if english => format!("Please give {max} or less."),
            Fault::TooHigh(max) => format!("不能大于 {max}。"),
            Fault::TooLong(max) if english => format!("Please write {max} characters at most."),
            Fault::TooLong(max) => format!("最多 {max} 个字符。"),
            Fault::TooMany(max) if english => format!("Please choose {max} at most."),
            Fault::TooMany(max) => format!("最多选择 {max} 项。"),
            Fault::TooFew(min) if english => format!("Please choose {min} or more."),
            Fault::TooFew(min) => format!("至少选择 {min} 项。"),
        }
    }
}

const fn both(what: Say) -> (&'static str, &'static str) {
    match what {
        Say::Next => ("Send and go on", "提交并继续"),
        Say::Back => ("Back", "上一页"),
        Say::Begin => ("Begin", "开始"),
        Say::Required => ("required", "必填"),
        Say::Optional => ("optional", "选填"),
        Say::Choose => ("You can choose several.", "可以选择多项。"),
        Say::Problem => ("Please look at these answers:", "请检查以下答案："),
        Say::Thanks => ("Your answers have reached us.", "我们已收到您的回答。"),
        Say::ThanksTitle => ("Thank you", "谢谢您"),
        Say::Already => ("You have answered this survey. Thank you.", "您已经填写过这份问卷，谢谢您。"),
        Say::AlreadyTitle => ("Already answered", "已经填写"),
        Say::Screened => (
            "We have enough answers like yours, and do not ask you more. Thank you.",
            "与您情况相同的回答已经足够，无需继续填写。谢谢您。",
        ),
        Say::Expired => ("This invitation is no longer valid.", "这份邀请已经过期。"),
        Say::ExpiredTitle => ("Invitation expired", "邀请已过期"),
        Say::Closed => ("This survey has ended and takes no more answers.", "这份问卷已经结束，不再接受回答。"),
        Say::ClosedTitle => ("Survey ended", "问卷已结束"),
        Say::Unknown => ("There is no survey at this address.", "这个地址没有问卷。"),
        Say::UnknownTitle => ("Not found", "找不到页面"),
        Say::Stuck => (
            "This survey has a problem, and your answers are kept. Please come back later by the same link.",
            "这份问卷出了问题，您的回答已保存。请稍后用同一链接再试。",
        ),
        Say::StuckTitle => ("Something is wrong", "出现问题"),
        Say::Flood => {
            ("Too many people are here at once. Please try again in a minute.", "现在访问的人太多，请一分钟后再试。")
        }
        Say::FloodTitle => ("Please wait", "请稍候"),
        Say::Malformed => {
            ("What was sent could not be read. Please go back and try again.", "无法读取提交的内容，请返回重试。")
        }
        Say::MalformedTitle => ("Not readable", "无法读取"),
        Say::Yes => ("Yes", "是"),
        Say::DateHint => ("Year-month-day, such as 2026-03-31", "年-月-日，例如 2026-03-31"),
    }
}

/// The languages that a browser asks for (`Accept-Language`), the dearest first.
pub(crate) fn accepted(header: Option<&str>) -> Vec<String> {
    let header: String = header.unwrap_or_default().chars().take(500).collect();
    let mut all: Vec<(f64, String)> = header
        .split(',')
        .filter_map(|part| {
            let (language, rest) = part.split_once(';').unwrap_or((part, ""));
            let quality = rest.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse::<f64>().ok())?;
            let language = language.trim();
            (!language.is_empty() && quality > 0.0).then(|| (quality, language.to_owned()))
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    all.into_iter().map(|(_, language)| language).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearest_language_comes_first() {
        assert_eq!(accepted(Some("en;q=0.5, zh-CN, de;q=0, *;q=0.1, fr;q=x")), ["zh-CN", "en", "*"]);
        assert_eq!(accepted(None), Vec::<String>::new());
        assert_eq!((Words::of("zh-TW").code(), Words::of("de").code()), ("zh-CN", "en"));
    }
}
