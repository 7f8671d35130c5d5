//! The vectors of conformance/vectors that concern a worker; the README there explains their form.

use std::net::Shutdown;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::*;
use crate::emitter::{IN_EMIT, IN_OUTCOME};
use crate::frame::{self, find_deliver, read_frame, Fault, EMIT};
use crate::output::{Attribute, Output, Scalar, Trace};
use crate::record::{decode_deliver, Context, Record};
use crate::settle::{Span, Writer};
use crate::wire::{append_bytes, append_bytes_always, append_uint};
use crate::Emitter;

const LIMIT: u32 = 4 << 20;

#[derive(Deserialize)]
struct Vector {
    name: String,
    hex: Value,
    #[serde(default)]
    usual: Option<Value>,
    #[serde(default)]
    json: Value,
    #[serde(default)]
    canonical: bool,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    state: String,
    #[serde(default)]
    invalid: Option<Invalid>,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    frames: Vec<Placed>,
    #[serde(default)]
    exit: u8,
    #[serde(default)]
    retryable: bool,
    #[serde(default)]
    closes: Option<String>,
}

#[derive(Deserialize)]
struct Invalid {
    code: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    or: Option<String>,
}

#[derive(Deserialize)]
struct Placed {
    length: usize,
    json: Value,
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        joined(&self.hex)
    }

    /// What a protobuf library writes for the same meaning.
    fn usual(&self) -> Vec<u8> {
        joined(self.usual.as_ref().unwrap_or(&self.hex))
    }
}

fn vectors(file: &str) -> Vec<Vector> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors").join(format!("{file}.json"));
    let found: Vec<Vector> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!found.is_empty());
    found
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The unit of a repetition and how often it is meant; anything else is meant once.
fn repetition(value: &Value) -> (&Value, usize) {
    match (value.get("repeat"), value.get("times")) {
        (Some(unit), Some(times)) => (unit, times.as_u64().unwrap() as usize),
        _ => (value, 1),
    }
}

fn joined(hex: &Value) -> Vec<u8> {
    let piece = |value: &Value| {
        let (unit, times) = repetition(value);
        unhex(unit.as_str().unwrap()).repeat(times)
    };
    hex.as_array().map_or_else(|| piece(hex), |pieces| pieces.iter().flat_map(piece).collect())
}

/// The members of an object of a vector, absent ones as zero.
struct Members<'a>(&'a Map<String, Value>);

fn members(value: &Value) -> Members<'_> {
    Members(value.as_object().unwrap())
}

impl<'a> Members<'a> {
    fn number(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |value| value.as_u64().unwrap())
    }

    fn small(&self, name: &str) -> u32 {
        self.number(name).try_into().unwrap()
    }

    fn flag(&self, name: &str) -> bool {
        self.0.get(name).map_or(false, |value| value.as_bool().unwrap())
    }

    fn text(&self, name: &str) -> String {
        let text = |value| {
            let (unit, times) = repetition(value);
            unit.as_str().unwrap().repeat(times)
        };
        self.0.get(name).map_or_else(String::new, text)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.get(name).map_or_else(Vec::new, as_bytes)
    }

    fn list(&self, name: &str) -> Vec<&'a Value> {
        let items = self.0.get(name).and_then(Value::as_array).map(|items| items.iter().map(repetition));
        items.into_iter().flatten().flat_map(|(unit, times)| std::iter::repeat(unit).take(times)).collect()
    }

    fn each<T>(&self, name: &str, make: impl Fn(Members<'a>) -> T) -> Vec<T> {
        self.list(name).into_iter().map(|value| make(members(value))).collect()
    }

    fn message(&self, name: &str) -> Option<Members<'a>> {
        self.0.get(name).map(members)
    }

    /// An enum: its name, or its number where it has none.
    fn choice(&self, name: &str, named: fn(&str) -> Option<i32>) -> i32 {
        match self.0.get(name) {
            Some(Value::String(text)) => named(text).unwrap(),
            Some(number) => number.as_i64().unwrap() as i32,
            None => 0,
        }
    }
}

