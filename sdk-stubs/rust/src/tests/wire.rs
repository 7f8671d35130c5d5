use std::io::Write;
use std::sync::{Arc, Mutex};

use prost::Message;

use crate::frame::{self, find_deliver};
use crate::limits::MAX_TEXT;
use crate::output::{Attribute, Output, Scalar};
use crate::pb::{self, attribute::Value, envelope::Message as Kind};
use crate::record::{decode_deliver, Context, Record};
use crate::settle::{Span, Writer};
use crate::verdict::cut_text;
use crate::Emitter;

/// A small seeded generator (xorshift64*): the tests take the same path every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    fn bytes(&mut self, limit: u64) -> Vec<u8> {
        (0..self.below(limit)).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> String {
        ["", "a", "sensor.raw", "grün", &"x".repeat(130)][self.below(5) as usize].into()
    }
}

fn random_attribute(random: &mut Random) -> pb::Attribute {
    let value = match random.below(4) {
        0 => Value::Text(random.text()),
        1 => Value::Integer(random.next() as i64),
        2 => Value::Number(random.below(1000) as f64 / 7.0),
        _ => Value::Flag(random.below(2) == 0),
    };
    pb::Attribute { name: random.text(), value: Some(value) }
}

fn borrow(attribute: &pb::Attribute) -> Attribute<'_> {
    let value = match attribute.value.as_ref().unwrap() {
        Value::Text(text) => Scalar::Text(text),
        Value::Integer(value) => Scalar::Integer(*value),
        Value::Number(value) => Scalar::Number(*value),
        Value::Flag(value) => Scalar::Flag(*value),
    };
    Attribute { name: &attribute.name, value }
}

/// What we write by hand is what the protobuf library writes, byte for byte.
#[test]
fn outputs_are_encoded_as_the_library_does() {
    const SEED: u64 = 42;
    let mut random = Random(SEED);
    for round in 0..2000 {
        let header = pb::Header {
            schema: random.text(),
            schema_version: random.below(3) as u32 * 200,
            key: random.bytes(4).into(),
            event_time: random.below(2) as i64 * random.next() as i64,
            content_type: random.text(),
            attributes: (0..random.below(4)).map(|_| random_attribute(&mut random)).collect(),
        };
        let payload = random.bytes(300);
        let output = Output {
            schema: &header.schema,
            schema_version: header.schema_version,
            key: &header.key,
            event_time: header.event_time,
            content_type: &header.content_type,
            attributes: header.attributes.iter().map(borrow).collect(),
            payload: &payload,
            ..Output::default()
        };
        let is_stated = header.encoded_len() > 0;
        let message = pb::Record { lineage: None, header: is_stated.then(|| header.clone()), payload: payload.clone().into() };
        let expected = message.encode_to_vec();
        let mut got = Vec::new();
        output.append_to(&mut got);
        assert_eq!(got, expected, "seed {SEED}, round {round}");
        let record = Record::testing(&output);
        let mut again = Vec::new();
        record.output().append_to(&mut again);
        assert_eq!(again, expected, "seed {SEED}, round {round}: a record survives output()");
    }
}

fn deliver(records: Vec<pb::Record>) -> Vec<u8> {
    let deliver = pb::Deliver { input: 1, first_delivery: 9, attempts: vec![1, 300], records, ..pb::Deliver::default() };
    frame::encode(Kind::Deliver(deliver))[4..].to_vec()
}

