use rapport_model::plugin::{Access, CallerKind, Method, OnFailure};
use rapport_model::{FieldKind, Name};

use super::*;

const HEAD: &str = "id = \"tiers\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"Rapport\"\n";
const TRIGGER: &str = "[[triggers]]\nevent = \"customer.updated\"\nchanged = [\"points\"]\n";

fn problem(text: &str) -> String {
    Manifest::parse(text).unwrap_err().to_string()
}

#[test]
fn the_shortest_manifest_is_a_head_and_a_trigger() {
    let manifest = Manifest::parse(&format!("{HEAD}{TRIGGER}")).unwrap();
    assert_eq!(
        (manifest.id.as_str(), manifest.version.to_string().as_str(), manifest.api.as_str()),
        ("tiers", "0.1.0", "0.1")
    );
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

/// The files beside the manifests below.
fn files(path: &str) -> Option<Vec<u8>> {
    let text = match path {
        "schemas/redeem.json" => {
            r#"{"input": {"type": "object", "required": ["customer"], "properties": {"customer": {"type": "string"}}},
                "output": {"type": "object"}}"#
        }
        "schemas/settings.json" => {
            r#"{"type": "object", "properties": {
                "tz": {"type": "string", "default": "Asia/Shanghai"},
                "block": {"type": "integer", "minimum": 1, "default": 1000}}}"#
        }
        "schemas/input.json" => r#"{"type": "string"}"#,
        "schemas/wrong.json" => r#"{"input": {"typ": "object"}}"#,
        "schemas/list.json" => "[]",
        "schemas/bare.json" => r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
        "schemas/broken.json" => "{",
        "scripts/earn.rhai" => "fn run(event) {}",
        "templates/welcome.txt" => "Dear {{ customer.name }}",
        _ => return None,
    };
    Some(text.into())
}

fn full() -> String {
    format!(
        r#"{HEAD}title = "All"
description = "Everything at once."
invocable = true
compensate = true
calls = ["vouchers.issue"]
scripts = ["scripts/earn.rhai"]
settings_schema = "schemas/settings.json"
{TRIGGER}
[[capabilities]]
right = "invoke:vouchers.issue"
reason = "issues vouchers"
[[capabilities]]
right = "order:read"
reason = "judges orders"
[[capabilities]]
right = "secret:partner-key"
reason = "knows partners"
[[objects]]
name = "voucher"
fields = {{ code = "text" }}
[[actions]]
name = "redeem"
title = "Spends"
schema = "schemas/redeem.json"
callers = ["plugins", "api"]
lane = "customer"
[[actions]]
name = "statement"
input = "schemas/input.json"
output = {{ type = "object", additionalProperties = false }}
readonly = true
[[routes]]
methods = ["POST", "GET"]
path = "/partners/{{partner}}/earn"
access = "signed"
secret = "partner-key"
per_minute = 10
body_bytes_max = 1000
[[hooks]]
object = "order"
fields = ["amount"]
on_failure = "closed"
[[migrations]]
from = "0.0.1"
to = "0.1.0"
title = "Moves"
[[templates]]
name = "welcome"
subject = "Hello"
text = "templates/welcome.txt"
[budgets]
fuel = 1000
kv_bytes = 10
[settings]
block = 500
rate = 0.5
[texts.zh-CN]
title = "等级"
actions = {{ redeem = "兑换" }}
settings = {{ tz = "时区" }}
objects = {{ voucher = "券" }}
fields = {{ "voucher.code" = "编号" }}
reasons = {{ "order:read" = "检查订单" }}
"#
    )
}

