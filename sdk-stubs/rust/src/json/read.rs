//! From a line of JSON to an encoded record: handlers then see exactly what a broker would deliver.
//!
//! Payloads and numbers are taken as text (`RawValue`): a detour over `f64` would change digits.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pairs::Pairs;
use super::{lineage, time};
use crate::config::without_place;
use crate::output::{Attribute, Output, Scalar};
use crate::pb;
use crate::record::{Context, Record};

/// One line of JSON as the record that a broker would deliver under that id.
pub fn read(line: &str, delivery: u64) -> Result<Record, String> {
    let Pairs(members) = serde_json::from_str::<Pairs<&RawValue>>(line).map_err(|error| error.to_string())?;
    let mut draft = Draft::default();
    for (name, value) in &members {
        draft.take(name, value).map_err(|problem| format!("`{name}`: {problem}"))?;
    }
    draft.record(delivery)
}

/// What has been read so far. Borrowed by an `Output` at the end, which knows how to encode it.
#[derive(Default)]
struct Draft {
    key: Vec<u8>,
    payload: Option<(&'static str, Vec<u8>)>,
    schema: String,
    schema_version: u32,
    content_type: String,
    event_time: i64,
    attributes: Vec<(String, OwnedScalar)>,
    attempt: Option<u32>,
    input: String,
    /// Unknown fields in it are passed over.
    lineage: serde_json::Map<String, serde_json::Value>,
}

enum OwnedScalar {
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
}

impl Draft {
    fn take(&mut self, name: &str, value: &RawValue) -> Result<(), String> {
        match name {
            "key" => self.set_key(string(value)?.into_bytes())?,
            "key_base64" => self.set_key(bytes(value)?)?,
            "json" => self.set_payload("json", compact(value.get()))?,
            "text" => self.set_payload("text", string(value)?.into_bytes())?,
            "base64" => self.set_payload("base64", bytes(value)?)?,
            "schema" => self.schema = string(value)?,
            "schema_version" => self.schema_version = typed(value)?,
            "content_type" => self.content_type = string(value)?,
            "event_time" => self.event_time = event_time(value)?,
            "attributes" => self.attributes = attributes(value)?,
            "attempt" => self.attempt = Some(typed(value)?),
            "input" => self.input = string(value)?,
            "lineage" => self.lineage = typed(value)?,
            // What a stage emitted can be read by the next one.
            "port" => drop(string(value)?),
            _ => return Err("there is no such field; see docs/RECORD_JSON.md".into()),
        }
        Ok(())
    }

    fn set_key(&mut self, key: Vec<u8>) -> Result<(), String> {
        if !self.key.is_empty() {
            return Err("there is a key already".into());
        }
        self.key = key;
        Ok(())
    }

    /// A second payload is refused, not preferred: one of them would vanish.
    fn set_payload(&mut self, name: &'static str, payload: Vec<u8>) -> Result<(), String> {
        match self.payload.replace((name, payload)) {
            Some((other, _)) => Err(format!("`{other}` is a payload already; give one of `json`, `text` and `base64`")),
            None => Ok(()),
        }
    }

    fn record(self, delivery: u64) -> Result<Record, String> {
        let (form, payload) = self.payload.unwrap_or_default();
        let is_json = form == "json" && self.content_type.is_empty();
        let output = Output {
            schema: &self.schema,
            schema_version: self.schema_version,
            key: &self.key,
            event_time: self.event_time,
            content_type: if is_json { "application/json" } else { &self.content_type },
            attributes: self.attributes.iter().map(|(name, value)| Attribute { name, value: value.borrow() }).collect(),
            payload: &payload,
            ..Output::default()
        };
        let (mut encoded, context) = lineage::encode(&self.lineage).map_err(|problem| format!("`lineage`: {problem}"))?;
        let mut body = Vec::new();
        let header = output.append_to(&mut body);
        // What no stage could have emitted is a mistake in the file.
        if let Some(problem) = output.problem(header) {
            return Err(problem);
        }
        encoded.extend_from_slice(&body);
        // The stage's name has no dot, the port's may.
        let (stage, port) = self.input.split_once('.').unwrap_or((&self.input, ""));
        let ordering = pb::Ordering::None as i32; // a file is read once, from top to bottom
        let input = pb::Input { stage: stage.into(), port: port.into(), ordering, ..pb::Input::default() };
        let context = Context { inputs: vec![input], ..context };
        Ok(Record::with_context(encoded, delivery, self.attempt.unwrap_or(1).max(1), context))
    }
}

impl OwnedScalar {
    fn borrow(&self) -> Scalar<'_> {
        match self {
            OwnedScalar::Text(text) => Scalar::Text(text),
            OwnedScalar::Integer(value) => Scalar::Integer(*value),
            OwnedScalar::Number(value) => Scalar::Number(*value),
            OwnedScalar::Flag(value) => Scalar::Flag(*value),
        }
    }
}

/// The error without its place: it would be one within the value.
fn typed<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| without_place(&error.to_string()).to_string())
}

fn string(value: &RawValue) -> Result<String, String> {
    typed(value)
}

fn bytes(value: &RawValue) -> Result<Vec<u8>, String> {
    base64::decode(string(value)?).map_err(|error| format!("not base64: {error}"))
}

fn event_time(value: &RawValue) -> Result<i64, String> {
    if !value.get().starts_with('"') {
        return typed(value);
    }
    let text = string(value)?;
    time::parse(&text).ok_or_else(|| format!("“{text}” is not a time such as 2026-01-05T10:30:00.000000Z"))
}

fn attributes(value: &RawValue) -> Result<Vec<(String, OwnedScalar)>, String> {
    let Pairs(members) = typed::<Pairs<&RawValue>>(value)?;
    members
        .into_iter()
        .map(|(name, value)| {
            let value = scalar(value).map_err(|problem| format!("`{name}`: {problem}"))?;
            Ok((name, value))
        })
        .collect()
}

/// A number without fraction and exponent that fits 64 bits is an integer, any other a number.
fn scalar(value: &RawValue) -> Result<OwnedScalar, String> {
    let text = value.get();
    match text.as_bytes()[0] {
        b'"' => string(value).map(OwnedScalar::Text),
        b't' | b'f' => Ok(OwnedScalar::Flag(text == "true")),
        b'-' | b'0'..=b'9' => match text.parse() {
            Ok(integer) => Ok(OwnedScalar::Integer(integer)),
            Err(_) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(OwnedScalar::Number(number)),
                _ => Err(format!("{text} is beyond the numbers that there are")),
            },
        },
        _ => Err("an attribute is a text, a number or a boolean".into()),
    }
}

/// The text of a JSON value without white space around its tokens.
fn compact(json: &str) -> Vec<u8> {
    let (mut in_string, mut is_escaped) = (false, false);
    let keep = |byte: &u8| {
        if in_string {
            in_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            return true;
        }
        in_string = *byte == b'"';
        !byte.is_ascii_whitespace()
    };
    json.bytes().filter(keep).collect()
}
