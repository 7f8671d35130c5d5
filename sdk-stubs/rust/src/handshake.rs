//! From nothing to a Welcome. It is done by the thread that will work, with a deadline on every read:
//! there is nothing yet that could be done besides.

use std::io::{BufReader, Write};
use std::os::unix::io::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{setsockopt, sockopt};
use prost::Message;

use crate::codes::Code;
use crate::frame::{encode, find_deliver, read_frame, Fault};
use crate::incoming::Incoming;
use crate::limits::{HANDSHAKE_TIMEOUT, PROTOCOL_VERSION, SDK_NAME, SEND_BUFFER};
use crate::pb::{self, envelope::Message as Kind};
use crate::reader::{close, discard};

/// What a worker says about itself.
#[derive(Default)]
pub struct Identity {
    pub stage: String,
    pub instance: String,
    pub version: String,
    pub token: Vec<u8>,
    pub max_frame: u32,
    /// Deliveries will be held for windows: the broker has to know (DE-4).
    pub holds: bool,
    /// There are deliveries, and so there is something to be confirmed.
    pub settles: bool,
}

impl Identity {
    fn hello(&self) -> pb::Hello {
        pb::Hello {
            min_version: PROTOCOL_VERSION,
            max_version: PROTOCOL_VERSION,
            stage: self.stage.clone(),
            instance: self.instance.clone(),
            stage_version: self.version.clone(),
            // Required, not offered: without it a window that waits would be taken for a worker that hangs.
            required: self.holds.then(|| "holds".to_string()).into_iter().collect(),
            offered: self.settles.then(|| "settle-confirm".to_string()).into_iter().collect(),
            max_frame: u64::from(self.max_frame),
            token: self.token.clone().into(),
            sdk: SDK_NAME.into(),
            language: "rust".into(),
            ..pb::Hello::default()
        }
    }
}

/// Dials, says Hello and reads the answer.
pub fn connect(socket: &str, identity: &Identity) -> Result<(UnixStream, BufReader<Incoming>, pb::Welcome), Fault> {
    let mut stream = UnixStream::connect(socket).map_err(|error| Fault::Broken(format!("{socket}: {error}")))?;
    // Without it everything is as right, only slower.
    let _ = setsockopt(stream.as_raw_fd(), sockopt::SndBuf, &SEND_BUFFER);
    stream.write_all(&encode(Kind::Hello(identity.hello())))?;
    let mut input = BufReader::with_capacity(64 * 1024, Incoming::new(stream.try_clone()?, Some(HANDSHAKE_TIMEOUT)));
    match read_welcome(&mut input, identity.max_frame) {
        Ok(welcome) => {
            input.get_mut().set_timeout(None);
            Ok((stream, input, welcome))
        }
        Err(fault) => {
            // The fault stands, whether the broker still hears of it or not.
            if let Fault::Closed { code, message, is_remote: false } = &fault {
                let _ = stream.write_all(&encode(close(*code, message.clone())));
                discard(&mut input);
            }
            Err(fault)
        }
    }
}

/// Reads the answer to Hello; kinds that we do not know are ignored.
fn read_welcome(input: &mut BufReader<Incoming>, max_frame: u32) -> Result<pb::Welcome, Fault> {
    loop {
        let frame = read_frame(input, max_frame)?;
        find_deliver(&frame)?; // for its check of the version
        let envelope = pb::Envelope::decode(&frame[..]).map_err(|error| {
            Fault::local(Code::MALFORMED_FRAME, format!("the broker's answer to Hello cannot be decoded: {error}"))
        })?;
        match envelope.message {
            None => {}
            Some(Kind::Welcome(welcome)) if welcome.version == PROTOCOL_VERSION => return Ok(welcome),
            Some(Kind::Welcome(welcome)) => {
                let message =
                    format!("the broker chose protocol {}, this worker offered {PROTOCOL_VERSION} only", welcome.version);
                return Err(Fault::local(Code::UNSUPPORTED_VERSION, message));
            }
            Some(Kind::Close(close)) => {
                return Err(Fault::Closed { code: Code(close.code), message: close.message, is_remote: true });
            }
            Some(_) => {
                let message = "the broker answered Hello with something else than Welcome or Close";
                return Err(Fault::local(Code::UNEXPECTED_MESSAGE, message.into()));
            }
        }
    }
}
