//! The door against hostile names, addresses and servers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rapport_test_support::{Answer, HttpSink};

use super::super::request::RequestBuilder;
use super::*;

/// A door that lets 127.0.0.1 pass, or nothing special, with a name server that answers `names`.
fn door(allow: &[&str], resolver: Resolver) -> Door {
    let allow_addresses = allow.iter().map(|network| network.parse().unwrap()).collect();
    Door::new(OutboundConfig { allow_addresses, body_bytes_max: 10_000, ..OutboundConfig::default() }, resolver)
}

/// A resolver that gives the next of `answers` each time, and counts.
fn answering(answers: &[&[&str]]) -> (Resolver, Arc<Mutex<usize>>) {
    let parse = |addresses: &&[&str]| addresses.iter().map(|a| a.parse().unwrap()).collect::<Vec<IpAddr>>();
    let queue = Mutex::new(answers.iter().map(parse).collect::<VecDeque<_>>());
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let resolver = Resolver::new(move |_| {
        *count.lock().unwrap() += 1;
        let next = queue.lock().unwrap().pop_front().unwrap_or_default();
        Box::pin(async move { Ok(next) })
    });
    (resolver, asked)
}

fn nobody() -> Resolver {
    Resolver::new(|name| panic!("nobody may ask for `{name}`"))
}

async fn get(door: &Door, url: &str, timeout: Duration) -> Result<Reply, Failure> {
    pass(door, url, timeout, Freight::Plain).await
}

async fn pass(door: &Door, url: &str, timeout: Duration, freight: Freight) -> Result<Reply, Failure> {
    let target = Target::parse(url)?;
    let request = RequestBuilder::new("GET", &[])?.build(&target, Vec::new())?;
    door.pass(Passage { target: &target, request, freight, timeout }).await
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const LOCAL: &[&str] = &["127.0.0.1/32"];

#[tokio::test]
async fn no_way_to_write_a_private_address_passes() {
    let door = door(&[], nobody());
    for url in [
        "http://127.0.0.1",
        "http://0177.0.0.1",
        "http://0x7f.1",
        "http://2130706433",
        "http://127.1",
        "http://0",
        "http://10.0.0.1:8080",
        "https://192.168.1.1",
        "http://172.16.0.1",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1",
        "http://224.0.0.1",
        "http://255.255.255.255",
        "http://198.18.0.1",
        "http://203.0.113.9",
        "http://[::]",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://[::127.0.0.1]",
        "http://[64:ff9b::7f00:1]",
        "http://[2002:7f00:1::]",
        "http://[2001:0:7f00:1::]",
        "http://[fc00::1]",
        "http://[fd00:ec2::254]",
        "http://[fe80::1]",
        "http://[fec0::1]",
        "http://[ff02::1]",
        "http://localhost",
        "http://localhost.:80",
        "http://printer",
    ] {
        let failure = get(&door, url, LONG).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("refused_address", false), "{url}: {failure}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inward_is_refused_and_its_address_not_told() {
    for inward in ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.1.2.3", "64:ff9b::a01:203"] {
        let (resolver, _) = answering(&[&[inward]]);
        let failure = get(&door(&[], resolver), "http://rebind.example/", LONG).await.unwrap_err();
        assert_eq!(failure.code, "refused_address");
        assert!(
            failure.message.contains("`http://rebind.example:80`") && !failure.message.contains(inward),
            "{failure}"
        );
        assert!(failure.message.contains("outbound.allow_addresses"));
    }
}

#[tokio::test]
async fn a_name_with_one_private_address_among_public_ones_is_refused_whole() {
    for mixed in [&["8.8.8.8", "127.0.0.1"][..], &["127.0.0.1", "8.8.8.8"], &["2606:4700::1", "fd00::1"]] {
        let (resolver, _) = answering(&[mixed]);
        let failure = get(&door(&[], resolver), "http://mixed.example/", LONG).await.unwrap_err();
        assert_eq!(failure.code, "refused_address", "{mixed:?}");
    }
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_what_was_vetted_is_what_is_dialled() {
    let sink = HttpSink::start().await;
    let (resolver, asked) = answering(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let door = door(LOCAL, resolver);
    let url = format!("http://api.example:{}/x", sink.address().port());
    assert_eq!(get(&door, &url, LONG).await.unwrap().status, 200);
    assert_eq!(*asked.lock().unwrap(), 1);
    let host = format!("api.example:{}", sink.address().port());
    assert_eq!(sink.requests()[0].header("host"), Some(host.as_str()));
    // The name servers have changed their mind.
    assert_eq!(get(&door, &url, LONG).await.unwrap_err().code, "refused_address");
    assert_eq!((*asked.lock().unwrap(), sink.requests().len()), (2, 1));
}

#[tokio::test]
async fn an_address_that_answers_is_found_behind_one_that_does_not() {
    let sink = HttpSink::start().await;
    let (resolver, _) = answering(&[&["127.0.0.9", "127.0.0.1"]]);
    let url = format!("http://api.example:{}/", sink.address().port());
    assert_eq!(get(&door(&["127.0.0.0/8"], resolver), &url, LONG).await.unwrap().status, 200);
}

#[tokio::test]
async fn nobody_is_reached_where_nobody_listens() {
    let port = HttpSink::start().await.address().port();
    let failure = get(&door(LOCAL, nobody()), &format!("http://127.0.0.1:{port}/"), LONG).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable), ("unreachable", true));
    let (resolver, _) = answering(&[&[]]);
    let failure = get(&door(LOCAL, resolver), "http://gone.example/", LONG).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable), ("unresolved", true));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let sink = HttpSink::start().await;
    for status in [301, 302, 303, 307, 308] {
        sink.script([Answer::status(status).header("location", &sink.url("/inward"))]);
        let reply = get(&door(LOCAL, nobody()), &sink.url("/"), LONG).await.unwrap();
        assert_eq!(reply.status, status);
        assert!(reply.headers.contains(&("location".to_owned(), sink.url("/inward"))));
    }
    assert!(sink.requests().iter().all(|request| request.target == "/"));
}

