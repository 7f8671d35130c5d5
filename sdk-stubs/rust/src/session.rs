use std::collections::HashSet;
use std::io::BufReader;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::codes::Code;
use crate::confirmations::Confirmer;
use crate::console::Console;
use crate::credit::Charge;
use crate::frame::Fault;
use crate::hub::{Hub, State};
use crate::incoming::Incoming;
use crate::keeper::{self, Watch};
use crate::lanes::Lane;
use crate::limits::CLOSE_TIMEOUT;
use crate::pb::{self, envelope::Message as Kind};
use crate::reader::{close, Reader};
use crate::record::{Context, Delivered, Record};
use crate::settle::Writer;
use crate::verdict::Verdict;
use crate::window::spans;

/// One connection after its Welcome.
pub struct Session {
    pub hub: Arc<Hub>,
    pub writer: Arc<Writer>,
    pub welcome: Arc<pb::Welcome>,
    /// Of each that calls handlers; most stages have one.
    pub watches: Arc<[Watch]>,
    stream: UnixStream,
    pub context: Arc<Context>,
    threads: Vec<JoinHandle<()>>,
    batch: Option<Delivered>,
    at: usize,
    seen_news: u64,
}

/// What a consumer gets when it asks for work.
pub enum Next {
    Record(Record),
    /// Nothing is queued, and time is up or there is news: a Drain, a signal.
    Quiet,
    Over,
}

impl Session {
    /// Takes over a connection whose Welcome has been read.
    pub fn start(
        hub: Arc<Hub>,
        stream: UnixStream,
        input: BufReader<Incoming>,
        welcome: Arc<pb::Welcome>,
        max_frame: u32,
        watches: &Arc<[Watch]>,
        console: &Console,
    ) -> Result<Self, Fault> {
        let writer = Arc::new(Writer::new(Box::new(stream.try_clone()?), welcome.max_frame));
        let context = Arc::new(Context { inputs: welcome.inputs.clone(), writer: Arc::downgrade(&writer), ..Context::default() });
        for window in &mut hub.begin(&welcome).inputs {
            writer.send(Kind::Credit(window.grant()));
        }
        let reader = Reader {
            hub: hub.clone(),
            writer: writer.clone(),
            context: context.clone(),
            input,
            // The limit in force (LM-1) is the broker's, when that is the lesser.
            max_frame: u32::try_from(welcome.max_frame).map_or(max_frame, |limit| limit.min(max_frame)),
            console: console.clone(),
            confirmer: Confirmer::new(console.clone()),
        };
        let lease = Duration::from_millis(u64::from(welcome.lease_ms));
        let (kept, watched) = (writer.clone(), watches.clone());
        let threads = vec![
            thread::spawn(move || reader.run()),
            thread::spawn(move || keeper::keep(&kept, lease, &watched)),
        ];
        Ok(Session { hub, writer, welcome, watches: watches.clone(), stream, context, threads, batch: None, at: 0, seen_news: 0 })
    }

    /// Of who calls handlers in main.
    pub fn watch(&self) -> &Watch {
        &self.watches[0]
    }

    /// Takes a record out of the queue. With nothing to do it first writes what is gathered, then waits
    /// until `deadline`; none: until something comes.
    pub fn next(&mut self, deadline: Option<Instant>) -> Next {
        loop {
            if self.hub.is_over() {
                return Next::Over;
            }
            if let Some(record) = self.at_hand() {
                return Next::Record(record);
            }
            // Records first: news is looked at when the queue is empty, so that a Drain finds everything
            // that was delivered before it.
            let seen = self.seen_news;
            let mut state = self.wait_flushed(deadline, |state| !state.queue.is_empty() || state.news != seen);
            if state.ended.is_some() {
                return Next::Over;
            }
            let (batch, news) = (take_batch(&mut state, &self.writer), state.news);
            drop(state);
            if batch.is_none() {
                self.seen_news = news;
                return Next::Quiet;
            }
            self.batch = batch;
            self.at = 0;
        }
    }