fn as_bytes(value: &Value) -> Vec<u8> {
    let (unit, times) = repetition(value);
    let text = unit.as_str().unwrap();
    text.strip_prefix("0x").map_or_else(|| text.as_bytes().to_vec(), unhex).repeat(times)
}

fn refusals(m: &Members, name: &str) -> Vec<pb::Refusal> {
    let error = |m: Members| pb::Error { code: m.small("code"), message: m.text("message"), indefinite: m.flag("indefinite") };
    m.each(name, |m| pb::Refusal { id: m.number("id"), error: m.message("error").map(error) })
}

/// What a vector means, for the kinds that carry no records.
fn meaning(kind: &str, m: &Members) -> Kind {
    match kind {
        "welcome" => Kind::Welcome(welcome_of(m)),
        "close" => Kind::Close(pb::Close { code: m.small("code"), message: m.text("message") }),
        "ping" => Kind::Ping(pb::Ping { nonce: m.number("nonce") }),
        "pong" => Kind::Pong(pb::Pong { nonce: m.number("nonce") }),
        "credit" => Kind::Credit(pb::Credit { number: m.small("number"), records: m.number("records"), bytes: m.number("bytes") }),
        "settled" => Kind::Settled(pb::Settled { through: m.number("through"), refused: refusals(m, "refused") }),
        "committed" => Kind::Committed(pb::Committed {
            partition: m.text("partition"),
            through: m.number("through"),
            refused: refusals(m, "refused"),
        }),
        "claimed" => Kind::Claimed(pb::Claimed {
            partition: m.text("partition"),
            epoch: m.number("epoch"),
            last_emit_id: m.number("last_emit_id"),
            checkpoint: m.bytes("checkpoint").into(),
        }),
        "drain" => Kind::Drain(pb::Drain {
            reason: m.choice("reason", |name| pb::DrainReason::from_str_name(name).map(|reason| reason as i32)),
            deadline_ms: m.small("deadline_ms"),
        }),
        "runs" => Kind::Runs(pb::Runs {
            runs: m.each("runs", |m| pb::Run {
                number: m.small("number"),
                stage: m.text("stage"),
                version: m.text("version"),
                instance: m.text("instance"),
                language: m.text("language"),
            }),
        }),
        other => panic!("a vector of kind {other}"),
    }
}

fn welcome_of(m: &Members) -> pb::Welcome {
    let texts = |name| m.list(name).into_iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    pb::Welcome {
        version: m.small("version"),
        session: m.number("session"),
        features: texts("features"),
        max_frame: m.number("max_frame"),
        max_record: m.number("max_record"),
        stamp_reserve: m.number("stamp_reserve"),
        max_step_records: m.number("max_step_records"),
        max_step_bytes: m.number("max_step_bytes"),
        heartbeat_ms: m.small("heartbeat_ms"),
        idle_ms: m.small("idle_ms"),
        lease_ms: m.small("lease_ms"),
        config: m.bytes("config").into(),
        inputs: m.each("inputs", |m| pb::Input {
            number: m.small("number"),
            stage: m.text("stage"),
            port: m.text("port"),
            max_unsettled_records: m.number("max_unsettled_records"),
            max_unsettled_bytes: m.number("max_unsettled_bytes"),
            ordering: m.choice("ordering", |name| pb::Ordering::from_str_name(name).map(|ordering| ordering as i32)),
        }),
        outputs: m.each("outputs", |m| pb::Output { number: m.small("number"), port: m.text("port") }),
        pipeline: m.text("pipeline"),
        instance: m.text("instance"),
    }
}

