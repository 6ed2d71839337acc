use std::time::Duration;

use rapport_model::run::run_id;
use rapport_model::{Digest, RunStatus};

use super::*;

fn item(position: i64, lane: u8) -> Item {
    let automation = AutomationId::new("points").unwrap();
    let run = Run {
        id: run_id(&automation, position, Timestamp::EPOCH),
        automation,
        digest: Digest::of(b""),
        position,
        lane: Some(RecordId(Uuid::from_bytes([lane; 16]))),
        depth: 0,
        status: RunStatus::Pending,
        attempt: 0,
        wake_at: None,
        wake_event: None,
        wake_index: None,
        created_at: Timestamp::EPOCH,
        finished_at: None,
        error: None,
        trace: None,
    };
    Item { run: Arc::new(run), event: None }
}

fn popped(lanes: &Lanes) -> Vec<i64> {
    std::iter::from_fn(|| lanes.pop()).map(|i| i.run.position).collect()
}

#[test]
fn a_lane_works_on_one_run_at_a_time_and_in_order() {
    let lanes = Lanes::new(10);
    lanes.push([item(1, 1), item(2, 1), item(3, 2)].into_iter());
    assert_eq!(popped(&lanes), [1, 3]);
    lanes.done(&item(1, 1).run);
    assert_eq!(popped(&lanes), [2]);
}

#[test]
fn a_run_is_queued_once_however_often_it_is_pushed() {
    let lanes = Lanes::new(10);
    lanes.push([item(1, 1)].into_iter());
    lanes.push_again(item(1, 1));
    assert_eq!(lanes.load().queued, 1);
}

#[test]
fn past_the_limit_runs_wait_in_the_database() {
    let lanes = Lanes::new(2);
    lanes.push((1..=4).map(|n| item(n, 1)));
    assert_eq!((lanes.load().queued, lanes.load().more), (2, true));
    assert_eq!(lanes.missing(), None, "there is no room yet");
    assert_eq!(popped(&lanes), [1]);
    lanes.done(&item(1, 1).run);
    assert_eq!(lanes.missing().unwrap().unwrap().0, 2);
    lanes.push_fetched(vec![item(3, 1)], Fetched::Part);
    assert!(lanes.load().more);
    lanes.push_fetched(vec![item(4, 1)], Fetched::All);
    assert!(!lanes.load().more);
}

#[test]
fn a_fetch_that_missed_a_later_run_is_not_the_last() {
    let lanes = Lanes::new(1);
    lanes.push([item(1, 1), item(2, 1), item(5, 1)].into_iter());
    popped(&lanes);
    lanes.push_fetched(vec![item(2, 1)], Fetched::All);
    assert!(lanes.load().more, "run 5 is still only in the database");
}

#[test]
fn a_sleeping_run_wakes_when_it_is_due() {
    let lanes = Lanes::new(10);
    let at = Timestamp::from_micros(5);
    lanes.sleep_until(at, item(1, 1));
    assert_eq!(lanes.wake_due(Timestamp::from_micros(4)), Some(at));
    assert_eq!(popped(&lanes), Vec::<i64>::new());
    assert_eq!(lanes.wake_due(at), None);
    let told = lanes.wake.notified();
    tokio::pin!(told);
    assert!(told.as_mut().enable(), "the dispatcher is told");
    assert_eq!(popped(&lanes), [1]);
}

