//! Protobuf's wire format, as far as frames that carry records need it. They are read and written by
//! hand for their cost per record, and because credit counts the bytes as they stand on the wire.

use std::ops::Range;

use crate::codes::Code;
use crate::frame::Fault;

/// One field: its number and where or what its value is. Ranges are positions in the walked buffer.
pub struct Field {
    pub number: u32,
    pub value: Value,
}

pub enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(Range<usize>),
}

/// Walks the fields of the message that lies at `range` of `buffer`.
pub struct Fields<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
    what: &'static str,
}

impl<'a> Fields<'a> {
    pub fn new(buffer: &'a [u8], range: Range<usize>, what: &'static str) -> Self {
        assert!(range.end <= buffer.len(), "a range from within the buffer");
        Fields { buffer, at: range.start, end: range.end, what }
    }

    /// The next field; none at the end. Inlined, nothing of the result's layers is left: half of the instructions.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<Field>, Fault> {
        if self.at == self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or_else(|| self.fault())?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| self.fault())?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            // Groups (3, 4) do not exist in our protocol.
            _ => return Err(self.fault()),
        };
        Ok(Some(Field { number, value }))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        match self.buffer[self.at..self.end].first() {
            // Tags, and nearly all lengths.
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for (index, &byte) in self.buffer[self.at..self.end].iter().take(10).enumerate() {
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.fault())
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.end
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<Range<usize>, Fault> {
        if length > self.end - self.at {
            return Err(self.fault());
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let range = self.take(N)?;
        Ok(self.buffer[range].try_into().expect("a range of N bytes"))
    }

    #[cold]
    fn fault(&self) -> Fault {
        Fault::local(Code::MALFORMED_FRAME, format!("{} cannot be decoded, at byte {}", self.what, self.at))
    }
}

pub const VARINT: u32 = 0;
pub const FIXED64: u32 = 1;
pub const BYTES: u32 = 2;

#[inline]
pub fn append_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

#[inline]
pub fn append_tag(buffer: &mut Vec<u8>, field: u32, wire_type: u32) {
    append_varint(buffer, u64::from(field << 3 | wire_type));
}

/// Appends a number unless it is zero.
#[inline]
pub fn append_uint(buffer: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        append_tag(buffer, field, VARINT);
        append_varint(buffer, value);
    }
}

/// Appends bytes or a string unless empty.
#[inline]
pub fn append_bytes(buffer: &mut Vec<u8>, field: u32, value: &[u8]) {
    if !value.is_empty() {
        append_bytes_always(buffer, field, value);
    }
}

#[inline]
pub fn append_bytes_always(buffer: &mut Vec<u8>, field: u32, value: &[u8]) {
    append_tag(buffer, field, BYTES);
    append_varint(buffer, value.len() as u64);
    buffer.extend_from_slice(value);
}

/// Bytes of a number.
#[inline]
pub fn varint_size(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// What `append_uint` appends, for a field below 16.
#[inline]
pub fn uint_size(value: u64) -> usize {
    match value {
        0 => 0,
        _ => 1 + varint_size(value),
    }
}

/// What `append_bytes` appends of so many bytes, for a field below 16.
#[inline]
pub fn bytes_size(length: usize) -> usize {
    match length {
        0 => 0,
        _ => bytes_size_always(length),
    }
}

#[inline]
pub fn bytes_size_always(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

/// Begins a field that holds a message of so many bytes, which are to follow; none: no field.
#[inline]
pub fn append_head(buffer: &mut Vec<u8>, field: u32, length: usize) {
    if length != 0 {
        append_tag(buffer, field, BYTES);
        append_varint(buffer, length as u64);
    }
}
