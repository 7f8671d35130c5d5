use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use prost::Message;

use crate::codes::Code;
use crate::frame::Fault;
use crate::lanes::{lane_of, Lane};
use crate::output::{Attribute, Output, Scalar, Trace};
use crate::pb;
use crate::settle::Writer;
use crate::wire::{Fields, Value};

/// Where the parts of a record lie in its frame. Frames are at most 64 MiB.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Span { start: range.start as u32, end: range.end as u32 }
    }
}

/// A record's parts, found without copying or allocating.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    /// Bytes as they count against credit.
    pub size: u32,
    /// Settled already, and not to be handled: see `lanes`.
    pub is_void: bool,
    attempt: u32,
    lineage: Span,
    header: Span,
    payload: Span,
    schema: Span,
    key: Span,
    content_type: Span,
    schema_version: u32,
    has_attributes: bool,
    event_time: i64,
}

/// The records of one Deliver.
pub struct Delivered {
    pub frame: Bytes,
    pub input: u32,
    pub first: u64,
    pub parts: Vec<Parts>,
}

impl Delivered {
    /// Voids those from index `from` on whose lane is one of the wanted, and calls `tell` with the delivery
    /// and the lane of each.
    pub fn void(&mut self, from: usize, inputs: &[pb::Input], is_wanted: impl Fn(Lane) -> bool, mut tell: impl FnMut(u64, Lane)) {
        for (index, parts) in self.parts.iter_mut().enumerate().skip(from) {
            let delivery = self.first + index as u64; // no range: behind the last id there is none
            let key = &self.frame[parts.key.start as usize..parts.key.end as usize];
            match lane_of(inputs, self.input, key).filter(|lane| !parts.is_void && is_wanted(*lane)) {
                Some(lane) => tell(delivery, lane),
                None => continue,
            }
            parts.is_void = true;
        }
    }
}

/// What a session knows that records refer to.
#[derive(Default)]
pub struct Context {
    pub inputs: Vec<pb::Input>,
    pub runs: Mutex<HashMap<u32, pb::Run>>,
    /// Of a session; without a broker there is none.
    pub writer: Weak<Writer>,
}

/// One record as it was delivered: read-only, and cheap to clone (it shares the received frame).
#[derive(Clone)]
pub struct Record {
    frame: Bytes,
    parts: Parts,
    input: u32,
    delivery: u64,
    context: Arc<Context>,
}

impl Record {
    pub(crate) fn new(batch: &Delivered, index: usize, context: &Arc<Context>) -> Self {
        Record {
            frame: batch.frame.clone(),
            parts: batch.parts[index],
            input: batch.input,
            delivery: batch.first + index as u64,
            context: context.clone(),
        }
    }

    /// A record as if it had been delivered, for testing a handler without a broker.
    pub fn testing(output: &Output) -> Self {
        let mut encoded = Vec::new();
        output.append_to(&mut encoded);
        Record::decode(encoded)
    }

    fn decode(encoded: Vec<u8>) -> Self {
        let mut parts = decode_record(&encoded, 0..encoded.len()).expect("a record that we encoded");
        parts.attempt = 1;
        Record { frame: encoded.into(), parts, input: 0, delivery: 1, context: Arc::default() }
    }

    /// As if it had been delivered under that id.
    pub(crate) fn delivered_as(mut self, delivery: u64) -> Self {
        self.delivery = delivery;
        self
    }

    /// A record with all that a broker adds, from its encoded form.
    pub(crate) fn with_context(encoded: Vec<u8>, delivery: u64, attempt: u32, context: Context) -> Self {
        let mut record = Record { delivery, context: Arc::new(context), ..Record::decode(encoded) };
        record.parts.attempt = attempt;
        record
    }

    /// The records of encoded emissions, each with the number of its port.
    pub(crate) fn of_emissions(body: &[u8]) -> Vec<(u32, Record)> {
        let outcome = pb::Outcome::decode(body).expect("emissions that we encoded");
        let record = |output: Option<pb::Record>| Record::decode(output.unwrap_or_default().encode_to_vec());
        outcome.emissions.into_iter().map(|emission| (emission.port, record(emission.output))).collect()
    }

