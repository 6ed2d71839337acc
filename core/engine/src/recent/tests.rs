use rapport_model::{Actor, Timestamp};

use super::*;

fn event(position: i64, kind: &str) -> Arc<Event> {
    Arc::new(Event {
        position,
        origin: None,
        kind: EventType::new(kind).unwrap(),
        subject: None,
        lane: None,
        time: Timestamp::EPOCH,
        recorded_at: Timestamp::EPOCH,
        actor: Actor::System,
        run: None,
        cause: None,
        depth: 0,
        body: None,
    })
}

fn positions(found: Option<Vec<Arc<Event>>>) -> Option<Vec<i64>> {
    found.map(|events| events.iter().map(|event| event.position).collect())
}

#[test]
fn a_stretch_is_given_only_if_all_of_it_is_at_hand() {
    let (recent, paid) = (Recent::default(), EventType::new("order.paid").unwrap());
    recent.note(&[event(5, "order.paid"), event(6, "order.sent"), event(7, "order.paid")]);
    assert_eq!(positions(recent.events_between(&paid, 4, 7)), Some(vec![5, 7]));
    assert_eq!(positions(recent.events_between(&paid, 5, 7)), Some(vec![7]));
    assert_eq!(positions(recent.events_between(&paid, 3, 7)), None);
    assert_eq!(positions(recent.events_between(&paid, 5, 8)), None);
    assert_eq!(recent.event(6).map(|found| found.position), Some(6));
    assert!(recent.event(4).is_none() && recent.event(8).is_none());
}

#[test]
fn a_gap_forgets_what_was_before_it() {
    let recent = Recent::default();
    recent.note(&[event(5, "order.paid")]);
    recent.note(&[event(9, "order.paid")]);
    assert!(recent.event(5).is_none());
    assert_eq!(recent.event(9).map(|found| found.position), Some(9));
}

#[test]
fn the_oldest_events_go() {
    let (recent, max) = (Recent::default(), i64::try_from(EVENTS_MAX).unwrap());
    for position in 1..=max + 1 {
        recent.note(&[event(position, "order.paid")]);
    }
    assert!(recent.event(1).is_none());
    assert_eq!(recent.event(max + 1).map(|found| found.position), Some(max + 1));
}

#[test]
fn large_events_push_the_older_ones_out() {
    let recent = Recent::default();
    let large = |position| {
        let text = (rapport_model::Name::new("body").unwrap(), Value::text(&"x".repeat(EVENT_BYTES_MAX / 2)));
        let mut event = (*event(position, "order.paid")).clone();
        event.body = Some(Body::Data(vec![text]));
        Arc::new(event)
    };
    recent.note(&[event(1, "order.paid"), large(2)]);
    assert!(recent.event(1).is_some());
    recent.note(&[large(3)]);
    assert!(recent.event(1).is_none() && recent.event(2).is_none());
    assert!(recent.event(3).is_some());
    recent.note(&[event(4, "order.paid")]);
    let kept = [3, 4].map(|position| bytes_of(&recent.event(position).unwrap()));
    assert_eq!(recent.events().bytes, kept.iter().sum::<usize>());
}