#[test]
fn frames_to_a_worker() {
    for vector in vectors("frames-to-worker") {
        let name = &vector.name;
        let frame = read_frame(&mut &vector.bytes()[..], LIMIT).unwrap();
        let means = members(&vector.json);
        let deliver = find_deliver(&frame).unwrap();
        assert_eq!(deliver.is_some(), means.0.contains_key("deliver"), "{name}");
        if let Some(range) = deliver {
            expect_deliver(name, decode_deliver(frame, range).unwrap(), &means.message("deliver").unwrap());
            continue;
        }
        let envelope = pb::Envelope::decode(&frame[..]).unwrap();
        assert_eq!(envelope.version, means.small("version"), "{name}");
        let kind = means.0.keys().find(|member| *member != "version");
        assert_eq!(envelope.message, kind.map(|kind| meaning(kind, &means.message(kind).unwrap())), "{name}");
    }
}

fn expect_deliver(name: &str, batch: crate::record::Delivered, means: &Members) {
    assert_eq!((batch.input, batch.first), (means.small("input"), means.number("first_delivery")), "{name}");
    let (attempts, meant) = (means.list("attempts"), means.list("records"));
    assert_eq!(batch.parts.len(), meant.len(), "{name}");
    let context = Arc::new(Context::default());
    for (index, record) in meant.into_iter().enumerate() {
        let got = Record::new(&batch, index, &context);
        let attempt = attempts.get(index).map_or(1, |attempt| attempt.as_u64().unwrap());
        assert_eq!((got.delivery(), u64::from(got.attempt())), (batch.first + index as u64, attempt), "{name}");
        expect_record(name, &got, &members(record));
        expect_lineage(name, &got, members(record).message("lineage"));
    }
}

fn expect_record(name: &str, got: &Record, means: &Members) {
    assert_eq!(got.payload(), means.bytes("payload"), "{name}");
    let empty = Map::new();
    let header = means.message("header").unwrap_or(Members(&empty));
    assert_eq!((got.key(), got.schema()), (&header.bytes("key")[..], &header.text("schema")[..]), "{name}");
    assert_eq!((got.schema_version(), got.content_type()), (header.small("schema_version"), &header.text("content_type")[..]), "{name}");
    assert_eq!(got.event_time(), header.0.get("event_time").map_or(0, |time| time.as_i64().unwrap()), "{name}");
    let attributes = got.attributes();
    let mut found = attributes.iter();
    for attribute in header.list("attributes") {
        let attribute = members(attribute);
        let is = |member: &str| attribute.0.get(member);
        let value = match (is("text"), is("integer"), is("number"), is("flag")) {
            (Some(text), ..) => format!("{:?}", Scalar::Text(text.as_str().unwrap())),
            (_, Some(integer), ..) => format!("{:?}", Scalar::Integer(integer.as_i64().unwrap())),
            (_, _, Some(number), _) => format!("{:?}", Scalar::Number(double(number))),
            (_, _, _, Some(flag)) => format!("{:?}", Scalar::Flag(flag.as_bool().unwrap())),
            _ => continue, // one without a value is absent (RE-2)
        };
        let got = found.next().unwrap();
        // As text, for NaN is not equal to itself.
        assert_eq!((got.name, format!("{:?}", got.value)), (&attribute.text("name")[..], value), "{name}");
    }
    assert!(found.next().is_none(), "{name}");
}

fn double(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| match value.as_str().unwrap() {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        _ => f64::NEG_INFINITY,
    })
}