    /// Has something done once the broker has confirmed that this record's settlement is durable (in a pipeline
    /// with `durability: memory`: applied): the record will not come again, and what it stands for may be deleted.
    /// To be called by the handler.
    ///
    /// Actions are called in the order of deliveries, one at a time, on a thread of their own; an error or a panic
    /// is shown on standard error. An action is not called when the record is not accepted, when the broker refuses
    /// what was emitted, when the session ends before, and in tests without a broker.
    pub fn on_confirmed<E: Display>(&self, action: impl FnOnce() -> Result<(), E> + Send + 'static) {
        if let Some(writer) = self.context.writer.upgrade() {
            writer.ask(self.delivery, Box::new(move || action().map_err(|error| error.to_string())));
        }
    }

    pub(crate) fn lineage_bytes(&self) -> &[u8] {
        self.slice(self.parts.lineage)
    }

    pub(crate) fn runs(&self) -> MutexGuard<'_, HashMap<u32, pb::Run>> {
        self.context.runs.lock().expect("no thread panics while holding it")
    }

    fn slice(&self, span: Span) -> &[u8] {
        &self.frame[span.start as usize..span.end as usize]
    }

    /// Text was checked by the broker; should it be invalid nevertheless, it reads as empty.
    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.slice(span)).unwrap_or_default()
    }

    pub(crate) fn delivery(&self) -> u64 {
        self.delivery
    }

    pub(crate) fn input_number(&self) -> u32 {
        self.input
    }

    /// What it is kept in order with.
    pub(crate) fn lane(&self) -> Option<Lane<'_>> {
        lane_of(&self.context.inputs, self.input, self.key())
    }

    /// Bytes as they count against credit.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.parts.size)
    }

    /// What the author of the upstream stage wrote; may be empty.
    pub fn payload(&self) -> &[u8] {
        self.slice(self.parts.payload)
    }

    /// Records of one key arrive in order. Empty: no key.
    pub fn key(&self) -> &[u8] {
        self.slice(self.parts.key)
    }

    /// What the payload follows, for example "sensor.raw".
    pub fn schema(&self) -> &str {
        self.text(self.parts.schema)
    }

    /// 0: not stated.
    pub fn schema_version(&self) -> u32 {
        self.parts.schema_version
    }

    /// For example "application/json"; empty: not stated.
    pub fn content_type(&self) -> &str {
        self.text(self.parts.content_type)
    }

    /// Microseconds since 1970; 0: not known.
    pub fn event_time(&self) -> i64 {
        self.parts.event_time
    }

    /// Deliveries of this record to this stage, from 1.
    pub fn attempt(&self) -> u32 {
        self.parts.attempt
    }

    /// The upstream stage and its port.
    pub fn input(&self) -> (&str, &str) {
        let found = self.context.inputs.iter().find(|input| input.number == self.input);
        found.map_or(("", ""), |input| (&input.stage, &input.port))
    }

    /// Those of the header, in order. The first one of a name counts.
    pub fn attributes(&self) -> Vec<Attribute<'_>> {
        if !self.parts.has_attributes {
            return Vec::new();
        }
        let range = self.parts.header.start as usize..self.parts.header.end as usize;
        let mut fields = Fields::new(&self.frame, range, "Header");
        let mut attributes = Vec::new();
        while let Ok(Some(field)) = fields.next() {
            if let (6, Value::Bytes(range)) = (field.number, field.value) {
                attributes.extend(self.attribute_at(range));
            }
        }
        attributes
    }

    /// The value of the attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<Scalar<'_>> {
        self.attributes().into_iter().find(|a| a.name == name).map(|a| a.value)
    }

    fn attribute_at(&self, range: Range<usize>) -> Option<Attribute<'_>> {
        let text = |range: Range<usize>| std::str::from_utf8(&self.frame[range]).unwrap_or_default();
        let (mut name, mut scalar) = ("", None);
        let mut fields = Fields::new(&self.frame, range, "Attribute");
        while let Ok(Some(field)) = fields.next() {
            match (field.number, field.value) {
                (1, Value::Bytes(range)) => name = text(range),
                (2, Value::Bytes(range)) => scalar = Some(Scalar::Text(text(range))),
                (3, Value::Varint(v)) => scalar = Some(Scalar::Integer((v >> 1) as i64 ^ -((v & 1) as i64))),
                (4, Value::Fixed64(bits)) => scalar = Some(Scalar::Number(f64::from_bits(bits))),
                (5, Value::Varint(v)) => scalar = Some(Scalar::Flag(v != 0)),
                _ => {}
            }
        }
        scalar.map(|value| Attribute { name, value })
    }

    /// An output with this record's header (attributes included) and payload, to be changed and emitted.
    pub fn output(&self) -> Output<'_> {
        Output {
            port: "",
            schema: self.schema(),
            schema_version: self.schema_version(),
            key: self.key(),
            event_time: self.event_time(),
            content_type: self.content_type(),
            attributes: self.attributes(),
            payload: self.payload(),
            trace: Trace::default(),
        }
    }
}

