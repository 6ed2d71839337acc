//! The server dies between an unhappy answer and the ticket that it becomes: at each step of the way. Started again, there is the answer,
//! and one ticket for it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::desk::act;
use crate::harness::{Database, copy_plugin, eventually, on_both, project};
use crate::process::ServerProcess;
use crate::surveys::invited;

on_both!(
    killed_after_each_slice_there_is_one_ticket_for_the_answer,
    killed_before_each_commit_there_is_one_ticket_for_the_answer,
    killed_before_the_answer_is_kept_the_visitor_sends_it_again,
    killed_when_the_answer_was_durable_and_nobody_had_heard_of_it,
);

/// A shop with surveys, a desk, and the script that closes the loop.
struct Shop {
    folder: tempfile::TempDir,
    url: Option<String>,
    more: [String; 4],
    /// The page on which Ada's answer is sent.
    page: String,
}

/// What Ada sends: a bad score, and then the last page, with which the survey is complete.
const FIRST: &str = "page=0&asked=score&q_score=1";
const LAST: &str = "page=1&asked=wrong+call&q_wrong=It+burned";

impl Shop {
    async fn new(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (scripts, plugins) = (folder.path().join("scripts"), folder.path().join("plugins"));
        for name in ["surveys/nps", "surveys/csat", "automations/closed-loop"] {
            let path = scripts.join(format!("{name}.rhai"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(project().join(format!("scripts/{name}.rhai")), path).unwrap();
        }
        for name in ["desk", "survey"] {
            copy_plugin(name, &plugins.join(name));
        }
        let more = ["--scripts".to_owned(), shown(&scripts), "--plugins".to_owned(), shown(&plugins)];
        let mut shop = Self { folder, url: database.url(), more, page: String::new() };
        let server = shop.start(None).await;
        shop.page = shop.asked(&server.client).await;
        assert_eq!(server.stop().await, 0);
        shop
    }

    /// Ada is asked, and gives her score.
    async fn asked(&self, client: &Client) -> String {
        let ada = json!({ "customer_no": "ada", "name": "Ada", "email": "ada@x.example" });
        client.post("/v1/records/customer", ada).await.expect(201);
        let thanks = json!({ "name": "closed-loop-thanks", "subject": "Thank you", "text": "{{ number }} is solved." });
        client.post("/v1/records/template", thanks).await.expect(201);
        for script in ["surveys/nps", "surveys/csat"] {
            client.post("/v1/actions/survey.publish", json!({ "script": script })).await.expect(200);
        }
        let page = invited(client, json!({ "customer": "customer_no:ada" })).await;
        client.without_key().send(form(&page, FIRST)).await.expect(303);
        page
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The file whose presence lets a server die at its place.
    fn now(&self) -> PathBuf {
        self.folder.path().join("now")
    }

    /// Starts a server that dies at this place once it is told to.
    async fn start(&self, place: Option<&str>) -> ServerProcess {
        let now = shown(&self.now());
        let environment = place.map(|place| [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.as_str())]);
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        let environment = environment.as_ref().map_or(&[][..], |all| &all[..]);
        ServerProcess::start_in(environment, &self.data(), self.url.as_deref(), &more).await
    }

    /// Sends the last page to a server that dies at this place.
    async fn dies_at(&self, place: &str) {
        let server = self.start(Some(place)).await;
        std::fs::write(self.now(), "").unwrap();
        let reply = server.client.without_key().try_send(form(&self.page, LAST)).await;
        assert!(reply.is_none_or(|reply| reply.status == 303), "nothing was refused");
        assert!(server.died(), "nothing passed `{place}`");
    }

    /// Starts a server that goes on where the last one died, until it dies at this place.
    fn dies_on_at(&self, place: &str) {
        let now = shown(&self.now());
        let environment = [("RAPPORT_CRASH_AT", place), ("RAPPORT_CRASH_IF", now.as_str())];
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        let died = ServerProcess::dies_at_start(&environment, &self.data(), self.url.as_deref(), &more);
        assert!(died, "nothing passed `{place}`");
    }

    /// Starts a server that is left in peace, and looks at what has become of the answer.
    async fn one_ticket(&self) {
        std::fs::remove_file(self.now()).unwrap();
        let server = self.start(None).await;
        let client = &server.client;
        // A visitor whose browser got no answer sends the page again.
        let again = client.without_key().send(form(&self.page, LAST)).await;
        assert!(matches!(again.status, 303 | 410), "{} {}", again.status, again.text());
        let opened = || async { (records(client, "ticket").await.len() == 1 && rests(client).await).then_some(()) };
        eventually("the ticket", opened).await;
        let answers = records(client, "survey_answer").await;
        let texts = answers.iter().filter(|answer| answer.to_string().contains("It burned")).count();
        assert_eq!((texts, records(client, "survey_response").await.len()), (1, 1), "{answers:?}");
        assert_eq!((count(client, "survey.completed").await, count(client, "desk.ticket_opened").await), (1, 1));
        let ticket = records(client, "ticket").await.remove(0);
        assert_eq!((&ticket["number"], &ticket["subject"]), (&json!("T-1001"), &json!("nps 1 in nps")));
        assert_eq!((&ticket["kind"], &ticket["priority"]), (&json!("feedback"), &json!("urgent")));
        // The loop goes on from there: solved, Ada is thanked, once.
        act(client, "solve", json!({ "ticket": "T-1001" })).await;
        let thanked = || async { (messages(client).await.len() == 1 && rests(client).await).then_some(()) };
        eventually("the thanks", thanked).await;
        assert_eq!(messages(client).await[0]["text"], "T-1001 is solved.");
        assert!(client.get("/v1/runs?status=dead&limit=1").await.items().is_empty());
        let report = client.get("/v1/audit/verify").await.expect(200).json();
        assert!(report["first_bad"].is_null(), "{report}");
        assert_eq!(server.stop().await, 0);
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn form(page: &str, body: &str) -> Request {
    Request::new("POST", page).body("application/x-www-form-urlencoded", body)
}

async fn records(client: &Client, object: &str) -> Vec<Value> {
    client.get(&format!("/v1/records/{object}?limit=1000")).await.expect(200).items()
}

async fn messages(client: &Client) -> Vec<Value> {
    client.get("/v1/messages?limit=1000").await.expect(200).items()
}

async fn count(client: &Client, kind: &str) -> usize {
    let all = client.get("/v1/events?limit=1000").await.expect(200).items();
    all.iter().filter(|event| event["type"] == kind).count()
}

/// Whether no run is left to do; the loop itself waits.
async fn rests(client: &Client) -> bool {
    let of = |status: &str| format!("/v1/runs?status={status}&limit=1");
    let [pending, retrying, waiting] = ["pending", "retrying", "waiting"].map(|status| client.get_owned(of(status)));
    pending.await.items().is_empty() && retrying.await.items().is_empty() && !waiting.await.items().is_empty()
}

async fn killed_after_each_slice_there_is_one_ticket_for_the_answer(database: Database) {
    let shop = Shop::new(database).await;
    // The answer is kept; then the loop has asked for a ticket, the ticket is there, the loop knows.
    shop.dies_at("slice.committed").await;
    for _ in 0..3 {
        shop.dies_on_at("slice.committed");
    }
    shop.one_ticket().await;
}

async fn killed_before_each_commit_there_is_one_ticket_for_the_answer(database: Database) {
    let shop = Shop::new(database).await;
    shop.dies_at("slice.committed").await;
    for place in
        ["slice.executed", "slice.committed", "slice.executed", "slice.executed", "slice.committed", "slice.executed"]
    {
        shop.dies_on_at(place);
    }
    shop.one_ticket().await;
}

async fn killed_before_the_answer_is_kept_the_visitor_sends_it_again(database: Database) {
    let shop = Shop::new(database).await;
    shop.dies_at("slice.executed").await;
    shop.one_ticket().await;
}

async fn killed_when_the_answer_was_durable_and_nobody_had_heard_of_it(database: Database) {
    let shop = Shop::new(database).await;
    shop.dies_at("commit.durable").await;
    shop.dies_on_at("slice.taken");
    shop.one_ticket().await;
}
