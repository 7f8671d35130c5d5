//! From a record to a line of JSON. It is put together by hand where serde_json would change something:
//! a JSON payload goes in as its bytes are, and a number with an integral value keeps its `.0`.

use serde_json::value::RawValue;
use serde_json::Value;

use super::time::event_time_text;
use crate::output::Scalar;
use crate::record::Record;

/// What the author of a stage wrote, as one line without its end.
pub fn write(record: &Record, port: &str) -> String {
    let mut members: Vec<(&str, String)> = Vec::new();
    let mut add = |name, value| members.push((name, value));
    if !port.is_empty() {
        add("port", quoted(port));
    }
    if !record.key().is_empty() {
        match std::str::from_utf8(record.key()) {
            Ok(key) => add("key", quoted(key)),
            Err(_) => add("key_base64", quoted(&base64::encode(record.key()))),
        }
    }
    members.extend(payload(record));
    members.extend(texts(record));
    if record.schema_version() != 0 {
        members.push(("schema_version", record.schema_version().to_string()));
    }
    if record.event_time() != 0 {
        members.push(("event_time", event_time(record.event_time())));
    }
    members.extend(attributes(record));
    let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

fn texts(record: &Record) -> impl Iterator<Item = (&'static str, String)> + '_ {
    let both = [("schema", record.schema()), ("content_type", record.content_type())];
    both.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, quoted(text)))
}

/// The first form that fits; nothing for an empty payload.
fn payload(record: &Record) -> Option<(&'static str, String)> {
    let payload = record.payload();
    let text = match std::str::from_utf8(payload) {
        Ok("") => return None,
        Ok(text) => text,
        Err(_) => return Some(("base64", quoted(&base64::encode(payload)))),
    };
    let content_type = record.content_type();
    let is_json = (content_type == "application/json" || content_type.ends_with("+json"))
        // It would end the line within the record.
        && !text.contains(['\n', '\r'])
        && serde_json::from_str::<&RawValue>(text).is_ok();
    Some(if is_json { ("json", text.to_string()) } else { ("text", quoted(text)) })
}

/// Outside of the years that RFC 3339 can say, a number.
fn event_time(time: i64) -> String {
    let text = event_time_text(time);
    if text.ends_with('Z') {
        quoted(&text)
    } else {
        text
    }
}

/// The first one of a name counts, so only that is written.
fn attributes(record: &Record) -> Option<(&'static str, String)> {
    let mut seen: Vec<&str> = Vec::new();
    let mut members: Vec<String> = Vec::new();
    for attribute in record.attributes() {
        if !seen.contains(&attribute.name) {
            seen.push(attribute.name);
            members.push(format!("{}: {}", quoted(attribute.name), scalar(attribute.value)));
        }
    }
    (!members.is_empty()).then(|| ("attributes", format!("{{{}}}", members.join(", "))))
}

/// JSON has one kind of number: the fraction is what tells a number from an integer. What is not finite
/// has no JSON at all, and loses its kind.
fn scalar(value: Scalar) -> String {
    match value {
        Scalar::Text(text) => quoted(text),
        Scalar::Integer(value) => value.to_string(),
        Scalar::Flag(value) => value.to_string(),
        Scalar::Number(value) if value.is_nan() => quoted("NaN"),
        Scalar::Number(value) if value.is_infinite() => quoted(if value > 0.0 { "Infinity" } else { "-Infinity" }),
        Scalar::Number(value) if value.fract() == 0.0 => format!("{value:.1}"),
        // Without an exponent, and with as many digits as it takes to read the same number again.
        Scalar::Number(value) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
