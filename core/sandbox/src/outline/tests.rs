use serde_json::json;

use super::*;

fn read(path: &str, outline: &str) -> Result<Declaration, Vec<Diagnostic>> {
    let Examined { declaration, undeclared, .. } = examine(path, outline)?;
    if undeclared.is_empty() { Ok(declaration) } else { Err(undeclared) }
}

fn outline(statements: &Json, calls: &Json) -> String {
    json!({ "title": "t", "statements": statements, "calls": calls, "problems": [] }).to_string()
}

fn on() -> Json {
    json!({ "call": "on", "args": ["order.created"], "line": 1, "column": 1 })
}

#[test]
fn an_outline_becomes_a_declaration() {
    let uses = json!({ "call": "uses", "args": [["customer:read"], "emit:a.b"], "line": 2, "column": 1 });
    let declared = read("x.rhai", &outline(&json!([on(), uses]), &json!([]))).unwrap();
    assert_eq!(declared.title, "t");
    assert_eq!(declared.uses.len(), 2);
    assert_eq!(declared.triggers, [Trigger { event: "order.created".into(), changed: vec![], condition: None }]);
}

#[test]
fn problems_come_in_the_order_of_lines() {
    let bad = |line| json!({ "call": "uses", "args": ["nothing"], "line": line, "column": 1 });
    let call = json!({ "call": "get", "object": "customer", "fields": [], "line": 5, "column": 2 });
    let wrong = read("x.rhai", &outline(&json!([on(), bad(9), bad(3)]), &json!([call]))).unwrap_err();
    assert_eq!(wrong.iter().map(|d| d.line).collect::<Vec<_>>(), [3, 5, 9]);
}

#[test]
fn what_is_no_outline_is_told_not_trusted() {
    for text in ["", "[]", "{}", "{\"title\":1}"] {
        assert!(read("x.rhai", text).unwrap_err()[0].message.contains("cannot be read"), "{text}");
    }
}

#[test]
fn each_call_needs_its_narrowest_right() {
    let fields = ["points".to_owned()];
    let needs = |call, object| missing(&[], call, object, &fields);
    assert_eq!(needs("get", "customer"), ["customer:read"]);
    assert_eq!(needs("count", "customer"), ["customer:read"]);
    assert_eq!(needs("increment", "customer"), ["customer.points:write"]);
    assert_eq!(needs("create", "task"), ["task:create"]);
    assert_eq!(needs("delete", "task"), ["task:delete"]);
    assert_eq!(needs("emit", "tier.changed"), ["emit:tier.changed"]);
    assert_eq!(needs("upsert", "customer"), ["customer:create", "customer.points:write"]);
}

#[test]
fn a_wider_right_covers_a_narrower_call() {
    let uses = ["customer:write".parse().unwrap(), "emit:tier.*".parse().unwrap()];
    assert!(missing(&uses, "upsert", "customer", &["points".into()]).is_empty());
    assert!(missing(&uses, "emit", "tier.changed", &[]).is_empty());
    assert_eq!(missing(&uses, "get", "customer", &[]), ["customer:read"]);
}

#[test]
fn a_kind_is_written_short_or_long() {
    let none = Map::new();
    let kind = |text| field_kind(text, &none).unwrap();
    assert_eq!(kind("decimal"), FieldKind::Decimal { scale: 2 });
    assert_eq!(kind("decimal(4)"), FieldKind::Decimal { scale: 4 });
    assert_eq!(kind("choice(a | b)"), FieldKind::Choice { options: vec!["a".into(), "b".into()] });
    assert_eq!(kind("reference(customer)"), FieldKind::Reference { object: Name::new("customer").unwrap() });
    let long = json!({ "options": ["x"], "object": "order" });
    assert_eq!(
        field_kind("choice", long.as_object().unwrap()).unwrap(),
        FieldKind::Choice { options: vec!["x".into()] }
    );
    assert!(matches!(field_kind("reference", long.as_object().unwrap()).unwrap(), FieldKind::Reference { .. }));
}

