//! Listen and act: customers of a segment are asked by mail, some are unhappy, each of these gets a ticket by what the customer is worth, and the
//! loop is closed to its end: solved, thanked, asked again.
//!
//! No message leaves: mails are captured, and this program answers in the customers' place. What they answer is made up, the same in each demo, and
//! said to be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::story::Teller;
use crate::http::Answer;
use crate::server::Server;
use crate::workspace::root;

/// Whose members get an address, and are asked.
const ASKED: &str = "big-spenders";
/// The segments by which scores are told, each by its rule over the customer of an answer: one is kept by name.
const SEGMENTS: [(&str, &str); 4] = [
    ("United Kingdom", "customer.country == 'United Kingdom'"),
    ("abroad", "in_segment('abroad', customer)"),
    ("20 orders and more", "customer.order_count >= 20"),
    ("10,000 and more", "customer.lifetime_value >= 10000"),
];
/// How many tickets are solved before the eyes of the reader.
const SOLVED: usize = 12;
/// How long mails and runs may take.
const WAIT_MAX: Duration = Duration::from_mins(3);
/// The status of an answer to who asks too often.
const TOO_MANY: u16 = 429;
/// The surveys, each with the subject of its mails: the first one, and what is asked when a ticket was solved.
const FIRST: (&str, &str) = ("nps", "Your order with us");
const SECOND: (&str, &str) = ("csat", "Our help");

/// Tells all of it.
///
/// # Errors
/// If a command fails, or what must follow does not.
pub(crate) fn tell(teller: &Teller<'_>, server: &Server) -> Result<()> {
    println!(
        "Listen and act: customers in `{ASKED}` get an address, enter the segment `lapsed`, and a script asks them by mail.\n"
    );
    let listening = Listening { teller, server };
    listening.set_up()?;
    let asked = listening.ask()?;
    let answered = listening.answer(FIRST, simulated)?;
    println!(
        "  {asked} were asked by mail (captured, none left); {answered} answers now, simulated from each customer's number.\n"
    );
    println!("How likely are they to recommend us? By segment, with 95 % intervals:\n");
    listening.scores()?;
    println!("\nWho would not has a ticket, due in business time by what the customer is worth:\n");
    listening.tickets()?;
    listening.close_the_loop()
}

/// What somebody answers to a question, by the seed of who it is; none: it is left empty.
type Opinion = fn(&str, u64) -> Option<String>;

/// Of the first survey: about a fifth would not recommend us, a half would.
fn simulated(question: &str, seed: u64) -> Option<String> {
    let (score, said) = match seed % 100 {
        n @ 0..22 => (n % 7, if n % 2 == 0 { "The parcel came late." } else { "Two mugs were broken." }),
        n @ 22..50 => (7 + n % 2, "It was all right."),
        n => (9 + n % 2, "Quick and friendly."),
    };
    match question {
        "score" => Some(score.to_string()),
        "call" => None,
        _ => Some(said.to_owned()),
    }
}

/// Of the second one: most whose trouble was solved are content.
fn content(question: &str, seed: u64) -> Option<String> {
    let content = if seed.is_multiple_of(5) { 3 } else { 4 + seed % 2 };
    match question {
        "content" => Some(content.to_string()),
        "easy" => Some((content + 2).to_string()),
        "solved" => Some("yes".to_owned()),
        _ => None,
    }
}

/// The same number for the same text: FNV-1a.
fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        >> 7
}

struct Listening<'a> {
    teller: &'a Teller<'a>,
    server: &'a Server,
}

