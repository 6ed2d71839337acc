//! Searches, held against reading every record.

use std::collections::HashMap;

use rapport_model::rule::{ParamTypes, Params, Rule, Scope};
use rapport_model::schema::{FieldDef, FieldKind, SchemaChange};
use rapport_model::search::{self, QueryTerm, weight};
use rapport_model::{ObjectDef, Record, RecordId, Value};
use rapport_store::{RecordQuery, SearchHit, SearchQuery, Store, UnitOfWork};

use crate::world::*;

on_both!(
    a_search_finds_what_reading_every_record_finds,
    of_more_records_than_are_compared_the_newest_are_found,
    the_rarest_word_may_stand_anywhere,
    a_text_that_grows_weighs_its_words_anew,
    words_of_an_older_workspace_get_to_know_how_long_their_field_is,
);

/// Words that stand in many records, in some and in few; more begin with `re` than are looked for each by itself.
const WORDS: [&str; 32] = [
    "order", "orders", "return", "refund", "repair", "replace", "report", "request", "rest", "result", "retail",
    "review", "reward", "reason", "rebate", "receipt", "recover", "reduce", "refill", "region", "remove", "rename",
    "card", "cargo", "lamp", "订单", "退货", "包裹", "kettle", "mug", "x", "7",
];

fn word(dice: &mut Dice) -> &'static str {
    let most = WORDS.len() as u64;
    // The smaller of two draws is often a small one.
    WORDS[usize::try_from(dice.roll(most).min(dice.roll(most))).unwrap()]
}

fn text(dice: &mut Dice, most: u64) -> String {
    let count = dice.roll(most);
    (0..count).map(|_| word(dice)).collect::<Vec<_>>().join(" ")
}

async fn with_articles(world: &World) -> Store {
    let store = world.open().await;
    let text = |text: &str| FieldDef { searchable: true, ..FieldDef::new(name(text), FieldKind::Text) };
    let author = FieldDef::new(name("author"), FieldKind::Reference { object: name("customer") });
    let fields = vec![text("body"), text("title"), FieldDef::new(name("pages"), FieldKind::Integer), author];
    let object = ObjectDef::new(name("article"), rapport_model::schema::Origin::Custom, None, fields);
    store.commit(UnitOfWork { schema: vec![SchemaChange::AddObject(object)], ..unit() }).await.unwrap();
    store
}

/// Writes articles; the authors take turns, by the pages.
async fn write(store: &Store, articles: &[(String, String, i64)], authors: &[RecordId]) -> Vec<RecordId> {
    let ids: Vec<RecordId> = articles.iter().map(|_| new_id()).collect();
    let put = |(id, (title, body, pages)): (&RecordId, &(String, String, i64))| {
        let mut changes = vec![set("title", title.as_str()), set("body", body.as_str()), set("pages", *pages)];
        changes.extend(authors.get(usize::try_from(*pages).unwrap() % 2).map(|author| set("author", *author)));
        create("article", *id, changes)
    };
    store.commit(puts(ids.iter().zip(articles).map(put).collect())).await.unwrap();
    ids
}

fn query(terms: Vec<QueryTerm>, fields: &[&str]) -> SearchQuery {
    SearchQuery {
        object: name("article"),
        fields: fields.iter().map(|field| name(field)).collect(),
        terms,
        rule: None,
        params: Params::none(),
        now: at(0),
        candidates: 1_000,
        limit: 1_000,
    }
}

/// What a search must find among records with as many pages: read from the texts themselves.
fn expected(query: &SearchQuery, records: &[std::sync::Arc<Record>], pages: impl Fn(i64) -> bool) -> Vec<SearchHit> {
    let mut found = Vec::new();
    for record in records {
        let fits = matches!(record.get("pages"), Value::Int(count) if pages(*count));
        let counts: Vec<_> = query
            .fields
            .iter()
            .map(|field| search::counts(record.get(field.as_str()).as_text().unwrap_or("")))
            .collect();
        let hits = |term: &QueryTerm, counts: &std::collections::BTreeMap<String, i64>| -> i64 {
            counts.iter().filter(|(word, _)| term.matches(word)).map(|(_, count)| count).sum()
        };
        if !fits || !query.terms.iter().all(|term| counts.iter().any(|counts| hits(term, counts) > 0)) {
            continue;
        }
        let mut score = 0.0;
        for term in &query.terms {
            for counts in &counts {
                let count = hits(term, counts);
                if count > 0 {
                    score += weight(count, search::kept_length(counts.values().sum()));
                }
            }
        }
        found.push(SearchHit { id: record.id, score });
    }
    // Records come by id, the newest last.
    let newest = found.len().saturating_sub(usize::try_from(query.candidates).unwrap());
    let mut found = found.split_off(newest);
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    found
}

