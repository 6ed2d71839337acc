use std::net::TcpListener;

use super::*;

/// Answers one connection with `bytes`, whatever it asks.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(bytes).unwrap();
    });
    address
}

fn asked(bytes: &'static [u8]) -> Result<Answer> {
    Connection::open(&answering(bytes))?.call(b"GET / HTTP/1.1\r\n\r\n")
}

#[test]
fn a_body_of_known_length_is_read_and_the_connection_kept() {
    let answer = asked(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcREST").unwrap();
    assert_eq!(answer, Answer { status: 201, body: b"abc".to_vec(), keep: true });
    assert!(answer.is_success());
}

#[test]
fn chunks_are_put_together() {
    let answer =
        asked(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n")
            .unwrap();
    assert_eq!(answer.excerpt(), "abc0123456789");
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let answer = asked(b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\nabc").unwrap();
    assert_eq!(answer, Answer { status: 500, body: b"abc".to_vec(), keep: false });
}

#[test]
fn an_answer_without_content_waits_for_none() {
    assert_eq!(asked(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().body, b"");
}

#[test]
fn an_interim_answer_is_passed_over() {
    assert_eq!(
        asked(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap().status,
        202
    );
}

#[test]
fn what_is_no_http_is_an_error() {
    for bytes in [
        &b""[..],
        b"hello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
    ] {
        asked(bytes).unwrap_err();
    }
}
