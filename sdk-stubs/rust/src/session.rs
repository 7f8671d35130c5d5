use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prost::Message;

use crate::codes::Code;
use crate::credit::{Charge, InputWindow, OutputCredit};
use crate::frame::{find_deliver, read_frame, Fault};
use crate::limits::CLOSE_TIMEOUT;
use crate::pb::{self, envelope::Message as Kind};
use crate::record::{decode_deliver, Batch, Context, Record};
use crate::settle::Writer;
use crate::source::SourceState;
use crate::verdict::cut_text;

/// What the threads of a worker share, across connections. Its lock may be held while taking the
/// writer's, never the other way round.
#[derive(Default)]
pub struct Hub {
    state: Mutex<State>,
    changed: Condvar,
}

/// All but `source` belongs to the session at hand.
#[derive(Default)]
pub struct State {
    /// Counts connections from 1.
    pub session: u64,
    pub ended: Option<Fault>,
    pub drain_deadline: Option<Instant>,
    pub source: SourceState,
    queue: VecDeque<Batch>,
    inputs: Vec<InputWindow>,
    outputs: Vec<OutputCredit>,
    reserve: u64,
}

impl Hub {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while holding the state")
    }

    pub fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).expect("no thread panics while holding the state")
    }

    pub fn wait_until<'a>(&self, state: MutexGuard<'a, State>, deadline: Instant) -> MutexGuard<'a, State> {
        let pause = deadline.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, pause).expect("no thread panics while holding the state").0
    }

    pub fn notify(&self) {
        self.changed.notify_all();
    }
}

impl State {
    pub fn fits(&self, charges: &[Charge]) -> bool {
        charges.iter().zip(&self.outputs).all(|(charge, output)| charge.records == 0 || output.fits(*charge, self.reserve))
    }

    pub fn use_up(&mut self, charges: &[Charge]) {
        for (charge, output) in charges.iter().zip(&mut self.outputs) {
            output.use_up(*charge, self.reserve);
        }
    }

    fn begin(&mut self, welcome: &pb::Welcome) {
        self.session += 1;
        self.ended = None;
        self.drain_deadline = None;
        self.queue.clear();
        self.reserve = welcome.stamp_reserve;
        self.inputs = welcome.inputs.iter().map(|i| InputWindow::new(i.number, welcome.max_record)).collect();
        self.outputs = welcome.outputs.iter().map(|o| OutputCredit::new(o.number)).collect();
    }
}

/// One connection after its Welcome.
pub struct Session {
    pub hub: Arc<Hub>,
    pub writer: Arc<Writer>,
    pub welcome: Arc<pb::Welcome>,
    /// Drain(shutdown) has come.
    pub stopping: Arc<AtomicBool>,
    stream: UnixStream,
    context: Arc<Context>,
    threads: Vec<JoinHandle<()>>,
    batch: Option<Batch>,
    at: usize,
}

impl Session {
    /// Takes over a connection whose Welcome has been read.
    pub fn start(
        hub: Arc<Hub>,
        stream: UnixStream,
        input: BufReader<UnixStream>,
        welcome: Arc<pb::Welcome>,
        max_frame: u32,
    ) -> Result<Self, Fault> {
        let writer = Arc::new(Writer::new(Box::new(stream.try_clone()?), welcome.max_frame));
        let context = Arc::new(Context { inputs: welcome.inputs.clone(), ..Context::default() });
        let stopping = Arc::new(AtomicBool::new(false));
        {
            let mut state = hub.lock();
            state.begin(&welcome);
            for window in &mut state.inputs {
                writer.send(Kind::Credit(window.grant()));
            }
        }
        let reader = Reader {
            hub: hub.clone(),
            writer: writer.clone(),
            context: context.clone(),
            stopping: stopping.clone(),
            stream: stream.try_clone()?,
            input,
            max_frame,
        };
        let keeper = writer.clone();
        let lease = Duration::from_millis(u64::from(welcome.lease_ms));
        let threads = vec![thread::spawn(move || reader.run()), thread::spawn(move || keeper.keep(lease))];
        Ok(Session { hub, writer, welcome, stopping, stream, context, threads, batch: None, at: 0 })
    }

    /// Takes a record out of the queue. With nothing to do it first writes what is gathered. `None`:
    /// the session has ended.
    pub fn next(&mut self) -> Option<Record> {
        if self.batch.as_ref().map_or(true, |batch| self.at == batch.parts.len()) {
            self.batch = Some(self.refill()?);
            self.at = 0;
        }
        let batch = self.batch.as_ref()?;
        let size = batch.parts[self.at].size as usize;
        let credit = {
            let mut state = self.hub.lock();
            let window = state.inputs.iter_mut().find(|window| window.number == batch.input);
            window.and_then(|window| window.take(size))
        };
        if let Some(credit) = credit {
            self.writer.send(Kind::Credit(credit));
        }
        self.at += 1;
        Some(Record::new(batch, self.at - 1, &self.context))
    }

    fn refill(&self) -> Option<Batch> {
        let mut state = self.wait_flushed(|state| !state.queue.is_empty());
        match state.ended {
            None => state.queue.pop_front(),
            Some(_) => None,
        }
    }