#[test]
fn what_only_plugins_declare_is_read() {
    let manifest = Manifest::read(&full(), &files).unwrap();
    let d = &manifest.declaration;
    let redeem = d.action("redeem").unwrap();
    assert_eq!(redeem.callers, [CallerKind::Api, CallerKind::Plugins]);
    assert_eq!(redeem.lane.as_ref().map(Name::as_str), Some("customer"));
    assert_eq!(redeem.input.as_ref().unwrap().misfits(&serde_json::json!({})).len(), 1);
    assert!(redeem.output.as_ref().unwrap().is_object());
    let statement = d.action("statement").unwrap();
    assert!(statement.readonly && statement.callers == CallerKind::DEFAULT);
    let route = &d.routes[0];
    assert_eq!((route.methods.as_slice(), route.access), (&[Method::Get, Method::Post][..], Access::Signed));
    assert_eq!((route.per_minute, route.body_bytes_max), (10, 1_000));
    assert_eq!((d.hooks[0].object.as_str(), d.hooks[0].on_failure), ("order", OnFailure::Closed));
    assert_eq!((d.budgets.fuel, d.budgets.kv_bytes, d.budgets.wall_ms), (Some(1_000), Some(10), None));
    assert!(d.compensate && d.invocable);
    assert_eq!(d.calls[0].to_string(), "vouchers.issue");
    assert_eq!(d.migrations[0].to, manifest.version);
    assert_eq!(d.brings, ["script:tiers/earn", "template:tiers.welcome"]);
    let settings: Vec<_> =
        d.settings.iter().map(|s| (s.name.as_str(), s.default.to_string(), s.schema.is_some())).collect();
    assert_eq!(
        settings,
        [
            ("block", "500".to_owned(), true),
            ("tz", "\"Asia/Shanghai\"".to_owned(), true),
            ("rate", "0.5".to_owned(), false)
        ]
    );
    let texts = &d.texts["zh-CN"];
    assert_eq!((texts["title"].as_str(), texts["action.redeem"].as_str(), texts.len()), ("等级", "兑换", 6));
    let files = [
        "schemas/input.json",
        "schemas/redeem.json",
        "schemas/settings.json",
        "scripts/earn.rhai",
        "templates/welcome.txt",
    ];
    assert_eq!(manifest.files, files);
    assert_eq!(manifest.brings.templates[0].text.as_deref(), Some("Dear {{ customer.name }}"));
}

#[test]
fn a_declaration_survives_being_stored() {
    let declaration = Manifest::read(&full(), &files).unwrap().declaration;
    let text = serde_json::to_string(&declaration).unwrap();
    assert_eq!(serde_json::from_str::<Declaration>(&text).unwrap(), declaration);
}

#[test]
fn every_key_at_every_level_is_known() {
    for (from, to, told) in [
        ("compensate =", "compensat =", "unknown key `compensat`; did you mean `compensate`?"),
        (
            "title = \"Spends\"",
            "titel = \"Spends\"",
            "[[actions]] number 1: unknown key `titel`; did you mean `title`?",
        ),
        ("per_minute =", "per_minut =", "[[routes]] number 1: unknown key `per_minut`; did you mean `per_minute`?"),
        ("on_failure =", "on_failur =", "[[hooks]] number 1: unknown key `on_failur`; did you mean `on_failure`?"),
        ("from =", "form =", "[[migrations]] number 1: unknown key `form`; did you mean `from`?"),
        ("subject =", "subjct =", "[[templates]] number 1: unknown key `subjct`; did you mean `subject`?"),
        ("kv_bytes =", "kv_byte =", "[budgets]: unknown key `kv_byte`; did you mean `kv_bytes`?"),
        ("actions = {", "action = {", "[texts.zh-CN]: unknown key `action`; did you mean `actions`?"),
        ("right =", "rigth =", "[[capabilities]] number 1: unknown key `rigth`; did you mean `right`?"),
        ("changed =", "changd =", "[[triggers]] number 1: unknown key `changd`; did you mean `changed`?"),
    ] {
        let text = full().replacen(from, to, 1);
        let told_by = Manifest::read(&text, &files).unwrap_err().to_string();
        assert!(told_by.contains(told), "{to}: {told_by}");
    }
}

#[test]
fn the_lane_of_a_route_is_a_parameter_of_its_path() {
    let route =
        |lane: &str| format!("{HEAD}[[routes]]\npath = \"/m/{{customer}}\"\naccess = \"users\"\nlane = \"{lane}\"\n");
    let declared = Manifest::parse(&route("customer")).unwrap().declaration;
    assert_eq!(declared.routes[0].lane.as_ref().map(ToString::to_string).as_deref(), Some("customer"));
    let told = problem(&route("order"));
    assert!(told.contains("`lane` names `order`, which is no parameter of `/m/{customer}`: write `{order}`"), "{told}");
}

