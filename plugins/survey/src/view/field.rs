//! One question of a page.

use rapport_sdk::html::Html;

use super::Form;
use crate::flow::{Kind, Question, TEXT_CHARS};
use crate::words::{Say, Words};

/// A text up to which a single line is enough, in characters.
const LINE_CHARS_MAX: i64 = 120;

/// A question with its fields, its help and what is wrong with its answer.
pub(super) fn question(question: &Question, form: &Form<'_>, words: Words) -> Html {
    let fault = form.wrong.iter().find(|(key, _)| *key == question.key).map(|(_, fault)| *fault);
    let one = One { question, form, words, is_wrong: fault.is_some(), values: (form.values)(&question.key) };
    let (open, close) = if one.is_group() { ("<fieldset", "</fieldset>") } else { ("<div", "</div>") };
    let mut html = Html::new().raw(open).raw(" class=\"question\" id=\"q-").text(&question.key).raw("\"");
    if one.is_group() {
        html = html.html(&one.described());
    }
    html = html.raw(">").html(&one.legend());
    if let Some(help) = one.help() {
        html = html.raw("<p class=\"help\" id=\"h-").text(&question.key).raw("\">").text(help).raw("</p>");
    }
    if let Some(fault) = fault {
        html =
            html.raw("<p class=\"wrong\" id=\"e-").text(&question.key).raw("\">").text(words.fault(fault)).raw("</p>");
    }
    html.html(&one.fields()).raw(close)
}

struct One<'a> {
    question: &'a Question,
    form: &'a Form<'a>,
    words: Words,
    is_wrong: bool,
    values: Vec<String>,
}

impl One<'_> {
    /// Whether it has several fields, which a `fieldset` holds together.
    const fn is_group(&self) -> bool {
        !matches!(self.question.kind, Kind::Text | Kind::Number | Kind::Date)
    }

    fn help(&self) -> Option<String> {
        let own = self.question.help.as_ref().map(|help| self.form.filling.text(help));
        own.or_else(|| match self.question.kind {
            Kind::Multiple => Some(self.words.say(Say::Choose).to_owned()),
            Kind::Date => Some(self.words.say(Say::DateHint).to_owned()),
            _ => None,
        })
    }

    /// What describes the field to a screen reader.
    fn described(&self) -> Html {
        let key = &self.question.key;
        let mut ids = Vec::new();
        if self.is_wrong {
            ids.push(format!("e-{key}"));
        }
        if self.help().is_some() {
            ids.push(format!("h-{key}"));
        }
        if ids.is_empty() {
            return Html::new();
        }
        Html::new().raw(" aria-describedby=\"").text(ids.join(" ")).raw("\"")
    }

    fn invalid(&self) -> Html {
        if self.is_wrong { Html::new().raw(" aria-invalid=\"true\"") } else { Html::new() }
    }

    fn legend(&self) -> Html {
        let text = self.form.filling.text(&self.question.text);
        let note = self.words.say(if self.question.required { Say::Required } else { Say::Optional });
        let note = Html::new().raw(" <small>(").text(note).raw(")</small>");
        if self.is_group() {
            return Html::new().raw("<legend>").text(text).html(&note).raw("</legend>");
        }
        Html::new().raw("<label for=\"f-").text(&self.question.key).raw("\">").text(text).html(&note).raw("</label>")
    }

    fn fields(&self) -> Html {
        match self.question.kind {
            Kind::Nps | Kind::Csat | Kind::Ces | Kind::Likert => self.scale(),
            Kind::Single | Kind::Multiple => self.options(),
            Kind::Consent => self.consent(),
            Kind::Text => self.text(),
            Kind::Number | Kind::Date => self.line(),
        }
    }

    /// A box or a button with its label.
    fn tick(&self, value: &str, label: &Html) -> Html {
        let (key, kind) = (&self.question.key, self.question.kind);
        let kind = if matches!(kind, Kind::Multiple | Kind::Consent) { "checkbox" } else { "radio" };
        let mut html =
            Html::new().raw("<label><input type=\"").raw(kind).raw("\" name=\"q_").text(key).raw("\" value=\"");
        html = html.text(value).raw("\"").html(&self.invalid());
        if self.question.required && kind == "radio" {
            html = html.raw(" required");
        }
        if self.values.iter().any(|chosen| chosen == value) {
            html = html.raw(" checked");
        }
        html.raw("><span>").html(label).raw("</span></label>")
    }

    fn scale(&self) -> Html {
        let (min, max) = self.question.scale().unwrap_or((0, 10));
        let end = |texts: &Option<crate::flow::Texts>| texts.as_ref().map(|texts| self.form.filling.text(texts));
        let (low, high) = (end(&self.question.low), end(&self.question.high));
        // The ends say what they mean to whoever hears them, too.
        let point = |value: i64| {
            let meaning = if value == min {
                low.as_ref()
            } else if value == max {
                high.as_ref()
            } else {
                None
            };
            let mut label = Html::new().text(value);
            if let Some(meaning) = meaning {
                label = label.raw("<span class=\"hidden\"> ").text(meaning).raw("</span>");
            }
            self.tick(&value.to_string(), &label)
        };
        let scale = Html::new().raw("<div class=\"scale\">").each(min..=max, point).raw("</div>");
        if low.is_none() && high.is_none() {
            return scale;
        }
        let ends = scale
            .raw("<p class=\"ends\" aria-hidden=\"true\"><span>")
            .text(format!("{min} {}", low.unwrap_or_default()));
        ends.raw("</span><span>").text(format!("{max} {}", high.unwrap_or_default())).raw("</span></p>")
    }

    fn options(&self) -> Html {
        let options = Html::new().raw("<div class=\"options\">");
        let label = |option: &crate::flow::Choice| Html::new().text(self.form.filling.text(&option.text));
        options.each(&self.question.options, |option| self.tick(&option.key, &label(option))).raw("</div>")
    }

    fn consent(&self) -> Html {
        let label = self.question.label.as_ref().map(|label| self.form.filling.text(label));
        let label = label.unwrap_or_else(|| self.words.say(Say::Yes).to_owned());
        Html::new().raw("<div class=\"options\">").html(&self.tick("yes", &Html::new().text(label))).raw("</div>")
    }

    /// What all fields that are typed into have.
    fn typed(&self) -> Html {
        let key = &self.question.key;
        let html =
            Html::new().raw(" id=\"f-").text(key).raw("\" name=\"q_").text(key).raw("\"").html(&self.described());
        let html = html.html(&self.invalid());
        if self.question.required { html.raw(" required") } else { html }
    }

    fn text(&self) -> Html {
        let (max, value) = (self.question.max.unwrap_or(TEXT_CHARS), self.values.first().cloned().unwrap_or_default());
        if max <= LINE_CHARS_MAX {
            return Html::new()
                .raw("<input type=\"text\" maxlength=\"")
                .text(max)
                .raw("\"")
                .html(&self.typed())
                .raw(" value=\"")
                .text(value)
                .raw("\">");
        }
        // A line break behind the tag is dropped by browsers: one that was typed stays.
        let area = Html::new().raw("<textarea rows=\"4\" maxlength=\"").text(max).raw("\"").html(&self.typed());
        area.raw(">\n").text(value).raw("</textarea>")
    }

    fn line(&self) -> Html {
        let kind = if self.question.kind == Kind::Date { "date" } else { "text\" inputmode=\"decimal" };
        let value = self.values.first().cloned().unwrap_or_default();
        let line = Html::new().raw("<input type=\"").raw(kind).raw("\"").html(&self.typed());
        line.raw(" value=\"").text(value).raw("\">")
    }
}
