//! What cells become, and flags that make no sense.

use super::*;
use clap::Parser;
use csv::ByteRecord;
use rapport_model::standard;
use serde_json::json;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ImportArgs,
}

const COLUMNS: [&str; 6] = ["no", "who", "when", "amount", "n", "country"];

fn mapping(flags: &[&str]) -> Result<Mapping, Failure> {
    let line = ["import", "f.csv", "--object", "order", "--key", "order_no"];
    let args = Line::try_parse_from(line.iter().chain(flags)).unwrap().args;
    let objects = json!({"items": standard::objects()});
    let columns: Vec<String> = COLUMNS.iter().map(|c| (*c).to_owned()).collect();
    let times = TimeReader::new(&args.tz, args.time_format.clone())?;
    Mapping::new(&args, &objects, &columns, times)
}

const MAPS: [&str; 12] = [
    "--map",
    "order_no=no",
    "--map",
    "customer.customer_no=who",
    "--map",
    "ordered_at=when",
    "--map",
    "amount=amount",
    "--map",
    "line_count=n",
    "--map",
    "customer.country=country",
];

fn row(flags: &[&str], cells: [&str; 6]) -> Json {
    let flags: Vec<&str> = MAPS.iter().chain(flags).copied().collect();
    mapping(&flags).unwrap().row(&ByteRecord::from(cells.to_vec())).unwrap()
}

#[test]
fn a_cell_of_tags_is_cut_at_the_separator_and_an_empty_one_adds_none() {
    let mut objects = standard::objects();
    objects.iter_mut().find(|o| o.name.as_str() == "order").unwrap().fields.push(rapport_model::tags::field());
    let line =
        ["import", "f.csv", "--object", "order", "--key", "order_no", "--map", "order_no=no", "--map", "tags=who"];
    let args = Line::try_parse_from(line.iter().chain(&["--tag-separator", "|"])).unwrap().args;
    let times = TimeReader::new(&args.tz, None).unwrap();
    let mapping = Mapping::new(&args, &json!({ "items": objects }), &["no".into(), "who".into()], times).unwrap();
    let tags = |cell: &str| mapping.row(&ByteRecord::from(vec!["1", cell])).unwrap()["tags"].clone();
    assert_eq!(tags("vip | new,old|"), json!({ "add": ["vip", "new,old"] }));
    assert_eq!(tags(" "), json!({ "add": [] }));
}

fn usage(flags: &[&str]) -> String {
    match mapping(flags) {
        Err(Failure::Usage(text)) => text,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the flags were taken"),
    }
}

#[test]
fn a_row_becomes_typed_json_with_the_record_it_refers_to() {
    let flags = ["--const", "currency=GBP", "--tz", "Europe/London"];
    let json = row(&flags, ["536365", "17850", "2010-12-01 08:26:00", "139.12", "7", "United Kingdom"]);
    assert_eq!(
        json,
        json!({"order_no": "536365", "ordered_at": "2010-12-01T08:26:00Z", "amount": "139.12", "line_count": 7,
            "currency": "GBP", "customer": {"customer_no": "17850", "country": "United Kingdom"}})
    );
}

#[test]
fn an_empty_cell_is_null_and_so_is_a_reference_without_a_name() {
    let json = row(&[], ["1", " ", "", "", "", "France"]);
    assert_eq!(
        json,
        json!({"order_no": "1", "customer": null, "ordered_at": null, "amount": null, "line_count": null})
    );
}