fn expect_lineage(name: &str, got: &Record, means: Option<Members>) {
    let empty = Map::new();
    let means = means.unwrap_or(Members(&empty));
    let lineage = got.lineage().unwrap();
    let id = |bytes: Vec<u8>| <[u8; 16]>::try_from(bytes).unwrap_or_default();
    let own = id(means.bytes("id"));
    assert_eq!((got.id().0, lineage.id.0), (own, own), "{name}");
    assert_eq!(lineage.root.0, if means.0.contains_key("root") { id(means.bytes("root")) } else { own }, "{name}");
    let parents: Vec<[u8; 16]> = means.list("parents").into_iter().map(|parent| id(as_bytes(parent))).collect();
    assert_eq!(lineage.parents.iter().map(|parent| parent.0).collect::<Vec<_>>(), parents, "{name}");
    assert_eq!((lineage.parents_truncated, lineage.ingest_time), (means.flag("parents_truncated"), means.number("ingest_time")), "{name}");
    let hops: Vec<(u64, u32)> = means.each("hops", |m| (lineage.ingest_time.saturating_add(m.number("delta")), m.small("attempt").max(1)));
    assert_eq!(lineage.hops.iter().map(|hop| (hop.time, hop.attempt)).collect::<Vec<_>>(), hops, "{name}");
    let trace = means.message("trace").map(|m| (m.text("traceparent"), m.text("tracestate"))).unwrap_or_default();
    assert_eq!((lineage.trace_parent, lineage.trace_state), trace, "{name}");
}

/// What the library encodes: each control message of a worker, at the version it speaks.
#[test]
fn frames_to_the_broker() {
    let mut met = 0;
    for vector in vectors("frames-to-broker") {
        let envelope = pb::Envelope::decode(&vector.bytes()[4..]).unwrap();
        assert_eq!(envelope, pb::Envelope::decode(&vector.usual()[4..]).unwrap(), "{}", vector.name);
        if let (Some(message), true, 1000) = (envelope.message, vector.canonical, envelope.version) {
            met += 1;
            assert_eq!(frame::encode(message), vector.bytes(), "{}", vector.name);
        }
    }
    assert!(met > 30);
}

/// What is encoded by hand: outcomes and emits.
#[test]
fn settles_and_emits() {
    let (mut settles, mut emits) = (0, 0);
    for vector in vectors("frames-to-broker") {
        let frame = match pb::Envelope::decode(&vector.usual()[4..]).unwrap().message {
            Some(Kind::Settle(settle)) if settle.outcomes.iter().all(is_sayable) => {
                settles += 1;
                settled_by_hand(settle)
            }
            Some(Kind::Emit(emit)) if emit.emissions.iter().all(|emission| emission.output.is_some()) => {
                emits += 1;
                let mut buffer = frame::open(0);
                append_bytes(&mut buffer, 1, emit.partition.as_bytes());
                append_uint(&mut buffer, 2, emit.emit_id);
                buffer.extend_from_slice(&emitted(&emit.emissions, IN_EMIT));
                append_bytes(&mut buffer, 4, &emit.checkpoint);
                let start = frame::close(&mut buffer, EMIT);
                buffer[start..].to_vec()
            }
            _ => continue,
        };
        let got = pb::Envelope::decode(&frame[4..]).unwrap();
        assert_eq!(got, pb::Envelope::decode(&vector.usual()[4..]).unwrap(), "{}", vector.name);
        assert_eq!(frame.len(), vector.usual().len(), "{}", vector.name);
    }
    assert!(settles > 20 && emits > 3, "{settles} {emits}");
}

/// A last that is the first is left out, outputs are always there, and parents are named in ascending order.
fn is_sayable(outcome: &pb::Outcome) -> bool {
    let ascending = |parents: &[u64]| parents.windows(2).all(|pair| pair[0] < pair[1]);
    outcome.first != outcome.last
        && outcome.more.iter().all(|range| range.first != range.last)
        && outcome.emissions.iter().all(|emission| emission.output.is_some() && ascending(&emission.parents))
}

fn settled_by_hand(settle: pb::Settle) -> Vec<u8> {
    let written = Written::default();
    let writer = Writer::new(Box::new(written.clone()), u64::from(LIMIT));
    if settle.outcomes.is_empty() {
        writer.send(Kind::Settle(settle)); // never sent otherwise
    } else {
        for mut outcome in settle.outcomes {
            let span = |first: u64, last: u64| Span { first, last: last.max(first) };
            let mut spans = vec![span(outcome.first, outcome.last)];
            spans.extend(outcome.more.iter().map(|range| span(range.first, range.last)));
            let emissions = emitted(&outcome.emissions, IN_OUTCOME);
            outcome.emissions.clear();
            writer.settle(&spans, outcome, &emissions);
        }
        writer.flush();
    }
    let bytes = written.0.lock().unwrap().clone();
    bytes
}

