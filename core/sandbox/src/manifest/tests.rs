use rapport_model::FieldKind;

use super::*;

const HEAD: &str = "id = \"tiers\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Rapport\"\n";
const TRIGGER: &str = "[[triggers]]\nevent = \"customer.updated\"\nchanged = [\"points\"]\n";

fn problem(text: &str) -> String {
    Manifest::parse(text).unwrap_err().to_string()
}

#[test]
fn the_shortest_manifest_is_a_head_and_a_trigger() {
    let manifest = Manifest::parse(&format!("{HEAD}{TRIGGER}")).unwrap();
    assert_eq!((manifest.id.as_str(), manifest.version.as_str(), manifest.api.as_str()), ("tiers", "0.1.0", "0.1"));
    assert_eq!(manifest.declaration.triggers[0].changed, [Name::new("points").unwrap()]);
    assert!(manifest.reasons.is_empty());
}

#[test]
fn everything_that_can_be_declared_is_read() {
    let text = format!(
        "{HEAD}title = \"All\"\n{TRIGGER}\
         [[capabilities]]\nright = \"customer.tier:write\"\nreason = \"writes the tier\"\n\
         [[fields]]\nobject = \"customer\"\nname = \"tier\"\ntype = \"choice\"\noptions = [\"a\", \"b\"]\ndefault = \"a\"\nindexed = true\n\
         [[fields]]\nobject = \"customer\"\nname = \"best_friend\"\ntype = \"reference(customer)\"\n\
         [[fields]]\nobject = \"customer\"\nname = \"rate\"\ntype = \"decimal\"\nscale = 4\n\
         [[objects]]\nname = \"voucher\"\nlane = \"owner\"\n\
         fields = {{ code = {{ type = \"text\", unique = true }}, owner = \"reference(customer)\" }}\n\
         [[event_types]]\nname = \"tier.changed\"\nsubject_optional = true\nfields = {{ from = \"text\" }}\n\
         [settings]\nsilver_from = 1000\nrate = 0.5\nnames = [\"a\"]\n"
    );
    let manifest = Manifest::parse(&text).unwrap();
    let d = &manifest.declaration;
    assert_eq!(manifest.reasons[0].1, "writes the tier");
    assert_eq!(d.uses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["customer.tier:write"]);
    assert!(d.fields[0].field.indexed && d.fields[0].field.default == Some("a".into()));
    assert!(matches!(&d.fields[1].field.kind, FieldKind::Reference { object } if object.as_str() == "customer"));
    assert_eq!(d.fields[2].field.kind, FieldKind::Decimal { scale: 4 });
    assert_eq!(d.objects[0].lane, Some(Name::new("owner").unwrap()));
    assert!(d.objects[0].field("code").unwrap().unique);
    assert!(d.event_types[0].subject_optional);
    assert_eq!(d.settings.len(), 3);
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    assert!(
        problem(&format!("{HEAD}titel = \"x\"\n{TRIGGER}")).ends_with("unknown key `titel`; did you mean `title`?")
    );
    let text = format!("{HEAD}{TRIGGER}[[capabilities]]\nright = \"customer:read\"\nreasn = \"x\"\n");
    assert_eq!(problem(&text), "plugin.toml: [[capabilities]] number 1: unknown key `reasn`; did you mean `reason`?");
    let text =
        format!("{HEAD}{TRIGGER}[[fields]]\nobject = \"customer\"\nname = \"a\"\ntype = \"text\"\nunigue = true\n");
    assert!(problem(&text).contains("did you mean `unique`?"));
    let text = format!("{HEAD}{TRIGGER}[[triggers]]\nevnt = \"a.b\"\n");
    assert!(problem(&text).contains("[[triggers]] number 2: unknown key `evnt`; did you mean `event`?"));
}

#[test]
fn what_is_missing_is_named() {
    for key in ["id", "version", "api", "publisher"] {
        let head: Vec<&str> = HEAD.lines().filter(|l| !l.starts_with(key)).collect();
        let head = head.join("\n") + "\n";
        assert!(problem(&format!("{head}{TRIGGER}")).contains(&format!("`{key}` is missing")), "{key}");
    }
    assert!(problem(HEAD).contains("nothing starts the plugin"));
}

