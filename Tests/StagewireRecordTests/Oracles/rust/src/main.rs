//! The Rust oracle; see ../../build.sh. The messages are written by hand after `record.proto`.

use prost::Message;
use std::io::{self, BufWriter, Read, Write};

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    lineage: Option<Lineage>,
    #[prost(message, optional, tag = "2")]
    header: Option<Header>,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    schema: String,
    #[prost(uint32, tag = "2")]
    schema_version: u32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(sfixed64, tag = "4")]
    event_time: i64,
    #[prost(string, tag = "5")]
    content_type: String,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(oneof = "Value", tags = "2, 3, 4, 5")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "2")]
    Text(String),
    #[prost(sint64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(bool, tag = "5")]
    Flag(bool),
}

#[derive(Clone, PartialEq, Message)]
struct Lineage {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    parents: Vec<Vec<u8>>,
    #[prost(bool, tag = "3")]
    parents_truncated: bool,
    #[prost(bytes = "vec", tag = "4")]
    root: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    trace: Option<TraceContext>,
    #[prost(fixed64, tag = "6")]
    ingest_time: u64,
    #[prost(message, repeated, tag = "7")]
    hops: Vec<Hop>,
}

#[derive(Clone, PartialEq, Message)]
struct Hop {
    #[prost(uint32, tag = "1")]
    run: u32,
    #[prost(uint64, tag = "2")]
    delta: u64,
    #[prost(uint32, tag = "3")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TraceContext {
    #[prost(string, tag = "1")]
    traceparent: String,
    #[prost(string, tag = "2")]
    tracestate: String,
}

fn text(data: &[u8]) -> String {
    if data.is_empty() {
        return "-".to_string();
    }
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() -> io::Result<()> {
    let mut cases = Vec::new();
    io::stdin().lock().read_to_end(&mut cases)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut rest = &cases[..];
    while rest.len() >= 4 {
        let length = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let data = &rest[4..4 + length];
        rest = &rest[4 + length..];
        match Record::decode(data) {
            Err(_) => writeln!(out, "no")?,
            Ok(record) => {
                let id = text(&record.lineage.unwrap_or_default().id);
                let key = text(&record.header.unwrap_or_default().key);
                writeln!(out, "ok {id} {key} {}", record.payload.len())?
            }
        }
    }
    Ok(())
}
