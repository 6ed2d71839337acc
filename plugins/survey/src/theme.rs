//! The style of the pages, with the colours of the settings.

use rapport_sdk::route::Response;
use rapport_sdk::{Error, settings};

/// The longest list of fonts.
const FONT_CHARS_MAX: usize = 200;

const RULES: &str = "
*{box-sizing:border-box}
body{margin:0;background:var(--background);color:var(--text);font:1.0625rem/1.5 var(--font)}
main{max-width:40rem;margin:0 auto;padding:1rem}
h1{font-size:1.375rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.0625rem;margin:0 0 .5rem}
.progress,small,.help,.ends{opacity:.8}
.question{border:0;margin:0 0 1.75rem;padding:0;min-width:0}
legend,.question>label{display:block;padding:0;font-weight:600;margin-bottom:.5rem}
small{font-weight:400}
.scale{display:grid;grid-template-columns:repeat(auto-fill,minmax(3rem,1fr));gap:.375rem}
.scale label{display:block;position:relative}
.scale input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0}
.scale label>span{display:flex;align-items:center;justify-content:center;min-height:3rem;
  border:2px solid currentColor;border-radius:.5rem}
.scale input:checked+span{background:var(--accent);border-color:var(--accent);color:var(--background);
  font-weight:700;text-decoration:underline}
.scale input:focus-visible+span,.options input:focus-visible+span,button:focus-visible,a:focus-visible,
input:focus-visible,textarea:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.ends{display:flex;justify-content:space-between;gap:1rem;margin:.25rem 0 0;font-size:.9375rem}
.options label{display:flex;align-items:center;gap:.75rem;min-height:3rem;padding:.25rem 0}
.options input{width:1.5rem;height:1.5rem;flex:none;accent-color:var(--accent)}
input[type=text],input[type=date],textarea{width:100%;min-height:3rem;padding:.5rem;
  font:inherit;color:inherit;background:transparent;border:2px solid currentColor;border-radius:.5rem}
.wrong{font-weight:600;margin:0 0 .5rem;padding-left:.75rem;border-left:4px solid currentColor}
.summary{border:3px solid currentColor;border-radius:.5rem;padding:1rem;margin:1rem 0}
.buttons{display:flex;flex-wrap:wrap;align-items:center;gap:1.5rem}
button{font:inherit;font-weight:700;min-height:3rem;padding:.5rem 1.5rem;
  color:var(--background);background:var(--accent);border:2px solid var(--accent);border-radius:.5rem}
a{color:var(--accent);display:inline-block;padding:.5rem 0}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media (forced-colors:active){.scale input:checked+span{outline:4px solid Highlight}}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
";

/// The stylesheet.
///
/// # Errors
/// The host's. A setting that is no colour is not used, and the log says so.
pub(crate) fn style() -> Result<Response, Error> {
    let colour = |name: &str, usual: &str| -> Result<String, Error> {
        let given: String = settings::get(name)?;
        Ok(checked(name, &given, (is_colour(&given), usual)))
    };
    let (accent, background) = (colour("theme_accent", "#0b57d0")?, colour("theme_background", "#ffffff")?);
    let (text, font): (String, String) = (colour("theme_text", "#1f1f1f")?, settings::get("theme_font")?);
    let font = checked("theme_font", &font, (is_font(&font), "sans-serif"));
    let css = format!(":root{{--accent:{accent};--background:{background};--text:{text};--font:{font}}}{RULES}");
    let response = Response::new(200).header("content-type", "text/css; charset=utf-8");
    Ok(response.header("cache-control", "public, max-age=300").body(css))
}

fn checked(name: &str, given: &str, (fits, usual): (bool, &str)) -> String {
    if fits {
        return given.to_owned();
    }
    rapport_sdk::log::warn(&format!("setting `{name}`: `{given}` cannot be used; `{usual}` is"));
    usual.to_owned()
}

/// Whether a text is a colour as `#rgb` or `#rrggbb`.
fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|rest| matches!(rest.len(), 3 | 6) && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a text is a list of names of fonts that ends nothing early.
fn is_font(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | ',' | '-');
    !text.trim().is_empty() && text.chars().count() <= FONT_CHARS_MAX && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use rapport_sdk::fake;

    use super::*;

    #[test]
    fn a_setting_cannot_break_out_of_the_style() {
        fake::reset();
        fake::load(include_str!("../plugin.toml"));
        fake::set("theme_accent", "#0f0");
        fake::set("theme_background", "red;}body{display:none");
        fake::set("theme_font", "x;background:url(https://evil.example)");
        let css = String::from_utf8(style().unwrap().body).unwrap();
        assert!(css.starts_with(":root{--accent:#0f0;--background:#ffffff;--text:#1f1f1f;--font:sans-serif}"), "{css}");
        assert!(!css.contains("evil") && fake::logged().len() == 2);
    }
}