impl Listening<'_> {
    /// Calendar, templates, settings, and both surveys.
    fn set_up(&self) -> Result<()> {
        let hours = json!([["09:00", "17:30"]]);
        let week: BTreeMap<String, Value> = (1..=5).map(|day: u32| (day.to_string(), hours.clone())).collect();
        let calendar =
            json!({ "tz": "Europe/London", "hours": week, "holidays": ["2026-12-25", "2026-12-28", "2027-01-01"] });
        self.put("calendar", "name", &json!({ "name": "shop", "title": "The shop", "definition": calendar }))?;
        for (name, subject, file) in [
            ("survey.invitation_en", "{{ title }}", "plugins/survey/templates/invitation-en.txt"),
            ("survey.invitation_zh", "{{ title }}", "plugins/survey/templates/invitation-zh.txt"),
            ("desk.reply", "[{{ number }}] {{ subject }}", "plugins/desk/templates/reply.txt"),
            ("desk.received", "[{{ number }}] {{ subject }}", "plugins/desk/templates/received.txt"),
        ] {
            let text = std::fs::read_to_string(root().join(file)).with_context(|| format!("there is no {file}"))?;
            self.put("template", "name", &json!({ "name": name, "subject": subject, "text": text }))?;
        }
        let thanks = json!({ "name": "closed-loop-thanks", "subject": "Thank you for telling us",
            "text": "We have looked after it ({{ number }}). Thank you." });
        self.put("template", "name", &thanks)?;
        let address = format!("base_url=http://{}", self.server.address);
        for set in [
            &["survey", &address, "rest_days:=0"][..],
            &["desk", "targets=desk/targets"],
            &["desk/targets", "calendar=shop"],
            &["automations/closed-loop", "ask_again_after=1 seconds", "second_survey=csat"],
        ] {
            self.teller.rapport(&[&["automation", "set"], set].concat())?;
        }
        for (survey, _) in [FIRST, SECOND] {
            self.action("survey.publish", &json!({ "script": format!("surveys/{survey}") }))?;
        }
        Ok(())
    }

    /// Gives the members of the segment an address, by which they enter the one that is asked; says how many mails there are.
    fn ask(&self) -> Result<usize> {
        let page = self.server.get(&format!("/v1/segments/{ASKED}/members?limit=1000"))?;
        let (mut lines, mut asked) = (String::new(), 0);
        for member in page["items"].as_array().into_iter().flatten() {
            let number = member["customer_no"].as_str().context("a member has no number")?;
            let row =
                json!({ "customer_no": number, "email": format!("{number}@customers.example"), "language": "en" });
            lines.push_str(&row.to_string());
            lines.push('\n');
            asked += 1;
        }
        let path = "/v1/records/customer/bulk?key=customer_no";
        let done = self.server.call("POST", path, "application/x-ndjson", lines.as_bytes())?;
        if !done.is_success() {
            bail!("the addresses were not taken: {} {}", done.status, done.excerpt());
        }
        self.wait("the mails", || {
            super::settle(self.server)?;
            Ok(self.mails(FIRST.1)?.len() >= asked)
        })?;
        Ok(asked)
    }

    /// Answers the mails of a survey in the customers' place; says how many responses there are.
    fn answer(&self, (survey, subject): (&str, &str), opinion: Opinion) -> Result<u64> {
        for mail in self.mails(subject)? {
            let text = mail["text"].as_str().unwrap_or_default();
            let Some(place) = text.find("/x/survey/") else { continue };
            let path: String = text[place..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
            let seed = seed(mail["to"].as_str().unwrap_or_default());
            self.fill_in(&path, |question| opinion(question, seed))?;
        }
        super::settle(self.server)?;
        let report = self.action("survey.report", &json!({ "survey": survey }))?;
        report["total"]["n"].as_u64().context("the report has no count")
    }

    /// Fills in the pages behind a link as a browser without scripts does.
    fn fill_in(&self, path: &str, opinion: impl Fn(&str) -> Option<String>) -> Result<()> {
        for _ in 0..10 {
            let page = self.visit("GET", path, b"")?;
            let html = String::from_utf8_lossy(&page.body).into_owned();
            // What was answered in an earlier demo stays.
            let Some(asked) = field(&html, "asked") else { return Ok(()) };
            let page = field(&html, "page").unwrap_or("0");
            let mut form = format!("page={page}&lang=en&asked={}", asked.replace(' ', "+"));
            for key in asked.split(' ') {
                if let Some(value) = opinion(key) {
                    write!(form, "&q_{key}={}", value.replace(' ', "+"))?;
                }
            }
            let sent = self.visit("POST", path, form.as_bytes())?;
            if sent.status != 303 {
                bail!("an answer was not taken: {} {}", sent.status, sent.excerpt());
            }
        }
        bail!("the survey at {path} does not end");
    }

    /// One request of a visitor. All customers answer from this one address here, so that the server has them wait now and then.
    fn visit(&self, method: &str, path: &str, form: &[u8]) -> Result<Answer> {
        let began = Instant::now();
        loop {
            let answer = self.server.call(method, path, "application/x-www-form-urlencoded", form)?;
            if answer.status != TOO_MANY || began.elapsed() > WAIT_MAX {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn scores(&self) -> Result<()> {
        let segments: BTreeMap<&str, &str> = SEGMENTS.into_iter().collect();
        let report = self.action("survey.report", &json!({ "survey": FIRST.0, "segments": segments }))?;
        println!("  {:<18}{:>8}{:>8}   INTERVAL", "", "ANSWERS", "NPS");
        let groups = report["groups"].as_array().into_iter().flatten();
        for (name, group) in
            groups.map(|group| (group["group"].as_str().unwrap_or_default(), group)).chain([("all", &report["total"])])
        {
            let number = |value: &Value| value.as_f64().map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
            let (n, interval) = (group["n"].as_u64().unwrap_or(0), &group["interval"]);
            println!(
                "  {name:<18}{n:>8}{:>8}   {} to {}",
                number(&group["score"]),
                number(&interval[0]),
                number(&interval[1])
            );
        }
        Ok(())
    }

    /// The tickets of the survey by tier, and the first that is due of each.
    fn tickets(&self) -> Result<()> {
        let mut by_tier: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for ticket in self.all_tickets()? {
            let tier = ticket["tier"].as_str().unwrap_or("none").to_owned();
            let due = ticket["resolution_due"].as_str().unwrap_or_default().to_owned();
            let entry = by_tier.entry(tier).or_insert_with(|| (0, due.clone()));
            entry.0 += 1;
            // One that is solved is due no more.
            if entry.1.is_empty() || (!due.is_empty() && due < entry.1) {
                entry.1 = due;
            }
        }
        if by_tier.is_empty() {
            bail!("nobody who was unhappy has a ticket");
        }
        println!("  {:<12}{:>8}   FIRST DUE", "TIER", "TICKETS");
        for (tier, (count, due)) in by_tier {
            println!("  {tier:<12}{count:>8}   {due}");
        }
        Ok(())
    }

    fn all_tickets(&self) -> Result<Vec<Value>> {
        self.server.records("ticket", "number,tier,status,resolution_due,channel")
    }

    /// Solves some tickets; each customer is thanked, and asked again.
    fn close_the_loop(&self) -> Result<()> {
        let all = self.all_tickets()?;
        let (solved, open): (Vec<&Value>, Vec<&Value>) =
            all.iter().partition(|ticket| matches!(ticket["status"].as_str(), Some("solved" | "closed")));
        // Those of an earlier demo count.
        let count = all.len().min(SOLVED);
        for ticket in open.into_iter().take(count.saturating_sub(solved.len())) {
            let input = json!({ "ticket": ticket["number"], "comment": "We have sent a new one. We are sorry." });
            self.action("desk.solve", &input)?;
        }
        println!(
            "\n{count} tickets are solved; the script thanks each customer, and asks again (after a second here, a week by default):\n"
        );
        self.wait("the second question", || {
            super::settle(self.server)?;
            Ok(self.mails(SECOND.1)?.len() >= count)
        })?;
        let answered = self.answer(SECOND, content)?;
        let report = self.action("survey.report", &json!({ "survey": SECOND.0 }))?;
        let total = &report["total"];
        println!(
            "  {answered} answered: {:.0} % are content (95 %: {:.0} to {:.0}); the mean is {:.1} of 5.\n",
            total["score"].as_f64().context("the second survey has no score")?,
            total["interval"][0].as_f64().unwrap_or_default(),
            total["interval"][1].as_f64().unwrap_or_default(),
            total["mean"].as_f64().unwrap_or_default(),
        );
        Ok(())
    }

    /// The mails of that subject.
    fn mails(&self, subject: &str) -> Result<Vec<Value>> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.server.get(&format!("/v1/messages?status=done&limit=1000{cursor}"))?;
            let items = page["items"].as_array().context("a page of messages has no `items`")?;
            found.extend(items.iter().filter(|mail| mail["subject"] == subject).cloned());
            let Some(next) = page["next"].as_str() else { return Ok(found) };
            cursor = format!("&cursor={next}");
        }
    }

    fn action(&self, name: &str, input: &Value) -> Result<Value> {
        super::program::action(self.teller.binary, self.server, name, input)
    }

    /// Creates a record, or makes it what it is to be.
    fn put(&self, object: &str, by: &str, record: &Value) -> Result<()> {
        let key = record[by].as_str().unwrap_or_default();
        let path = format!("/v1/records/{object}/{by}:{key}");
        let done = self.server.call("PUT", &path, "application/json", record.to_string().as_bytes())?;
        if !done.is_success() {
            bail!("{object} {key} was not taken: {} {}", done.status, done.excerpt());
        }
        Ok(())
    }

    fn wait(&self, what: &str, mut is_there: impl FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !is_there()? {
            if began.elapsed() > WAIT_MAX {
                bail!("{what} did not come within {} s\n{}", WAIT_MAX.as_secs(), self.server.last_output());
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    }
}

/// The value of a hidden field.
fn field<'h>(html: &'h str, name: &str) -> Option<&'h str> {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}
