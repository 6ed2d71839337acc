//! What goes in, and what is refused.

use serde_json::{Value as Json, json};

use super::score;

#[test]
fn a_scale_has_its_usual_ends_and_positive_answers() {
    let csat = score(&json!({ "kind": "csat", "counts": [1, 1, 2, 4, 2] })).unwrap();
    assert_eq!((csat["n"].as_u64(), csat["score"].as_f64(), csat["mean"].as_f64()), (Some(10), Some(60.0), Some(3.5)));
    let ces = score(&json!({ "kind": "ces", "counts": [0, 0, 0, 5, 3, 1, 1] })).unwrap();
    assert_eq!(ces["score"], json!(50.0));
    let strict = json!({ "kind": "csat", "counts": [0, 0, 3, 0, 1], "positive_from": 5 });
    assert_eq!(score(&strict).unwrap()["score"], json!(25.0));
    let four = json!({ "kind": "csat", "counts": [1, 0, 0, 1], "scale": [0, 3], "positive_from": 3 });
    assert_eq!((&score(&four).unwrap()["score"], &score(&four).unwrap()["mean"]), (&json!(50.0), &json!(1.5)));
}

#[test]
fn no_answers_are_null() {
    let none = json!({ "n": 0, "score": null, "interval": null, "wald": null, "mean": null });
    assert_eq!(score(&json!({ "kind": "nps", "counts": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] })).unwrap(), none);
    let none = json!({ "n": 0, "score": null, "interval": null, "mean": null });
    assert_eq!(score(&json!({ "kind": "csat", "counts": [0, 0, 0, 0, 0] })).unwrap(), none);
    let index = json!({ "kind": "index", "min": 1, "max": 5, "items": [{ "weight": 1, "answers": [] }] });
    assert_eq!(score(&index).unwrap(), json!({ "score": null }));
}

#[test]
fn an_index_weighs_what_was_answered() {
    let items =
        json!([{ "weight": 3, "answers": [5, 3] }, { "weight": 1, "answers": [1] }, { "weight": 9, "answers": [] }]);
    let found = score(&json!({ "kind": "index", "min": 1, "max": 5, "items": items })).unwrap();
    // (3 × 0.75 + 1 × 0) / 4.
    assert_eq!(found, json!({ "score": 56.25 }));
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let index = |items: Json| json!({ "kind": "index", "min": 1, "max": 5, "items": items });
    let refused = [
        (json!({}), "`kind`: null is none of"),
        (json!({ "kind": "NPS" }), "`kind`: \"NPS\""),
        (json!({ "kind": "nps", "counts": [1] }), "`counts`: 1 counts for the 11 points from 0 to 10"),
        (json!({ "kind": "nps", "counts": vec![0; 11], "scale": [1, 11] }), "`scale`: a net promoter score"),
        (
            json!({ "kind": "nps", "counts": vec![0; 11], "positive_from": 9 }),
            "`positive_from`: there is none for this kind",
        ),
        (json!({ "kind": "csat", "counts": [0, 0, -1, 0, 0] }), "`counts/2`: -1 is no whole number"),
        (json!({ "kind": "csat", "counts": [0, 0, 0, 1.5, 0] }), "`counts/3`: 1.5 is no whole number"),
        (json!({ "kind": "csat", "counts": [0, "1", 0, 0, 0] }), "`counts/1`: \"1\""),
        (json!({ "kind": "csat", "counts": "many" }), "`counts`: a list is needed"),
        (json!({ "kind": "csat", "counts": [1, 1], "scale": [5, 1] }), "`scale`: 5 is not below 1"),
        (json!({ "kind": "csat", "counts": [1], "scale": [1] }), "`scale`: [1] is not [min, max]"),
        (json!({ "kind": "csat", "counts": [1], "scale": [0, 100_000] }), "`scale`: it has more than 1001 points"),
        (json!({ "kind": "csat", "counts": [1, 1], "scale": [1, 2] }), "`positive_from`: 4 is not above 1"),
        (json!({ "kind": "csat", "counts": [9_007_199_254_740_991_u64, 9, 0, 0, 0] }), "`counts`: more than 2^53"),
        (json!({ "kind": "index", "min": 5, "max": 5, "items": [] }), "`min`: 5 is not below `max`"),
        (index(json!([])), "`items`: there are none"),
        (index(json!([{ "weight": -1, "answers": [1] }])), "`items/0/weight`: -1 is below 0"),
        (index(json!([{ "weight": 0, "answers": [1] }])), "`items`: all weights are 0"),
        (index(json!([{ "weight": 1, "answers": [1, 6] }])), "`items/0/answers/1`: 6 is not from 1 to 5"),
        (index(json!([{ "weight": "1", "answers": [] }])), "`items/0/weight`: \"1\" is no number"),
        (index(json!([{ "weight": 1 }])), "`items/0/answers`: a list is needed"),
    ];
    for (input, why) in refused {
        let error = score(&input).unwrap_err();
        assert!(error.code() == "invalid" && error.to_string().starts_with(why), "{input}: {error}");
    }
}
