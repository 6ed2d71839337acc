//! What somebody has written, without what they answer: the quoted text at its end.
//!
//! Cut off is what follows the line by which mail programs introduce it (in English, German, French, Chinese), a row of quoted lines at the
//! end, and a signature behind `-- `. If nothing would be left, all of it stays. The original message is kept as a file.

/// The longest text of which the end is looked for, in lines.
const LINES_MAX: usize = 4_000;

/// The text without what is quoted at its end.
pub(super) fn without_quoted(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(LINES_MAX).collect();
    let end = (0..lines.len()).find(|at| introduces(&lines, *at)).unwrap_or(lines.len());
    let kept = &lines[..end];
    let mut kept = match kept.iter().position(|line| *line == "-- " || *line == "--") {
        Some(at) => kept[..at].to_vec(),
        None => kept.to_vec(),
    };
    while kept.last().is_some_and(|line| line.trim().is_empty() || line.starts_with('>')) {
        kept.pop();
    }
    let kept = kept.join("\n");
    let kept = kept.trim();
    if kept.is_empty() { text.trim().to_owned() } else { kept.to_owned() }
}

/// Whether quoted text begins behind this line, or with it.
fn introduces(lines: &[&str], at: usize) -> bool {
    let line = lines[at].trim();
    // What no such line begins with needs no other look.
    if !line.starts_with(['o', 'O', 'a', 'A', 'l', 'L', 'f', 'F', '在', '发', '-', '_']) || line.chars().count() > 300
    {
        return false;
    }
    let lower = line.to_lowercase();
    let next: String = lines.get(at + 1).map_or("", |line| line.trim()).chars().take(300).collect();
    let next = next.to_lowercase();
    // `On … wrote:` is often broken into two lines.
    let joined = format!("{lower} {next}");
    let wrote = |text: &str| {
        (text.starts_with("on ") && text.ends_with("wrote:"))
            || (text.starts_with("am ") && text.ends_with("schrieb:"))
            || (text.starts_with("le ") && (text.ends_with("a écrit :") || text.ends_with("a écrit:")))
            || (text.starts_with('在') && (text.ends_with("写道：") || text.ends_with("写道:")))
    };
    if wrote(&lower) || (lower.len() < 200 && (lower.starts_with("on ") || lower.starts_with('在')) && wrote(&joined))
    {
        return true;
    }
    let dashes = line.trim_matches('-').trim();
    let marked = line.starts_with("--") && line.ends_with("--");
    if marked
        && ["original message", "forwarded message", "原始邮件", "转发邮件", "原邮件"]
            .contains(&dashes.to_lowercase().as_str())
    {
        return true;
    }
    // The head of the message as some programs show it.
    let head = |line: &str, names: &[&str]| names.iter().any(|name| line.starts_with(name));
    (line.len() > 5 && line.chars().all(|c| c == '_') && head(&next, &["from:", "发件人"]))
        || (head(&lower, &["from:", "发件人:", "发件人："])
            && head(&next, &["sent:", "date:", "to:", "发送时间", "日期", "收件人"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_is_cut_off() {
        for (text, left) in [
            (
                "It broke again.\n\nOn Mon, 2 Mar 2026 at 10:00, Desk <d@x.example> wrote:\n> Try this",
                "It broke again.",
            ),
            ("It broke.\nOn Mon, 2 Mar 2026 at 10:00,\nDesk <d@x.example> wrote:\n> Try", "It broke."),
            ("还是坏的\n\n在 2026年3月2日，客服 写道：\n> 请试试", "还是坏的"),
            ("还是坏的\n------------------ 原始邮件 ------------------\n发件人: 客服", "还是坏的"),
            ("Yes\n\n________________________________\nFrom: Desk\nSent: Monday", "Yes"),
            ("发的\n发件人： a\n发送时间： b", "发的"),
            ("Yes\n\n> No?\n> Yes?\n\n", "Yes"),
            ("Yes\n-- \nAda Lovelace", "Yes"),
        ] {
            assert_eq!(without_quoted(text), left);
        }
    }

    #[test]
    fn an_answer_between_the_lines_stays_with_them() {
        let text = "> Which one?\nThe red one.\n> Since when?\nMonday.";
        assert_eq!(without_quoted(text), text);
    }

    #[test]
    fn if_nothing_would_be_left_all_stays() {
        assert_eq!(without_quoted("> only this\n"), "> only this");
        assert_eq!(without_quoted("On Monday Ada wrote:\n> x"), "On Monday Ada wrote:\n> x");
    }

    #[test]
    fn a_sentence_that_looks_like_it_is_none() {
        assert_eq!(without_quoted("On it went, and\nI wrote: nothing"), "On it went, and\nI wrote: nothing");
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_something(text in "(On |在|>|--|_|From:|wrote:|写道：|\n| |[a-z])*") {
            let kept = without_quoted(&text);
            proptest::prop_assert_eq!(kept.is_empty(), text.trim().is_empty());
        }
    }
}
