use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use crate::codes::Code;
use crate::credit::Charge;
use crate::emitter::{Emitter, IN_EMIT};
use crate::frame::{self, EMIT};
use crate::json;
use crate::limits::{KEPT_BYTES, KEPT_EMITS, MAX_CHECKPOINT, MAX_PARTITION, MAX_TEXT};
use crate::output::Output;
use crate::pb::{self, envelope::Message as Kind};
use crate::hub::{Hub, State};
use crate::session::Session;
use crate::settle::Writer;
use crate::wire::{append_bytes, append_uint};

/// Why a source function ends early. Any error turns into `Failed` by `?`.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceError {
    /// The pipeline shuts down: hand this on. What was emitted before is still confirmed.
    Stopped,
    /// This source cannot go on: the worker ends with exit code 1 and this sentence.
    Failed(String),
}

impl<E: std::error::Error> From<E> for SourceError {
    fn from(error: E) -> Self {
        SourceError::Failed(error.to_string())
    }
}

/// A source stage's view of the pipeline; it outlives connections.
pub struct Source {
    hub: Arc<Hub>,
}

/// A part of a source with its own order and position, for example one file.
pub struct Partition {
    hub: Arc<Hub>,
    index: usize,
    checkpoint: Vec<u8>,
}

/// What the worker knows of its source; lives in `State`.
#[derive(Default)]
pub struct SourceState {
    pub is_stopped: bool,
    /// Ends the worker.
    pub fatal: Option<String>,
    /// What the author's function returned.
    pub result: Option<Result<(), SourceError>>,
    pub welcome: Option<Arc<pb::Welcome>>,
    /// `None` while not attached, or while partitions are being claimed again.
    pub writer: Option<Arc<Writer>>,
    /// `--test`.
    pub rehearsal: Option<Rehearsal>,
    partitions: Vec<PartitionState>,
}

/// Takes the broker's place in `--test`: every partition is new, and what is emitted becomes JSON.
pub struct Rehearsal {
    pub lines: SyncSender<String>,
    /// Records that may still be printed.
    pub left: usize,
}

impl Rehearsal {
    fn emit(&mut self, outputs: &[Output]) -> Result<(), SourceError> {
        let mut emitter = Emitter::recorder();
        outputs.iter().for_each(|output| emitter.emit(output));
        emitter.check(MAX_TEXT).map_err(|(_, message)| SourceError::Failed(message))?;
        for (port, record) in emitter.recorded_with_ports().iter().take(self.left) {
            self.left -= 1;
            self.lines.send(json::write(record, port)).map_err(|_| SourceError::Stopped)?;
        }
        if self.left == 0 {
            return Err(SourceError::Stopped);
        }
        Ok(())
    }
}

/// Emit ids are consecutive per partition, across connections and processes:
///
/// ```text
/// 1 ...... committed | kept.front ........ kept.back | next
///   the broker's       sent, unconfirmed: sent again after a reconnect
/// ```
#[derive(Default)]
struct PartitionState {
    name: String,
    checkpoint: Vec<u8>,
    /// The session (`State::session`) that claimed it, and the one that was told its end; 0: none.
    claimed_in: u64,
    told_in: u64,
    next: u64,
    committed: u64,
    kept: VecDeque<Arc<Kept>>,
    kept_bytes: usize,
    is_finished: bool,
}

struct Kept {
    id: u64,
    buffer: Vec<u8>,
    start: usize,
    charges: Vec<Charge>,
}

impl Kept {
    fn frame(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl Source {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Source { hub }
    }

    /// Makes this process the owner of a partition (1 to 255 bytes).
    pub fn claim(&self, name: &str) -> Result<Partition, SourceError> {
        if name.is_empty() || name.len() > MAX_PARTITION || name.contains('\0') {
            return failed(format!("partition “{name}”: a name is 1 to {MAX_PARTITION} bytes without NUL"));
        }
        let mut state = self.hub.lock();
        let source = &mut state.source;
        if source.partitions.iter().any(|p| p.name == name) {
            return failed(format!("partition “{name}” has been claimed already"));
        }
        let index = source.partitions.len();
        source.partitions.push(PartitionState { name: name.into(), ..PartitionState::default() });
        if source.rehearsal.is_some() {
            let claimed = pb::Claimed { partition: name.into(), epoch: 1, ..pb::Claimed::default() };
            source.claimed(1, &claimed);
        } else if let Some(writer) = &source.writer {
            writer.send(Kind::Claim(pb::Claim { partition: name.into() }));
        }
        while state.source.partitions[index].claimed_in == 0 {
            state.source.obstacle()?;
            state = self.hub.wait(state);
        }
        let checkpoint = state.source.partitions[index].checkpoint.clone();
        Ok(Partition { hub: self.hub.clone(), index, checkpoint })
    }

    /// An instance that found no work claims a partition of its own name, so that the broker can count
    /// it among those that have finished (SO-7).
    pub(crate) fn claim_own(&self) -> Result<(), SourceError> {
        let name = {
            let state = self.hub.lock();
            let is_idle = state.source.partitions.is_empty();
            state.source.welcome.as_ref().filter(|_| is_idle).map(|welcome| welcome.instance.clone())
        };
        match name {
            Some(name) if !name.is_empty() => self.claim(&name).map(drop),
            _ => Ok(()),
        }
    }

    /// Sleeps, but not beyond a shutdown: then `Err(Stopped)`.
    pub fn sleep(&self, pause: Duration) -> Result<(), SourceError> {
        let deadline = Instant::now() + pause;
        let mut state = self.hub.lock();
        loop {
            state.source.obstacle()?;
            if Instant::now() >= deadline {
                return Ok(());
            }
            state = self.hub.wait_until(state, deadline);
        }
    }
}

impl Partition {
    /// What the last committed `emit` stated; empty: the partition is new.
    pub fn checkpoint(&self) -> &[u8] {
        &self.checkpoint
    }