#[test]
fn a_kind_that_is_none_names_the_nearest() {
    let none = Map::new();
    assert_eq!(field_kind("txt", &none).unwrap_err().1, "did you mean `text`?");
    assert!(field_kind("blob", &none).unwrap_err().1.starts_with("use one of text"));
    for bad in ["decimal(x)", "decimal(7)", "choice()", "choice(|)", "reference", "reference(Big)", "decimal(2"] {
        // An open bracket is read as no number of decimals.
        assert!(field_kind(bad, &none).is_err() || bad == "decimal(2", "{bad}");
    }
}

#[test]
fn a_message_of_the_interpreter_is_taken_apart() {
    let d = from_message("a/b.rhai", "a/b.rhai:3:14: there is no x: y");
    assert_eq!((d.line, d.column, d.message.as_str()), (3, 14, "there is no x: y"));
    let d = from_message("a/b.rhai", "something else");
    assert_eq!((d.line, d.column, d.message.as_str()), (0, 0, "something else"));
}

#[test]
fn a_trigger_is_a_type_a_prefix_or_everything() {
    for good in ["order.created", "order.*", "a.b.*", "*"] {
        assert_eq!(event_trigger_problem(good), None, "{good}");
    }
    for bad in ["order", "order*.x", ".*", "Order.created", "*.created", ""] {
        assert!(event_trigger_problem(bad).is_some(), "{bad}");
    }
}

#[test]
fn a_schedule_alone_starts_a_script() {
    let every = |args: Json| json!([{ "call": "every", "args": args, "line": 2, "column": 1 }]);
    let options = json!({ "misfire": "all", "overlap": "queue" });
    let read_one = |args: Json| read("x.rhai", &outline(&every(args), &json!([])));
    let declared = read_one(json!(["0 10 * * MON", "Asia/Shanghai", options])).unwrap();
    assert_eq!(declared.schedules[0].cron.as_str(), "0 10 * * MON");
    assert_eq!(
        serde_json::to_value(&declared.schedules).unwrap(),
        json!([{ "cron": "0 10 * * MON", "zone": "Asia/Shanghai", "misfire": "all", "overlap": "queue" }])
    );
    for (args, told) in [
        (json!(["0 10 * * MUN", "UTC"]), "day of week `MUN`: did you mean `MON`?"),
        (json!(["0 10 * * MON", "Asia/Shangai"]), "did you mean `Asia/Shanghai`?"),
        (json!([10, "UTC"]), "expected a cron expression such as \"0 10 * * MON\", got 10"),
        (json!(["0 10 * * *", "UTC", { "misfires": "once" }]), "a schedule has no option `misfires`"),
        (json!(["0 10 * * *", "UTC", { "overlap": "never" }]), "`overlap` cannot be \"never\""),
        (json!(["0 10 * * *", "UTC", 7]), "expected a map of options, got 7"),
    ] {
        let wrong = read_one(args).unwrap_err();
        assert!(wrong[0].line == 2 && wrong[0].message.contains(told), "{wrong:?}");
    }
}

#[test]
fn schedules_are_held_against_each_other() {
    let one = |cron: String| json!({ "call": "every", "args": [cron, "UTC"], "line": 2, "column": 1 });
    let read_all = |all: Vec<Json>| read("x.rhai", &outline(&json!(all), &json!([])));
    let many = |count: usize| (0..count).map(|minute| one(format!("{minute} * * * *"))).collect();
    assert_eq!(read_all(many(16)).unwrap().schedules.len(), 16);
    assert!(read_all(many(17)).unwrap_err()[0].message.contains("at most 16 schedules"));
    let twice = vec![one("0 1 * * *".into()), one("0 1 * * *".into())];
    assert!(read_all(twice).unwrap_err()[0].message.contains("is declared twice"));
}

