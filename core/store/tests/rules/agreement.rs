//! Memory, SQLite and PostgreSQL agree on random rules over random records, and on chosen ones at the edges.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rapport_model::rule::lookup::RecordLookup;
use rapport_model::rule::{Env, Params, Rule, Scope};
use rapport_model::{Name, Record, RecordId, Timestamp};

use crate::database::Database;
use crate::generate::{self, NOW, name, owner, param_types, schema, thing};

/// Records that a rule is tried on.
struct World {
    things: Vec<Arc<Record>>,
    owners: Vec<Arc<Record>>,
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
        Self { things, owners }
    }

    fn referenced(&self, thing: &Record) -> Vec<(Name, Arc<Record>)> {
        let id = thing.get("owner").as_ref_id();
        let owner = self.owners.iter().find(|owner| Some(owner.id) == id);
        owner.map(|owner| (name("owner"), owner.clone())).into_iter().collect()
    }

    fn in_memory(&self, rule: &Rule, params: &Params) -> BTreeSet<RecordId> {
        let holds = |thing: &&Arc<Record>| {
            let lookup = RecordLookup { record: thing, referenced: &self.referenced(thing) };
            rule.eval(&Env { now: Timestamp::from_micros(NOW), lookup: &lookup, params }).unwrap()
        };
        self.things.iter().filter(holds).map(|thing| thing.id).collect()
    }

    async fn fill(&self, databases: &mut [Database]) {
        for database in databases {
            database.fill(&thing(), &self.things).await;
            database.fill(&owner(), &self.owners).await;
        }
    }
}

fn parse(text: &str) -> Option<Rule> {
    Rule::parse(text, &Scope::Record(thing()), &schema(), &param_types()).ok()
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
    vec![Database::sqlite().await, Database::postgres(&postgres_url()).await]
}

fn postgres_url() -> String {
    std::env::var("RAPPORT_TEST_PG_URL").unwrap()
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
    let mut tried = 0;
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
    assert!(tried as u64 > worlds * 300, "only {tried} rules could be tried");
}
