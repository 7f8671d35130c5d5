//! What a broker adds to a record, from JSON: fields that are not known are passed over.

use std::collections::HashMap;
use std::sync::Mutex;

use prost::Message;
use serde_json::{Map, Value};

use super::time;
use crate::pb;
use crate::record::Context;

type Object = Map<String, Value>;

/// The lineage field of an encoded `Record`, and the runs that its hops refer to.
pub fn encode(lineage: &Object) -> Result<(Vec<u8>, Context), String> {
    let mut message = pb::Lineage {
        id: id(lineage.get("id"))?.into(),
        parents_truncated: lineage.get("parents_truncated").map_or(false, |flag| *flag == Value::Bool(true)),
        root: id(lineage.get("root"))?.into(),
        ingest_time: instant(lineage.get("ingest_time"))?,
        ..pb::Lineage::default()
    };
    for parent in list(lineage.get("parents")) {
        message.parents.push(id(Some(parent))?.into());
    }
    message.trace = lineage.get("trace").and_then(Value::as_object).map(|trace| pb::TraceContext {
        traceparent: text(trace, "traceparent"),
        tracestate: text(trace, "tracestate"),
    });
    // On the wire a hop names a run by its number, and the run says the rest. Here each hop has its own.
    let mut runs = HashMap::new();
    for (number, hop) in (1..).zip(list(lineage.get("hops")).filter_map(Value::as_object)) {
        let delta = instant(hop.get("time"))?.saturating_sub(message.ingest_time);
        let attempt = hop.get("attempt").and_then(Value::as_u64).and_then(|attempt| u32::try_from(attempt).ok());
        message.hops.push(pb::Hop { run: number, delta, attempt: attempt.unwrap_or(1) });
        let run = pb::Run {
            number,
            stage: text(hop, "stage"),
            version: text(hop, "version"),
            instance: text(hop, "instance"),
            language: text(hop, "language"),
        };
        runs.insert(number, run);
    }
    let record = pb::Record { lineage: (!lineage.is_empty()).then_some(message), ..pb::Record::default() };
    Ok((record.encode_to_vec(), Context { runs: Mutex::new(runs), ..Context::default() }))
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn text(object: &Object, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().into()
}

fn id(value: Option<&Value>) -> Result<Vec<u8>, String> {
    let text = match value {
        None => return Ok(Vec::new()),
        Some(value) => value.as_str().unwrap_or_default(),
    };
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    match digits {
        Some(digits) if digits.len() == 32 => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err("an id has 32 hexadecimal digits".into()),
    }
}

/// Microseconds since 1970; absent: 0.
fn instant(value: Option<&Value>) -> Result<u64, String> {
    let text = match value {
        None => return Ok(0),
        Some(Value::String(text)) => text,
        Some(other) => return other.as_u64().ok_or_else(|| format!("{other} is not a time")),
    };
    let micros = time::parse(text).and_then(|time| u64::try_from(time).ok());
    micros.ok_or_else(|| format!("“{text}” is not a time such as 2026-01-05T10:30:00.000000Z"))
}
