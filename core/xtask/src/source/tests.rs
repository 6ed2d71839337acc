use super::*;

fn words(text: &str) -> Vec<&str> {
    tokens(text).iter().map(|t| t.text).collect()
}

#[test]
fn a_word_in_a_string_or_comment_is_not_code() {
    let found = tokens("let a = \"fn b() {\"; // fn c() {\n/* fn d /* e */ { */ fn f() {}");
    let code: Vec<_> = found.iter().filter(|t| t.kind == Kind::Word).map(|t| t.text).collect();
    assert_eq!(code, ["let", "a", "fn", "f"]);
}

#[test]
fn raw_strings_end_at_their_own_hashes() {
    assert_eq!(words(r##"r#"a " b"# + br"\" + r"""##), [r##"r#"a " b"#"##, "+", r#"br"\""#, "+", r#"r"""#]);
}

#[test]
fn an_escaped_quote_does_not_end_a_string() {
    assert_eq!(words(r#""a\"b\\" c"#), [r#""a\"b\\""#, "c"]);
}

#[test]
fn a_lifetime_is_no_character() {
    assert_eq!(
        words("<'a>('b', '\\'', '{', 'static)"),
        ["<", "'a", ">", "(", "'b'", ",", "'\\''", ",", "'{'", ",", "'static", ")"]
    );
}

#[test]
fn a_range_of_numbers_is_not_one_number() {
    assert_eq!(words("0..1_000.5e3"), ["0", ".", ".", "1_000.5e3"]);
}

#[test]
fn raw_names_are_words() {
    assert_eq!(words("r#type: u8"), ["r#type", ":", "u8"]);
}

#[test]
fn lines_are_counted_from_one() {
    let found = tokens("a\n\n\"x\ny\" b");
    assert_eq!(found.iter().map(|t| (t.line, t.last_line)).collect::<Vec<_>>(), [(1, 1), (3, 4), (4, 4)]);
}

#[test]
fn what_is_not_closed_ends_with_the_text() {
    for text in ["\"abc", "/* a", "r#\"abc", "'\\", "fn a() {", "#[cfg(test)]", "#[cfg(test", "'"] {
        let found = tokens(text);
        assert!(!found.is_empty());
        functions(&found);
        production(&found);
    }
}

#[test]
fn a_function_is_as_long_as_its_lines_with_code() {
    let text =
        "fn a(\n    x: [u8; 4],\n) -> u8 {\n    // why\n\n    let s = \"1\n2\";\n    x\n}\ntrait T { fn b(); }\n";
    assert_eq!(functions(&tokens(text)), [Function { name: "a".into(), line: 1, lines: 3 }]);
}

#[test]
fn a_function_type_is_no_function() {
    assert_eq!(functions(&tokens("struct S { f: fn(u8) -> u8 }")), []);
}

#[test]
fn a_nested_function_counts_for_both() {
    let found = functions(&tokens("fn a() {\n    fn b() {\n        1;\n    }\n}"));
    assert_eq!(found.iter().map(|f| (f.name.as_str(), f.lines)).collect::<Vec<_>>(), [("a", 3), ("b", 1)]);
}

#[test]
fn what_is_marked_as_a_test_is_not_production() {
    let text = "use a;\n#[cfg(test)]\nmod tests {\n fn t() { x; }\n}\nfn b() {}\n#[cfg(test)]\nmod more;\n#[test]\nfn c(x: [u8; 2]) {}\nd";
    let kept: Vec<_> = production(&tokens(text)).iter().map(|t| t.text).collect();
    assert_eq!(kept, ["use", "a", ";", "fn", "b", "(", ")", "{", "}", "d"]);
}

#[test]
fn other_attributes_are_production() {
    let text = "#[cfg(not(test))] fn a() {}";
    assert_eq!(production(&tokens(text)).len(), tokens(text).len());
}

mod arbitrary_text {
    use super::*;

    /// A small generator, so that xtask needs no property-test crate: every text up to a length over the characters that matter.
    #[test]
    fn never_panics_and_is_covered_whole() {
        let letters = ['"', '\'', '#', 'r', '/', '*', '\\', '{', 'ü', '\n'];
        let count = 10_u32.pow(5);
        for n in 0..count {
            let text: String = (0..5).map(|i| letters[((n / 10_u32.pow(i)) % 10) as usize]).collect();
            let length: usize =
                tokens(&text).iter().map(|t| t.text.chars().filter(|c| !c.is_whitespace()).count()).sum();
            assert_eq!(length, text.chars().filter(|c| !c.is_whitespace()).count(), "{text:?}");
        }
    }
}
