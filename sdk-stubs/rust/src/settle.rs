use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use prost::Message;

use crate::confirmations::{Action, Asked};
use crate::frame::{self, SETTLE};
use crate::limits::{FRAME_HEADROOM, RANGES_GATHERED, SETTLE_DELAY, SETTLE_TARGET};
use crate::pb;
use crate::verdict::Verdict;
use crate::wire::{append_tag, append_uint, append_varint, BYTES};

/// A range of delivery ids, both ends included.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub fn one(delivery: u64) -> Self {
        Span { first: delivery, last: delivery }
    }

    pub fn contains(self, delivery: u64) -> bool {
        (self.first..=self.last).contains(&delivery)
    }

    fn count(self) -> u64 {
        self.last - self.first + 1
    }

    /// 0 stands for `first`.
    fn wire_last(self) -> u64 {
        if self.last == self.first {
            0
        } else {
            self.last
        }
    }
}

/// The same deliveries, ascending.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| span.first);
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(before) if before.last + 1 == span.first => before.last = span.last,
            _ => merged.push(span),
        }
    }
    merged
}

/// The writing side of a connection: whole frames, one after the other, and the outcomes gathered
/// for the next Settle.
pub struct Writer {
    settler: Mutex<Settler>,
    keeper: Condvar,
    received: AtomicU64,
}