fn decode_record(frame: &[u8], range: Range<usize>) -> Result<Parts, Fault> {
    let mut parts = Parts { size: range.len() as u32, ..Parts::default() };
    let mut fields = Fields::new(frame, range, "Record");
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(range)) => parts.lineage = range.into(),
            (2, Value::Bytes(range)) => {
                parts.header = range.clone().into();
                decode_header(&mut parts, frame, range)?;
            }
            (3, Value::Bytes(range)) => parts.payload = range.into(),
            _ => {}
        }
    }
    Ok(parts)
}

/// Finds the header's scalars; attributes are decoded only when asked for.
fn decode_header(parts: &mut Parts, frame: &[u8], range: Range<usize>) -> Result<(), Fault> {
    let mut fields = Fields::new(frame, range, "Header");
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Bytes(range)) => parts.schema = range.into(),
            (2, Value::Varint(version)) => parts.schema_version = version as u32,
            (3, Value::Bytes(range)) => parts.key = range.into(),
            (4, Value::Fixed64(time)) => parts.event_time = time as i64,
            (5, Value::Bytes(range)) => parts.content_type = range.into(),
            (6, _) => parts.has_attributes = true,
            _ => {}
        }
    }
    Ok(())
}

/// Turns the Deliver that lies at `range` of `frame` into records.
pub fn decode_deliver(frame: Vec<u8>, range: Range<usize>) -> Result<Delivered, Fault> {
    let mut batch = Delivered { frame: Bytes::new(), input: 0, first: 0, parts: Vec::with_capacity(range.len() / 256 + 1) };
    let mut attempts = Vec::new();
    let mut fields = Fields::new(&frame, range, "Deliver");
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Varint(input)) => batch.input = input as u32,
            (2, Value::Varint(first)) => batch.first = first,
            (3, Value::Varint(attempt)) => attempts.push(attempt as u32),
            (3, Value::Bytes(range)) => {
                let mut packed = Fields::new(&frame, range, "Deliver.attempts");
                while !packed.is_at_end() {
                    attempts.push(packed.varint()? as u32);
                }
            }
            (4, Value::Bytes(range)) => batch.parts.push(decode_record(&frame, range)?),
            _ => {}
        }
    }
    let is_sound = batch.first != 0
        && (batch.first - 1).checked_add(batch.parts.len() as u64).is_some()
        && (attempts.is_empty() || attempts.len() == batch.parts.len());
    if !is_sound {
        let message = "a Deliver's delivery ids or attempts do not fit its records";
        return Err(Fault::local(Code::MALFORMED_FRAME, message.into()));
    }
    for (index, parts) in batch.parts.iter_mut().enumerate() {
        parts.attempt = attempts.get(index).copied().unwrap_or(1);
    }
    batch.frame = frame.into();
    Ok(batch)
}