#[test]
fn a_right_without_a_reason_is_refused() {
    let text = format!("{HEAD}{TRIGGER}[[capabilities]]\nright = \"customer:read\"\nreason = \" \"\n");
    assert!(problem(&text).contains("needs a `reason`"));
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    for (tail, told) in [
        ("[[capabilities]]\nright = \"customer:own\"\nreason = \"x\"\n", "`customer:own` is not a right"),
        ("[[capabilities]]\nright = 1\nreason = \"x\"\n", "[[capabilities]] number 1: "),
        (
            "[[fields]]\nobject = \"customer\"\nname = \"a\"\ntype = \"txt\"\n",
            "field `a`: there is no field type `txt`; did you mean `text`?",
        ),
        ("[[fields]]\nobject = \"Customer\"\nname = \"a\"\ntype = \"text\"\n", "`object`: `Customer` is not a name"),
        (
            "[[fields]]\nobject = \"c\"\nname = \"a\"\ntype = \"integer\"\ndefault = \"x\"\n",
            "the default of `a` does not fit",
        ),
        (
            "[[objects]]\nname = \"voucher\"\nlane = \"owner\"\n",
            "`lane` names the field `owner`, which the object does not have",
        ),
        ("[[event_types]]\nname = \"tier\"\n", "`name`: `tier` is not a event type"),
        ("[[event_types]]\nname = \"a.b\"\nfields = 1\n", "`fields` is a table"),
        ("[[triggers]]\nevent = \"order\"\n", "[[triggers]] number 2: "),
        ("[settings]\n\"Bad Name\" = 1\n", "[settings]: `Bad Name` is not a name"),
        ("[settings]\nx = nan\n", "is not a number to store"),
    ] {
        let told_by = problem(&format!("{HEAD}{TRIGGER}{tail}"));
        assert!(told_by.contains(told), "{tail}: {told_by}");
    }
}

#[test]
fn the_head_is_checked() {
    for (from, to, told) in [
        ("\"tiers\"", "\"Tiers\"", "`id`: "),
        ("\"tiers\"", "\"loyalty/tiers\"", "which only names of scripts do"),
        ("\"0.1.0\"", "\"1\"", "not three numbers"),
        ("\"0.1.0\"", "\"1.0.x\"", "not three numbers"),
        ("api = \"0.1\"", "api = \"0.2\"", "this host offers \"0.1\""),
        ("\"Rapport\"", "\" \"", "`publisher` is empty"),
        ("\"Rapport\"", "7", "`publisher` is a text, not integer"),
    ] {
        let told_by = problem(&format!("{}{TRIGGER}", HEAD.replacen(from, to, 1)));
        assert!(told_by.contains(told), "{to}: {told_by}");
    }
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    assert!(problem("id = ").contains("line 1"));
    assert!(problem(&format!("{HEAD}triggers = 1\n")).contains("write `[[triggers]]`"));
    assert!(problem(&format!("{HEAD}triggers = [1]\n")).contains("it is no table"));
}

#[test]
fn a_plugin_may_be_started_by_a_schedule_alone() {
    let schedule = "[[schedules]]\ncron = \"0 10 * * MON\"\nzone = \"Asia/Shanghai\"\nmisfire = \"skip\"\n";
    let declared = Manifest::parse(&format!("{HEAD}{schedule}")).unwrap().declaration;
    assert_eq!((declared.triggers.len(), declared.schedules.len()), (0, 1));
    assert_eq!(declared.schedules[0].misfire, rapport_model::schedule::Misfire::Skip);
    for (from, to, told) in [
        ("cron =", "crn =", "[[schedules]] number 1: unknown key `crn`; did you mean `cron`?"),
        ("MON", "32", "day of week `32`: write a number from 0 to 7"),
        ("Shanghai", "Shangai", "did you mean `Asia/Shanghai`?"),
        ("\"skip\"", "\"sometimes\"", "`misfire` cannot be \"sometimes\"; write one of skip, once, all"),
    ] {
        let told_by = problem(&format!("{HEAD}{}", schedule.replacen(from, to, 1)));
        assert!(told_by.contains(told), "{told_by}");
    }
}

#[test]
fn a_schedule_of_a_plugin_goes_through_records_too() {
    let each = "each = { object = \"customer\", rule = \"points > 10\", per_minute = 600 }\n";
    let schedule = format!("[[schedules]]\ncron = \"0 10 * * MON\"\nzone = \"UTC\"\n{each}");
    let right = "[[capabilities]]\nright = \"customer:read\"\nreason = \"reads whom it calls\"\n";
    let declared = Manifest::parse(&format!("{HEAD}{right}{schedule}")).unwrap().declaration;
    let each = declared.schedules[0].each.as_ref().unwrap();
    assert_eq!(
        (each.object.as_str(), each.rule.as_deref(), each.per_minute),
        ("customer", Some("points > 10"), Some(600))
    );
    for (from, to, told) in [
        ("object =", "objct =", "`each` has no option `objct`; did you mean `object`?"),
        ("object = \"customer\", ", "", "`each` names no `object`; write `each = {"),
        ("{ object = \"customer\", rule = \"points > 10\", per_minute = 600 }", "\"customer\"", "`each` is a table"),
    ] {
        let told_by = problem(&format!("{HEAD}{right}{}", schedule.replacen(from, to, 1)));
        assert!(told_by.contains(told), "{told_by}");
    }
    assert!(problem(&format!("{HEAD}{schedule}")).contains("`each` needs the right `customer:read`: add a"));
}
