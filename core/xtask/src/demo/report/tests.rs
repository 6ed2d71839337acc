use super::*;

fn expected() -> Expected {
    let points = BTreeMap::from([("a".into(), 1_200), ("b".into(), 3)]);
    Expected { orders: 2, without_customer: 1, points, rated: ["a".into(), "b".into()].into() }
}

fn report() -> Report {
    Report {
        orders: 2,
        refused: BTreeMap::from([("customer: required".into(), 1)]),
        points: expected().points,
        tiers: BTreeMap::from([("silver".into(), 1), ("bronze".into(), 1)]),
        runs: BTreeMap::from([("points".into(), BTreeMap::from([("completed".into(), 2), ("dead".into(), 0)]))]),
    }
}

#[test]
fn a_workspace_that_agrees_passes() {
    report().compare(&expected()).unwrap();
}

#[test]
fn each_difference_is_named() {
    let mut wrong = report();
    wrong.orders = 3;
    wrong.points.insert("b".into(), 4);
    wrong.runs.get_mut("points").unwrap().insert("dead".into(), 1);
    let error = wrong.compare(&expected()).unwrap_err().to_string();
    for text in [
        "orders: 3 instead of 2",
        "points: 1,204 instead of 1,203",
        "points of customer b: 4 instead of 3",
        "stuck or dead: 1",
    ] {
        assert!(error.contains(text), "{text} in {error}");
    }
}

#[test]
fn two_errors_that_cancel_out_in_the_total_are_found() {
    let mut wrong = report();
    wrong.points.insert("a".into(), 1_201);
    wrong.points.insert("b".into(), 2);
    wrong.compare(&expected()).unwrap_err();
}

#[test]
fn a_missing_tier_is_a_difference() {
    let mut wrong = report();
    wrong.tiers = BTreeMap::from([("none".into(), 2)]);
    wrong.compare(&expected()).unwrap_err();
}

#[test]
fn the_table_names_every_figure() {
    let load = Load { events: 12, millis: 1_500 };
    let table = report().table(&expected(), Some(&load));
    let want = "  Orders taken               2
  Refused                    1  customer: required
  Customers                  2
  Runs of points             2  completed
  Points                 1,203  as summed from the file
  Tier silver                1  customers
  Tier bronze                1  customers
  Events a second            8  12 events in 1.5 s
";
    let squeezed =
        |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(squeezed(&table), squeezed(want));
}

#[test]
fn a_load_is_kept_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load.json");
    assert_eq!(Load::read(&path), None);
    Load { events: 5, millis: 7 }.write(&path).unwrap();
    assert_eq!(Load::read(&path), Some(Load { events: 5, millis: 7 }));
}

#[test]
fn refused_rows_are_counted_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refused.csv");
    assert_eq!(refused_by_reason(&path).unwrap(), BTreeMap::new());
    std::fs::write(&path, "line,reason\n4,\"no, sir\"\n5,\"no, sir\"\n6,other\n").unwrap();
    assert_eq!(refused_by_reason(&path).unwrap(), BTreeMap::from([("no, sir".into(), 2), ("other".into(), 1)]));
}

#[test]
fn runs_are_read_from_the_list_of_automations() {
    let answer = serde_json::json!({ "items": [{ "id": "a", "runs": { "completed": 3 } }] });
    assert_eq!(runs_by_automation(&answer).unwrap()["a"]["completed"], 3);
    runs_by_automation(&serde_json::json!({ "items": [{ "id": "a" }] })).unwrap_err();
}