async fn a_search_finds_what_reading_every_record_finds(world: World) {
    let store = with_articles(&world).await;
    let mut dice = Dice(29);
    let articles: Vec<_> = (0..300).map(|_| (text(&mut dice, 4), text(&mut dice, 30), dice.small(10))).collect();
    let authors = [customer(&store, "1").await, customer(&store, "2").await];
    store.commit(puts(vec![update("customer", authors[0], vec![set("country", "Norway")])])).await.unwrap();
    write(&store, &articles, &authors).await;
    let records = store.find(&RecordQuery::new(name("article"), at(0), 1_000)).await.unwrap();
    let schema = store.schema();
    let scope = Scope::Record(schema.object("article").unwrap().clone());
    let mut kinds: HashMap<&str, u32> = HashMap::new();
    for round in 0..400 {
        let mut asked = text(&mut dice, 4);
        if dice.roll(3) == 0 {
            // A word that is not ended.
            asked = asked.chars().take(asked.chars().count().saturating_sub(2)).collect();
        }
        let asked = if dice.roll(6) == 0 { format!("{asked} re") } else { asked };
        let terms = search::query_terms(&asked);
        if terms.is_empty() {
            continue;
        }
        let fields: &[&str] = [&["body", "title"][..], &["body"], &["title"]][usize::try_from(dice.roll(3)).unwrap()];
        let mut query = query(terms, fields);
        query.candidates = [1_000, 10, 3][usize::try_from(dice.roll(3)).unwrap()];
        let (rule, pages): (_, fn(i64) -> bool) = match dice.roll(4) {
            0 => ("pages < 5", |pages| pages < 5),
            1 => ("author.country == 'Norway'", |pages| pages % 2 == 0),
            _ => ("", |_| true),
        };
        if !rule.is_empty() {
            query.rule = Some(Rule::parse(rule, &scope, &schema, &ParamTypes::none()).unwrap());
        }
        let found = store.search(&query).await.unwrap();
        let right = expected(&query, &records, pages);
        assert_eq!(found, right, "round {round}: {asked:?} in {fields:?}");
        *kinds.entry(if found.is_empty() { "nothing" } else { "something" }).or_default() += 1;
    }
    assert!(kinds["something"] > 150 && kinds["nothing"] > 20, "{kinds:?}");
}

async fn of_more_records_than_are_compared_the_newest_are_found(world: World) {
    let store = with_articles(&world).await;
    let article = |n: i64| ("lamp".to_owned(), "order return".to_owned(), n);
    let ids = write(&store, &(0..40).map(article).collect::<Vec<_>>(), &[]).await;
    for asked in ["order lamp", "lamp re", "or"] {
        let mut query = query(search::query_terms(asked), &["body", "title"]);
        query.candidates = 5;
        let found: Vec<RecordId> = store.search(&query).await.unwrap().iter().map(|hit| hit.id).collect();
        assert_eq!(found, ids[35..], "{asked}");
    }
}

async fn the_rarest_word_may_stand_anywhere(world: World) {
    let store = with_articles(&world).await;
    let article = |n: i64| {
        let body = if n == 3 { "order lamp" } else { "order return" };
        ("mug".to_owned(), body.to_owned(), n)
    };
    let ids = write(&store, &(0..40).map(article).collect::<Vec<_>>(), &[]).await;
    for asked in ["order lamp", "lamp order", "mug order lamp", "lamp mug ord"] {
        let mut query = query(search::query_terms(asked), &["body", "title"]);
        query.candidates = 2;
        let found: Vec<RecordId> = store.search(&query).await.unwrap().iter().map(|hit| hit.id).collect();
        assert_eq!(found, [ids[3]], "{asked}");
    }
    let query = query(search::query_terms("order kettle"), &["body", "title"]);
    assert_eq!(store.search(&query).await.unwrap(), []);
}

async fn a_text_that_grows_weighs_its_words_anew(world: World) {
    let store = with_articles(&world).await;
    let ids = write(&store, &[("lamp".to_owned(), "order return".to_owned(), 1)], &[]).await;
    for words in [2, 20, 21, 3] {
        let body = format!("order{}", " mug".repeat(words - 1));
        store.commit(puts(vec![update("article", ids[0], vec![set("body", body.as_str())])])).await.unwrap();
        let found = store.search(&query(search::query_terms("order "), &["body"])).await.unwrap();
        let kept = search::kept_length(i64::try_from(words).unwrap());
        assert_eq!(found, [SearchHit { id: ids[0], score: weight(1, kept) }], "{words} words");
    }
    let (_, _, faults) = store.prove_search(&name("article"), (None, 500, at(0))).await.unwrap();
    assert_eq!(faults, []);
}

async fn words_of_an_older_workspace_get_to_know_how_long_their_field_is(world: World) {
    let store = with_articles(&world).await;
    let lengths = (1..40).chain((5..14).flat_map(|power| [0, 1, 2, 9].map(|more| (1 << power) - 1 + more)));
    let articles: Vec<_> = lengths.map(|words| ("lamp".to_owned(), "order ".repeat(words), 1)).collect();
    write(&store, &articles, &[]).await;
    store.close().await.unwrap();
    world.tamper(&format!("{WORDS_TO_VERSION_12}; update meta set value = '12' where key = 'schema_version'")).await;
    let store = world.open().await;
    let (looked_at, _, faults) = store.prove_search(&name("article"), (None, 500, at(0))).await.unwrap();
    assert_eq!((looked_at, faults), (articles.len() as u64, vec![]));
}
