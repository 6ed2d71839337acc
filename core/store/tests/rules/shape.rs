//! What the SQL looks like: bare columns where an index can serve, values bound, nothing of the rule's text in it.

use std::sync::Arc;

use rapport_model::rule::{Params, Rule, Scope};
use rapport_model::{Schema, Timestamp, Value};
use rapport_store::rule_sql::{Dialect, RuleSqlError, SqlBind, SqlRule, Target, compile};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::generate::{NOW, id, param_types, schema, thing};

fn sql_with(dialect: Dialect, rule: &str, params: &Params) -> SqlRule {
    let rule = Rule::parse_with_members(rule, &Scope::Record(thing()), &schema(), &param_types()).unwrap();
    let now = Timestamp::from_micros(NOW);
    compile(&rule, &Target { dialect, joined: false, now, params, first_placeholder: 1 }).unwrap()
}

fn sqlite(rule: &str) -> String {
    sql_with(Dialect::Sqlite, rule, &Params::none()).text
}

fn postgres(rule: &str) -> String {
    sql_with(Dialect::Postgres, rule, &Params::none()).text
}

#[test]
fn a_column_compared_with_a_value_stays_bare() {
    for sql in [sqlite, postgres] {
        assert_eq!(sql("label == 'x'"), "t.\"label\" = $1");
        assert_eq!(sql("7 < n"), "t.\"n\" > $1");
        assert_eq!(sql("amount >= 1.5"), "t.\"amount\" >= $1");
        assert_eq!(sql("at < now() - duration('1h')"), "t.\"at\" < $1");
        assert_eq!(sql("at + duration('1h') < now()"), "t.\"at\" < $1");
        assert_eq!(sql("label in ['a', lower('B')]"), "(t.\"label\" in ($1, $2))");
        assert_eq!(sql("ok && label == null"), "(t.\"ok\" = true and t.\"label\" is null)");
        assert_eq!(sql(&format!("owner == '{}'", id(1))), "t.\"owner\" = $1");
    }
}

#[test]
fn a_distance_in_days_becomes_a_bound_on_the_column() {
    for sql in [sqlite, postgres] {
        assert_eq!(sql("days_since(at) > 60"), "t.\"at\" <= $1");
        assert_eq!(sql("days_since(day) == 0"), "(t.\"day\" <= $1 and t.\"day\" > $2)");
    }
    let binds = sql_with(Dialect::Sqlite, "days_since(at) > 60", &Params::none()).binds;
    assert_eq!(binds, [SqlBind::Integer(NOW - 61 * 86_400_000_000)]);
}

#[test]
fn the_members_of_a_segment_are_read_once_for_all_that_refer_to_them() {
    let members = "t.\"owner\" in (select s.id from segment_stay as s where s.segment = $1 and s.left_at is null)";
    for sql in [sqlite, postgres] {
        assert_eq!(sql("in_segment('near', owner)"), members);
        assert_eq!(sql("!in_segment('near', owner)"), format!("({members}) is not true"));
        let own =
            "exists (select 1 from segment_stay as s where s.segment = $1 and s.id = t.\"id\" and s.left_at is null)";
        assert_eq!(sql("in_segment('near')"), own);
    }
    let rule = sql_with(Dialect::Postgres, "in_segment('near', owner) && n > 5", &Params::none());
    assert_eq!(rule.binds, [SqlBind::Text("near".into()), SqlBind::Integer(5)]);
    assert_eq!(rule.joins, "");
}

#[test]
fn a_prefix_becomes_a_range() {
    let rule = sql_with(Dialect::Postgres, "label.startsWith('ab')", &Params::none());
    assert_eq!(rule.text, "(t.\"label\" >= $1 and t.\"label\" < $2)");
    assert_eq!(rule.binds, [SqlBind::Text("ab".into()), SqlBind::Text("ac".into())]);
}

