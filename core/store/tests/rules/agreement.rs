//! Memory, SQLite and PostgreSQL agree on random rules over random records, and on chosen ones at the edges.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rapport_model::rule::lookup::RecordLookup;
use rapport_model::rule::tree::Base;
use rapport_model::rule::{Env, Lookup, Params, Rule, Scope};
use rapport_model::{Name, Record, RecordId, SegmentName, Timestamp, Value};

use crate::database::{Database, Stay};
use crate::generate::{self, NOW, name, owner, param_types, schema, thing};

/// Records that a rule is tried on.
struct World {
    things: Vec<Arc<Record>>,
    owners: Vec<Arc<Record>>,
    stays: Vec<Stay>,
}

/// Where rules find values, and who is in which segment.
struct WorldLookup<'a> {
    record: RecordLookup<'a>,
    stays: &'a [Stay],
}

impl WorldLookup<'_> {
    fn is_in(&self, segment: &SegmentName, id: RecordId) -> bool {
        self.stays.iter().any(|stay| stay.segment == segment.as_str() && stay.id == id && !stay.is_over)
    }
}

impl Lookup for WorldLookup<'_> {
    fn field(&self, name: &Name) -> Value {
        self.record.field(name)
    }

    fn other(&self, base: &Base, name: &Name) -> Value {
        self.record.other(base, name)
    }

    fn is_member(&self, segment: &SegmentName) -> bool {
        self.is_in(segment, self.record.record.id)
    }

    fn is_other_member(&self, segment: &SegmentName, record: RecordId) -> bool {
        self.is_in(segment, record)
    }
}

impl World {
    fn random(runner: &mut TestRunner) -> Self {
        let mut record = |object: &Arc<_>, number| {
            let tree = generate::record(object, number).new_tree(runner).unwrap();
            Arc::new(tree.current())
        };
        let things = (10..90).map(|number| record(&thing(), number)).collect();
        // Things refer to owners 1 to 8; the last is gone.
        let owners = (1..8).map(|number| record(&owner(), number)).collect();
        let mut stays = Vec::new();
        // One that is gone may be in a segment still. Who has left may have come again.
        for segment in generate::SEGMENTS {
            for number in (1..=8).chain(10..90) {
                for is_over in [true, false] {
                    if any::<bool>().new_tree(runner).unwrap().current() {
                        stays.push(Stay { segment, id: generate::id(number), is_over });
                    }
                }
            }
        }
        Self { things, owners, stays }
    }

    fn referenced(&self, thing: &Record) -> Vec<(Name, Arc<Record>)> {
        let id = thing.get("owner").as_ref_id();
        let owner = self.owners.iter().find(|owner| Some(owner.id) == id);
        owner.map(|owner| (name("owner"), owner.clone())).into_iter().collect()
    }

    fn in_memory(&self, rule: &Rule, params: &Params) -> BTreeSet<RecordId> {
        let holds = |thing: &&Arc<Record>| {
            let record = RecordLookup { record: thing, referenced: &self.referenced(thing) };
            let lookup = WorldLookup { record, stays: &self.stays };
            rule.eval(&Env { now: Timestamp::from_micros(NOW), lookup: &lookup, params }).unwrap()
        };
        self.things.iter().filter(holds).map(|thing| thing.id).collect()
    }

    async fn fill(&self, databases: &mut [Database]) {
        for database in databases {
            database.fill(&thing(), &self.things).await;
            database.fill(&owner(), &self.owners).await;
            database.fill_stays(&self.stays).await;
        }
    }
}

fn parse(text: &str) -> Option<Rule> {
    Rule::parse_with_members(text, &Scope::Record(thing()), &schema(), &param_types()).ok()
}

/// Fails with what differs.
async fn agree(world: &World, databases: &mut [Database], rule: &Rule, params: &Params) {
    let expected = world.in_memory(rule, params);
    for database in databases {
        let found = database.select(rule, params).await;
        let differs: Vec<_> = found.symmetric_difference(&expected).collect();
        if let Some(id) = differs.first() {
            let thing = world.things.iter().find(|thing| thing.id == **id);
            panic!(
                "{:?} disagrees on {} of {} records about\n{}\nwith {params:?}\nfor instance on {thing:?}\nof {:?}",
                database.dialect(),
                differs.len(),
                world.things.len(),
                rule.source(),
                thing.map(|thing| world.referenced(thing)),
            );
        }
    }
}

async fn databases() -> Vec<Database> {
    vec![Database::sqlite().await, Database::postgres(&rapport_test_support::pg::url()).await]
}

