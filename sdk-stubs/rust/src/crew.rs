//! Several handlers at once, for `Stage::workers`.
//!
//! Related records are handled and settled one after the other, in the order of their ids (OR-2), for a lane
//! belongs to one thread at a time:
//!
//! ```text
//! queue: a1 b1 a2 - a3 b2    thread 1: a1, then a2, a3    lanes: a: [a2 a3]
//!        (-: no key)         thread 2: b1, then b2               b: [b2]
//!                            thread 3: -
//! ```
//!
//! A thread settles what it handled before it takes more, and one that has no lane takes from the queue until
//! it finds a record that may be handled. So a lane is never kept from settling by another one, and what waits
//! behind a lane is bounded by what the broker lets the session hold (DE-3).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::console::Console;
use crate::consuming::{call, settle_for_good, SIGNALLED};
use crate::emitter::{Emitter, IN_OUTCOME};
use crate::hub::State;
use crate::keeper::Watch;
use crate::lanes::Lane;
use crate::record::{Context, Delivered, Record};
use crate::role::SharedHandler;
use crate::session::{take_batch, Session};
use crate::settle::{Span, Writer};
use crate::verdict::Verdict;
use crate::window::spans;
use crate::worker::Left;

/// What the threads of a crew share, behind the hub's lock.
#[derive(Default)]
pub struct Crew {
    batch: Option<Delivered>,
    at: usize,
    /// Those that belong to a thread, with what waits behind the record that it has.
    lanes: HashMap<(u32, Vec<u8>), VecDeque<Record>>,
}

fn owned((input, key): Lane) -> (u32, Vec<u8>) {
    (input, key.to_vec())
}

/// Handles records, as many at once as there are watches, until the session ends.
pub fn serve(session: &Session, handler: &SharedHandler, console: &mut Console) -> Left {
    let console = Mutex::new(console);
    thread::scope(|scope| {
        for watch in session.watches.iter() {
            let member = Member { session, watch, handler, console: &console };
            scope.spawn(move || member.work());
        }
    });
    if session.hub.is_over() {
        Left::Over
    } else {
        Left::Leaving(SIGNALLED)
    }
}

/// One thread of it.
struct Member<'a> {
    session: &'a Session,
    watch: &'a Watch,
    handler: &'a SharedHandler,
    console: &'a Mutex<&'a mut Console>,
}

impl Member<'_> {
    fn work(&self) {
        let mut emitter = Emitter::new(self.session.welcome.clone(), IN_OUTCOME);
        let (mut done, mut was_overdue) = (None, false);
        while let Some(record) = self.next(done.take(), was_overdue) {
            was_overdue = false;
            if self.session.hub.is_stopping() {
                self.give_back(&record, Verdict::Release);
            } else {
                emitter.reset();
                self.watch.begin_with(record.delivery());
                let mut result = call(|| (self.handler)(&record, &mut emitter));
                was_overdue = self.watch.end_seen();
                if result.is_ok() && !emitter.is_empty() {
                    result = emitter.verdict(record.delivery());
                }
                self.settle(&record, result, &emitter);
            }
            done = Some(record);
        }
    }

    fn settle(&self, record: &Record, result: Result<(), Verdict>, emitter: &Emitter) {
        match result {
            Err(verdict) if verdict.gives_back() => {
                if let Verdict::Failed(error) = &verdict {
                    let mut console = self.console.lock().expect("no thread panics while it writes");
                    console.failed(&format!("record {}", record.id()), error);
                }
                self.give_back(record, verdict);
            }
            result => settle_for_good(self.session, record.delivery(), result, emitter),
        }
    }

    /// Settles a record that comes again. What is there behind it, of its lane, goes back, too: see
    /// `Session::give_back`.
    fn give_back(&self, record: &Record, verdict: Verdict) {
        let (session, given) = (self.session, [Span::one(record.delivery())]);
        let lane = match record.lane() {
            Some(lane) => lane,
            None => return session.writer.settle(&given, verdict.outcome(), &[]),
        };
        let mut state = session.hub.lock();
        let state = &mut *state;
        let waiting = state.crew.lanes.get_mut(&owned(lane)).expect("the lane belongs to this thread");
        let mut void: Vec<u64> = waiting.drain(..).map(|record| record.delivery()).collect();
        let at = state.crew.at;
        let at_hand = state.crew.batch.iter_mut().map(|batch| (at, batch));
        for (from, batch) in at_hand.chain(state.queue.iter_mut().map(|batch| (0, batch))) {
            batch.void(from, &session.welcome.inputs, |other| other == lane, |delivery, _| void.push(delivery));
        }
        let ping = session.writer.give_back(&given, verdict.outcome(), &spans(void.into_iter()));
        state.lanes.close(lane, ping);
    }

    /// What this thread is to handle after `done`, which is settled. With nothing to do it first writes what
    /// is gathered. `None`: the session is over, or a signal came.
    fn next(&self, mut done: Option<Record>, was_overdue: bool) -> Option<Record> {
        let session = self.session;
        let mut state = session.hub.lock();
        if was_overdue {
            session.hub.notify(); // the others waited for us
        }
        let mut is_flushed = false;
        loop {
            if state.ended.is_some() || session.hub.is_leaving() {
                return None;
            }
            let limit = session.watches.iter().filter_map(Watch::overdue).min();
            if let Some(record) = take(&mut state, &mut done, limit, &session.writer, &session.context) {
                return Some(record);
            }
            if is_flushed {
                state = session.hub.wait(state);
                continue;
            }
            drop(state);
            session.writer.flush();
            state = session.hub.lock();
            is_flushed = true;
        }
    }
}

/// Finds a record that may be handled: of the lane of `done`, which is left if there is none, or out of the
/// queue. While a handler is overdue only records before `limit` are, which is its own: with nothing later
/// settled, the lease runs out, and the overdue record is the oldest, which the broker charges (LE-2).
fn take(state: &mut State, done: &mut Option<Record>, limit: Option<u64>, writer: &Writer, context: &Arc<Context>) -> Option<Record> {
    if let Some(lane) = done.as_ref().and_then(Record::lane).map(owned) {
        let waiting = state.crew.lanes.get_mut(&lane).expect("a lane at work belongs to a thread");
        match waiting.front() {
            Some(first) if limit.map_or(false, |limit| first.delivery() > limit) => return None,
            Some(_) => {
                *done = None;
                return waiting.pop_front();
            }
            None => state.crew.lanes.remove(&lane),
        };
    }
    *done = None;
    if limit.is_some() {
        return None;
    }
    loop {
        let record = next_queued(state, writer, context)?;
        let lane = match record.lane().map(owned) {
            Some(lane) => lane,
            None => return Some(record),
        };
        match state.crew.lanes.entry(lane) {
            Entry::Occupied(mut lane) => lane.get_mut().push_back(record),
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                return Some(record);
            }
        }
    }
}

/// A record out of the queue that is not void.
fn next_queued(state: &mut State, writer: &Writer, context: &Arc<Context>) -> Option<Record> {
    loop {
        if let Some(batch) = &state.crew.batch {
            let from = state.crew.at;
            if let Some(index) = (from..batch.parts.len()).find(|index| !batch.parts[*index].is_void) {
                state.crew.at = index + 1;
                return Some(Record::new(batch, index, context));
            }
        }
        state.crew.batch = None;
        state.crew.batch = Some(take_batch(state, writer)?);
        state.crew.at = 0;
    }
}