    /// Hands records to the broker together with the position after them; both are kept or neither.
    /// Waits while the pipeline has no room. Returns before the broker confirms; records are sent again
    /// if the connection breaks before.
    pub fn emit(&self, outputs: &[Output], checkpoint: &[u8]) -> Result<(), SourceError> {
        let mut state = self.hub.lock();
        if let Some(rehearsal) = &mut state.source.rehearsal {
            return rehearsal.emit(outputs);
        }
        let kept = Arc::new(self.encode(&state.source, outputs, checkpoint)?);
        let writer = loop {
            state.source.obstacle()?;
            match &state.source.writer {
                Some(writer) if self.has_room(&state.source, &kept) && state.fits(&kept.charges) => break writer.clone(),
                _ => state = self.hub.wait(state),
            }
        };
        state.use_up(&kept.charges);
        let partition = &mut state.source.partitions[self.index];
        partition.next += 1;
        partition.kept_bytes += kept.buffer.len();
        partition.kept.push_back(kept.clone());
        // Under the lock, so that emits and reconnects keep their order.
        writer.send_frame(kept.frame());
        Ok(())
    }

    fn has_room(&self, source: &SourceState, kept: &Kept) -> bool {
        let partition = &source.partitions[self.index];
        partition.kept.is_empty()
            || (partition.kept.len() < KEPT_EMITS && partition.kept_bytes + kept.buffer.len() <= KEPT_BYTES)
    }

    fn encode(&self, source: &SourceState, outputs: &[Output], checkpoint: &[u8]) -> Result<Kept, SourceError> {
        let partition = &source.partitions[self.index];
        let name = &partition.name;
        if partition.is_finished {
            return failed(format!("partition “{name}” has been finished"));
        }
        if checkpoint.len() > MAX_CHECKPOINT {
            return failed(format!("partition “{name}”: a checkpoint of {} bytes; at most {MAX_CHECKPOINT}", checkpoint.len()));
        }
        let welcome = source.welcome.clone().expect("a source runs after the first Welcome");
        let max_frame = welcome.max_frame;
        let mut emitter = Emitter::new(welcome, IN_EMIT);
        outputs.iter().for_each(|output| emitter.emit(output));
        if let Err((_, message)) = emitter.check(MAX_TEXT) {
            return failed(format!("partition “{name}”: {message}; emit less at once"));
        }
        let mut buffer = frame::open(name.len() + emitter.body.len() + checkpoint.len() + 32);
        append_bytes(&mut buffer, 1, name.as_bytes());
        append_uint(&mut buffer, 2, partition.next);
        buffer.extend_from_slice(&emitter.body);
        append_bytes(&mut buffer, 4, checkpoint);
        if buffer.len() as u64 > max_frame {
            return failed(format!("partition “{name}”: an Emit of {} bytes; a frame holds {max_frame}; emit less at once", buffer.len()));
        }
        let start = frame::close(&mut buffer, EMIT);
        Ok(Kept { id: partition.next, buffer, start, charges: emitter.charges })
    }

    /// Says that the partition has no more records, once everything emitted is confirmed. Returning
    /// `Ok` from the source function finishes all partitions.
    pub fn finish(self) -> Result<(), SourceError> {
        let mut state = self.hub.lock();
        while !state.source.partitions[self.index].kept.is_empty() {
            state.source.obstacle()?;
            state = self.hub.wait(state);
        }
        state.source.partitions[self.index].is_finished = true;
        let session = state.session;
        state.source.tell_finished(session);
        Ok(())
    }
}

fn failed<T>(message: String) -> Result<T, SourceError> {
    Err(SourceError::Failed(message))
}

impl SourceState {
    /// Why the worker has to end: what the author's function says, or the broker.
    pub fn failure(&self) -> Option<String> {
        match &self.result {
            Some(Err(SourceError::Failed(message))) => Some(format!("the source failed: {message}")),
            _ => self.fatal.clone(),
        }
    }