#[test]
fn a_time_without_a_zone_is_read_in_the_zone_given() {
    let at = |zone: &str, text: &str| {
        TimeReader::new(zone, None).unwrap().instant(text).map(|t| t.to_string()).unwrap_or_default()
    };
    assert_eq!(at("Europe/London", "2011-07-01 12:00:00"), "2011-07-01T11:00:00Z");
    assert_eq!(at("Europe/London", "2011-07-01T12:00"), "2011-07-01T11:00:00Z");
    assert_eq!(at("Europe/London", "2011-07-01T12:00:00+09:00"), "2011-07-01T03:00:00Z");
    assert_eq!(at("Asia/Tokyo", "2011-07-01"), "2011-06-30T15:00:00Z");
    // The hour that does not exist, and the one that exists twice.
    assert_eq!(at("Europe/London", "2011-03-27 01:30:00"), "2011-03-27T01:30:00Z");
    assert_eq!(at("Europe/London", "2011-10-30 01:30:00"), "2011-10-30T00:30:00Z");
    assert_eq!(at("UTC", "soon"), "");
}

#[test]
fn times_of_another_format_are_read_when_it_is_given() {
    let reader = TimeReader::new("Europe/Berlin", Some("%d.%m.%Y %H:%M".into())).unwrap();
    assert_eq!(reader.instant("01.02.2011 09:30").unwrap().to_string(), "2011-02-01T08:30:00Z");
    assert!(reader.instant("2011-02-01").is_none());
    let days = TimeReader::new("UTC", Some("%d/%m/%Y".into())).unwrap();
    assert_eq!(days.instant("01/02/2011").unwrap().to_string(), "2011-02-01T00:00:00Z");
}

#[test]
fn a_cell_that_does_not_fit_is_sent_as_it_stands() {
    let json = row(&[], ["1", "2", "soon", "many", "1.5", "x"]);
    assert_eq!(
        (&json["ordered_at"], &json["amount"], &json["line_count"]),
        (&json!("soon"), &json!("many"), &json!("1.5"))
    );
}

#[test]
fn numbers_with_a_comma_are_read_when_told_so() {
    let json = row(&["--decimal-comma"], ["1", "2", "", "1.234,50", "1.000", "x"]);
    assert_eq!((&json["amount"], &json["line_count"]), (&json!("1234.50"), &json!(1000)));
}

#[test]
fn a_row_that_is_too_short_or_too_long_cannot_be_read() {
    let mapping = mapping(&MAPS).unwrap();
    let error = mapping.row(&ByteRecord::from(vec!["1", "2"])).unwrap_err();
    assert_eq!(error, "the row has 2 cells and the head 6");
}

#[test]
fn a_row_in_another_encoding_cannot_be_read() {
    let cells: Vec<&[u8]> = vec![b"1", b"2", b"", b"", b"", b"K\xf6ln"];
    let error = mapping(&MAPS).unwrap().row(&ByteRecord::from(cells)).unwrap_err();
    assert!(error.contains("--encoding"), "{error}");
}

#[test]
fn truth_is_written_in_many_ways() {
    assert_eq!((boolean("YES"), boolean("0"), boolean("perhaps")), (Some(true), Some(false), None));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let key = ["--map", "order_no=no"];
    let with = |more: [&str; 2]| usage(&[key, more].concat());
    assert_eq!(with(["--map", "amont=amount"]), "`order` has no field `amont`; did you mean `amount`?");
    assert_eq!(with(["--map", "amount=amuont"]), "the file has no column `amuont`; did you mean `amount`?");
    assert_eq!(with(["--map", "amount.x=amount"]), "`amount.x`: `amount` refers to no record");
    assert!(with(["--map", "amount"]).contains("write --map FIELD=COLUMN"));
    assert!(with(["--map", "customer.country=country"]).contains("map a unique field"));
    assert_eq!(with(["--map", "order_no=who"]), "`order_no` is given twice");
}

#[test]
fn key_and_time_must_be_mapped_fields_of_the_right_kind() {
    assert!(usage(&["--map", "amount=amount"]).contains("--map order_no=COLUMN"));
    let flags = ["--map", "order_no=no", "--history", "--time", "ordered_at"];
    assert!(usage(&flags).contains("--time ordered_at"));
    assert!(usage(&["--map", "order_no=no", "--tz", "Mars/Base"]).contains("--tz Mars/Base"));
}
