use super::*;

fn terms(text: &str) -> Vec<String> {
    tokens(text).into_iter().map(|token| token.term).collect()
}

fn asked(text: &str) -> Vec<(String, bool)> {
    query_terms(text).into_iter().map(|term| (term.text, term.prefix)).collect()
}

fn finds(query: &str, text: &str) -> bool {
    let terms = terms(text);
    let query = query_terms(query);
    !query.is_empty() && query.iter().all(|wanted| terms.iter().any(|term| wanted.matches(term)))
}

#[test]
fn a_length_is_kept_by_its_four_highest_digits() {
    for (terms, kept) in
        [(-1, 0), (0, 0), (1, 1), (15, 15), (16, 16), (17, 16), (31, 30), (121, 120), (1_000, 960), (10_000, 9_216)]
    {
        assert_eq!(kept_length(terms), kept, "{terms}");
    }
    assert_eq!(kept_length(i64::MAX), 15 << 59);
}

#[test]
fn words_are_folded_and_cut_where_nothing_stands() {
    assert_eq!(terms("Résumé, ÅNGSTRÖM; ﬁne ＡＢＣ１２ don't"), ["resume", "angstrom", "fine", "abc12", "don", "t"]);
    assert_eq!(terms("İstanbul ΣΊΣΥΦΟΣ"), ["istanbul", "σισυφοσ"]);
    assert_eq!(terms(" \t\n.,;\"*\0"), Vec::<String>::new());
}

#[test]
fn ideographs_are_found_one_by_one_and_in_pairs() {
    assert_eq!(terms("退款ok规则"), ["退", "退款", "款", "ok", "规", "规则", "则"]);
    assert!(finds("退款", "如何申请退款？") && finds("款", "退款") && finds("申请退款", "如何申请退款"));
    assert!(!finds("款退", "退款"));
    assert_eq!(terms("ｶﾞ"), terms("ガ"));
    assert!(finds("환불", "환불 규정"));
}

#[test]
fn the_last_word_may_go_on_and_all_must_be_there() {
    assert_eq!(asked("Refund pol"), [("pol".to_owned(), true), ("refund".to_owned(), false)]);
    assert_eq!(asked("refund "), [("refund".to_owned(), false)]);
    assert!(finds("refund pol", "The refund policy") && !finds("ref policy", "The refund policy"));
    assert_eq!(asked("退款 how"), [("how".to_owned(), true), ("退款".to_owned(), false)]);
}

#[test]
fn what_search_engines_take_for_operators_is_text() {
    assert_eq!(
        asked("\"a* AND NEAR(b) -c\0"),
        [("a", false), ("and", false), ("b", false), ("c", false), ("near", false)].map(|(t, p)| (t.to_owned(), p))
    );
    for nothing in ["", "  ", "\"*", "\0", "…"] {
        assert!(asked(nothing).is_empty(), "{nothing:?}");
    }
}

#[test]
fn a_snippet_says_where_the_terms_stand() {
    let found = snippet("Über die Erstattung: ERSTATTET wird sofort.", &query_terms("erstatt")).unwrap();
    assert_eq!(found.text, "Über die Erstattung: ERSTATTET wird sofort.");
    assert_eq!(found.matches, [(9, 19), (21, 30)]);
    let long = format!("{} 我要申请退款\n今天 {}", "x ".repeat(200), "y ".repeat(200));
    let found = snippet(&long, &query_terms("申请退款")).unwrap();
    let chars: Vec<char> = found.text.chars().collect();
    assert_eq!((chars.first(), chars.last(), chars.len()), (Some(&'…'), Some(&'…'), 122));
    assert_eq!(found.matches.len(), 1);
    let (start, end) = found.matches[0];
    assert_eq!(chars[start..end].iter().collect::<String>(), "申请退款");
    assert!(!found.text.contains('\n'));
    assert_eq!(snippet("nothing", &query_terms("else")), None);
}

#[test]
fn a_text_without_end_has_an_end_here() {
    assert_eq!(tokens(&"字".repeat(20_000)).len(), FIELD_TERMS_MAX);
    assert_eq!(terms(&"w".repeat(1_000))[0].len(), TERM_CHARS_MAX);
    assert!(finds(&"w".repeat(100), &"w".repeat(1_000)));
}