    /// Why no more can be emitted.
    fn obstacle(&self) -> Result<(), SourceError> {
        match &self.fatal {
            Some(message) => failed(message.clone()),
            None if self.is_stopped => Err(SourceError::Stopped),
            None => Ok(()),
        }
    }

    fn find(&mut self, name: &str) -> Option<&mut PartitionState> {
        self.partitions.iter_mut().find(|p| p.name == name)
    }

    /// Takes over the broker's position.
    pub fn claimed(&mut self, session: u64, claimed: &pb::Claimed) {
        let last = claimed.last_emit_id;
        let mut problem = None;
        if let Some(p) = self.find(&claimed.partition) {
            if p.next == 0 {
                p.next = last.saturating_add(1);
                p.committed = last;
                p.checkpoint = claimed.checkpoint.to_vec();
            } else if last < p.committed || last >= p.next {
                problem = Some(format!(
                    "partition “{}”: the broker stands at emit id {last}, this process between {} and {}; start the source again, it resumes at the broker's checkpoint",
                    p.name, p.committed, p.next - 1
                ));
            } else {
                p.confirm(last);
            }
            p.claimed_in = session;
        }
        self.fatal = self.fatal.take().or(problem);
    }

    /// Drops what is confirmed.
    pub fn committed(&mut self, committed: &pb::Committed) {
        if let Some(p) = self.find(&committed.partition) {
            p.confirm(committed.through);
            if let Some(refusal) = committed.refused.first() {
                let error = refusal.error.clone().unwrap_or_default();
                let code = Code(error.code);
                let text = format!(
                    "partition “{}”: the broker refused emit {}: {} [{code}]",
                    committed.partition, refusal.id, error.message
                );
                self.fatal.get_or_insert(text);
            }
        }
    }

    /// Whether everything emitted is confirmed.
    pub fn is_drained(&self) -> bool {
        self.partitions.iter().all(|p| p.kept.is_empty())
    }

    pub fn finish_all(&mut self) {
        self.partitions.iter_mut().for_each(|p| p.is_finished = true);
    }

    /// Sends Finished, once per session, for partitions that are finished and confirmed.
    pub fn tell_finished(&mut self, session: u64) {
        if let Some(writer) = &self.writer {
            for p in self.partitions.iter_mut().filter(|p| p.is_finished && p.kept.is_empty() && p.told_in != session) {
                p.told_in = session;
                writer.send(Kind::Finished(pb::Finished { partition: p.name.clone() }));
            }
        }
    }
}

impl PartitionState {
    fn confirm(&mut self, through: u64) {
        while self.kept.front().map_or(false, |kept| kept.id <= through) {
            let kept = self.kept.pop_front().expect("just seen");
            self.kept_bytes -= kept.buffer.len();
        }
        self.committed = self.committed.max(through);
    }
}

/// Claims all partitions on a new session and sends again what was not confirmed.
pub fn attach(session: &Session) {
    let hub = &session.hub;
    let mut state = hub.lock();
    let mut index = 0;
    // The list may grow while we wait: `claim` adds to it.
    while index < state.source.partitions.len() {
        let partition = state.source.partitions[index].name.clone();
        session.writer.send(Kind::Claim(pb::Claim { partition }));
        while state.source.partitions[index].claimed_in != state.session && state.ended.is_none() {
            state = hub.wait(state);
        }
        // A copy: while we wait for credit, a Committed shortens the list.
        let kept: Vec<_> = state.source.partitions[index].kept.iter().cloned().collect();
        for emit in kept {
            state = match resend(session, state, &emit) {
                Some(state) => state,
                None => return,
            };
        }
        index += 1;
    }
    if state.ended.is_none() {
        state.source.writer = Some(session.writer.clone());
        hub.notify();
    }
}

/// `None`: the session or the source has ended.
fn resend<'a>(session: &'a Session, mut state: MutexGuard<'a, State>, emit: &Kept) -> Option<MutexGuard<'a, State>> {
    while state.ended.is_none() && state.source.fatal.is_none() && !state.fits(&emit.charges) {
        state = session.hub.wait(state);
    }
    if state.ended.is_some() || state.source.fatal.is_some() {
        return None;
    }
    state.use_up(&emit.charges);
    session.writer.send_frame(emit.frame());
    Some(state)
}