    /// Waits until the broker's credit covers the charges, and uses it. `false`: the session has ended.
    pub fn reserve(&self, charges: &[Charge]) -> bool {
        let mut state = self.wait_flushed(|state| state.fits(charges));
        if state.ended.is_none() {
            state.use_up(charges);
        }
        state.ended.is_none()
    }

    /// Waits for `is_ready` or the end of the session, having written what is gathered: the broker may
    /// be waiting for just that.
    fn wait_flushed(&self, is_ready: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.hub.lock();
        if state.ended.is_some() || is_ready(&state) {
            return state;
        }
        drop(state);
        self.writer.flush();
        let mut state = self.hub.lock();
        while state.ended.is_none() && !is_ready(&state) {
            state = self.hub.wait(state);
        }
        state
    }

    /// Our last frame; the broker hangs up after it, or we do.
    pub fn leave(&self, message: &str) {
        self.writer.close(Some(close(Code::OK, message.into())));
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let mut state = self.hub.lock();
        while state.ended.is_none() && Instant::now() < deadline {
            state = self.hub.wait_until(state, deadline);
        }
    }

    /// Ends the connection and its threads.
    pub fn shut(mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.writer.finish();
        for thread in self.threads.drain(..) {
            thread.join().expect("the SDK's own threads do not panic");
        }
    }
}

fn close(code: Code, message: String) -> Kind {
    Kind::Close(pb::Close { code: code.0, message: cut_text(message) })
}

/// Reads until the connection ends. Never waits for a handler.
struct Reader {
    hub: Arc<Hub>,
    writer: Arc<Writer>,
    context: Arc<Context>,
    stopping: Arc<AtomicBool>,
    stream: UnixStream,
    input: BufReader<UnixStream>,
    max_frame: u32,
}

impl Reader {
    fn run(mut self) {
        let fault = loop {
            if let Err(fault) = self.step() {
                break fault;
            }
        };
        if let Fault::Closed { code, message, is_remote: false } = &fault {
            self.writer.close(Some(close(*code, message.clone())));
            self.discard();
        }
        self.writer.close(None);
        self.hub.lock().ended = Some(fault);
        self.hub.notify();
    }

    fn step(&mut self) -> Result<(), Fault> {
        let frame = read_frame(&mut self.input, self.max_frame)?;
        match find_deliver(&frame)? {
            Some(range) => self.receive(decode_deliver(frame, range)?),
            None => self.handle(&frame),
        }
    }

    /// After our Close: reads on until EOF, for a bounded time.
    fn discard(&mut self) {
        let deadline = Instant::now() + CLOSE_TIMEOUT;
        let _ = self.stream.set_read_timeout(Some(CLOSE_TIMEOUT));
        let mut scratch = [0; 4096];
        while Instant::now() < deadline && matches!(self.input.read(&mut scratch), Ok(n) if n > 0) {}
    }

    fn receive(&self, batch: Batch) -> Result<(), Fault> {
        let mut state = self.hub.lock();
        let number = batch.input;
        let window = state.inputs.iter_mut().find(|window| window.number == number).ok_or_else(|| {
            Fault::local(Code::UNKNOWN_PORT, format!("the broker delivered to input {number}, which its Welcome does not name"))
        })?;
        if !batch.parts.iter().all(|parts| window.receive(parts.size as usize)) {
            let message = format!("the broker delivered more to input {number} than this worker granted");
            return Err(Fault::local(Code::CREDIT_EXCEEDED, message));
        }
        self.writer.count_received(batch.parts.len());
        if !batch.parts.is_empty() {
            state.queue.push_back(batch);
        }
        drop(state);
        self.hub.notify();
        Ok(())
    }

    /// A frame that carries no records. Kinds that we do not know are ignored.
    fn handle(&self, frame: &[u8]) -> Result<(), Fault> {
        let envelope = pb::Envelope::decode(frame)
            .map_err(|error| Fault::local(Code::MALFORMED_FRAME, format!("a frame of the broker cannot be decoded: {error}")))?;
        let mut state = self.hub.lock();
        match envelope.message {
            Some(Kind::Ping(ping)) => self.writer.send(Kind::Pong(pb::Pong { nonce: ping.nonce })),
            Some(Kind::Credit(credit)) => {
                if let Some(output) = state.outputs.iter_mut().find(|output| output.number == credit.number) {
                    output.raise(credit.records, credit.bytes);
                }
            }
            Some(Kind::Runs(runs)) => {
                let mut known = self.context.runs.lock().expect("no thread panics while holding it");
                known.extend(runs.runs.into_iter().map(|run| (run.number, run)));
            }
            Some(Kind::Drain(drain)) => self.drain(&mut state, &drain),
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

    /// When inputs have ended there is nothing to change, for what is held is settled anyway; a
    /// shutdown (and any reason that we do not know) gives back what has not been started and stops
    /// sources.
    fn drain(&self, state: &mut State, drain: &pb::Drain) {
        let is_shutdown = drain.reason != pb::DrainReason::InputEnded as i32;
        self.stopping.store(is_shutdown, Ordering::Relaxed);
        let wait = Duration::from_millis(u64::from(drain.deadline_ms));
        state.drain_deadline = (drain.deadline_ms > 0).then(|| Instant::now() + wait);
        state.source.is_stopped |= is_shutdown;
    }
}
