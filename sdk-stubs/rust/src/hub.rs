use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::credit::{Charge, InputWindow, OutputCredit};
use crate::crew::Crew;
use crate::frame::Fault;
use crate::lanes::Lanes;
use crate::limits::LEAVE_TIMEOUT;
use crate::pb;
use crate::record::Delivered;
use crate::source::SourceState;

/// What the threads of a worker share, across connections. Its lock may be held while taking the
/// writer's, never the other way round.
#[derive(Default)]
pub struct Hub {
    state: Mutex<State>,
    changed: Condvar,
    // Copies of what `State` is told, read before every handler call: a lock would cost more than the rest.
    leaving: AtomicBool,
    stopping: AtomicBool,
    input_ended: AtomicBool,
    over: AtomicBool,
}

/// All but `source` and `leave_by` belongs to the session at hand.
#[derive(Default)]
pub struct State {
    /// Counts connections from 1.
    pub session: u64,
    pub ended: Option<Fault>,
    pub drain_deadline: Option<Instant>,
    /// A signal came: when a source is left alone that has not returned.
    pub leave_by: Option<Instant>,
    pub source: SourceState,
    /// Counts what a waiting consumer has to look at beside records.
    pub news: u64,
    /// Nothing in it is of a closed lane, but for what is void and settled.
    pub queue: VecDeque<Delivered>,
    pub lanes: Lanes,
    pub inputs: Vec<InputWindow>,
    pub outputs: Vec<OutputCredit>,
    reserve: u64,
    /// Of outcomes that wait for credit, the longest first.
    pub claims: Vec<Claim>,
    pub crew: Crew,
}

/// What an outcome waits for.
pub struct Claim {
    ticket: u64,
    charges: Vec<Charge>,
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

    /// A signal came: what is at hand is finished, the rest given back.
    pub fn leave(&self) {
        let mut state = self.lock();
        self.leaving.store(true, Ordering::Relaxed);
        state.news += 1;
        state.source.is_stopped = true;
        state.leave_by = Some(Instant::now() + LEAVE_TIMEOUT);
        drop(state);
        self.notify();
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Drain(shutdown) has come.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Drain(input-ended) has come.
    pub fn is_input_ended(&self) -> bool {
        self.input_ended.load(Ordering::Relaxed)
    }

    /// The session has ended: what it delivered is not ours any more.
    pub fn end(&self, fault: Fault) {
        let mut state = self.lock();
        state.ended = Some(fault);
        self.over.store(true, Ordering::Relaxed);
        drop(state);
        self.notify();
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for a signal, so long at most.
    pub fn is_left_within(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut state = self.lock();
        while !self.is_leaving() && Instant::now() < deadline {
            state = self.wait_until(state, deadline);
        }
        self.is_leaving()
    }

    /// A later Drain replaces an earlier one. A shutdown, and any reason that we do not know, gives back
    /// what has not been started and stops sources.
    pub fn drain(&self, state: &mut State, drain: &pb::Drain) {
        let is_shutdown = drain.reason != pb::DrainReason::InputEnded as i32;
        self.input_ended.store(!is_shutdown, Ordering::Relaxed);
        self.stopping.store(is_shutdown, Ordering::Relaxed);
        let wait = Duration::from_millis(u64::from(drain.deadline_ms));
        state.drain_deadline = (drain.deadline_ms > 0).then(|| Instant::now() + wait);
        state.source.is_stopped |= is_shutdown;
        state.news += 1;
    }

    /// Forgets the session before.
    pub fn begin(&self, welcome: &pb::Welcome) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        self.stopping.store(false, Ordering::Relaxed);
        state.session += 1;
        state.ended = None;
        self.over.store(false, Ordering::Relaxed);
        state.drain_deadline = None;
        self.input_ended.store(false, Ordering::Relaxed);
        state.queue.clear();
        state.lanes = Lanes::default();
        state.crew = Crew::default();
        state.claims.clear();
        state.reserve = welcome.stamp_reserve;
        state.inputs = welcome.inputs.iter().map(|i| InputWindow::new(i.number, welcome.max_record)).collect();
        state.outputs = welcome.outputs.iter().map(|o| OutputCredit::new(o.number)).collect();
        state
    }
}

impl State {
    pub fn fits(&self, charges: &[Charge]) -> bool {
        charges.iter().zip(&self.outputs).all(|(charge, output)| charge.records == 0 || output.fits(*charge, self.reserve))
    }

    /// Lets an outcome wait for credit; its number in the queue.
    pub fn claim(&mut self, charges: &[Charge]) -> u64 {
        let ticket = self.claims.last().map_or(0, |claim| claim.ticket + 1);
        self.claims.push(Claim { ticket, charges: charges.to_vec() });
        ticket
    }

    /// It waits no longer; others may go then.
    pub fn withdraw(&mut self, ticket: u64) {
        self.claims.retain(|claim| claim.ticket != ticket);
    }

    /// Whether there is credit for it, and none that has waited longer wants credit of the same output.
    pub fn may_go(&self, ticket: u64) -> bool {
        let mut earlier = self.claims.iter().take_while(|claim| claim.ticket < ticket);
        let own = self.claims.iter().find(|claim| claim.ticket == ticket).expect("a claim that has been made");
        let shares = |other: &Claim| own.charges.iter().zip(&other.charges).any(|(a, b)| a.records > 0 && b.records > 0);
        !earlier.any(shares) && self.fits(&own.charges)
    }

    pub fn use_up(&mut self, charges: &[Charge]) {
        for (charge, output) in charges.iter().zip(&mut self.outputs) {
            output.use_up(*charge, self.reserve);
        }
    }
}