/// As a handler emits them.
fn emitted(emissions: &[pb::Emission], field: u32) -> Vec<u8> {
    let mut welcome = welcome_message();
    welcome.outputs = (0..4).map(|number| pb::Output { number, port: format!("p{number}") }).collect();
    welcome.outputs.push(pb::Output { number: u32::MAX, port: format!("p{}", u32::MAX) });
    let mut emitter = Emitter::new(Arc::new(welcome), field);
    for emission in emissions {
        let record = emission.output.clone().unwrap();
        let header = record.header.clone().unwrap_or_default();
        let port = format!("p{}", emission.port);
        let trace = emission.trace.clone().unwrap_or_default();
        let trace = Trace { parent: &trace.traceparent, state: &trace.tracestate };
        let output = Output { port: &port, trace, ..output_of(&header, &record.payload) };
        let parents: Vec<Record> =
            emission.parents.iter().map(|id| Record::testing(&Output::default()).delivered_as(*id)).collect();
        emitter.emit_from(&parents.iter().collect::<Vec<_>>(), &output);
    }
    emitter.body
}

fn output_of<'a>(header: &'a pb::Header, payload: &'a [u8]) -> Output<'a> {
    let attribute = |attribute: &'a pb::Attribute| {
        let value = match attribute.value.as_ref()? {
            pb::attribute::Value::Text(text) => Scalar::Text(text),
            pb::attribute::Value::Integer(value) => Scalar::Integer(*value),
            pb::attribute::Value::Number(value) => Scalar::Number(*value),
            pb::attribute::Value::Flag(value) => Scalar::Flag(*value),
        };
        Some(Attribute { name: &attribute.name, value })
    };
    Output {
        schema: &header.schema,
        schema_version: header.schema_version,
        key: &header.key,
        event_time: header.event_time,
        content_type: &header.content_type,
        attributes: header.attributes.iter().filter_map(attribute).collect(),
        payload,
        ..Output::default()
    }
}

#[test]
fn outputs() {
    let mut met = 0;
    for vector in vectors("outputs-valid") {
        let (bytes, name) = (vector.bytes(), &vector.name);
        let mut framed = Vec::new();
        append_uint(&mut framed, 2, 1);
        append_bytes_always(&mut framed, 4, &bytes);
        let range = 0..framed.len();
        let got = Record::new(&decode_deliver(framed, range).unwrap(), 0, &Arc::default());
        assert_eq!(got.key(), as_bytes(&vector.key), "{name}");
        expect_record(name, &got, &members(&vector.json));
        let meant = pb::Record::decode(&vector.usual()[..]).unwrap();
        let header = meant.header.clone().unwrap_or_default();
        let output = output_of(&header, &meant.payload);
        let is_whole = output.attributes.len() == header.attributes.len() && meant.header != Some(pb::Header::default());
        if vector.canonical && is_whole {
            met += 1;
            let mut encoded = Vec::new();
            let size = output.append_to(&mut encoded);
            assert_eq!((output.problem(size), encoded), (None, bytes), "{name}");
        }
    }
    assert!(met > 8);
}

/// A reader that gives so many bytes at once.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.1.min(buffer.len()).min(self.0.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

