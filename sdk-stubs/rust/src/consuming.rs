//! Transforms and sinks: from deliveries to outcomes, one record or one batch at a time.
//!
//! Nothing is held longer than its handler runs, so what is settled is a prefix of what was delivered, but
//! for what is void: that keeps related records in order (OR-2).

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use crate::console::Console;
use crate::emitter::{Emitter, IN_OUTCOME};
use crate::pb;
use crate::record::Record;
use crate::role::{BatchHandler, RecordHandler};
use crate::session::{Next, Session};
use crate::settle::Span;
use crate::verdict::Verdict;
use crate::window::Batch;
use crate::worker::Left;

pub const SIGNALLED: &str = "a signal ended this worker";

/// Handles records until the session ends.
pub fn serve_records(session: &mut Session, handler: &mut RecordHandler, console: &mut Console) -> Left {
    let mut emitter = Emitter::new(session.welcome.clone(), IN_OUTCOME);
    while !session.hub.is_leaving() {
        let record = match session.next(None) {
            Next::Record(record) => record,
            Next::Quiet => continue,
            Next::Over => return Left::Over,
        };
        // A signal may have come while we waited. What was not begun goes back with the Close.
        if session.hub.is_leaving() {
            break;
        }
        // In a shutdown the session goes on, so each record has to be given back by itself (EN-3).
        if session.hub.is_stopping() {
            session.give_back(&[record], Verdict::Release);
            continue;
        }
        emitter.reset();
        session.watch().begin();
        let mut result = call(|| handler(&record, &mut emitter));
        session.watch().end();
        // Before any wait for credit: none would ever come for what is too large (CR-8).
        if result.is_ok() && !emitter.is_empty() {
            result = emitter.verdict(record.delivery());
        }
        settle(session, record, result, &emitter, console);
    }
    Left::Leaving(SIGNALLED)
}

fn settle(session: &mut Session, record: Record, result: Result<(), Verdict>, emitter: &Emitter, console: &mut Console) {
    let delivery = record.delivery();
    match result {
        Err(verdict) if verdict.gives_back() => {
            if let Verdict::Failed(error) = &verdict {
                console.failed(&format!("record {}", record.id()), error);
            }
            session.give_back(&[record], verdict);
        }
        result => settle_for_good(session, delivery, result, emitter),
    }
}

/// Settles a record that does not come again.
pub fn settle_for_good(session: &Session, delivery: u64, result: Result<(), Verdict>, emitter: &Emitter) {
    match result {
        Err(verdict) => session.writer.settle(&[Span::one(delivery)], verdict.outcome(), &[]),
        Ok(()) if emitter.is_empty() => session.writer.accept(delivery),
        Ok(()) => {
            // Otherwise the session is over, and the broker delivers the record again.
            if session.reserve(&emitter.charges) {
                session.writer.accept_with(delivery, &emitter.body);
            }
        }
    }
}

/// Handles what has arrived, at most `limit` records at once, until the session ends.
pub fn serve_batches(session: &mut Session, limit: usize, handler: &mut BatchHandler, console: &mut Console) -> Left {
    let emitter = Emitter::new(session.welcome.clone(), IN_OUTCOME);
    while !session.hub.is_leaving() {
        let mut records = match session.next(None) {
            Next::Record(record) => vec![record],
            Next::Quiet => continue,
            Next::Over => return Left::Over,
        };
        while records.len() < limit {
            match session.next_queued() {
                Some(record) => records.push(record),
                None => break,
            }
        }
        let batch = Batch::new(records);
        if session.hub.is_leaving() {
            break;
        }
        if session.hub.is_stopping() {
            session.give_back(batch.records(), Verdict::Release);
            continue;
        }
        session.watch().begin();
        let result = call(|| handler(&batch));
        session.watch().end();
        settle_all(session, &batch, result, &emitter, console);
    }
    Left::Leaving(SIGNALLED)
}

/// Settles several records by one verdict, and those that were rejected by themselves by their own.
pub fn settle_all(session: &mut Session, batch: &Batch, result: Result<(), Verdict>, emitter: &Emitter, console: &mut Console) {
    if let Err(verdict) = result {
        if let Verdict::Failed(error) = &verdict {
            console.failed(&format!("a handler of {} records", batch.records().len()), error);
        }
        return match verdict.gives_back() {
            true => session.give_back(batch.records(), verdict),
            false => session.writer.settle(&batch.spans(), verdict.outcome(), &[]),
        };
    }
    if !emitter.is_empty() && !session.reserve(&emitter.charges) {
        return;
    }
    // After the wait for credit, so that all of it leaves in one frame.
    for (delivery, verdict) in batch.rejected() {
        session.writer.settle(&[Span::one(delivery)], verdict.outcome(), &[]);
    }
    let rest = batch.rest();
    if !rest.is_empty() {
        let accepted = pb::Outcome { kind: pb::OutcomeKind::Accepted as i32, ..pb::Outcome::default() };
        session.writer.settle(&rest, accepted, &emitter.body);
    }
}

/// Runs a handler. A panic costs its records an attempt, not the process its life.
pub fn call(handler: impl FnOnce() -> Result<(), Verdict>) -> Result<(), Verdict> {
    panic::catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|payload| Err(Verdict::Failed(panic_text(payload))))
}

/// A panic carries a `&str` or, when it was formatted, a `String`.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| s.to_string()).or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "(not a text)".into()))
}
