//! Pages, put together so that what people have typed stays text.

use std::fmt::{self, Display, Write as _};

/// A piece of HTML. Markup comes from the program itself; whatever else goes in is escaped.
///
/// ```
/// use rapport_sdk::html::Html;
/// let name = "<script>alert('hi')</script>";
/// let page = Html::page("Members", &Html::new().raw("<p>Hello ").text(name).raw("!</p>"));
/// assert!(page.to_string().contains("<p>Hello &lt;script&gt;alert(&#39;hi&#39;)&lt;/script&gt;!</p>"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a piece of HTML is put into another one, or into an answer"]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// A whole page.
    pub fn page(title: &str, body: &Self) -> Self {
        let head = Self::new()
            .raw("<!doctype html><html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>")
            .text(title)
            .raw("</title></head><body>");
        head.html(body).raw("</body></html>")
    }

    /// Markup, as it stands in the program.
    pub fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// A text, escaped. It may stand between tags, and in the quotes of an attribute.
    pub fn text(mut self, text: impl Display) -> Self {
        // A text that cannot be written would be a bug of its type; what it wrote so far stays.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// A piece that was put together before.
    pub fn html(mut self, piece: &Self) -> Self {
        self.0.push_str(&piece.0);
        self
    }

    /// One piece for each item.
    pub fn each<T>(self, items: impl IntoIterator<Item = T>, piece: impl Fn(T) -> Self) -> Self {
        items.into_iter().fold(self, |all, item| all.html(&piece(item)))
    }
}

impl Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Html> for Vec<u8> {
    fn from(html: Html) -> Self {
        html.0.into_bytes()
    }
}

/// The text with all characters escaped that mean something in HTML.
///
/// ```
/// assert_eq!(rapport_sdk::html::escape("a < b & \"c\""), "a &lt; b &amp; &quot;c&quot;");
/// ```
#[must_use]
pub fn escape(text: &str) -> String {
    Html::new().text(text).0
}

struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // In an attribute that somebody forgot to quote it would end the value.
                '`' => self.0.push_str("&#96;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_stays_text() {
        let evil = "\"><img src=x onerror='a`b'>&amp;";
        let page = Html::new().raw("<input value=\"").text(evil).raw("\">").to_string();
        assert_eq!(page, "<input value=\"&quot;&gt;&lt;img src=x onerror=&#39;a&#96;b&#39;&gt;&amp;amp;\">");
    }

    #[test]
    fn a_list_has_a_piece_for_each_item() {
        let list = Html::new().raw("<ul>").each([1, 2], |n| Html::new().raw("<li>").text(n).raw("</li>")).raw("</ul>");
        assert_eq!(list.to_string(), "<ul><li>1</li><li>2</li></ul>");
    }
}