/// Whatever bytes come, decoding ends with an error or records, never a panic.
#[test]
fn hostile_bytes_are_errors() {
    let header = pb::Header { key: "k".into(), schema_version: 3, event_time: 5, ..pb::Header::default() };
    let lineage = pb::Lineage { id: vec![0; 16].into(), ..pb::Lineage::default() };
    let first = pb::Record { lineage: Some(lineage), header: Some(header), payload: "p".into() };
    let sound = deliver(vec![first, pb::Record::default()]);
    let mut random = Random(7);
    let context = Arc::new(Context::default());
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
        }
        bytes.truncate(bytes.len() - random.below(3) as usize);
        if let Ok(Some(range)) = find_deliver(&bytes) {
            if let Ok(batch) = decode_deliver(bytes, range) {
                for index in 0..batch.parts.len() {
                    let record = Record::new(&batch, index, &context);
                    let _ = (record.output(), record.id(), record.lineage());
                }
            }
        }
    }
    let range = find_deliver(&sound).unwrap().unwrap();
    let batch = decode_deliver(sound, range).unwrap();
    let second = Record::new(&batch, 1, &context);
    assert_eq!((batch.input, batch.parts.len(), second.delivery(), second.attempt()), (1, 2, 10, 300));
    assert_eq!(Record::new(&batch, 0, &context).key(), b"k");
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Sink {
    fn write(&mut self, frame: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push(frame.to_vec());
        Ok(frame.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn settle_of(frame: &[u8]) -> pb::Settle {
    match pb::Envelope::decode(&frame[4..]).unwrap().message {
        Some(Kind::Settle(settle)) => settle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_outcome_over_many_deliveries() {
    let sink = Sink::default();
    let writer = Writer::new(Box::new(sink.clone()), 4 << 20);
    let mut emitter = Emitter::recorder();
    emitter.emit(&Output { payload: b"mean", ..Output::default() });
    let spans = [Span { first: 3, last: 5 }, Span::one(9), Span { first: 11, last: 12 }];
    writer.settle(&spans, pb::Outcome { kind: 1, ..pb::Outcome::default() }, &emitter.body);
    // Several handlers finish in any order.
    [7, 10, 6].into_iter().for_each(|delivery| writer.accept(delivery));
    writer.flush();
    let frames = sink.0.lock().unwrap();
    let outcomes = settle_of(&frames[0]).outcomes;
    let range = |first, last| pb::Range { first, last };
    assert_eq!((frames.len(), outcomes.len()), (1, 2));
    assert_eq!((outcomes[0].first, outcomes[0].last, &outcomes[0].more), (3, 5, &vec![range(9, 0), range(11, 12)]));
    assert_eq!(super::payload(&outcomes[0].emissions[0]), b"mean");
    assert_eq!((outcomes[1].first, outcomes[1].last, &outcomes[1].more), (6, 7, &vec![range(10, 0)]));
}

/// What is read behind the Pong was delivered after the broker had taken back what stands before the Ping.
#[test]
fn a_ping_stands_behind_what_is_given_back() {
    let sink = Sink::default();
    let writer = Writer::new(Box::new(sink.clone()), 4 << 20);
    let release = || pb::Outcome { kind: pb::OutcomeKind::Released as i32, ..pb::Outcome::default() };
    let retry = || pb::Outcome { kind: pb::OutcomeKind::Retry as i32, ..pb::Outcome::default() };
    writer.accept(1);
    assert_eq!(writer.give_back(&[Span::one(2)], retry(), &[Span { first: 4, last: 5 }]), 1);
    writer.accept(3);
    assert_eq!(writer.give_back(&[Span::one(6)], release(), &[]), 1, "one for all of a frame");
    assert!(!writer.has_pinged(1));
    writer.flush();
    assert!(writer.has_pinged(1) && !writer.has_pinged(2));
    // So large that it is written at once: the Ping follows at once, too.
    let error = pb::Error { message: "x".repeat(70_000), ..pb::Error::default() };
    assert_eq!(writer.give_back(&[Span::one(7)], pb::Outcome { error: Some(error), ..retry() }, &[]), 2);
    writer.accept(8);
    writer.flush();
    let frames = sink.0.lock().unwrap();
    let texts: Vec<String> = frames.iter().map(|frame| text_of(frame)).collect();
    assert_eq!(texts, ["1A 2T 4L 3A 6L", "ping 1", "7T", "ping 2", "8A"]);
}

/// The first delivery of each outcome with its kind, or a Ping's number.
fn text_of(frame: &[u8]) -> String {
    match pb::Envelope::decode(&frame[4..]).unwrap().message {
        Some(Kind::Ping(ping)) => format!("ping {}", ping.nonce),
        _ => {
            let one = |outcome: &pb::Outcome| format!("{}{}", outcome.first, ["?", "A", "J", "T", "L"][outcome.kind as usize]);
            settle_of(frame).outcomes.iter().map(one).collect::<Vec<_>>().join(" ")
        }
    }
}

#[test]
fn settle_frames_stay_under_the_limit() {
    const LIMIT: usize = 10_000;
    let sink = Sink::default();
    let writer = Writer::new(Box::new(sink.clone()), LIMIT as u64);
    for id in 1..=100 {
        let mut emitter = Emitter::recorder();
        emitter.emit(&Output { payload: &vec![0; 50 * id as usize], ..Output::default() });
        writer.accept_with(id, &emitter.body);
    }
    writer.flush();
    let frames = sink.0.lock().unwrap();
    assert!(frames.iter().all(|frame| frame.len() <= LIMIT + 4));
    assert_eq!(frames.iter().map(|frame| settle_of(frame).outcomes.len()).sum::<usize>(), 100);
}

#[test]
fn lineage_is_resolved() {
    let hops = vec![pb::Hop { run: 1, ..pb::Hop::default() }, pb::Hop { run: 2, delta: 5, attempt: 3 }];
    let lineage = pb::Lineage {
        id: vec![0xab; 16].into(),
        parents: vec![vec![1; 16].into()],
        ingest_time: 1_000_000,
        trace: Some(pb::TraceContext { traceparent: "00-a-b-01".into(), tracestate: String::new() }),
        hops,
        ..pb::Lineage::default()
    };
    let bytes = deliver(vec![pb::Record { lineage: Some(lineage), ..pb::Record::default() }, pb::Record::default()]);
    let range = find_deliver(&bytes).unwrap().unwrap();
    let batch = decode_deliver(bytes, range).unwrap();
    let context = Context::default();
    let run = pb::Run { number: 1, stage: "ingest".into(), language: "rust".into(), ..pb::Run::default() };
    context.runs.lock().unwrap().insert(1, run);
    let record = Record::new(&batch, 0, &Arc::new(context));
    let lineage = record.lineage().unwrap();
    assert_eq!(record.id().to_string(), "ab".repeat(16));
    assert_eq!((lineage.id, lineage.root, lineage.parents.len()), (record.id(), record.id(), 1));
    assert_eq!((lineage.hops[0].stage.as_str(), lineage.hops[0].attempt), ("ingest", 1));
    assert_eq!((lineage.hops[1].attempt, lineage.hops[1].time), (3, 1_000_005));
    assert_eq!(lineage.trace_parent, "00-a-b-01");
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(cut_text("é".repeat(MAX_TEXT)).len(), MAX_TEXT);
    assert_eq!(cut_text("x".to_string() + &"é".repeat(MAX_TEXT)).len(), MAX_TEXT - 1);
}

/// Ids are 64 bits: the last one is as good as any, and none follows it.
#[test]
fn the_last_delivery_id() {
    let deliver = |first: u64, records: usize| {
        let mut bytes = Vec::new();
        crate::wire::append_uint(&mut bytes, 2, first);
        (0..records).for_each(|_| crate::wire::append_bytes_always(&mut bytes, 4, &[]));
        let range = 0..bytes.len();
        decode_deliver(bytes, range)
    };
    for (first, records) in [(u64::MAX, 1), (u64::MAX - 1, 2)] {
        let mut batch = deliver(first, records).unwrap();
        let (context, mut void) = (Arc::default(), Vec::new());
        assert_eq!(Record::new(&batch, records - 1, &context).delivery(), u64::MAX);
        let inputs = [pb::Input { ordering: pb::Ordering::Total as i32, ..pb::Input::default() }];
        batch.void(0, &inputs, |_| true, |delivery, _| void.push(delivery));
        assert_eq!(void.last(), Some(&u64::MAX));
    }
    for (first, records) in [(0, 1), (u64::MAX, 2), (u64::MAX - 1, 3)] {
        assert!(deliver(first, records).is_err(), "{records} from {first}");
    }
}