#[test]
fn a_number_that_a_column_cannot_hold_is_decided_at_once() {
    assert_eq!(sqlite("n == 0.5"), "false");
    assert_eq!(sqlite("n != 0.5"), "true");
    assert_eq!(sqlite("amount < 9223372036854775807"), "t.\"amount\" is not null");
    assert_eq!(sqlite("n in [0.5, 0.25]"), "false");
    assert_eq!(sql_with(Dialect::Sqlite, "n < 0.5", &Params::none()).binds, [SqlBind::Integer(0)]);
}

#[test]
fn arithmetic_that_cannot_overflow_is_not_tested_for_it() {
    assert_eq!(sqlite("n + m > 5"), "(t.\"n\" + t.\"m\") > $1");
    assert_eq!(sqlite("n * m > 5"), "(typeof((t.\"n\" * t.\"m\")) = 'integer' and (t.\"n\" * t.\"m\") > $1)");
}

#[test]
fn scales_that_do_not_fit_together_in_64_bits_are_compared_in_two_parts() {
    assert_eq!(sqlite("whole > amount"), "(t.\"whole\" * 100) > t.\"amount\"");
    assert_eq!(sqlite("n > rate"), "(t.\"n\", 0) > (t.\"rate\" / 1000000, t.\"rate\" % 1000000)");
}

#[test]
fn postgres_is_told_not_to_follow_its_locale_and_zone() {
    assert_eq!(postgres("lower(label) == 'x'"), "lower(t.\"label\" collate \"C\") = $1");
    let moved = "(t.\"at\" + interval '36 hours 0 seconds 1 microseconds') > t.\"until\"";
    assert_eq!(postgres("at + duration('36h1us') > until"), moved);
}

#[test]
fn a_negation_moves_to_the_comparison() {
    assert_eq!(
        sqlite("!(label == 'a' || n == null)"),
        "((t.\"label\" <> $1 or t.\"label\" is null) and t.\"n\" is not null)"
    );
    assert_eq!(sqlite("!(n < 5)"), "(t.\"n\" < $1) is not true");
    assert_eq!(sqlite("!!(n < 5)"), "t.\"n\" < $1");
}

#[test]
fn a_step_to_another_record_is_one_join_however_often_it_is_taken() {
    let rule = sql_with(Dialect::Sqlite, "owner.n > 1 && owner.label == 'x' || owner.ok", &Params::none());
    assert_eq!(rule.joins, " left join \"o_owner\" as \"r_owner\" on \"r_owner\".\"id\" = t.\"owner\"");
}

#[test]
fn placeholders_go_on_from_those_before() {
    let rule = Rule::parse("n > 1 && m < 2", &Scope::Record(thing()), &schema(), &param_types()).unwrap();
    let now = Timestamp::from_micros(NOW);
    let target =
        Target { dialect: Dialect::Postgres, joined: false, now, params: &Params::none(), first_placeholder: 5 };
    assert_eq!(compile(&rule, &target).unwrap().text, "(t.\"n\" > $5 and t.\"m\" < $6)");
}

#[test]
fn every_bound_value_has_its_placeholder() {
    for rule in ["(n > 5) == null", "(label == 'x') != null", "n + 3 == 0.5", "size(label) in [0.5]", "n * 7 in [0.1]"]
    {
        let rule = sql_with(Dialect::Postgres, rule, &Params::none());
        assert_eq!((rule.text.contains('$'), rule.binds.len()), (false, 0), "{}", rule.text);
    }
}

#[test]
fn nothing_of_a_text_gets_into_the_sql() {
    let evil = "\"; drop table o_thing; -- '";
    let params = Params::none().with("p_text", Value::text(evil));
    let literal = format!("label == '{}' || label.contains('drop')", evil.replace('\'', "\\'"));
    for rule in [literal.as_str(), "label.endsWith(p_text)", "lower(p_text) == nick"] {
        assert!(!sql_with(Dialect::Sqlite, rule, &params).text.contains("drop"), "{rule}");
    }
}

