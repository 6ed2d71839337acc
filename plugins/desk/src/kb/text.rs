//! Shows what articles are written in (`CommonMark`) as HTML. Markup that somebody has typed stays text, and links lead to the web alone.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use rapport_sdk::html::Html;

/// The deepest that lists and quotes lie in each other.
const DEPTH_MAX: usize = 16;
/// The longest text that is shown, in bytes.
const TEXT_BYTES_MAX: usize = 262_144;

/// The text as HTML.
pub(super) fn html(text: &str) -> Html {
    let mut writer = Writer { out: Html::new(), depth: 0, skipped: 0, images: 0 };
    let text = if text.len() > TEXT_BYTES_MAX { "" } else { text };
    for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        writer.take(event);
    }
    writer.out
}

struct Writer {
    out: Html,
    depth: usize,
    /// Elements that were opened too deep, and are left out.
    skipped: usize,
    /// Pictures that are open: their text is shown, they are not.
    images: usize,
}

impl Writer {
    fn put(&mut self, markup: &'static str) {
        self.out = std::mem::take(&mut self.out).raw(markup);
    }

    fn text(&mut self, text: &str) {
        self.out = std::mem::take(&mut self.out).text(text);
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Code(text) => {
                self.put("<code>");
                self.text(&text);
                self.put("</code>");
            }
            Event::SoftBreak => self.put("\n"),
            Event::HardBreak => self.put("<br>"),
            Event::Rule => self.put("<hr>"),
            Event::TaskListMarker(done) => self.put(if done { "☑ " } else { "☐ " }),
            // Markup, too: it is shown as it was typed.
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::FootnoteReference(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        if nests(tag.to_end()) {
            if self.depth >= DEPTH_MAX {
                self.skipped += 1;
                return;
            }
            self.depth += 1;
        }
        match tag {
            Tag::Link { dest_url, .. } => match safe(dest_url) {
                Some(address) => {
                    self.put("<a rel=\"nofollow noopener\" href=\"");
                    self.text(address);
                    self.put("\">");
                }
                None => self.put("<a>"),
            },
            Tag::Image { .. } => {
                self.images += 1;
                self.put("[");
            }
            Tag::List(Some(_)) => self.put("<ol>"),
            _ => self.put(names(tag.to_end()).0),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        if nests(tag) {
            // What was opened last is closed first, and what was left out was opened last.
            if self.skipped > 0 {
                self.skipped -= 1;
                return;
            }
            self.depth -= 1;
        }
        if tag == TagEnd::Image {
            self.images -= 1;
        }
        self.put(names(tag).1);
    }
}

const fn nests(tag: TagEnd) -> bool {
    matches!(tag, TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item)
}

/// How an element is opened and closed.
const fn names(tag: TagEnd) -> (&'static str, &'static str) {
    match tag {
        TagEnd::Paragraph => ("<p>", "</p>"),
        TagEnd::Heading(HeadingLevel::H1 | HeadingLevel::H2) => ("<h2>", "</h2>"),
        TagEnd::Heading(_) => ("<h3>", "</h3>"),
        TagEnd::BlockQuote(_) => ("<blockquote>", "</blockquote>"),
        TagEnd::CodeBlock => ("<pre><code>", "</code></pre>"),
        TagEnd::List(true) => ("<ol>", "</ol>"),
        TagEnd::List(false) => ("<ul>", "</ul>"),
        TagEnd::Item => ("<li>", "</li>"),
        TagEnd::Table => ("<table>", "</table>"),
        TagEnd::TableHead | TagEnd::TableRow => ("<tr>", "</tr>"),
        TagEnd::TableCell => ("<td>", "</td>"),
        TagEnd::Emphasis => ("<em>", "</em>"),
        TagEnd::Strong => ("<strong>", "</strong>"),
        TagEnd::Strikethrough => ("<del>", "</del>"),
        TagEnd::Link => ("<a>", "</a>"),
        TagEnd::Image => ("[", "]"),
        _ => ("", ""),
    }
}

/// An address that a link may lead to: of the web, of mail, or of this server.
fn safe(address: &str) -> Option<&str> {
    let lower = address.trim().to_ascii_lowercase();
    let here = lower.starts_with('/') && !lower.starts_with("//") && !lower.starts_with("/\\");
    let there = ["https://", "http://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme));
    ((here || there) && !lower.chars().any(char::is_control)).then_some(address.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        html(text).to_string()
    }

    #[test]
    fn what_articles_are_written_in_becomes_a_page() {
        assert_eq!(
            shown("# Returns\n\nSend it *back*, **soon**:\n\n1. box\n2. `label`\n\n[more](https://x.example/?a=1&b=2)"),
            "<h2>Returns</h2><p>Send it <em>back</em>, <strong>soon</strong>:</p><ol><li>box</li><li><code>label</code></li></ol>\
             <p><a rel=\"nofollow noopener\" href=\"https://x.example/?a=1&amp;b=2\">more</a></p>"
        );
    }

    #[test]
    fn markup_stays_text() {
        let page = shown("<script>alert(1)</script>\n\nhi <img src=x onerror=alert(1)> `</code><script>`");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    }

    #[test]
    fn links_lead_nowhere_else() {
        for address in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "//evil.example",
            "/\\evil.example",
            "\u{1}javascript:x",
        ] {
            let page = shown(&format!("[x](<{address}>)"));
            assert!(!page.contains("href"), "{address}: {page}");
        }
        assert!(shown("[x](/x/desk/kb/a)").contains("href=\"/x/desk/kb/a\""));
        assert!(
            shown("<https://x.example/\">").contains("&quot;") || !shown("<https://x.example/\">").contains("href")
        );
    }

    #[test]
    fn pictures_are_shown_by_their_words() {
        assert_eq!(shown("![the box](https://x.example/a.png)"), "<p>[the box]</p>");
    }

    #[test]
    fn what_lies_too_deep_is_flat() {
        let page = shown(&format!("{}x", "> ".repeat(200)));
        assert_eq!(page.matches("<blockquote>").count(), DEPTH_MAX);
        assert_eq!(page.matches("</blockquote>").count(), DEPTH_MAX);
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_a_page_without_markup_of_its_own(text in "([<>\"'`*_#>|\\[\\]()!\n -]|script|javascript:|1\\.|[a-z]){0,80}") {
            let page = shown(&text);
            proptest::prop_assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("href=\"javascript"));
        }
    }
}