#[tokio::test]
async fn a_slice_that_holds_several_lanes_waits_for_them_and_keeps_others_out() {
    let lanes = Arc::new(Lanes::new(10));
    lanes.push([item(1, 1), item(2, 2), item(3, 2)].into_iter());
    assert_eq!(popped(&lanes), [1, 2]);
    let holder = lanes.clone();
    let task = tokio::spawn(async move {
        let run = item(1, 1).run;
        let other = RecordId(Uuid::from_bytes([2; 16]));
        let held = holder.hold_several(&run, &[other]).await;
        assert_eq!(popped(&holder), Vec::<i64>::new(), "run 3 must wait");
        drop(held);
        assert_eq!(popped(&holder), [3]);
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!task.is_finished(), "lane 2 is busy");
    lanes.done(&item(2, 2).run);
    task.await.unwrap();
}

#[tokio::test]
async fn two_slices_that_want_each_others_lane_both_get_through() {
    let lanes = Arc::new(Lanes::new(10));
    lanes.push([item(1, 1), item(2, 2)].into_iter());
    assert_eq!(popped(&lanes).len(), 2);
    let work = |position, own, other: u8| {
        let lanes = lanes.clone();
        tokio::spawn(async move {
            let run = item(position, own).run;
            drop(lanes.hold_several(&run, &[RecordId(Uuid::from_bytes([other; 16]))]).await);
            lanes.done(&run);
        })
    };
    let both = futures::future::join(work(1, 1, 2), work(2, 2, 1));
    let (one, two) = tokio::time::timeout(Duration::from_secs(5), both).await.expect("no deadlock");
    one.and(two).unwrap();
    assert_eq!(lanes.load(), Load::default());
}

#[test]
fn at_a_start_with_nothing_stored_nothing_is_missing() {
    let lanes = Lanes::new(10);
    lanes.expect_stored();
    assert_eq!(lanes.missing(), Some(None));
    lanes.push_fetched(Vec::new(), Fetched::All);
    assert_eq!(lanes.missing(), None);
}

/// The same as a run that a fan-out started.
fn of_fan_out(position: i64, lane: u8) -> Item {
    let Item { run, .. } = item(position, lane);
    let event = Event {
        position,
        origin: None,
        kind: rapport_model::EventType::new(EACH).unwrap(),
        subject: None,
        lane: run.lane,
        time: Timestamp::EPOCH,
        recorded_at: Timestamp::EPOCH,
        actor: rapport_model::Actor::System,
        run: None,
        cause: None,
        depth: 0,
        body: None,
    };
    Item { run, event: Some(Arc::new(event)) }
}

#[test]
fn fresh_work_goes_before_a_fan_out_which_still_gets_on() {
    let lanes = Lanes::new(1_000);
    lanes.push((1..=30).map(|n| of_fan_out(n, u8::try_from(n).unwrap())));
    lanes.push((101..=118).map(|n| item(n, u8::try_from(n).unwrap())));
    let order = popped(&lanes);
    assert_eq!(order[..9], [101, 102, 103, 104, 105, 106, 107, 108, 1], "one comes after some fresh ones");
    assert_eq!(order[17], 2);
    assert_eq!((order.len(), lanes.load().fan_out), (18 + 8, 30), "the others of the fan-out wait for those at work");
    lanes.done(&of_fan_out(1, 1).run);
    assert_eq!((popped(&lanes), lanes.load().fan_out), (vec![9], 29));
}

/// The same as a run that an event of the run `by` started.
fn set_off(position: i64, lane: u8, by: &Item) -> Item {
    let Item { run, event } = of_fan_out(position, lane);
    let mut event = Arc::unwrap_or_clone(event.unwrap());
    event.kind = rapport_model::EventType::new("points.settled").unwrap();
    event.run = Some(by.run.id);
    Item { run, event: Some(Arc::new(event)) }
}

#[test]
fn what_a_schedule_sets_off_gives_way_too_and_what_an_event_sets_off_does_not() {
    let lanes = Lanes::new(1_000);
    let mut due = item(1, 1);
    let mut event = Arc::unwrap_or_clone(of_fan_out(1, 1).event.unwrap());
    event.kind = rapport_model::EventType::new(DUE).unwrap();
    due.event = Some(Arc::new(event));
    let ordinary = item(2, 2);
    lanes.push([due.clone(), ordinary.clone()].into_iter());
    assert_eq!((popped(&lanes), lanes.load().fan_out), (vec![1, 2], 0), "the run of the schedule itself is fresh");
    // While they work, what they have committed sets off others; and those again others.
    let second = set_off(3, 3, &due);
    lanes.push([second.clone(), set_off(4, 4, &ordinary)].into_iter());
    lanes.done(&due.run);
    assert_eq!((popped(&lanes), lanes.load().fan_out), (vec![4, 3], 1));
    assert!(lanes.gives_way(&second.run) && !lanes.gives_way(&ordinary.run));
    lanes.push([set_off(5, 5, &second), item(6, 6)].into_iter());
    lanes.done(&second.run);
    assert_eq!((popped(&lanes), lanes.load().fan_out), (vec![6, 5], 1));
}

#[test]
fn fresh_work_behind_a_run_of_a_fan_out_takes_it_along() {
    let lanes = Lanes::new(1_000);
    lanes.push((1..=20).map(|n| of_fan_out(n, u8::try_from(n).unwrap())));
    lanes.push([item(101, 20)].into_iter());
    assert_eq!(popped(&lanes)[0], 20, "the lane keeps its order, but it does not wait with the fan-out");
    lanes.done(&of_fan_out(20, 20).run);
    assert_eq!(popped(&lanes)[0], 101);
}

#[test]
fn runs_from_the_database_belong_to_a_fan_out_if_their_automation_has_one() {
    let lanes = Lanes::new(1_000);
    lanes.set_fanning(HashSet::from([AutomationId::new("points").unwrap()]));
    lanes.push_fetched((1..=20).map(|n| item(n, u8::try_from(n).unwrap())).collect(), Fetched::Part);
    assert_eq!(popped(&lanes).len(), 8);
    lanes.set_fanning(HashSet::new());
    lanes.push_fetched(vec![item(101, 101)], Fetched::All);
    assert_eq!(popped(&lanes), [101]);
}

#[test]
fn a_forgotten_run_of_a_fan_out_is_counted_no_more() {
    let lanes = Lanes::new(10);
    lanes.push([of_fan_out(1, 1), of_fan_out(2, 1)].into_iter());
    lanes.forget(&of_fan_out(2, 1).run);
    assert_eq!(popped(&lanes), [1]);
    lanes.done(&of_fan_out(1, 1).run);
    assert_eq!(lanes.load(), Load::default());
}
