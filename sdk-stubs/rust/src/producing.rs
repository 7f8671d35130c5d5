//! Sources: the author's function runs in a thread of its own, once, and outlives connections; the main
//! thread watches over sessions meanwhile. `source.rs` holds what both share.

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::arguments::Arguments;
use crate::consuming::panic_text;
use crate::rehearsal::complain;
use crate::role::{MakeSource, SourceFunction};
use crate::hub::Hub;
use crate::session::Session;
use crate::source::{self, Rehearsal, Source, SourceError};
use crate::worker::Left;

/// Attaches a source to a session and waits for its end.
pub fn serve(session: &Session, function: &mut Option<SourceFunction>) -> Left {
    source::attach(session);
    if let Some(function) = function.take() {
        let hub = session.hub.clone();
        thread::spawn(move || run(hub, function));
    }
    let left = watch(session);
    session.hub.lock().source.writer = None;
    left
}

/// `--test`: runs the author's function from an empty checkpoint and prints what it emits.
pub fn rehearse(make: Option<MakeSource>, arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let make = make.expect("a source has not started yet");
    let function = match make(&arguments.config) {
        Ok(function) => function,
        Err(message) => return complain(err, &message),
    };
    let (lines, printed) = sync_channel(0);
    let hub: Arc<Hub> = Arc::default();
    hub.lock().source.rehearsal = Some(Rehearsal { lines, left: arguments.limit });
    let thread = thread::spawn(move || {
        let source = Source::new(hub.clone());
        let result = guarded(|| function(&source));
        hub.lock().source.rehearsal = None;
        result
    });
    // When nobody reads on, the function learns it from its next emit.
    let emitted = printed.into_iter().take_while(|line| writeln!(out, "{line}").is_ok()).count();
    let _ = out.flush();
    match thread.join().expect("panics of the author are caught") {
        Err(SourceError::Failed(message)) => {
            let _ = writeln!(err, "stagewire: the source failed: {message}");
            1
        }
        Ok(()) | Err(SourceError::Stopped) => {
            let _ = writeln!(err, "{emitted} emitted");
            0
        }
    }
}

/// A panic is the function's error.
fn guarded(function: impl FnOnce() -> Result<(), SourceError>) -> Result<(), SourceError> {
    panic::catch_unwind(AssertUnwindSafe(function)).unwrap_or_else(|payload| Err(SourceError::Failed(panic_text(payload))))
}

/// Runs the author's function. Whoever had no work says so in the end (SO-7).
fn run(hub: Arc<Hub>, function: SourceFunction) {
    let source = Source::new(hub.clone());
    let result = guarded(|| function(&source).and_then(|()| source.claim_own()));
    hub.lock().source.result = Some(result);
    hub.notify();
}

fn watch(session: &Session) -> Left {
    let hub = &session.hub;
    let mut state = hub.lock();
    loop {
        let source = &mut state.source;
        if let Some(message) = source.failure() {
            return Left::Failed(message);
        }
        let is_done = source.result.is_some();
        let (is_drained, is_stopped) = (source.is_drained(), source.is_stopped);
        // Stopped early, a partition has not ended: another process goes on with it.
        if is_done && !is_stopped {
            source.finish_all();
        }
        if state.ended.is_some() {
            return Left::Over;
        }
        // After a signal, a function that waits for its own input does not keep the worker: it can emit
        // nothing more, and what it has emitted is committed.
        let is_abandoned = state.leave_by.map_or(false, |by| Instant::now() >= by);
        let is_late = state.drain_deadline.map_or(false, |deadline| Instant::now() >= deadline);
        if is_stopped && (is_drained && (is_done || is_abandoned) || is_late) {
            return Left::Leaving("the source has stopped");
        }
        let number = state.session;
        state.source.tell_finished(number);
        let wake = [state.drain_deadline.filter(|_| is_stopped), state.leave_by.filter(|_| !is_abandoned)];
        state = match wake.into_iter().flatten().min() {
            Some(deadline) => hub.wait_until(state, deadline),
            None => hub.wait(state),
        };
    }
}