impl Writer {
    pub fn new(sink: Box<dyn Write + Send>, max_frame: u64) -> Self {
        Writer { settler: Mutex::new(Settler::new(sink, max_frame)), keeper: Condvar::new(), received: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Settler> {
        self.settler.lock().expect("no thread panics while writing")
    }

    /// Writes one control frame, behind everything written before, ahead of what is gathered.
    pub fn send(&self, message: pb::envelope::Message) {
        self.send_frame(&frame::encode(message));
    }

    pub fn send_frame(&self, frame: &[u8]) {
        self.lock().write(frame);
    }

    pub fn flush(&self) {
        self.lock().flush();
    }

    /// Settles one delivery that produced nothing.
    pub fn accept(&self, delivery: u64) {
        let mut settler = self.lock();
        settler.accept(delivery);
        self.watch(settler);
    }

    /// Settles one delivery with what it produced; its credit has been reserved.
    pub fn accept_with(&self, delivery: u64, emissions: &[u8]) {
        let mut settler = self.lock();
        settler.accept_with(delivery, emissions);
        self.watch(settler);
    }

    /// Adds one outcome over `spans` (ascending; one record's, or all of a window's).
    pub fn settle(&self, spans: &[Span], outcome: pb::Outcome, emissions: &[u8]) {
        let mut settler = self.lock();
        settler.settle(spans, outcome, emissions);
        self.watch(settler);
    }

    /// As `settle`, for what is given back; behind it, as RELEASED, what is void because of it, and behind
    /// that a Ping, whose number is returned. Several of them in one frame share a Ping.
    pub fn give_back(&self, spans: &[Span], outcome: pb::Outcome, void: &[Span]) -> u64 {
        let mut settler = self.lock();
        settler.settle(spans, outcome, &[]);
        if !void.is_empty() {
            settler.settle(void, Verdict::Release.outcome(), &[]);
        }
        let ping = settler.ping();
        self.watch(settler);
        ping
    }

    /// Has something done once the settlement of a delivery that is accepted is confirmed.
    pub fn ask(&self, delivery: u64, action: Action) {
        self.lock().asked.ask(delivery, action);
    }

    /// What a Settled confirms.
    pub fn confirmed(&self, settled: &pb::Settled) -> Vec<Action> {
        let refused: Vec<u64> = settled.refused.iter().map(|refusal| refusal.id).collect();
        self.lock().asked.confirm(settled.through, &refused)
    }

    /// Whether a Ping of that number has been written; they count from 1.
    pub fn has_pinged(&self, nonce: u64) -> bool {
        nonce <= self.lock().pinged
    }

    pub fn count_received(&self, records: usize) {
        self.received.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Makes sure that the keeper looks after what is gathered.
    fn watch(&self, mut settler: MutexGuard<'_, Settler>) {
        if !settler.is_watched && settler.has_work() {
            settler.is_watched = true;
            drop(settler);
            self.keeper.notify_one();
        }
    }

    /// Writes our last frame, if there is one to write: after a Close, ours or the broker's, nothing
    /// may follow (EN-1).
    pub fn close(&self, message: Option<pb::envelope::Message>) {
        let mut settler = self.lock();
        if let Some(message) = message {
            settler.write(&frame::encode(message));
        }
        settler.is_closed = true;
    }

    pub fn finish(&self) {
        self.lock().is_over = true;
        self.keeper.notify_one();
    }

    /// One look of the keeper: writes what has waited too long and, with `extend`, renews the lease if
    /// deliveries are held and no Settle went out since the last time.
    pub fn tend(&self, extend: bool) {
        let mut settler = self.lock();
        if settler.since.map_or(false, |since| Instant::now() >= since + SETTLE_DELAY) {
            settler.flush();
        }
        if extend {
            let settled = settler.settled;
            if settled == settler.extended_at && self.received.load(Ordering::Relaxed) > settled {
                settler.write(&frame::encode(pb::envelope::Message::Extend(pb::Extend {})));
            }
            settler.extended_at = settled;
        }
    }

    /// Waits for what the keeper has to look after, at most so long. `None`: its work is over; else
    /// whether the connection still is.
    pub fn rest(&self, pause: Duration) -> Option<bool> {
        let mut settler = self.lock();
        if settler.is_over {
            return None;
        }
        settler.is_watched = settler.has_work();
        let pause = if settler.is_watched { pause.min(SETTLE_DELAY) } else { pause };
        let settler = self.keeper.wait_timeout(settler, pause).expect("no thread panics while writing").0;
        (!settler.is_over).then(|| !settler.is_closed)
    }
}

/// Gathers encoded outcomes until they are worth a frame.
struct Settler {
    sink: Box<dyn Write + Send>,
    max_frame: usize,
    /// FRAME_HEADROOM free bytes, then outcomes.
    buffer: Vec<u8>,
    head: Vec<u8>,
    /// Plain acceptances, in the order in which they were settled, not yet encoded: a sink's Settle is a few
    /// bytes however many records it covers.
    accepted: Vec<Span>,
    /// Deliveries settled by the encoded outcomes.
    gathered: u64,
    /// Deliveries whose Settle has been written.
    settled: u64,
    /// `settled` when the keeper last thought of the lease.
    extended_at: u64,
    since: Option<Instant>,
    /// Pings that have been written.
    pinged: u64,
    /// Another one is to follow what is gathered.
    is_ping_due: bool,
    is_watched: bool,
    is_over: bool,
    is_closed: bool,
    asked: Asked,
}

impl Settler {
    fn new(sink: Box<dyn Write + Send>, max_frame: u64) -> Self {
        Settler {
            sink,
            max_frame: usize::try_from(max_frame).unwrap_or(usize::MAX),
            buffer: frame::open(SETTLE_TARGET + SETTLE_TARGET / 4),
            head: Vec::new(),
            accepted: Vec::new(),
            gathered: 0,
            settled: 0,
            extended_at: 0,
            since: None,
            pinged: 0,
            is_ping_due: false,
            is_watched: false,
            is_over: false,
            is_closed: false,
            asked: Asked::default(),
        }
    }

    /// A failed write is not reported here: the reader meets the same broken connection and says so.
    fn write(&mut self, frame: &[u8]) {
        if !self.is_closed {
            let _ = self.sink.write_all(frame);
        }
    }

    fn has_work(&self) -> bool {
        self.gathered > 0 || !self.accepted.is_empty()
    }

    fn accept(&mut self, delivery: u64) {
        let count = self.accepted.len();
        match self.accepted.last_mut() {
            Some(run) if run.last + 1 == delivery => run.last = delivery,
            // Several handlers finish in any order.
            Some(_) if count < RANGES_GATHERED => self.accepted.push(Span::one(delivery)),
            _ => {
                self.close_accepted();
                self.accepted.push(Span::one(delivery));
                self.since.get_or_insert_with(Instant::now);
            }
        }
    }

    fn accept_with(&mut self, delivery: u64, emissions: &[u8]) {
        self.close_accepted();
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        append_uint(&mut head, 1, delivery);
        append_uint(&mut head, 3, pb::OutcomeKind::Accepted as u64);
        self.append(1, &head, emissions);
        self.head = head;
        self.write_if_full();
    }

    fn settle(&mut self, spans: &[Span], outcome: pb::Outcome, emissions: &[u8]) {
        self.close_accepted();
        self.asked.settle(spans, outcome.kind == pb::OutcomeKind::Accepted as i32);
        self.append_outcome(spans, outcome, emissions);
        self.write_if_full();
    }

    fn append_outcome(&mut self, spans: &[Span], mut outcome: pb::Outcome, emissions: &[u8]) {
        let (first, more) = spans.split_first().expect("an outcome covers deliveries");
        outcome.first = first.first;
        outcome.last = first.wire_last();
        outcome.more = more.iter().map(|span| pb::Range { first: span.first, last: span.wire_last() }).collect();
        self.append(spans.iter().map(|span| span.count()).sum(), &outcome.encode_to_vec(), emissions);
    }

    /// Lets a Ping follow what was settled last, at once if that has been written already. Its number.
    fn ping(&mut self) -> u64 {
        if self.gathered == 0 {
            self.write_ping();
            return self.pinged;
        }
        self.is_ping_due = true;
        self.pinged + 1
    }

    fn write_ping(&mut self) {
        self.is_ping_due = false;
        self.pinged += 1;
        let nonce = self.pinged;
        self.write(&frame::encode(pb::envelope::Message::Ping(pb::Ping { nonce })));
    }

    fn write_if_full(&mut self) {
        if self.buffer.len() >= SETTLE_TARGET {
            self.write_gathered();
        }
    }

    /// Adds an outcome made of two pieces; a frame that it would make too large is written first.
    fn append(&mut self, deliveries: u64, head: &[u8], emissions: &[u8]) {
        let length = head.len() + emissions.len();
        if self.gathered > 0 && self.buffer.len() + length + FRAME_HEADROOM > self.max_frame {
            self.write_gathered();
        }
        append_tag(&mut self.buffer, 1, BYTES);
        append_varint(&mut self.buffer, length as u64);
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(emissions);
        self.gathered += deliveries;
        self.since.get_or_insert_with(Instant::now);
    }

    fn close_accepted(&mut self) {
        if self.accepted.is_empty() {
            return;
        }
        let spans = merged(std::mem::take(&mut self.accepted));
        let outcome = pb::Outcome { kind: pb::OutcomeKind::Accepted as i32, ..pb::Outcome::default() };
        self.append_outcome(&spans, outcome, &[]);
    }

    fn flush(&mut self) {
        self.close_accepted();
        if self.gathered > 0 {
            self.write_gathered();
        }
    }

    fn write_gathered(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let start = frame::close(&mut buffer, SETTLE);
        self.write(&buffer[start..]);
        if self.is_ping_due {
            self.write_ping();
        }
        self.settled += self.gathered;
        self.gathered = 0;
        self.since = None;
        buffer.truncate(FRAME_HEADROOM);
        // One huge step should not keep its memory for ever.
        if buffer.capacity() > 4 * SETTLE_TARGET {
            buffer = frame::open(SETTLE_TARGET + SETTLE_TARGET / 4);
        }
        self.buffer = buffer;
    }
}