/// The number of worlds and of rules in each.
fn effort() -> (u64, usize) {
    let worlds = std::env::var("RAPPORT_RULE_WORLDS").ok().and_then(|text| text.parse().ok());
    (worlds.unwrap_or(4), 400)
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[tokio::test]
async fn random_rules_select_the_same_records_everywhere() {
    let mut databases = databases().await;
    let (worlds, rules) = effort();
    let mut tried: u64 = 0;
    for seed in 0..worlds {
        let mut runner = runner(seed);
        let world = World::random(&mut runner);
        world.fill(&mut databases).await;
        for _ in 0..rules {
            let text = generate::rule().new_tree(&mut runner).unwrap().current();
            let params = generate::params().new_tree(&mut runner).unwrap().current();
            if let Some(rule) = parse(&text) {
                agree(&world, &mut databases, &rule, &params).await;
                tried += 1;
            }
        }
    }
    assert!(tried > worlds * 300, "only {tried} rules could be tried");
}

/// Rules that once differed, or whose parts differ between the databases where nothing is done about it.
const CHOSEN: [&str; 49] = [
    // Brought to another scale, a literal leaves 64 bits.
    "whole == 9223372036854775807 + rate * n",
    "n * m * n * m == null",
    "n * m - n * m == 0",
    "(n * m) % 7 == 1",
    "(n * m) / 3 != m",
    "-(n * m) < 5",
    "n * m in [1, 49, 0]",
    "n * m == m * n",
    "n * m != m * n",
    // Different scales, beyond 64 bits when brought together.
    "n > rate",
    "n == rate",
    "rate >= n * 2",
    "n * n > rate",
    "owner.amount != rate",
    "n / m == 0",
    "n % m == 0",
    "n / (m - m) == null",
    // A quotient just below 1.
    "(0 * n + 9223372036854775806) / 9223372036854775807 == 0",
    // Texts: wildcards, case, length in characters, empty parts.
    "label.contains('%')",
    "label.endsWith(nick)",
    "label.startsWith(nick)",
    "nick.contains(label)",
    "label.endsWith('😀b')",
    "lower(label) == lower(nick)",
    "lower(label).startsWith('a')",
    "label < nick",
    "size(label) > size(nick)",
    // Days at their very edge.
    "days_since(at) >= 1",
    "days_since(at) > 1",
    "days_since(at) < 1",
    "days_since(at) <= 1",
    "days_since(at) == 1",
    "days_since(at) != 1",
    "days_since(at) <= 0.5",
    "days_since(day) >= 1 && days_since(day) <= 2",
    // A microsecond apart.
    "at + duration('1us') == until",
    "at - duration('1us') == until",
    // Days and instants, before 1970 and on a night of daylight saving.
    "days_since(at) == days_since(until)",
    "days_since(day) - days_since(due) > 0",
    "at + duration('700000d') > until",
    "at - duration('700000d') < timestamp('0001-01-01T00:00:00Z')",
    "days_since(until - duration('36h')) != 1",
    // Null against null, two-valued.
    "!(label == nick) && !(label != owner.label)",
    "(ok == done) == (n < m)",
    "!(owner.n < 5) == !owner.ok",
    // Who is in a segment; an empty reference is in none.
    "in_segment('near', owner)",
    "!in_segment('near', owner)",
    "owner == null && !in_segment('near', owner) || in_segment('far')",
    "!(in_segment('near') && !in_segment('far', owner)) && owner.n > 0",
];

#[tokio::test]
async fn chosen_rules_select_the_same_records_everywhere() {
    let mut databases = databases().await;
    for seed in 1_000..1_004 {
        let world = World::random(&mut runner(seed));
        world.fill(&mut databases).await;
        for text in CHOSEN {
            let rule = parse(text).unwrap_or_else(|| panic!("{text}"));
            agree(&world, &mut databases, &rule, &Params::none()).await;
        }
    }
}

#[tokio::test]
async fn the_world_has_records_on_both_sides_of_most_rules() {
    let mut runner = runner(9);
    let world = World::random(&mut runner);
    let (mut tried, mut divided) = (0, 0);
    for _ in 0..500 {
        let text = generate::rule().new_tree(&mut runner).unwrap().current();
        let params = generate::params().new_tree(&mut runner).unwrap().current();
        if let Some(rule) = parse(&text) {
            let found = world.in_memory(&rule, &params).len();
            tried += 1;
            divided += usize::from(found > 0 && found < world.things.len());
        }
    }
    assert!(divided * 2 > tried, "only {divided} of {tried} rules told records apart");
}
