use crate::limits::{MAX_ATTRIBUTES, MAX_HEADER, MAX_KEY};
use crate::wire::{append_bytes, append_bytes_always, append_head, append_tag, append_uint, append_varint, FIXED64, VARINT};
use crate::wire::{bytes_size, bytes_size_always, uint_size, varint_size};

/// A record to be emitted. Everything is borrowed; an empty or zero field means: not stated.
#[derive(Clone, Default, Debug)]
pub struct Output<'a> {
    /// An output port of the stage; empty: its first.
    pub port: &'a str,
    /// What the payload follows, for example "sensor.raw".
    pub schema: &'a str,
    /// The version of `schema`.
    pub schema_version: u32,
    /// At most 1 KiB; records of one key keep their order.
    pub key: &'a [u8],
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub event_time: i64,
    /// For example "application/json".
    pub content_type: &'a str,
    /// At most 64; what `when` in pipeline.yaml reads.
    pub attributes: Vec<Attribute<'a>>,
    /// Never looked into by the broker.
    pub payload: &'a [u8],
    /// Sources only.
    pub trace: Trace<'a>,
}

/// A W3C trace context, carried unchanged.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Trace<'a> {
    /// `traceparent`, at most 64 bytes.
    pub parent: &'a str,
    /// `tracestate`, at most 512 bytes.
    pub state: &'a str,
}

/// A named scalar of a header.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attribute<'a> {
    /// Unique within a record; the first one of a name counts.
    pub name: &'a str,
    /// Its kind is kept.
    pub value: Scalar<'a>,
}

/// What an attribute holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar<'a> {
    /// UTF-8.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A floating-point number, not necessarily finite.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

impl<'a> Attribute<'a> {
    /// An attribute that holds a text.
    pub fn text(name: &'a str, value: &'a str) -> Self {
        Attribute { name, value: Scalar::Text(value) }
    }

    /// An attribute that holds a whole number.
    pub fn integer(name: &'a str, value: i64) -> Self {
        Attribute { name, value: Scalar::Integer(value) }
    }

    /// An attribute that holds a floating-point number.
    pub fn number(name: &'a str, value: f64) -> Self {
        Attribute { name, value: Scalar::Number(value) }
    }

    /// An attribute that holds yes or no.
    pub fn flag(name: &'a str, value: bool) -> Self {
        Attribute { name, value: Scalar::Flag(value) }
    }

    fn size(&self) -> usize {
        let value = match self.value {
            Scalar::Text(text) => bytes_size_always(text.len()),
            Scalar::Integer(value) => 1 + varint_size(zigzag(value)),
            Scalar::Number(_) => 9,
            Scalar::Flag(_) => 2,
        };
        bytes_size(self.name.len()) + value
    }

    /// A oneof member is written even if it is zero: that is what says which one is set.
    fn append_to(&self, buffer: &mut Vec<u8>) {
        append_bytes(buffer, 1, self.name.as_bytes());
        match self.value {
            Scalar::Text(text) => append_bytes_always(buffer, 2, text.as_bytes()),
            Scalar::Integer(value) => {
                append_tag(buffer, 3, VARINT);
                append_varint(buffer, zigzag(value));
            }
            Scalar::Number(value) => {
                append_tag(buffer, 4, FIXED64);
                buffer.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Scalar::Flag(value) => {
                append_tag(buffer, 5, VARINT);
                buffer.push(u8::from(value));
            }
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

impl Output<'_> {
    /// Encodes the `Record` message, and returns the bytes of its header.
    pub(crate) fn append_to(&self, buffer: &mut Vec<u8>) -> usize {
        let header = self.header_size();
        self.append_with(header, buffer);
        header
    }

    /// The same, where the size of the header is known. Lengths are worked out first: moving a message to make room
    /// for its own would copy it once for each message that it lies in.
    pub(crate) fn append_with(&self, header: usize, buffer: &mut Vec<u8>) {
        append_head(buffer, 2, header);
        self.append_header(buffer);
        append_bytes(buffer, 3, self.payload);
    }

    /// Bytes of the `Record` message.
    pub(crate) fn size(&self, header: usize) -> usize {
        bytes_size(header) + bytes_size(self.payload.len())
    }

    pub(crate) fn header_size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|attribute| bytes_size(attribute.size())).sum();
        bytes_size(self.schema.len())
            + uint_size(u64::from(self.schema_version))
            + bytes_size(self.key.len())
            + if self.event_time != 0 { 9 } else { 0 }
            + bytes_size(self.content_type.len())
            + attributes
    }

    /// Why the broker would refuse this output, whose header takes so many bytes (RE-4).
    pub(crate) fn problem(&self, header: usize) -> Option<String> {
        if self.key.len() > MAX_KEY {
            Some(format!("a key of {} bytes; at most {MAX_KEY}", self.key.len()))
        } else if self.attributes.len() > MAX_ATTRIBUTES {
            Some(format!("{} attributes; at most {MAX_ATTRIBUTES}", self.attributes.len()))
        } else if header > MAX_HEADER {
            Some(format!("a header of {header} bytes; at most {MAX_HEADER}"))
        } else {
            None
        }
    }

    fn append_header(&self, buffer: &mut Vec<u8>) {
        append_bytes(buffer, 1, self.schema.as_bytes());
        append_uint(buffer, 2, u64::from(self.schema_version));
        append_bytes(buffer, 3, self.key);
        if self.event_time != 0 {
            append_tag(buffer, 4, FIXED64);
            buffer.extend_from_slice(&self.event_time.to_le_bytes());
        }
        append_bytes(buffer, 5, self.content_type.as_bytes());
        for attribute in &self.attributes {
            append_head(buffer, 6, attribute.size());
            attribute.append_to(buffer);
        }
    }
}

impl Trace<'_> {
    pub(crate) fn size(&self) -> usize {
        bytes_size(self.parent.len()) + bytes_size(self.state.len())
    }

    pub(crate) fn append_to(&self, buffer: &mut Vec<u8>) {
        append_bytes(buffer, 1, self.parent.as_bytes());
        append_bytes(buffer, 2, self.state.as_bytes());
    }
}