#[test]
fn what_only_plugins_declare_is_refused_with_its_place() {
    for (from, to, told) in [
        ("\"vouchers.issue\"]", "\"issue\"]", "`calls`: `issue` names no action"),
        (
            "\"vouchers.issue\"]",
            "\"vouchers.take\"]",
            "needs the right `invoke:vouchers.take`: add a `[[capabilities]]`",
        ),
        ("\"order:read\"", "\"customer:read\"", "a hook on `order` needs the right `order:read`"),
        ("\"secret:partner-key\"", "\"secret:other\"", "a signed route needs the right `secret:partner-key`"),
        ("\"secret:partner-key\"", "\"order:read\"", "the right `order:read` is declared twice"),
        ("schemas/redeem.json", "schemas/none.json", "`schema`: there is no file `schemas/none.json`"),
        (
            "schemas/redeem.json",
            "../redeem.json",
            "`../redeem.json` is no file that can be named here: write schemas/name.json",
        ),
        ("schemas/redeem.json", "/etc/passwd", "is no file that can be named here"),
        ("schemas/redeem.json", "schemas/wrong.json", "`schemas/wrong.json` /input: unknown keyword `typ`"),
        ("schemas/redeem.json", "schemas/list.json", "is no object with `input` and `output`"),
        ("schemas/redeem.json", "schemas/settings.json", "unknown key `properties`; known are input, output"),
        ("schemas/redeem.json", "schemas/broken.json", "`schemas/broken.json`: "),
        (
            "schema = \"schemas/redeem.json\"",
            "schema = \"schemas/redeem.json\"\ninput = {}",
            "leave out `input` and `output`",
        ),
        ("output = {", "output = 5 # {", "`output` is a JSON Schema or the path of one, not integer"),
        ("additionalProperties = false", "additionalProps = false", "`output`: unknown keyword `additionalProps`"),
        ("\"plugins\", \"api\"", "\"plugin\"", "`callers` cannot hold \"plugin\""),
        ("\"plugins\", \"api\"", "", "`callers` is empty"),
        ("lane = \"customer\"", "lane = \"order\"", "`lane` names `order`, which is no property"),
        ("readonly = true", "readonly = 1", "`readonly` is true or false"),
        ("\"statement\"", "\"redeem\"", "the action `redeem` is declared twice"),
        ("\"statement\"", "\"Statement\"", "`name`: `Statement` is not a name"),
        ("\"POST\", \"GET\"", "\"FETCH\"", "`methods` cannot hold \"FETCH\""),
        ("/partners/{partner}", "/partners/{Partner}", "`path`: "),
        ("\"signed\"", "\"open\"", "`access` cannot be \"open\"; write one of public, signed, users"),
        ("access = \"signed\"\n", "", "`access` is missing"),
        ("\"signed\"", "\"public\"", "only a signed route has a `secret`"),
        ("secret = \"partner-key\"\n", "", "a signed route names the `secret`"),
        ("per_minute = 10", "per_minute = 0", "`per_minute` is a whole number from 1 to 60000"),
        ("body_bytes_max = 1000", "body_bytes_max = 10000000", "`body_bytes_max` is a whole number from 1 to 1048576"),
        ("\"closed\"", "\"maybe\"", "`on_failure` cannot be \"maybe\"; write one of open, closed"),
        ("on_failure = \"closed\"\n", "", "`on_failure` is missing: write \"closed\" to refuse"),
        ("to = \"0.1.0\"", "to = \"0.0.1\"", "it goes from 0.0.1 to 0.0.1, which is not later"),
        ("to = \"0.1.0\"", "to = \"0.2.0\"", "later than the plugin's own `version` 0.1.0"),
        ("from = \"0.0.1\"", "from = \"x\"", "`from`: `x` is not three numbers"),
        ("scripts/earn.rhai", "scripts/none.rhai", "`scripts`: there is no file `scripts/none.rhai`"),
        ("scripts/earn.rhai", "earn.rhai", "`earn.rhai` is no file that can be named here: write scripts/name.rhai"),
        ("text = \"templates/welcome.txt\"\n", "", "it says nothing: name a file as `text` or `html`"),
        ("fuel = 1000", "fuel = -1", "[budgets]: `fuel` is a whole number from 1"),
        ("schemas/settings.json", "schemas/bare.json", "/properties/a: it needs a `default`"),
        ("schemas/settings.json", "schemas/input.json", "describes no object"),
        ("block = 500", "block = 0", "the default of `block` does not fit `schemas/settings.json`: expected 1 or more"),
        ("zh-CN", "chinese", "`chinese` is no language"),
        (
            "redeem = \"兑换\"",
            "redem = \"x\"",
            "`actions` has a text for `redem`, which is not declared; did you mean `redeem`?",
        ),
        ("\"order:read\" = ", "\"order:write\" = ", "`reasons` has a text for `order:write`"),
        ("\"All\"", "\"A\\u001bB\"", "`title` holds the character U+001B, which cannot be seen"),
        ("\"judges orders\"", "\"a\\u202Eb\"", "`reason` holds the character U+202E"),
    ] {
        let text = full().replacen(from, to, 1);
        assert_ne!(text, full(), "{from}");
        let told_by = Manifest::read(&text, &files).unwrap_err().to_string();
        assert!(told_by.contains(told), "{from} -> {to}: {told_by}");
    }
}

