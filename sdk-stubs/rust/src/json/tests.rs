use super::time::parse;
use super::*;
use crate::output::{Attribute, Output, Scalar};
use crate::record::Record;

fn round(line: &str) -> String {
    write(&read(line, 1).unwrap(), "")
}

#[test]
fn what_an_author_writes_survives() {
    let lines = [
        r#"{}"#,
        r#"{"key": "t1", "text": "21.5", "schema": "sensor.raw", "schema_version": 1, "event_time": "2026-01-05T10:30:00.000000Z", "attributes": {"unit": "C", "level": 3, "mean": 3.0, "raw": true}}"#,
        r#"{"key_base64": "/w==", "base64": "gA=="}"#,
        r#"{"json": {"a": [1, 1.10, 123456789012345678901234567890], "b": "x y"}, "content_type": "application/geo+json"}"#,
        r#"{"text": "not json", "content_type": "application/json"}"#,
        r#"{"text": "quotes \" and \\ and \n and ü"}"#,
        r#"{"event_time": 9223372036854775807}"#,
        r#"{"event_time": "0001-01-01T00:00:00.000000Z"}"#,
        r#"{"attributes": {"not": "NaN", "small": -0.5, "large": 1000000000000000000000.0}}"#,
    ];
    for line in lines {
        let compact = |text: &str| text.replace(": ", ":").replace(", ", ",");
        assert_eq!(compact(&round(line)), compact(line));
    }
}

#[test]
fn forms_that_differ_mean_the_same() {
    assert_eq!(round(r#"{ "json" : { "a" : [ 1 , "b \" c" ] } }"#), r#"{"json": {"a":[1,"b \" c"]}, "content_type": "application/json"}"#);
    assert_eq!(round(r#"{"base64": "YWI="}"#), r#"{"text": "ab"}"#);
    assert_eq!(round(r#"{"event_time": "2026-01-05T12:30:00.1234567+02:00"}"#), r#"{"event_time": "2026-01-05T10:30:00.123456Z"}"#);
    assert_eq!(round(r#"{"attributes": {"a": 1e2, "b": 9223372036854775808}}"#), r#"{"attributes": {"a": 100.0, "b": 9223372036854775808.0}}"#);
    assert_eq!(round(r#"{"port": "errors", "attempt": 3, "lineage": {"id": "00000000000000000000000000000001", "news": 1}}"#), "{}");
}

#[test]
fn numbers_without_json_and_first_attributes() {
    let attributes = vec![
        Attribute::number("nan", f64::NAN),
        Attribute::number("most", f64::NEG_INFINITY),
        Attribute::integer("twice", 1),
        Attribute::integer("twice", 2),
    ];
    let record = Record::testing(&Output { attributes, ..Output::default() });
    assert_eq!(write(&record, "out"), r#"{"port": "out", "attributes": {"nan": "NaN", "most": "-Infinity", "twice": 1}}"#);
}

#[test]
fn json_payloads_are_put_in_as_they_are_or_not_at_all() {
    let written = |payload: &[u8]| write(&Record::testing(&Output { payload, content_type: "application/json", ..Output::default() }), "");
    assert!(written(b"{\"a\": 1.50}").starts_with(r#"{"json": {"a": 1.50}"#));
    assert!(written(b"[1,\n2]").starts_with(r#"{"text": "[1,\n2]""#), "a line break would end the record");
    assert!(written(b"1 2").starts_with(r#"{"text""#));
    assert!(written(b"\"\xff\"").starts_with(r#"{"base64""#));
}

#[test]
fn what_the_broker_added_is_there_for_a_handler() {
    let line = r#"{"attempt": 4, "input": "ingest.out", "lineage": {"id": "000000000000000000000000000000ab",
        "root": "000000000000000000000000000000cd", "parents": ["000000000000000000000000000000ef"],
        "ingest_time": "2026-01-05T10:30:01.250000Z", "trace": {"traceparent": "00-a-b-01"},
        "hops": [{"stage": "ingest", "version": "1.2", "instance": "1", "language": "rust", "time": "2026-01-05T10:30:01.250003Z", "attempt": 2}]}}"#;
    let record = read(line, 7).unwrap();
    assert_eq!((record.attempt(), record.input(), record.delivery()), (4, ("ingest", "out"), 7));
    let lineage = record.lineage().unwrap();
    assert_eq!((record.id().to_string().as_str(), lineage.id), ("000000000000000000000000000000ab", record.id()));
    assert_eq!((lineage.root.0[15], lineage.parents[0].0[15]), (0xcd, 0xef));
    let hop = &lineage.hops[0];
    assert_eq!((hop.stage.as_str(), hop.version.as_str(), hop.time - lineage.ingest_time, hop.attempt), ("ingest", "1.2", 3, 2));
    assert_eq!(lineage.trace_parent, "00-a-b-01");
}

#[test]
fn mistakes_are_named() {
    for (line, problem) in [
        ("[]", "expected an object"),
        ("{\"text\": 1}", "`text`: invalid type: integer `1`, expected a string"),
        ("{\"text\": \"a\", \"text\": \"b\"}", "`text` is there twice"),
        ("{\"base64\": \"a\"}", "`base64`: not base64"),
        ("{\"key\": \"a\", \"key_base64\": \"YQ==\"}", "`key_base64`: there is a key already"),
        ("{\"schema_version\": -1}", "`schema_version`"),
        ("{\"event_time\": \"yesterday\"}", "`event_time`: “yesterday” is not a time"),
        ("{\"attributes\": {\"a\": null}}", "`attributes`: `a`: an attribute is"),
        ("{\"attributes\": {\"a\": 1e999}}", "beyond the numbers"),
        ("{\"atributes\": {}}", "`atributes`: there is no such field"),
        ("{\"lineage\": {\"id\": \"xyz\"}}", "`lineage`: an id has 32"),
    ] {
        let error = read(line, 1).err().unwrap();
        assert!(error.contains(problem), "{line}: {error}");
    }
    let key = "k".repeat(2000);
    assert!(read(&format!("{{\"key\": \"{key}\"}}"), 1).err().unwrap().contains("a key of 2000 bytes"));
}

#[test]
fn the_calendar() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("1969-12-31T23:59:59Z", -1),
        ("2026-01-05T10:30:00Z", 1_767_609_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
        ("2016-12-31T23:59:60Z", 1_483_228_800),
        ("2026-01-05t10:30:00-00:30", 1_767_610_800),
    ] {
        assert_eq!(parse(text), Some(seconds * 1_000_000), "{text}");
    }
    // Every day of 800 years, there and back.
    for day in -300_000..300_000 {
        let time = day * 86_400_000_000 + 1;
        assert_eq!(parse(&event_time_text(time)), Some(time), "{}", event_time_text(time));
    }
    for wrong in ["", "2026-01-05", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-05T24:00:00Z", "2026-01-05T10:30:00",
        "2026-01-05T10:30:00.Z", "2026-01-05T10:30:00.1234567890Z", "2026-01-05T10:30:00+2:00", "+026-01-05T10:30:00Z", "2026-01-05T10:30:00ZZ"] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
    assert_eq!(event_time_text(i64::MIN), i64::MIN.to_string());
    let record = read("{\"attributes\": {\"a\": -0}}", 1).unwrap();
    assert_eq!(record.attribute("a"), Some(Scalar::Integer(0)));
}