#[tokio::test]
async fn the_time_counts_from_the_name_to_the_last_byte() {
    let sink = HttpSink::start().await;
    let head = b"HTTP/1.1 200 OK\r\nx-a: b\r\n".to_vec();
    for answer in [Answer::Hang, Answer::Drip(Duration::from_millis(20))] {
        sink.script([answer]);
        let started = std::time::Instant::now();
        let failure = get(&door(LOCAL, nobody()), &sink.url("/"), SHORT).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("timeout", true));
        assert!(failure.message.contains("within 300 ms") && started.elapsed() < LONG / 2);
    }
    sink.script([Answer::Raw(head)]);
    assert_eq!(get(&door(LOCAL, nobody()), &sink.url("/"), LONG).await.unwrap_err().code, "broken_answer");
    let slow = Resolver::new(|_| Box::pin(std::future::pending()));
    assert_eq!(get(&door(LOCAL, slow), "http://slow.example/", SHORT).await.unwrap_err().code, "timeout");
    // TLS with one who never says hello back.
    sink.script([Answer::Hang]);
    let url = format!("https://127.0.0.1:{}/", sink.address().port());
    let code = get(&door(LOCAL, nobody()), &url, SHORT).await.unwrap_err().code;
    assert!(code == "timeout" || code == "tls", "{code}");
}

#[tokio::test]
async fn an_answer_is_whole_or_none() {
    let sink = HttpSink::start().await;
    let door = door(LOCAL, nobody());
    let whole = "x".repeat(10_000);
    sink.script([Answer::status(200).body(whole.clone())]);
    assert_eq!(get(&door, &sink.url("/"), LONG).await.unwrap().body, whole.as_bytes());
    let chunk = format!("2710\r\n{whole}\r\n1\r\nx\r\n0\r\n\r\n");
    for answer in [
        Answer::status(200).body("x".repeat(10_001)),
        Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec()),
        Answer::Raw(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}").into_bytes()),
        Answer::Raw(format!("HTTP/1.0 200 OK\r\n\r\n{whole}{whole}").into_bytes()),
        Answer::Raw(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000)).into_bytes()),
        Answer::Raw(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1_000)).into_bytes()),
    ] {
        sink.script([answer.clone()]);
        let failure = get(&door, &sink.url("/"), LONG).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("too_large", false), "{failure}");
    }
    for text in ["", "nonsense", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "HTTP/1.1 200 OK\r\na b\r\n\r\n"]
    {
        sink.script([Answer::Raw(text.as_bytes().to_vec())]);
        let failure = get(&door, &sink.url("/"), LONG).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.retryable), ("broken_answer", true), "{text:?}: {failure}");
    }
}

#[tokio::test]
async fn one_who_says_later_at_length_is_asked_later() {
    let sink = HttpSink::start().await;
    sink.script([Answer::status(503).header("retry-after", "7").body("x".repeat(10_001))]);
    let failure = get(&door(LOCAL, nobody()), &sink.url("/"), LONG).await.unwrap_err();
    assert_eq!((failure.retryable, failure.retry_after), (true, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn what_comes_packed_stays_packed() {
    let sink = HttpSink::start().await;
    // The beginning of a bomb in gzip: nobody opens it.
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xec\xc1\x01\x01".to_vec();
    sink.script([Answer::status(200).header("content-encoding", "gzip").body(bomb.clone())]);
    let reply = get(&door(LOCAL, nobody()), &sink.url("/"), LONG).await.unwrap();
    assert_eq!(reply.body, bomb);
    assert_eq!(sink.requests()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_secret_goes_in_clear_text_to_allowed_addresses_alone() {
    let (resolver, _) = answering(&[&["8.8.8.8"]]);
    let failure = pass(&door(LOCAL, resolver), "http://a.example/", LONG, Freight::Secret).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable), ("secret_host", false));
    let sink = HttpSink::start().await;
    assert!(pass(&door(LOCAL, nobody()), &sink.url("/"), LONG, Freight::Secret).await.is_ok());
}

#[tokio::test]
async fn a_closed_door_lets_nothing_pass() {
    let sink = HttpSink::start().await;
    let config = OutboundConfig { enabled: false, ..OutboundConfig::default() };
    let failure = get(&Door::new(config, nobody()), &sink.url("/"), LONG).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable), ("disabled", false));
    assert!(sink.requests().is_empty());
}