#[test]
fn streams() {
    for vector in vectors("splits") {
        let (bytes, name) = (vector.bytes(), &vector.name);
        for size in [1, 3, 1000, usize::MAX] {
            let mut pieces = Pieces(&bytes, size);
            for placed in &vector.frames {
                let frame = read_frame(&mut pieces, vector.limit).unwrap();
                assert_eq!(frame.len(), placed.length, "{name}");
                let means = members(&placed.json);
                match find_deliver(&frame).unwrap() {
                    Some(range) => expect_deliver(name, decode_deliver(frame, range).unwrap(), &means.message("deliver").unwrap()),
                    None => {
                        let kind = means.0.keys().find(|member| *member != "version");
                        let meant = kind.map(|kind| meaning(kind, &means.message(kind).unwrap()));
                        assert_eq!(pb::Envelope::decode(&frame[..]).unwrap().message, meant, "{name}");
                    }
                }
            }
            let end = read_frame(&mut pieces, vector.limit).and_then(|frame| find_deliver(&frame));
            match (&vector.invalid, end) {
                (None, Err(Fault::Eof)) => {}
                (Some(invalid), Err(Fault::Closed { code, is_remote: false, .. })) => {
                    // A frame of nothing may be refused with another code: it has no version either (FR-2).
                    assert!(code.name() == Some(&invalid.code) || invalid.code == "MALFORMED_FRAME", "{name}: {code}");
                }
                (_, end) => panic!("{name}: {end:?}"),
            }
        }
    }
}

fn idle() -> Role {
    Role::records(|_: &Record, _: &mut Emitter| Ok(()))
}

/// Sends bytes and no more; the codes of the Closes that the worker answers with.
fn tell(link: &mut Link, bytes: &[u8]) -> Vec<u32> {
    let _ = link.stream.write_all(bytes);
    let _ = link.stream.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    let _ = link.stream.read_to_end(&mut rest);
    let mut closes = Vec::new();
    let mut rest = &rest[..];
    while let Ok(frame) = read_frame(&mut rest, LIMIT) {
        if let Some(Kind::Close(close)) = pb::Envelope::decode(&frame[..]).unwrap().message {
            closes.push(close.code);
        }
    }
    closes
}

#[test]
fn exit_codes() {
    for vector in vectors("exit-codes") {
        let broker = Broker::new("aa", idle);
        let mut link = broker.welcome(welcome_message());
        let closes = tell(&mut link, &vector.bytes());
        drop(link);
        if let Some(name) = &vector.closes {
            assert_eq!(closes.iter().map(|code| Code(*code).name()).collect::<Vec<_>>(), [Some(&name[..])], "{}", vector.name);
        }
        if vector.retryable {
            // Of profile reconnect: it comes again, and ends as the broker then says.
            broker.welcome(welcome_message()).close(Code::OK, "");
            broker.expect_exit(0);
            continue;
        }
        let said = broker.expect_exit(vector.exit);
        let close = vector.json.get("close").map(|close| members(close).text("message")).unwrap_or_default();
        if vector.exit == 2 && !close.contains('\n') {
            assert!(said.contains(&close), "{}: {said}", vector.name);
        }
        assert!(!said.contains('\x1b') && said.matches('\n').count() <= 1, "{}: {said}", vector.name);
    }
}

#[test]
fn frames_that_no_broker_sends() {
    let mut met = 0;
    for vector in vectors("frames-invalid") {
        let invalid = vector.invalid.as_ref().unwrap();
        if invalid.by != "worker" {
            continue;
        }
        met += 1;
        let broker = Broker::new("aa", idle);
        let mut link = if vector.state == "greeting" { broker.accept().0 } else { broker.welcome(welcome_message()) };
        let closes = tell(&mut link, &vector.bytes());
        drop(link);
        if invalid.or.is_some() {
            // Taken somehow, until the broker hangs up, or refused with any code.
            broker.expect_exit(if closes.is_empty() { 1 } else { 2 });
        } else {
            assert_eq!(closes.iter().map(|code| Code(*code).name()).collect::<Vec<_>>(), [Some(&invalid.code[..])], "{}", vector.name);
            broker.expect_exit(2);
        }
    }
    assert!(met > 10);
}
