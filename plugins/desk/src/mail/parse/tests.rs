use super::*;
use crate::mail::bounds::lift;

fn message(raw: &str) -> Message<'_> {
    parse(raw.as_bytes()).unwrap()
}

const FROM: &str = "From: Ada Lovelace <Ada@X.example>\r\n";

#[test]
fn a_message_says_who_writes_what_and_what_it_answers() {
    let raw = format!(
        "{FROM}Message-ID: <m1@x.example>\r\nIn-Reply-To: <b@y.example>\r\nReferences: <a@y.example> <b@y.example>\r\n\
         Subject: =?UTF-8?B?5Z2P5LqG?= [T-1001]\r\n\r\nIt broke.\r\n"
    );
    let message = message(&raw);
    assert_eq!(message.from.as_str(), "ada@x.example");
    assert_eq!((message.id.as_str(), message.subject.as_str()), ("m1@x.example", "坏了 [T-1001]"));
    assert_eq!(message.references, ["b@y.example", "a@y.example"]);
    assert_eq!(message.text, "It broke.");
}

#[test]
fn texts_in_chinese_charsets_are_read() {
    let head = |charset: &str| {
        format!("{FROM}Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    };
    let gbk: &[u8] = &[0xd7, 0xd6, 0xcd, 0xcb, 0xbf, 0xee];
    for charset in ["GBK", "gb2312", "GB18030", "\"gbk\""] {
        let raw = [head(charset).as_bytes(), gbk].concat();
        assert_eq!(parse(&raw).unwrap().text, "字退款", "{charset}");
    }
    let big5 = [head("big5").as_bytes(), &[0xb0, 0x68, 0xb4, 0xda]].concat();
    assert_eq!(parse(&big5).unwrap().text, "退款");
}

#[test]
fn a_wrong_or_unknown_charset_loses_letters_and_nothing_else() {
    for charset in ["utf-8", "x-unknown", "utf-7", "us-ascii", "\u{0}", "gbk", "iso-2022-jp"] {
        let head = format!("{FROM}Subject: x\r\nContent-Type: text/plain; charset={charset}\r\n\r\nAda ");
        let raw = [head.as_bytes(), &[0xff, 0xfe, 0x80], b" Lovelace"].concat();
        let text = parse(&raw).unwrap().text;
        assert!(text.starts_with("Ada "), "{charset}: {text}");
    }
}

#[test]
fn a_page_alone_is_read_as_its_words() {
    let raw = format!("{FROM}Content-Type: text/html\r\n\r\n<html><script>alert(1)</script><p>It <b>broke</b></p>");
    let text = message(&raw).text;
    assert!(text.contains("It broke") && !text.contains('<'), "{text}");
}

#[test]
fn attachments_come_with_name_type_and_bytes() {
    let raw = format!(
        "{FROM}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee there.\r\n--b\r\n\
         Content-Type: application/pdf; name=\"a.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nJVBERi0x\r\n--b\r\nContent-Type: text/plain\r\n\
         Content-Disposition: attachment; filename*=UTF-8''%E6%8A%95%E8%AF%89.txt\r\n\r\nhi\r\n--b--\r\n"
    );
    let message = message(&raw);
    assert_eq!(message.text, "See there.");
    let [pdf, text] = message.attachments.as_slice() else { panic!("{:?}", message.attachments) };
    assert_eq!(
        (pdf.name.as_str(), pdf.media_type.as_str(), &*pdf.content.decoded()),
        ("a.pdf", "application/pdf", &b"%PDF-1"[..])
    );
    assert_eq!((text.name.as_str(), &*text.content.decoded()), ("投诉.txt", &b"hi"[..]));
}

#[test]
fn a_message_in_a_message_is_an_attachment() {
    for encoding in ["7bit", "base64"] {
        let raw = format!(
            "{FROM}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: message/rfc822\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\nRnJvbTogYUBi\r\n--b--\r\n"
        );
        let message = message(&raw);
        assert_eq!(message.text, "see");
        assert_eq!(message.attachments[0].media_type, "message/rfc822");
        assert_eq!(message.attachments[0].name, "message.eml");
    }
}

#[test]
fn the_signs_of_machines_are_read() {
    let raw = format!("Return-Path: <>\r\n{FROM}Auto-Submitted: Auto-Replied\r\nList-ID: <n.x.example>\r\n\r\nx");
    let signs = message(&raw).signs;
    let sign = |name: &str| signs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    assert_eq!(sign("auto-submitted"), Some("auto-replied"));
    assert_eq!(sign("list-id"), Some("<n.x.example>"));
    assert_eq!(sign("return-path"), Some("<>"));
    assert_eq!(sign("precedence"), None);
}

#[test]
fn what_says_of_nobody_is_no_message() {
    assert!(parse(b"Subject: x\r\n\r\ny").unwrap_err().contains("From"));
    assert!(parse(b"From: <>\r\n\r\ny").unwrap_err().contains("From"));
    assert!(parse(b"From: a b@c d\r\n\r\ny").is_err());
}

#[test]
fn a_subject_is_one_line_and_ids_are_short() {
    let raw =
        format!("{FROM}Message-ID: <{}@x>\r\nSubject: =?utf-8?Q?a=0D=0ABcc:_x=40y=00?=\r\n\r\nx", "i".repeat(1_000));
    let message = message(&raw);
    assert!(!message.subject.chars().any(char::is_control), "{:?}", message.subject);
    assert!(message.id.len() <= ID_BYTES_MAX);
}

#[test]
fn thousands_of_references_are_cut() {
    let many: String = "<n@x> ".repeat(3_000);
    let raw = format!("{FROM}References: {many}<last@x>\r\n\r\nx");
    let message = message(&raw);
    assert!(message.references.len() <= REFERENCES_MAX, "{}", message.references.len());
    assert_eq!(message.references[0], "last@x");
}

/// Parts of several kinds, in a multipart in another one.
fn of_all_kinds(ending: &str) -> Vec<u8> {
    let part = |headers: &str, body: &[u8]| [b"--b\n", headers.as_bytes(), b"\n\n", body, b"\n"].concat();
    let base64 = "Content-Transfer-Encoding: base64";
    let quoted = "Content-Transfer-Encoding: quoted-printable";
    let gbk: &[u8] = &[0xd7, 0xd6, b'-', b'-', b'\n', b'\n', 0xcd, 0xcb, 0xbf, 0xee];
    let from = FROM.replace('\r', "");
    let raw = [
        from.as_bytes(),
        b"Content-Type: multipart/mixed; boundary=\"b\"\n\nFor others.\n\nStill.\n--b\nContent-Type: multipart/alternative; boundary=c\n\n",
        b"--c\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe,=\n Ada \n\n--bb\n",
        b"--c\nContent-Type: text/html\n\n<p>Hi</p>\n\nContent-Type: text/x\n\nx\n--c--\n\nBehind.\n",
        &part(&format!("Content-Type: application/pdf; name=a.pdf\n{base64}"), b"JVBE\n\nRi0x\nQUI=\n"),
        &part(&format!("Content-Type: application/pdf; name=b.pdf\n{base64}"), b"JVBE!\n"),
        &part("Content-Type: text/csv; charset=gbk; name=c.csv", gbk),
        &part(&format!("Content-Type: text/csv; charset=gbk; name=d.csv\n{quoted}"), b"=D7=D6;=CD=\n=CB \n"),
        &part("Content-Type: text/plain; name=e.txt\nContent-Disposition: attachment", b"a\xffb\n"),
        &part("Content-Type: image/png; name=f.png", b"\x89PNG\n\n--b2\n\nrest"),
        &part("Content-Type: image/png; name=g.png", b""),
        b"--b--\n\nBehind all.\n",
    ];
    raw.concat().iter().flat_map(|byte| if *byte == b'\n' { ending.as_bytes().to_vec() } else { vec![*byte] }).collect()
}

#[test]
fn what_is_lifted_out_is_read_as_the_reader_reads_it() {
    for ending in ["\n", "\r\n"] {
        let raw = of_all_kinds(ending);
        let [whole, bones] = [usize::MAX, 1].map(|long| lift(&raw, long).unwrap());
        assert!(whole.bytes == raw && bones.bytes.len() + 150 < raw.len());
        let [whole, lifted] = [read(&raw, &whole).unwrap(), read(&raw, &bones).unwrap()];
        assert_eq!(lifted.text, whole.text, "{ending:?}");
        let all = |message: &Message<'_>| -> Vec<(String, String, Vec<u8>)> {
            let shown =
                |one: &Attachment<'_>| (one.name.clone(), one.media_type.clone(), one.content.decoded().into_owned());
            message.attachments.iter().map(shown).collect()
        };
        assert_eq!(all(&lifted), all(&whole), "{ending:?}");
        assert_eq!(whole.attachments.len(), 7);
    }
}

#[test]
fn a_long_message_is_read_without_its_bodies() {
    let long = "QUJD".repeat(19) + "\r\n";
    let raw = format!(
        "{FROM}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee there.\r\n--b\r\n\
         Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
        long.repeat(2_000)
    );
    assert!(readable(raw.as_bytes()).unwrap().bytes.len() < 400);
    let message = message(&raw);
    assert_eq!((message.text.as_str(), message.attachments[0].name.as_str()), ("See there.", "a.pdf"));
    assert_eq!(*message.attachments[0].content.decoded(), *"ABC".repeat(38_000).as_bytes());
}

const PIECES: &str = "(From: a@b\\.c\r\n|Content-Type: |multipart/(mixed|alternative|digest|related)|message/rfc822|text/html|\
                      ; boundary=b\r\n\
                      |--b\r\n|--b--\r\n|\r\n|charset=(gbk|utf-7|utf-16|x)\r\n|Content-Transfer-Encoding: (base64|quoted-printable)\r\n\
                      |=\\?gbk\\?[BQ]\\?[a-zA-Z0-9=+/]{0,8}\\?=|Subject: |=[0-9A-F]{2}|[a-zA-Z0-9+/]{1,12}|\u{0}|退)";

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 1_000, ..proptest::prelude::ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(raw: Vec<u8>) {
        let _ = parse(&raw);
        let _ = parse(&[b"From: a@b.c\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", raw.as_slice()].concat());
        let _ = parse(&[b"From: a@b.c\r\nContent-Type: text/plain; charset=gbk\r\n\r\n", raw.as_slice()].concat());
    }

    #[test]
    fn pieces_of_messages_in_any_order_are_read_or_refused(pieces in proptest::collection::vec(PIECES, 0..40)) {
        let raw = pieces.concat();
        let _ = parse(raw.as_bytes());
        if let Ok(bones) = lift(raw.as_bytes(), 1)
            && let Ok(message) = read(raw.as_bytes(), &bones)
        {
            message.attachments.iter().for_each(|one| drop(one.content.decoded()));
        }
    }
}
