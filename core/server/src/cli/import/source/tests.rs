//! Files as they come: every encoding, delimiter and kind of damage.

use super::*;

fn open(bytes: &[u8], delimiter: Option<&str>, encoding: Option<&str>) -> Result<Source, Failure> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Source::open(file.path(), &Format::new(delimiter, encoding).unwrap())
}

fn rows(source: &mut Source) -> Vec<(u64, Vec<String>)> {
    let mut all = Vec::new();
    while let Some(row) = source.next().unwrap() {
        all.push((row.line, row.cells.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect()));
    }
    all
}

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
}

const TEXT: &str = "name,city\r\nZoë,Köln\r\n李,北京\r\n";

fn expect_text(mut source: Source) {
    assert_eq!(source.columns(), ["name", "city"]);
    let cells = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
    assert_eq!(rows(&mut source), [(2, cells("Zoë", "Köln")), (3, cells("李", "北京"))]);
}

#[test]
fn utf8_is_read_with_and_without_a_mark() {
    expect_text(open(TEXT.as_bytes(), None, None).unwrap());
    expect_text(open(&[b"\xef\xbb\xbf", TEXT.as_bytes()].concat(), None, None).unwrap());
}

#[test]
fn utf16_is_read_in_both_orders_with_and_without_a_mark() {
    for big in [false, true] {
        for mark in [false, true] {
            expect_text(open(&utf16(TEXT, big, mark), None, None).unwrap());
        }
    }
}

#[test]
fn gb18030_is_read_when_named() {
    let (bytes, _, lossy) = encoding_rs::GB18030.encode(TEXT);
    assert!(!lossy);
    expect_text(open(&bytes, None, Some("gb18030")).unwrap());
}

#[test]
fn the_delimiter_is_found_outside_quotes() {
    for (head, want) in [
        ("a,b,c\n", b','),
        ("a;b;c\n", b';'),
        ("a\tb\tc\n", b'\t'),
        ("\"a,b,c,d\";e\n", b';'),
        ("alone\n1,2,3\n", b','),
        ("", b','),
    ] {
        assert_eq!(sniff(head.as_bytes()), want, "{head:?}");
    }
}

#[test]
fn column_names_are_trimmed() {
    assert_eq!(open(b" a ; b\n1;2\n", None, None).unwrap().columns(), ["a", "b"]);
}

#[test]
fn blank_lines_are_passed_over_and_counted() {
    for text in ["a,b\n\n1,2\n", "a,b\r\n\r\n1,2\r\n"] {
        assert_eq!(rows(&mut open(text.as_bytes(), None, None).unwrap()), [(3, vec!["1".to_owned(), "2".to_owned()])]);
    }
}

#[test]
fn rows_may_end_with_a_return_alone() {
    let mut source = open(b"a,b\r1,2\r3,4\r", None, None).unwrap();
    assert_eq!(rows(&mut source).into_iter().map(|(_, c)| c).collect::<Vec<_>>(), [["1", "2"], ["3", "4"]]);
}

#[test]
fn a_row_over_several_lines_has_the_line_it_begins_on() {
    let mut source = open(b"a,b\n1,\"x\ny\"\n2,z", None, None).unwrap();
    let lines: Vec<u64> = rows(&mut source).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn rows_of_uneven_length_are_rows_still() {
    let mut source = open(b"a,b\n1\n1,2,3\n", None, None).unwrap();
    assert_eq!(rows(&mut source).iter().map(|(_, c)| c.len()).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn bytes_that_are_none_of_the_encoding_are_found_out() {
    let mut source = open(b"a\n\x81\x00x\nfine\n", None, Some("gb18030")).unwrap();
    let bad = source.next().unwrap().unwrap();
    assert!(std::str::from_utf8(&bad.cells[0]).is_err());
    assert_eq!(&source.next().unwrap().unwrap().cells[0], b"fine");
}

#[test]
fn a_quote_that_is_never_closed_ends_with_the_line_and_not_with_the_memory() {
    let mut text = b"a,b\n1,2\n3,\"".to_vec();
    text.extend(b"x,y\n".repeat(4 << 20));
    let mut source = open(&text, None, None).unwrap();
    assert!(source.next().unwrap().is_some());
    let error = source.next().err().unwrap().to_string();
    assert!(error.contains(":3: ") && error.contains("quote"), "{error}");
}

#[test]
fn a_hundred_thousand_columns_are_read() {
    let line = vec!["c"; 100_000].join(",");
    let mut source = open(format!("{line}\n{line}\n").as_bytes(), None, None).unwrap();
    assert_eq!(source.next().unwrap().unwrap().cells.len(), 100_000);
}

#[test]
fn rows_done_before_are_passed_over() {
    let mut source = open(b"a\n1\n2\n3\n", None, None).unwrap();
    source.skip(2).unwrap();
    assert_eq!(rows(&mut source), [(4, vec!["3".to_owned()])]);
    source.skip(9).unwrap();
}

#[test]
fn flags_that_make_no_sense_are_usage_errors() {
    assert!(Format::new(Some("ab"), None).is_err());
    assert!(Format::new(Some("\""), None).is_err());
    assert!(Format::new(None, Some("klingon")).is_err());
    assert_eq!(Format::new(Some("tab"), None).unwrap().delimiter, Some(b'\t'));
}

#[test]
fn an_empty_or_missing_file_is_an_error() {
    assert!(open(b"", None, None).is_err());
    assert!(Source::open(Path::new("/nowhere.csv"), &Format::new(None, None).unwrap()).is_err());
}

#[test]
fn a_quote_that_is_never_closed_is_known_at_the_end_of_the_file() {
    for end in ["", "\n", "\r\n"] {
        let text = format!("a,b\n1,one\n2,\"two\n3,three{end}");
        let mut source = open(text.as_bytes(), None, None).unwrap();
        assert!(!source.next().unwrap().unwrap().open);
        let row = source.next().unwrap().unwrap();
        assert_eq!((row.line, row.open, &row.cells[0]), (3, true, &b"2"[..]));
        assert!(row.cells[1].starts_with(b"two\n3,three") && !row.cells[1].contains(&0));
        assert!(source.next().unwrap().is_none());
    }
    assert!(open(b"a,\"b\n1,2\n", None, None).is_err());
}

#[test]
fn a_file_of_one_column_ends_where_it_ends() {
    let mut source = open(b"a\n1\n\"2\"", None, None).unwrap();
    assert_eq!(rows(&mut source), [(2, vec!["1".to_owned()]), (3, vec!["2".to_owned()])]);
}