    /// A record that is there already.
    pub fn next_queued(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.at_hand() {
                return Some(record);
            }
            let mut state = self.hub.lock();
            let batch = if state.ended.is_none() { take_batch(&mut state, &self.writer) } else { None };
            drop(state);
            self.batch = Some(batch?);
            self.at = 0;
        }
    }

    fn at_hand(&mut self) -> Option<Record> {
        let batch = self.batch.as_ref()?;
        let index = (self.at..batch.parts.len()).find(|index| !batch.parts[*index].is_void)?;
        self.at = index + 1;
        Some(Record::new(batch, index, &self.context))
    }

    /// Settles records, ascending, by a verdict that gives them back. What is queued behind them of their
    /// lanes is void: it goes back, too, and the lanes are closed until the broker has taken it.
    pub fn give_back(&mut self, records: &[Record], verdict: Verdict) {
        let given = spans(records.iter().map(Record::delivery));
        let lanes: HashSet<Lane> = records.iter().filter_map(Record::lane).collect();
        if lanes.is_empty() {
            return self.writer.settle(&given, verdict.outcome(), &[]);
        }
        // The lock is held until the lanes are closed: no Pong, and nothing that is under way, comes between.
        let mut state = self.hub.lock();
        let inputs = &self.welcome.inputs;
        let mut void = Vec::new();
        let at_hand = self.batch.iter_mut().map(|batch| (self.at, batch));
        for (from, batch) in at_hand.chain(state.queue.iter_mut().map(|batch| (0, batch))) {
            batch.void(from, inputs, |lane| lanes.contains(&lane), |delivery, _| void.push(delivery));
        }
        let ping = self.writer.give_back(&given, verdict.outcome(), &spans(void.into_iter()));
        lanes.iter().for_each(|lane| state.lanes.close(*lane, ping));
    }

    /// Waits until the broker's credit covers the charges, and uses it. `false`: the session has ended,
    /// or a signal came and no credit for a while after it. Nobody keeps a part of the credit while it waits
    /// for the rest, and a large outcome is not overtaken by small ones for ever: see `State::may_go`.
    pub fn reserve(&self, charges: &[Charge]) -> bool {
        let mut state = self.hub.lock();
        if state.ended.is_none() && state.claims.is_empty() && state.fits(charges) {
            state.use_up(charges);
            return true;
        }
        let ticket = state.claim(charges);
        drop(state);
        let mut state = self.wait_flushed(None, |state| state.may_go(ticket) || state.leave_by.is_some());
        // A signal came while credit is short: others may be stuck for good, and we have to go.
        if !state.may_go(ticket) && state.ended.is_none() {
            let leave_by = state.leave_by;
            drop(state);
            state = self.wait_flushed(leave_by, |state| state.may_go(ticket));
        }
        let can_emit = state.ended.is_none() && state.fits(charges);
        if can_emit {
            state.use_up(charges);
        }
        state.withdraw(ticket);
        let is_awaited = !state.claims.is_empty();
        drop(state);
        if is_awaited {
            self.hub.notify();
        }
        can_emit
    }

    /// Waits for `is_ready`, the deadline or the end of the session, having written what is gathered:
    /// the broker may be waiting for just that.
    fn wait_flushed(&self, deadline: Option<Instant>, is_ready: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.hub.lock();
        if state.ended.is_some() || is_ready(&state) {
            return state;
        }
        drop(state);
        self.writer.flush();
        let mut state = self.hub.lock();
        while state.ended.is_none() && !is_ready(&state) {
            state = match deadline {
                Some(deadline) if Instant::now() >= deadline => break,
                Some(deadline) => self.hub.wait_until(state, deadline),
                None => self.hub.wait(state),
            };
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
        // After a Close of ours the reader hears the broker out.
        if !matches!(self.hub.lock().ended, Some(Fault::Closed { is_remote: false, .. })) {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        self.writer.finish();
        for thread in self.threads.drain(..) {
            thread.join().expect("the SDK's own threads do not panic");
        }
    }
}

/// Takes a Deliver out of the queue. Its records count as taken all at once: what is at hand is bounded
/// by a frame, and booking them one by one would cost a lock for each.
pub fn take_batch(state: &mut State, writer: &Writer) -> Option<Delivered> {
    let batch = state.queue.pop_front()?;
    let window = state.inputs.iter_mut().find(|window| window.number == batch.input)?;
    if let Some(credit) = window.take(batch.parts.len(), batch.parts.iter().map(|parts| u64::from(parts.size)).sum()) {
        writer.send(Kind::Credit(credit));
    }
    Some(batch)
}
