//! The record in its fixed form: what is written is read back the same, and nothing else is read.

use proptest::prelude::*;

use super::*;

fn event() -> Event<'static> {
    Event {
        event_id: EventId::new("e-1").expect("id"),
        account_id: AccountId::new("acme").expect("id"),
        event_name: "page_view".into(),
        user_id: "u\"1\"\\\n".into(),
        channel: Channel::Web,
        source: None,
        campaign_id: Some("c".into()),
        timestamp: Timestamp::from_unix_seconds(1_700_000_000).expect("time"),
        tags: vec!["a".into(), "б".into()],
        value: Some("1.50".into()),
        schema_version: 1,
        metadata: Some("{ \"k\" : [1, 2.0] }".into()),
        received_at: Timestamp::from_micros(1_700_000_000_123_456).expect("time"),
    }
}

fn read(bytes: &[u8]) -> Result<Event<'_>, EnvelopeError> {
    decode(Some(bytes), Some(b"1"))
}

#[test]
fn the_form_is_fixed() {
    assert_eq!(
        String::from_utf8(encode(&event())).expect("text"),
        r#"{"event_id":"e-1","account_id":"acme","event_name":"page_view","user_id":"u\"1\"\\\n","channel":"web","source":null,"campaign_id":"c","timestamp":"2023-11-14T22:13:20Z","tags":["a","б"],"value":1.50,"schema_version":1,"metadata":{ "k" : [1, 2.0] },"received_at":"2023-11-14T22:13:20.123456Z"}"#
    );
}

#[test]
fn plain_texts_are_borrowed() {
    let bytes = encode(&event());
    let back = read(&bytes).expect("decoded");
    assert!(matches!(back.event_name, Cow::Borrowed(_)));
    assert!(matches!(back.metadata, Some(Cow::Borrowed(_))));
    assert!(matches!(back.user_id, Cow::Owned(_)), "it has escapes");
}

#[test]
fn nothing_but_the_canonical_form_is_taken() {
    let good = String::from_utf8(encode(&event())).expect("text");
    assert!(read(good.as_bytes()).is_ok());
    for (from, to) in [
        ("\"source\":null,", ""),
        ("\"value\":1.50,", ""),
        ("\"metadata\":{ \"k\" : [1, 2.0] },", ""),
        ("\"source\":null", "\"source\":null,\"colour\":1"),
        ("\"source\":null", "\"source\":null,\"source\":null"),
        ("\"e-1\"", "\"e 1\""),
        ("\"acme\"", "\"\""),
        ("\"page_view\"", "\" \""),
        ("\"page_view\"", "\"\\u0000\""),
        ("\"web\"", "\"fax\""),
        ("1.50", "\"1.50\""),
        ("1.50", "1e131072"),
        ("[1, 2.0]", "{\"a\":1,\"a\":2}"),
        ("{ \"k\" : [1, 2.0] }", "[]"),
        ("\"2023-11-14T22:13:20Z\"", "1700000000"),
        ("\"schema_version\":1", "\"schema_version\":1.5"),
        ("[\"a\",\"б\"]", "null"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(read(bad.as_bytes()).is_err(), "{bad}");
    }
    let deep = good.replacen("[1, 2.0]", &format!("{}{}", "[".repeat(70), "]".repeat(70)), 1);
    assert!(matches!(read(deep.as_bytes()), Err(EnvelopeError::Malformed(..))));
    let long = good.replacen("page_view", &"x".repeat(256), 1);
    assert!(matches!(read(long.as_bytes()), Err(EnvelopeError::Member("event_name"))));
}

#[test]
fn poisoned_records_are_told_apart() {
    assert!(matches!(decode(None, Some(b"1")), Err(EnvelopeError::Empty)));
    assert!(matches!(decode(Some(b""), Some(b"1")), Err(EnvelopeError::Empty)));
    let good = encode(&event());
    assert!(matches!(decode(Some(&good), None), Err(EnvelopeError::Version)));
    assert!(matches!(decode(Some(&good), Some(b"2")), Err(EnvelopeError::Version)));
    for junk in [&b"\xff\xfe"[..], b"null", b"[]", b"not json", b"{}", &good[..good.len() - 1]] {
        assert!(read(junk).is_err());
    }
}

prop_compose! {
    fn any_event()(
        event_id in "[!-~]{1,128}",
        account_id in "[!-~]{1,128}",
        event_name in "[a-z\"\\\\]\\PC{0,40}",
        user_id in "[A-Z]\\PC{0,40}[\u{1}-\u{20}]{0,3}",
        channel in 0_usize..5,
        source in proptest::option::of("\\PC{0,20}"),
        times in (0_i64..253_370_764_800_000_000, 0_i64..253_370_764_800_000_000),
        tags in proptest::collection::vec("\\PC{0,10}", 0..=32),
        value in proptest::option::of("-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,10})?(e[+-]?[0-9]{1,2})?"),
        schema_version in any::<i32>(),
        metadata in proptest::option::of(("[a-z]{1,8}", "[a-zA-Z0-9 ]{0,20}", any::<i32>())),
    ) -> Event<'static> {
        Event {
            event_id: EventId::new(&event_id).expect("visible"),
            account_id: AccountId::new(&account_id).expect("visible"),
            event_name: event_name.into(),
            user_id: user_id.into(),
            channel: Channel::ALL[channel],
            campaign_id: source.clone().map(Cow::Owned),
            source: source.map(Cow::Owned),
            timestamp: Timestamp::from_micros(times.0).expect("in range"),
            tags: tags.into_iter().map(Cow::Owned).collect(),
            value: value.map(Cow::Owned),
            schema_version,
            metadata: metadata.map(|(key, text, number)| format!("{{\"{key}\": [\"{text}\",{number}]}}").into()),
            received_at: Timestamp::from_micros(times.1).expect("in range"),
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_valid_json_and_decodes_to_itself(event in any_event()) {
        let bytes = encode(&event);
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("valid JSON");
        prop_assert_eq!(value.as_object().map(serde_json::Map::len), Some(13));
        prop_assert_eq!(read(&bytes).expect("decodes"), event);
    }
}
