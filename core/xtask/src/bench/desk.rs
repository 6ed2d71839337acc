//! The service desk's knowledge base: how long a search takes over HTTP, as visitors ask, with five thousand articles in English and
//! as many in Chinese.

mod articles;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use self::articles::Language;
use super::client::Client;
use super::driver::percentile;
use super::figure::Figure;
use super::lab::{Lab, Place};
use super::stage::{self, Visitors};
use super::{postgres, rate, ratio};
use crate::server::Server;

/// Articles of each language.
const ARTICLES: u64 = 5_000;
/// Searches of each language, after some that warm up. All of them together stay below what the address takes of all visitors in a minute.
const SEARCHES: u64 = 300;
const WARM_UP: u64 = 20;
/// Connections by which articles are saved.
const SAVING: usize = 4;
/// Searches of one visitor.
const OF_ONE: u64 = 50;

/// Measures it on SQLite and on PostgreSQL.
///
/// # Errors
/// If the plugin does not build, the server refuses something, or a search does not find what it must.
pub(crate) fn run(binary: &Path) -> Result<Vec<Figure>> {
    let lab = Lab::new(binary, "desk")?;
    stage::set(&lab, &["desk"], &[])?;
    postgres::on_both(|name, database| measure(&lab, name, database))
}

fn measure(lab: &Lab, name: &str, database: Option<&str>) -> Result<Vec<Figure>> {
    let server = lab.serve(&format!("data-{}", name.to_lowercase()), Place { core: None, database })?;
    let began = Instant::now();
    save(&server)?;
    let line = |what: &str| format!("desk, {name}: {what}");
    let mut figures = vec![Figure::new(
        line("articles saved and published by the action"),
        rate(2 * ARTICLES, began.elapsed()),
        "articles/s",
    )];
    postgres::look_after(database)?;
    let mut visitors = Visitors::open(&server)?;
    let mut all = Vec::new();
    for language in [Language::English, Language::Chinese] {
        let nanos = search(&mut visitors, language)?;
        let p99 = ratio(percentile(&nanos, 990), 1_000);
        figures.push(
            Figure::new(line(&format!("search in 10,000 articles, {}, p99", language.code())), p99, "ms").under(50.0),
        );
        all.extend(nanos);
    }
    all.sort_unstable();
    for (what, thousandths) in [("p50", 500), ("the slowest", 1_000)] {
        let what = line(&format!("search in 10,000 articles, both languages, {what}"));
        figures.push(Figure::new(what, ratio(percentile(&all, thousandths), 1_000), "ms"));
    }
    server.stop()?;
    Ok(figures)
}

/// Saves and publishes all articles.
fn save(server: &Server) -> Result<()> {
    let next = AtomicU64::new(0);
    let saving = || -> Result<()> {
        let mut owner = Client::open(server)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= 2 * ARTICLES {
                return Ok(());
            }
            let language = if number.is_multiple_of(2) { Language::English } else { Language::Chinese };
            let number = number / 2;
            let input = json!({
                "slug": format!("article-{number}"), "language": language.code(), "title": articles::title(language, number),
                "body": articles::body(language, number), "publish": true,
            });
            let saved = owner.action("desk.kb_save", &input)?;
            if saved["result"] != "ok" {
                bail!("article {number} was not saved: {saved}");
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SAVING).map(|_| scope.spawn(saving)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("the articles ended early"))?)
    })
}

/// Searches as visitors do; gives how long each search took, sorted.
fn search(visitors: &mut Visitors, language: Language) -> Result<Vec<u64>> {
    let mut nanos = Vec::new();
    for number in 0..WARM_UP + SEARCHES {
        // Each asks for words of another article.
        let question = articles::question(language, number, number * (ARTICLES / (WARM_UP + SEARCHES)));
        let path = format!("/x/desk/kb?lang={}&q={}", language.code(), encoded(&question));
        let visitor = u32::try_from(number / OF_ONE)?;
        let began = Instant::now();
        let page = visitors.look(visitor, &path)?;
        let took = began.elapsed();
        let is_found = String::from_utf8_lossy(&page.body).contains("<li>");
        if page.status != 200 || !is_found {
            bail!("`{question}` was not found: {} {}", page.status, page.excerpt());
        }
        if number >= WARM_UP {
            nanos.push(u64::try_from(took.as_nanos())?);
        }
    }
    nanos.sort_unstable();
    Ok(nanos)
}

/// A text as part of an address.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
