//! Each rule of an event, broken alone and together.

use super::*;
use crate::config::Config;
use crate::domain::id::AccountId;

const NOW: i64 = 1_700_000_000;

fn rules(change: impl FnOnce(&mut IngestConfig)) -> Rules {
    let mut config = Config::from_env().expect("defaults").ingest;
    change(&mut config);
    Rules::new(&config, 90)
}

fn checked(json: &str, rules: &Rules) -> Result<Event<'static>, Broken> {
    let draft = json::draft(json.as_bytes()).expect("usable JSON");
    let received_at = Timestamp::from_unix_seconds(NOW).expect("time");
    let arrival = Arrival { account_id: &AccountId::new("acme").expect("id"), received_at, skew_micros: 0 };
    check(&draft, rules, arrival).map(Event::into_owned)
}

/// The faults as `pointer rule`.
fn faults(json: &str) -> Vec<String> {
    faults_under(json, &rules(|_| {}))
}

fn faults_under(json: &str, rules: &Rules) -> Vec<String> {
    match checked(json, rules) {
        Ok(_) => Vec::new(),
        Err(broken) => broken.faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.rule)).collect(),
    }
}

/// A good event with one member put in.
fn with(member: &str) -> String {
    format!("{{\"event_name\":\"n\",\"user_id\":\"u\",{member}}}")
}

#[test]
fn absent_fields_get_their_defaults() {
    let event = checked(r#"{"type":"click","user_id":"u","source":null}"#, &rules(|_| {})).expect("good");
    assert_eq!(event.event_name, "click");
    assert_eq!(event.account_id.as_str(), "acme");
    assert_eq!((event.channel, event.schema_version), (Channel::Api, 1));
    assert_eq!(event.timestamp.unix_seconds(), NOW);
    assert_eq!(event.event_id.as_str().len(), 36, "a UUID of ours");
    assert_eq!((event.source, event.value, event.metadata), (None, None, None));
}

#[test]
fn all_fields_are_taken_as_they_are() {
    let json = r#"{"event_id":"e","account_id":"acme","event_name":"n\u00e9","type":"n\u00e9","user_id":"u","channel":"push",
        "source":"s","campaign_id":"c","timestamp":"2023-11-14T23:13:20+01:00","tags":["a","\"b\""],"value":-1.50e3,
        "schema_version":1,"metadata":{ "k": "\u0001" },"unknown":true}"#;
    let event = checked(json, &rules(|_| {})).expect("good");
    assert_eq!(event.event_id.as_str(), "e");
    assert_eq!(event.event_name, "né");
    assert_eq!(event.timestamp.unix_seconds(), NOW);
    assert_eq!(event.tags, ["a", "\"b\""]);
    assert_eq!(event.value.as_deref(), Some("-1.50e3"));
    assert_eq!(event.metadata.as_deref(), Some("{ \"k\": \"\\u0001\" }"));
}

#[test]
fn all_faults_of_an_event_are_told_at_once() {
    let json = r#"{"event_id":"a b","user_id":"  ","channel":"fax","timestamp":"soon","tags":["x",1],"value":"1",
        "schema_version":7,"metadata":[],"source":5}"#;
    assert_eq!(
        faults(json),
        [
            "/event_id event_id",
            "/event_name required",
            "/user_id not_blank",
            "/channel enum",
            "/source type",
            "/timestamp timestamp",
            "/tags/1 type",
            "/value type",
            "/schema_version enum",
            "/metadata type"
        ]
    );
}

