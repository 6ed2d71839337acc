use super::*;
use crate::id::RecordId;
use crate::record::Record;
use crate::time::Timestamp;
use crate::value::{INTEGER_MAX, Value};
use rust_decimal::Decimal;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn field(text: &str, kind: FieldKind) -> FieldDef {
    FieldDef::new(name(text), kind)
}

fn rollup(function: Function, of: Option<&str>) -> Rollup {
    let (object, via) = (name("child"), name("parent"));
    Rollup { function, object, via, field: of.map(name), condition: None, by: None }
}

fn with(text: &str, kind: FieldKind, rollup: Rollup) -> FieldDef {
    FieldDef { rollup: Some(Box::new(rollup)), ..field(text, kind) }
}

const MONEY: FieldKind = FieldKind::Decimal { scale: 2 };

fn schema(fields: Vec<FieldDef>) -> Schema {
    let mut schema = Schema::default();
    let child = vec![
        field("parent", FieldKind::Reference { object: name("parent") }),
        field("amount", MONEY),
        field("points", FieldKind::Integer),
        field("at", FieldKind::Date),
        field("title", FieldKind::Text),
        field("extra", FieldKind::Json),
    ];
    for (object, fields) in [("parent", fields), ("child", child)] {
        let object = ObjectDef::new(name(object), Origin::Custom, None, fields);
        schema.objects.insert(object.name.clone(), Arc::new(object));
    }
    settle(&mut schema);
    schema
}

fn all_functions() -> Vec<FieldDef> {
    let by = |function| Rollup { by: Some(name("at")), ..rollup(function, Some("title")) };
    let condition = Some("amount > 0 && title != 'b'".to_owned());
    vec![
        with("children", FieldKind::Integer, rollup(Function::Count, None)),
        with("titled", FieldKind::Integer, rollup(Function::Count, Some("title"))),
        with("good", FieldKind::Integer, Rollup { condition, ..rollup(Function::Count, None) }),
        with("total", MONEY, rollup(Function::Sum, Some("amount"))),
        with("points", FieldKind::Integer, rollup(Function::Sum, Some("points"))),
        with("least", MONEY, rollup(Function::Min, Some("amount"))),
        with("latest", FieldKind::Date, rollup(Function::Max, Some("at"))),
        with("mean", FieldKind::Decimal { scale: 1 }, rollup(Function::Average, Some("amount"))),
        with("mean_points", FieldKind::Decimal { scale: 3 }, rollup(Function::Average, Some("points"))),
        with("first_title", FieldKind::Text, by(Function::First)),
        with("last_title", FieldKind::Text, by(Function::Last)),
        with("newest", FieldKind::Text, rollup(Function::Last, Some("title"))),
    ]
}

/// A small generator: the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn id(n: u8) -> RecordId {
    RecordId::from_parts(0, [n; 10])
}

fn random_child(dice: &mut Dice, schema: &Schema, n: u8) -> Record {
    let large = i64::try_from(dice.roll(9)).unwrap();
    let amount = match dice.roll(5) {
        0 => Value::Null,
        1 => Value::Decimal(Decimal::new(999_999_999_999_999, 2)),
        2 => Value::Decimal(Decimal::new(-999_999_999_999_990, 2)),
        _ => Value::Decimal(Decimal::new(large * 7 - 20, 2)),
    };
    let points = match dice.roll(5) {
        0 => Value::Null,
        1 => Value::Int(INTEGER_MAX),
        2 => Value::Int(-INTEGER_MAX),
        _ => Value::Int(large - 4),
    };
    let parent =
        if dice.roll(8) == 0 { Value::Null } else { Value::Ref(id(200 + u8::try_from(dice.roll(2)).unwrap())) };
    let day = i8::try_from(dice.roll(4)).unwrap() + 1;
    let at = if day == 1 { Value::Null } else { Value::Date(jiff::civil::date(2026, 3, day)) };
    let title = [Value::Null, Value::text("a"), Value::text("b"), Value::text("c")]
        [usize::try_from(dice.roll(4)).unwrap()]
    .clone();
    let object = schema.object("child").unwrap().clone();
    let time = Timestamp::EPOCH.plus_micros(i64::try_from(dice.roll(3)).unwrap());
    let values = vec![parent, amount, points, at, title];
    Record { object, id: id(n), version: 1, created_at: time, updated_at: time, values }
}

fn recomputed(kept: &Kept, parent: &Record, children: &[Option<Record>]) -> Vec<(usize, Value)> {
    let mut total = Total::default();
    for share in children.iter().flatten().filter_map(|child| kept.share(child)).filter(|s| s.parent == parent.id) {
        kept.add(&mut total, &share);
    }
    kept.settled(&parent.object, &total)
}