#[test]
fn two_routes_for_one_request_are_refused() {
    let route = |path: &str| format!("[[routes]]\npath = \"{path}\"\naccess = \"public\"\n");
    let told = problem(&format!("{HEAD}{}{}", route("/a/{x}"), route("/a/b")));
    assert!(told.contains("the routes `/a/{x}` and `/a/b` answer the same requests"), "{told}");
    assert!(Manifest::parse(&format!("{HEAD}{}{}", route("/a"), route("/b"))).is_ok());
}

#[test]
fn lists_and_texts_have_limits() {
    let one = |i| format!("[[capabilities]]\nright = \"o{i}:read\"\nreason = \"x\"\n");
    let rights = (0..201).map(one).collect::<Vec<String>>().concat();
    assert!(problem(&format!("{HEAD}{TRIGGER}{rights}")).contains("there are 201 `[[capabilities]]`, 200 are allowed"));
    let title = format!("title = \"{}\"\n", "x".repeat(201));
    assert!(problem(&format!("{HEAD}{title}{TRIGGER}")).contains("`title` is longer than 200 characters"));
    assert!(problem(&format!("# {}\n{HEAD}", "x".repeat(300_000))).contains("it has more than 262144 bytes"));
}

#[test]
fn a_field_of_a_manifest_is_indexed_with_others() {
    let declared = |list: &str| {
        format!(
            "{HEAD}{TRIGGER}[[objects]]\nname = \"answer\"\n[objects.fields]\nnumber = \"integer\"\n\
             item = {{ type = \"text\", indexed = true, indexed_with = {list} }}\n\
             [[fields]]\nobject = \"answer\"\nname = \"channel\"\ntype = \"text\"\nindexed_with = [\"item\"]\n"
        )
    };
    let manifest = Manifest::parse(&declared("[\"number\"]")).unwrap();
    let item = manifest.declaration.objects[0].field("item").unwrap();
    assert_eq!((item.indexed, item.indexed_with[0].as_str()), (true, "number"));
    assert_eq!(manifest.declaration.fields[0].field.indexed_with[0].as_str(), "item");
    for (list, why) in [
        (
            "[]",
            "`indexed_with` is a list of 1 to 8 names of fields, not []; write `indexed_with` as `[\"customer\", \"number\"]`",
        ),
        ("[\"number\", \"item\"]", "`indexed_with` names `item` itself: the index begins with it anyway"),
        ("[\"Number\"]", "name"),
    ] {
        let problem = problem(&declared(list));
        assert!(
            problem.starts_with("plugin.toml: [[objects]] number 1: field `item`: ") && problem.contains(why),
            "{problem}"
        );
    }
    let rollup = "[[rollups]]\nobject = \"customer\"\nname = \"n\"\nfunction = \"count\"\nover = \"order\"\nindexed_with = [\"name\"]\n";
    assert!(problem(&format!("{HEAD}{TRIGGER}{rollup}")).contains("unknown key `indexed_with`"));
}
