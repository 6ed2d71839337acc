use super::*;

fn job(address: &str) -> Job {
    Job {
        what: "load".into(),
        address: address.into(),
        key: String::new(),
        connections: 2,
        seconds: 1,
        customers: 10,
        run: "t".into(),
    }
}

#[test]
fn a_job_survives_the_way_to_its_process() {
    let mut job = job("127.0.0.1:1");
    assert_eq!(Job::parse(&job.arguments()).unwrap(), job);
    job.key = "secret".into();
    assert_eq!(Job::parse(&job.arguments()).unwrap(), job);
    assert!(Job::parse(&["load".into()]).is_err());
}

#[test]
fn percentiles_are_those_of_the_sorted_times() {
    let nanos: Vec<u64> = (1..=100).map(|n| n * 1_000).collect();
    assert_eq!((percentile(&nanos, 500), percentile(&nanos, 990), percentile(&nanos, 1_000)), (51, 100, 100));
    assert_eq!(percentile(&[], 990), 0);
}

#[test]
fn a_server_that_refuses_ends_the_load_with_its_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nnot me").unwrap();
        }
    });
    assert_eq!(load(&job(&address)).unwrap_err().to_string(), "403 not me");
    assert!(load(&job("127.0.0.1:1")).unwrap_err().to_string().contains("cannot connect"));
}

#[test]
fn a_load_counts_what_was_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(|s| drop(std::thread::spawn(|| answer_all(s.unwrap())))));
    let report = load(&job(&address)).unwrap();
    assert!(report["events"].as_u64().unwrap() > 10 && report["points"].as_u64().unwrap() > 10, "{report}");
    assert!(report["p50_us"].as_u64() <= report["p99_us"].as_u64());
}
