use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

use prost::Message;

use crate::codes::Code;
use crate::limits::{FRAME_HEADROOM, FRAME_PREFIX, PROTOCOL_VERSION};
use crate::pb;
use crate::wire::{append_tag, append_varint, Fields, Value, BYTES, VARINT};

/// Field numbers of `Envelope` for the frames that carry records.
pub const CLOSE: u32 = 4;
pub const DELIVER: u32 = 8;
pub const SETTLE: u32 = 9;
pub const EMIT: u32 = 10;

/// Why a session ended.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The broker hung up without a Close.
    Eof,
    /// The connection broke.
    Broken(String),
    /// A Close: the broker's (`is_remote`) or ours.
    Closed { code: Code, message: String, is_remote: bool },
}

impl Fault {
    pub fn local(code: Code, message: String) -> Fault {
        Fault::Closed { code, message, is_remote: false }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Fault::Eof
        } else {
            Fault::Broken(error.to_string())
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Eof => f.write_str("the broker hung up without a Close"),
            Fault::Broken(what) => write!(f, "the connection to the broker broke: {what}"),
            Fault::Closed { code, message, .. } => write!(f, "{message} [{code}]"),
        }
    }
}

/// Reads one frame of at most `limit` bytes.
pub fn read_frame(reader: &mut impl Read, limit: u32) -> Result<Vec<u8>, Fault> {
    let mut prefix = [0; FRAME_PREFIX];
    reader.read_exact(&mut prefix)?;
    let length = u32::from_be_bytes(prefix);
    if length > limit {
        return Err(Fault::local(
            Code::FRAME_TOO_LARGE,
            format!("the broker sent a frame of {length} bytes, this worker accepts {limit}; raise it with Stage::max_frame"),
        ));
    }
    let mut frame = vec![0; length as usize];
    reader.read_exact(&mut frame)?;
    Ok(frame)
}

/// For control messages, of which there are few.
pub fn encode(message: pb::envelope::Message) -> Vec<u8> {
    let envelope = pb::Envelope { version: PROTOCOL_VERSION, message: Some(message) };
    let length = envelope.encoded_len();
    let mut frame = Vec::with_capacity(FRAME_PREFIX + length);
    frame.extend_from_slice(&(length as u32).to_be_bytes());
    envelope.encode(&mut frame).expect("a vector grows");
    frame
}

/// An empty buffer with room in front for what `close` will put there.
pub fn open(capacity: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(FRAME_HEADROOM + capacity);
    buffer.resize(FRAME_HEADROOM, 0);
    buffer
}

/// Puts prefix, version and the field's tag and length in front of the gathered bytes, so that a
/// frame is written from where it was built. The frame is `buffer[result..]`.
pub fn close(buffer: &mut [u8], field: u32) -> usize {
    let body = buffer.len() - FRAME_HEADROOM;
    let mut head = Vec::with_capacity(FRAME_HEADROOM);
    head.extend_from_slice(&[0; FRAME_PREFIX]);
    append_tag(&mut head, 1, VARINT);
    append_varint(&mut head, u64::from(PROTOCOL_VERSION));
    append_tag(&mut head, field, BYTES);
    append_varint(&mut head, body as u64);
    let length = (head.len() - FRAME_PREFIX + body) as u32;
    head[..FRAME_PREFIX].copy_from_slice(&length.to_be_bytes());
    let start = FRAME_HEADROOM - head.len();
    buffer[start..FRAME_HEADROOM].copy_from_slice(&head);
    start
}

/// Checks the version and looks for a Deliver, whose place it returns.
pub fn find_deliver(frame: &[u8]) -> Result<Option<Range<usize>>, Fault> {
    let mut version = 0;
    let mut deliver = None;
    let mut is_close = false;
    let mut fields = Fields::new(frame, 0..frame.len(), "Envelope");
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Value::Varint(value)) => version = value,
            (DELIVER, Value::Bytes(range)) => deliver = Some(range),
            (CLOSE, _) => is_close = true,
            _ => {}
        }
    }
    // A Close is the same in every version (VR-2): it may be what says that versions differ.
    if !is_close && version / 1000 != u64::from(PROTOCOL_VERSION / 1000) {
        return Err(Fault::local(
            Code::UNSUPPORTED_VERSION,
            format!(
                "the broker speaks protocol {}.{}, this worker {}.{}; build the worker with a matching SDK",
                version / 1000,
                version % 1000,
                PROTOCOL_VERSION / 1000,
                PROTOCOL_VERSION % 1000
            ),
        ));
    }
    Ok(deliver)
}
