//! The receiving side of a session. Its one duty is never to wait for anything but the socket: a Ping is
//! answered, and credit booked, however long a handler takes (LV-1, CR-9).

use std::collections::BTreeSet;
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::time::Instant;

use prost::Message;

use crate::codes::Code;
use crate::confirmations::Confirmer;
use crate::console::Console;
use crate::frame::{find_deliver, read_frame, Fault};
use crate::hub::{Hub, State};
use crate::incoming::Incoming;
use crate::limits::CLOSE_TIMEOUT;
use crate::pb::{self, envelope::Message as Kind};
use crate::record::{decode_deliver, Context, Delivered};
use crate::settle::Writer;
use crate::verdict::{cut_text, Verdict};
use crate::window::spans;

pub fn close(code: Code, message: String) -> Kind {
    Kind::Close(pb::Close { code: code.0, message: cut_text(message) })
}

/// After our Close: reads on until EOF, for a bounded time. To hang up on what is unread could cost the
/// broker our Close.
pub fn discard(input: &mut BufReader<Incoming>) {
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    input.get_mut().set_timeout(Some(CLOSE_TIMEOUT));
    let mut scratch = [0; 4096];
    while Instant::now() < deadline && matches!(input.read(&mut scratch), Ok(n) if n > 0) {}
}

/// Reads until the connection ends. Never waits for a handler.
pub struct Reader {
    pub hub: Arc<Hub>,
    pub writer: Arc<Writer>,
    pub context: Arc<Context>,
    pub input: BufReader<Incoming>,
    pub max_frame: u32,
    pub console: Console,
    pub confirmer: Confirmer,
}

impl Reader {
    pub fn run(mut self) {
        let fault = loop {
            if let Err(fault) = self.step() {
                break fault;
            }
        };
        let last = match &fault {
            Fault::Closed { code, message, is_remote: false } => Some(close(*code, message.clone())),
            _ => None,
        };
        // A fault that we found: nothing more is begun, and the broker is told why and heard out (EN-1).
        if last.is_some() {
            self.hub.end(fault);
            self.writer.close(last);
            return discard(&mut self.input);
        }
        self.writer.close(None);
        self.hub.end(fault);
    }

    fn step(&mut self) -> Result<(), Fault> {
        let frame = read_frame(&mut self.input, self.max_frame)?;
        match find_deliver(&frame)? {
            Some(range) => self.receive(decode_deliver(frame, range)?),
            None => self.handle(&frame),
        }
    }

    fn receive(&self, mut batch: Delivered) -> Result<(), Fault> {
        let mut state = self.hub.lock();
        let number = batch.input;
        let window = state.inputs.iter_mut().find(|window| window.number == number).ok_or_else(|| {
            Fault::local(Code::UNKNOWN_PORT, format!("the broker delivered to input {number}, which its Welcome does not name"))
        })?;
        // What is queued is bounded by what we granted, or the broker hears about it.
        if !batch.parts.iter().all(|parts| window.receive(parts.size as usize)) {
            let message = format!("the broker delivered more to input {number} than this worker granted");
            return Err(Fault::local(Code::CREDIT_EXCEEDED, message));
        }
        self.writer.count_received(batch.parts.len());
        self.drop_void(&mut state, &mut batch);
        if !batch.parts.is_empty() {
            state.queue.push_back(batch);
        }
        drop(state);
        self.hub.notify();
        Ok(())
    }

    /// What was under way when its lane was closed goes back unseen, and its lane waits for that, too: where
    /// the broker did not void it (a record whose last attempt this was voids nothing), this releases it.
    fn drop_void(&self, state: &mut State, batch: &mut Delivered) {
        if state.lanes.are_all_open() {
            return;
        }
        let (mut deliveries, mut keys) = (Vec::new(), BTreeSet::new());
        let lanes = &state.lanes;
        batch.void(0, &self.context.inputs, |lane| lanes.is_closed(lane), |delivery, (_, key)| {
            deliveries.push(delivery);
            keys.insert(key.to_vec());
        });
        if !deliveries.is_empty() {
            let ping = self.writer.give_back(&spans(deliveries.into_iter()), Verdict::Release.outcome(), &[]);
            keys.iter().for_each(|key| state.lanes.close((batch.input, key), ping));
        }
    }

    /// A frame that carries no records. Kinds that we do not know are ignored.
    fn handle(&mut self, frame: &[u8]) -> Result<(), Fault> {
        let envelope = pb::Envelope::decode(frame)
            .map_err(|error| Fault::local(Code::MALFORMED_FRAME, format!("a frame of the broker cannot be decoded: {error}")))?;
        if let Some(Kind::Settled(settled)) = &envelope.message {
            self.confirm(settled);
            return Ok(());
        }
        // The lock is held while Pong goes out: everything before the Ping has been booked (LV-1).
        let mut state = self.hub.lock();
        match envelope.message {
            Some(Kind::Ping(ping)) => self.writer.send(Kind::Pong(pb::Pong { nonce: ping.nonce })),
            Some(Kind::Pong(pong)) if self.writer.has_pinged(pong.nonce) => state.lanes.open(pong.nonce),
            Some(Kind::Credit(credit)) => {
                if let Some(output) = state.outputs.iter_mut().find(|output| output.number == credit.number) {
                    output.raise(credit.records, credit.bytes);
                }
            }
            Some(Kind::Runs(runs)) => {
                let mut known = self.context.runs.lock().expect("no thread panics while holding it");
                known.extend(runs.runs.into_iter().map(|run| (run.number, run)));
            }
            Some(Kind::Drain(drain)) => self.hub.drain(&mut state, &drain),
            Some(Kind::Close(close)) => {
                return Err(Fault::Closed { code: Code(close.code), message: close.message, is_remote: true });
            }
            Some(Kind::Claimed(claimed)) => {
                let session = state.session;
                state.source.claimed(session, &claimed);
            }
            Some(Kind::Committed(committed)) => state.source.committed(&committed),
            _ => {}
        }
        drop(state);
        self.hub.notify();
        Ok(())
    }

    /// What the handler had accepted and the broker refused is a dead letter: nobody else here learns of it.
    fn confirm(&mut self, settled: &pb::Settled) {
        for refusal in &settled.refused {
            let error = refusal.error.clone().unwrap_or_default();
            self.console.say(&format!(
                "the broker refused what delivery {} emitted, which is a dead letter now: {} [{}]",
                refusal.id,
                cut_text(error.message),
                Code(error.code)
            ));
        }
        self.confirmer.run(self.writer.confirmed(settled));
    }
}
