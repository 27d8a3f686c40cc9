//! JSON that Postgres or another reader would take differently, found at every depth and in every spelling.

use super::*;

fn rule(text: &str) -> (&'static str, String) {
    let flaw = lint(text).expect_err(text).0;
    (flaw.rule, flaw.pointer.into_owned())
}

#[test]
fn lets_ordinary_events_through() {
    for text in [
        r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}],"d":"\u00e9 \ud83d\ude00 \\u0000 \" \n"}"#,
        r#"{"n":[0,-1,1.5e10,1E+9,0.000001,123456789012345678901234567890]}"#,
        "{}",
        r#"{"":1," ":2}"#,
    ] {
        assert_eq!(lint(text), Ok(()), "{text}");
    }
}

#[test]
fn nul_and_half_surrogates_are_found_in_values_and_keys() {
    assert_eq!(rule(r#"{"m":{"a":["x","y\u0000"]}}"#), ("nul", "/m/a/1".into()));
    assert_eq!(rule(r#"{"m":{"\u0000":1}}"#).0, "nul");
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#""\uD83D\n""#] {
        assert_eq!(rule(&format!("{{\"k\":{text}}}")), ("surrogate", "/k".into()), "{text}");
    }
}

#[test]
fn duplicate_keys_are_found_at_any_level_and_however_written() {
    assert_eq!(rule(r#"{"a":1,"b":2,"a":3}"#), ("duplicate_key", "/a".into()));
    assert_eq!(rule(r#"{"m":[{"x":1},{"y~/":{},"y~/":1}]}"#), ("duplicate_key", "/m/1/y~0~1".into()));
    assert_eq!(rule(r#"{"a":1,"\u0061":2}"#).0, "duplicate_key");
    let mut many: Vec<String> = (0..200).map(|key| format!("\"k{key}\":0")).collect();
    assert_eq!(lint(&format!("{{{}}}", many.join(","))), Ok(()));
    many.push("\"k7\":1".into());
    assert_eq!(rule(&format!("{{{}}}", many.join(","))), ("duplicate_key", "/k7".into()));
}

#[test]
fn depth_is_capped_without_recursion() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(lint(&nested(64)), Ok(()));
    for levels in [65, 200, 30_000] {
        assert_eq!(rule(&nested(levels)).0, "max_depth");
    }
}

#[test]
fn numbers_are_measured_written_out() {
    let number = |literal: &str| lint(&format!("{{\"m\":{{\"n\":{literal}}}}}"));
    for good in ["1e999", "1e-999", "0.5e-998", "1.25e3", "-1e10", &"9".repeat(1000)] {
        assert_eq!(number(good), Ok(()), "{good}");
    }
    for bad in ["1e131072", "1e1000", "1e-1001", "1E99999999999999999999999", &"9".repeat(5000)] {
        assert_eq!(rule(&format!("{{\"m\":{{\"n\":{bad}}}}}")), ("max_digits", "/m/n".into()), "{bad}");
    }
}

#[test]
fn broken_texts_do_not_panic() {
    for text in ["\"", "\"\\", "\"\\u", "\"\\u12", "}}]]", "{\"a", "-", "{\"a\":\"\\ud83d", "1e", ",,,"] {
        drop(lint(text));
        drop(lint(&format!("{{{text}")));
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_walked_without_a_panic(text in "[\\[\\]{}\",:\\\\ud0-9a-fe.+-]{0,64}") {
        drop(lint(&text));
    }
}