#[test]
fn each_belongs_to_all_schedules_and_needs_one() {
    let at = |line: u32, call: &str, args: Json| json!({ "call": call, "args": args, "line": line, "column": 3 });
    let every = |line, cron: &str| at(line, "every", json!([cron, "UTC"]));
    let uses = || at(9, "uses", json!(["customer:read"]));
    let all = |statements: Vec<Json>| read("x.rhai", &outline(&json!(statements), &json!([])));
    let each = |args: Json| at(2, "each", args);
    let full = json!(["customer", " points > 10 ", { "per_minute": 600 }]);
    let declared = all(vec![each(full), every(3, "0 1 * * *"), every(4, "0 2 * * *"), uses()]).unwrap();
    let want = json!({ "object": "customer", "rule": "points > 10", "per_minute": 600 });
    for schedule in &declared.schedules {
        assert_eq!(json!(schedule.each), want);
    }
    let everybody = all(vec![each(json!(["customer"])), every(3, "0 1 * * *"), uses()]).unwrap();
    assert_eq!(json!(everybody.schedules[0].each), json!({ "object": "customer" }));
    let alone = all(vec![each(json!(["customer"])), uses()]).unwrap_err();
    assert_eq!((alone.len(), alone[0].line, alone[0].column), (1, 2, 3));
    assert_eq!(alone[0].message, "`each` says for which records, but nothing says when");
    let unread = all(vec![each(json!(["customer"])), every(3, "0 1 * * *")]).unwrap_err();
    assert!(unread[0].message.contains("needs the right `customer:read`"), "{unread:?}");
    for (args, told) in [
        (json!([7]), "expected the name of an object, got 7"),
        (json!(["Customer"]), "is not a name"),
        (json!(["customer", 7]), "expected a rule such as \"points > 1000\", got 7"),
        (json!(["customer", "", { "per_minut": 5 }]), "`each` has no option `per_minut`"),
        (json!(["customer", "", { "per_minute": 1_000_001 }]), "`per_minute` cannot be 1000001"),
        (json!(["customer", "", { "per_minute": 1.5 }]), "`per_minute` cannot be 1.5"),
    ] {
        let wrong = all(vec![each(args), every(3, "0 1 * * *"), uses()]).unwrap_err();
        assert!(wrong[0].line == 2 && wrong[0].message.contains(told), "{wrong:?}");
    }
}

#[test]
fn a_field_is_indexed_with_others_by_their_names() {
    let field = |options: Json| {
        let args = json!(["customer", "item", "text", options]);
        let field = json!({ "call": "field", "args": args, "line": 2, "column": 1 });
        read("x.rhai", &outline(&json!([on(), field]), &json!([]))).map(|declared| declared.fields[0].field.clone())
    };
    let list = field(json!({ "indexed_with": ["city", "country"] })).unwrap();
    assert_eq!(list.indexed_with.iter().map(Name::as_str).collect::<Vec<_>>(), ["city", "country"]);
    assert!(!list.indexed);
    for (wrong, message) in [
        (json!([]), "`indexed_with` is a list of 1 to 8 names of fields, not []"),
        (json!("city"), "`indexed_with` is a list of 1 to 8 names of fields, not \"city\""),
        (json!([1]), "expected the name of a field, got 1"),
        (json!(["item"]), "`indexed_with` names `item` itself: the index begins with it anyway"),
        (json!(["city", "city"]), "`indexed_with` names `city` twice"),
        (json!(["a", "b", "c", "d", "e", "f", "g", "h", "i"]), "`indexed_with` names 9 fields: 8 at most"),
    ] {
        assert_eq!(field(json!({ "indexed_with": wrong })).unwrap_err()[0].message, message);
    }
    let help = &field(json!({ "indexed_wit": ["city"] })).unwrap_err()[0].help;
    assert_eq!(help, "did you mean `indexed_with`?");
}
