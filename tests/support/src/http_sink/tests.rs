//! The sink records what comes and answers as it is told.

use super::*;
use std::time::Duration;

/// Sends `text` and reads all that comes back.
async fn talk(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

const POST: &str = "POST /hook?a=1 HTTP/1.1\r\nHost: sink\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn requests_are_recorded_and_answered_by_the_script_then_by_the_default() {
    let sink = HttpSink::start().await;
    sink.script([Answer::status(503).header("retry-after", "7"), Answer::json(201, "{}")]);
    let first = talk(sink.address(), POST).await;
    assert!(first.starts_with("HTTP/1.1 503 ") && first.contains("retry-after: 7\r\n"), "{first}");
    assert!(talk(sink.address(), POST).await.ends_with("content-type: application/json\r\n\r\n{}"));
    assert!(talk(sink.address(), POST).await.starts_with("HTTP/1.1 200 "));
    sink.otherwise(Answer::Close);
    assert_eq!(talk(sink.address(), POST).await, "");
    let seen = sink.wait_for(4, Duration::from_secs(5)).await;
    assert_eq!((seen.len(), seen[0].method.as_str(), seen[0].target.as_str()), (4, "POST", "/hook?a=1"));
    assert_eq!((seen[0].header("x-a"), seen[0].text()), (Some("b"), "hello"));
}

#[tokio::test]
async fn an_echo_holds_the_request_in_its_headers_and_body() {
    let sink = HttpSink::start().await;
    sink.script([Answer::Echo, Answer::Raw(b"nonsense".to_vec())]);
    let echo = talk(sink.address(), POST).await;
    assert!(echo.contains("x-echo-x-a: b\r\n") && echo.ends_with("x-a: b\ncontent-length: 5\n\nhello"), "{echo}");
    assert_eq!(talk(sink.address(), POST).await, "nonsense");
}

#[tokio::test]
async fn a_sink_that_is_dropped_closes_what_hangs() {
    let sink = HttpSink::start().await;
    sink.otherwise(Answer::Hang);
    let hanging = tokio::spawn(talk(sink.address(), POST));
    sink.wait_for(1, Duration::from_secs(5)).await;
    drop(sink);
    assert_eq!(hanging.await.unwrap(), "");
}
