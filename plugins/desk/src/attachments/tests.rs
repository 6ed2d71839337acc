use super::*;

fn candidate<'a>(name: &'a str, media_type: &'a str, bytes: &'a [u8]) -> Candidate<'a> {
    Candidate { name, media_type, size: bytes.len() as u64, head: bytes, tail: bytes }
}

fn why(name: &str, media_type: &str, bytes: &[u8]) -> String {
    judge(&candidate(name, media_type, bytes), 1_000_000).unwrap_err().0
}

#[test]
fn a_file_whose_name_type_and_bytes_agree_comes_in() {
    for (name, media_type, bytes, kept) in [
        ("invoice.pdf", "application/pdf", &b"%PDF-1.7 ..."[..], "application/pdf"),
        ("photo.JPG", "image/jpeg; name=x", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("list.csv", "application/vnd.ms-excel", b"a;b\n1;2", "text/csv"),
        ("note.txt", "", "你好".as_bytes(), "text/plain"),
        ("clip.mp4", "application/octet-stream", b"\0\0\0\x18ftypmp42", "video/mp4"),
        ("site example.com.png", "image/png", b"\x89PNG\r\n\x1a\n", "image/png"),
    ] {
        let accepted = judge(&candidate(name, media_type, bytes), 1_000_000).unwrap();
        assert_eq!(accepted.media_type, kept, "{name}");
    }
}

#[test]
fn double_endings_are_refused_with_the_reason() {
    for name in [
        "invoice.pdf.exe",
        "invoice.exe.pdf",
        "invoice.pdf.exe ",
        "invoice.pdf.ExE.",
        "a.pdf.\u{202e}js",
        "run.com",
        "x.html.txt",
    ] {
        assert!(why(name, "", b"%PDF-1.7").contains("can be run"), "{name}");
    }
}

#[test]
fn bytes_of_something_else_are_refused() {
    assert_eq!(
        why("invoice.pdf", "application/pdf", b"MZ\x90\0"),
        "`invoice.pdf` is not taken: it ends in `.pdf`, and its bytes are those of something else"
    );
    assert!(why("a.png", "image/png", b"GIF89a").contains("something else"));
    assert!(why("a.txt", "text/plain", b"MZ\x90").contains("something else"));
    assert!(why("a.txt", "text/plain", b"a\0b").contains("something else"));
    assert!(why("a.txt", "text/plain", b"  <ScRipt>alert(1)").contains("something else"));
    assert!(why("a.zip", "application/zip", b"PK\x03\x04").contains("no archive"));
}

#[test]
fn a_type_that_is_not_that_of_the_ending_is_refused() {
    assert!(why("a.pdf", "text/html", b"%PDF-1").contains("says that it is `text/html`"));
    assert!(why("a.svgz", "", b"x").contains("not taken"));
    assert!(why("README", "", b"x").contains("no ending"));
}

#[test]
fn sizes_have_limits() {
    let file = Candidate { size: 11, ..candidate("a.txt", "", b"x") };
    assert!(judge(&file, 10).unwrap_err().0.contains("10 at most"));
    assert!(why("a.txt", "", b"").contains("empty"));
}

#[test]
fn a_name_keeps_neither_folders_nor_what_hides_in_it() {
    assert_eq!(clean_name("..\\..\\windows\\a\u{202e}\0b.txt "), "ab.txt");
    assert_eq!(clean_name("../../etc/passwd"), "passwd");
    let long = clean_name(&format!("{}.pdf", "长".repeat(200)));
    assert!(long.len() <= NAME_BYTES_MAX && long.contains("长.pdf"), "{long}");
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_judged_without_falling_over(name in ".{0,300}", kind in ".{0,40}", bytes: Vec<u8>) {
        let _ = judge(&candidate(&name, &kind, &bytes), 1_000);
    }
}