#[test]
fn times_are_whole_seconds_or_rfc3339_within_bounds() {
    let day = 86_400;
    for good in [format!("{}", NOW + 300), format!("{}", NOW - 90 * day), "\"2023-11-14T22:13:20.5Z\"".into()] {
        assert_eq!(faults(&with(&format!("\"timestamp\":{good}"))), Vec::<String>::new(), "{good}");
    }
    for (bad, rule) in [
        (format!("{}", NOW + 301), "future"),
        (format!("{}", NOW - 90 * day - 1), "retention"),
        ("0".into(), "retention"),
        ("-1".into(), "timestamp"),
        ("1700000000.5".into(), "timestamp"),
        ("1.7e9".into(), "timestamp"),
        ("1700000000000".into(), "timestamp"),
        ("99999999999999999999999".into(), "timestamp"),
        ("\"1700000000\"".into(), "timestamp"),
        ("\"9999-01-01T00:00:00Z\"".into(), "timestamp"),
        ("true".into(), "timestamp"),
    ] {
        assert_eq!(faults(&with(&format!("\"timestamp\":{bad}"))), [format!("/timestamp {rule}")], "{bad}");
    }
}

#[test]
fn lengths_count_characters() {
    let text = |length: usize| "é".repeat(length);
    assert_eq!(faults(&with(&format!("\"source\":\"{}\"", text(255)))), Vec::<String>::new());
    assert_eq!(faults(&with(&format!("\"source\":\"{}\"", text(256)))), ["/source max_length"]);
    assert_eq!(faults(&format!("{{\"event_name\":\"{}\",\"user_id\":\"u\"}}", text(256))), ["/event_name max_length"]);
    let tags = vec!["\"t\""; 33].join(",");
    assert_eq!(faults(&with(&format!("\"tags\":[{tags}]"))), ["/tags max_items"]);
    assert_eq!(faults(&with(&format!("\"tags\":[\"{}\"]", text(256)))), ["/tags/0 max_length"]);
}

#[test]
fn metadata_is_bounded_in_bytes_and_depth() {
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    assert_eq!(faults(&with(&format!("\"metadata\":{}", nested(16)))), Vec::<String>::new());
    assert_eq!(faults(&with(&format!("\"metadata\":{}", nested(17)))), ["/metadata max_depth"]);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(32_768 - 8));
    assert_eq!(faults(&with(&format!("\"metadata\":{long}"))), Vec::<String>::new());
    let longer = format!("{{\"a\":\"{}\"}}", "x".repeat(32_768 - 7));
    assert_eq!(faults(&with(&format!("\"metadata\":{longer}"))), ["/metadata max_bytes"]);
}

#[test]
fn the_two_names_of_the_name_must_agree() {
    assert_eq!(faults(r#"{"event_name":"a","type":"b","user_id":"u"}"#), ["/type alias"]);
    assert_eq!(faults(r#"{"type":"","user_id":"u"}"#), ["/type not_blank"]);
}

#[test]
fn another_account_is_a_mismatch_whatever_else_is_wrong() {
    let broken = checked(r#"{"account_id":"other","event_id":"e"}"#, &rules(|_| {})).expect_err("broken");
    assert_eq!(broken.rejection, Rejection::AccountMismatch);
    assert_eq!(broken.event_id.map(|id| id.to_string()).as_deref(), Some("e"));
    assert_eq!(faults(&with("\"account_id\":1")), ["/account_id account"]);
    assert_eq!(faults(&with("\"account_id\":\"Acme\"")), ["/account_id account"]);
}

#[test]
fn the_stricter_profile_requires_what_is_configured() {
    let strict = rules(|config| config.required_fields = vec!["timestamp".into(), "channel".into()]);
    assert_eq!(faults_under(&with("\"channel\":null"), &strict), ["/timestamp required", "/channel required"]);
    let versions = rules(|config| config.schema_versions = vec![2, 3]);
    assert_eq!(faults_under(&with("\"schema_version\":3"), &versions), Vec::<String>::new());
    assert_eq!(faults_under(&with("\"source\":\"s\""), &versions), ["/schema_version enum"], "1 is not among them");
}

#[test]
fn no_fault_repeats_the_value() {
    let broken = checked(&with("\"channel\":\"secret\",\"event_id\":\"se cret\""), &rules(|_| {})).expect_err("broken");
    assert!(broken.faults.iter().all(|fault| !fault.reason.contains("cret")));
}