#[test]
fn what_is_kept_step_by_step_is_what_a_recomputation_gives() {
    let schema = schema(all_functions());
    check_all(&schema).unwrap();
    let rollups = Rollups::new(&schema);
    let object = schema.object("parent").unwrap().clone();
    let mut parents: Vec<Record> =
        [200, 201].map(|n| crate::image::created(&object, id(n), Timestamp::EPOCH, &[]).unwrap()).into();
    let mut children: Vec<Option<Record>> = vec![None; 12];
    let (mut dice, mut asked) = (Dice(7), 0);
    for _ in 0..20_000 {
        let n = usize::try_from(dice.roll(12)).unwrap();
        let next = (dice.roll(3) > 0).then(|| random_child(&mut dice, &schema, u8::try_from(n).unwrap()));
        let before = std::mem::replace(&mut children[n], next);
        for kept in rollups.over(&name("child")) {
            let (old, new) =
                (before.as_ref().and_then(|c| kept.share(c)), children[n].as_ref().and_then(|c| kept.share(c)));
            for parent in &mut parents {
                let of = |share: &Option<Share>| share.clone().filter(|s| s.parent == parent.id);
                let set = match kept.next(parent, of(&old).as_ref(), of(&new).as_ref()) {
                    Next::Same => Vec::new(),
                    Next::Set(values) => values,
                    Next::Ask => {
                        asked += 1;
                        recomputed(kept, parent, &children)
                    }
                };
                for (place, value) in set {
                    parent.set_at(place, value);
                }
                for (place, value) in recomputed(kept, parent, &children) {
                    assert_eq!(parent.at(place), &value, "{}", kept.name);
                }
            }
        }
    }
    assert!(asked > 0);
}

#[test]
fn a_sum_that_leaves_its_range_is_null_and_comes_back() {
    let schema = schema(vec![with("points", FieldKind::Integer, rollup(Function::Sum, Some("points")))]);
    let kept = &Rollups::new(&schema).all()[0].clone();
    let most = i128::from(INTEGER_MAX);
    assert_eq!(kept::in_range(&kept.kind, most + 1), Value::Null);
    let total = Total { count: 2, sum: most, best: None };
    assert_eq!(kept.settled(schema.object("parent").unwrap(), &total), vec![(0, Value::Int(INTEGER_MAX))]);
}

#[test]
fn an_average_is_rounded_half_away_from_zero() {
    let schema = schema(vec![with("mean", MONEY, rollup(Function::Average, Some("points")))]);
    let kept = &Rollups::new(&schema).all()[0].clone();
    let of =
        |sum, count| kept.settled(schema.object("parent").unwrap(), &Total { count, sum, best: None })[0].1.clone();
    assert_eq!(of(1, 8), Value::Decimal(Decimal::new(13, 2)), "0.125");
    assert_eq!(of(-1, 8), Value::Decimal(Decimal::new(-13, 2)), "-0.125");
    assert_eq!(of(1, 3), Value::Decimal(Decimal::new(33, 2)));
    assert_eq!(of(0, 0), Value::Null);
}

fn refused(def: FieldDef) -> String {
    check_all(&schema(vec![def])).unwrap_err()
}

#[test]
fn a_roll_up_that_cannot_be_kept_is_refused_with_what_to_write() {
    let when = |text: &str| Rollup { condition: Some(text.into()), ..rollup(Function::Count, None) };
    let count = |rollup| refused(with("n", FieldKind::Integer, rollup));
    assert!(count(when("days_since(at) < 3")).contains("reads the clock, but a roll-up changes when a child does"));
    let through = count(when("parent.n > 3"));
    assert!(
        through.contains("it may read fields of `child` alone. Keep what it needs in a field of `child`"),
        "{through}"
    );
    assert!(count(when("amont > 3")).contains("did you mean `amount`"));
    assert!(count(Rollup { via: name("title"), ..rollup(Function::Count, None) }).contains("no reference to `parent`"));
    assert!(count(Rollup { object: name("nobody"), ..rollup(Function::Count, None) }).contains("is no object"));
    assert!(count(rollup(Function::Sum, Some("title"))).contains("no `sum` of a field that holds text"));
    assert!(count(rollup(Function::Max, None)).contains("must say of which field"));
    assert!(count(Rollup { by: Some(name("at")), ..rollup(Function::Count, None) }).contains("goes with `first`"));
    assert!(refused(with("n", FieldKind::Text, rollup(Function::Last, Some("extra")))).contains("no `last`"));
    assert!(refused(with("n", FieldKind::Text, rollup(Function::Count, None))).contains("holds integer"));
    let required = FieldDef { required: true, ..with("n", FieldKind::Integer, rollup(Function::Count, None)) };
    assert!(refused(required).contains("not required"));
}

#[test]
fn roll_ups_over_roll_ups_run_in_no_circle() {
    let mut schema = schema(vec![with("total", FieldKind::Integer, rollup(Function::Sum, Some("sum_of_all")))]);
    let mut child = (**schema.object("child").unwrap()).clone();
    child.fields.push(with(
        "sum_of_all",
        FieldKind::Integer,
        Rollup {
            function: Function::Sum,
            object: name("parent"),
            via: name("child"),
            field: Some(name("total")),
            condition: None,
            by: None,
        },
    ));
    let mut parent = (**schema.object("parent").unwrap()).clone();
    parent.fields.push(field("child", FieldKind::Reference { object: name("child") }));
    for object in [child, parent] {
        schema.objects.insert(object.name.clone(), Arc::new(object));
    }
    assert!(check_all(&schema).unwrap_err().contains("must not run in a circle"));
}