#[test]
fn the_text_does_not_change_with_the_time() {
    let rule = "days_since(at + duration('1h')) + n > 5 && days_since(day) + n < 5 && at < now()";
    let rule = Rule::parse(rule, &Scope::Record(thing()), &schema(), &param_types()).unwrap();
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let text = |micros| {
            let params = Params::none();
            let now = Timestamp::from_micros(micros);
            compile(&rule, &Target { dialect, joined: false, now, params: &params, first_placeholder: 1 }).unwrap().text
        };
        assert_eq!(text(NOW), text(NOW + 123_456_789));
    }
}

#[test]
fn a_rule_about_an_event_is_no_search() {
    let schema: Schema = schema();
    let rule = Rule::parse("before.n > 1", &Scope::Change(thing()), &schema, &param_types()).unwrap();
    let now = Timestamp::from_micros(NOW);
    let target = Target { dialect: Dialect::Sqlite, joined: false, now, params: &Params::none(), first_placeholder: 1 };
    assert_eq!(compile(&rule, &target), Err(RuleSqlError::Event { field: "n".into() }));
}

#[test]
fn a_parameter_that_does_not_fit_is_an_error() {
    let rule = Rule::parse("n > p_number", &Scope::Record(thing()), &schema(), &param_types()).unwrap();
    let now = Timestamp::from_micros(NOW);
    for params in [Params::none(), Params::none().with("p_number", Value::text("5"))] {
        let target = Target { dialect: Dialect::Sqlite, joined: false, now, params: &params, first_placeholder: 1 };
        assert!(matches!(compile(&rule, &target), Err(RuleSqlError::Params(_))));
    }
}

#[test]
fn a_rule_of_the_greatest_size_is_compiled_to_text_of_bounded_length() {
    let deep = format!("n{} > 0", " * m".repeat(29));
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        let length = sql_with(dialect, &deep, &Params::none()).text.len();
        assert!(length < 50_000, "{length} bytes");
    }
    let items = Arc::new(serde_json::json!((0..1_000).collect::<Vec<_>>()));
    let params = Params::none().with("p_numbers", Value::Json(items));
    assert_eq!(sql_with(Dialect::Postgres, "n in p_numbers", &params).binds.len(), 1_000);
}

#[test]
fn many_long_lists_are_refused_before_the_database_sees_them() {
    let items = Arc::new(serde_json::json!((0..1_000).collect::<Vec<_>>()));
    let params = Params::none().with("p_numbers", Value::Json(items));
    let text = ["n in p_numbers"; 11].join(" || ");
    let rule = Rule::parse(&text, &Scope::Record(thing()), &schema(), &param_types()).unwrap();
    let now = Timestamp::from_micros(NOW);
    let target = Target { dialect: Dialect::Sqlite, joined: false, now, params: &params, first_placeholder: 1 };
    assert!(matches!(compile(&rule, &target), Err(RuleSqlError::TooLarge { binds: 11_000, .. })));
}

#[tokio::test]
async fn an_index_serves_what_it_can() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let tables = "create table o_thing (id blob primary key, label text, n integer, amount integer, at integer, ok integer,
        owner blob) strict; create index a on o_thing (label); create index b on o_thing (n); create index c on o_thing (at);
        create index d on o_thing (owner); create table o_owner (id blob primary key, n integer) strict;";
    sqlx::raw_sql(tables).execute(&mut connection).await.unwrap();
    for rule in [
        "label == 'x'",
        "label.startsWith('x') && ok",
        "n > 5.5",
        "n in [1, 2]",
        "days_since(at) > 60",
        "owner == p_owner",
        "!(label != 'x')",
    ] {
        let params = Params::none().with("p_owner", Value::Ref(id(1)));
        let SqlRule { joins, text, .. } = sql_with(Dialect::Sqlite, rule, &params);
        let plan = format!("explain query plan select t.id from o_thing as t{joins} where {text}");
        let row = sqlx::query(AssertSqlSafe(plan)).fetch_one(&mut connection).await.unwrap();
        let plan: String = row.get("detail");
        assert!(plan.starts_with("SEARCH t USING"), "{rule}: {plan}");
    }
}
