//! Windows, as one session sees them: `Panes` decides which records belong together, this file brings it
//! records, time and the broker's wishes, and settles what ends.
//!
//! A window's records stay unsettled until its handler has run. They need no storage of their own: when
//! this worker dies the broker still has them.

use std::time::Instant;

use crate::codes::Code;
use crate::console::Console;
use crate::consuming::{call, settle_all, SIGNALLED};
use crate::emitter::{Emitter, IN_OUTCOME};
use crate::panes::{Added, Panes};
use crate::record::Record;
use crate::role::WindowHandler;
use crate::session::{Next, Session};
use crate::settle::Span;
use crate::verdict::Verdict;
use crate::window::Window;
use crate::windows::{Late, Windows};
use crate::worker::Left;

/// Collects records in windows and handles those that end, until the session does. What a session before
/// held comes again in this one, so nothing is taken over.
pub fn serve(session: &mut Session, windows: &Windows, handler: &mut WindowHandler, console: &mut Console) -> Left {
    let mut holder = Holder {
        emitter: Emitter::new(session.welcome.clone(), IN_OUTCOME),
        panes: Panes::new(windows),
        late: windows.late,
        session,
        handler,
        console,
    };
    holder.run()
}

/// Why a record is rejected.
pub const TIMELESS: &str = "it has no event time, and windows are by event time";

struct Holder<'a> {
    session: &'a mut Session,
    handler: &'a mut WindowHandler,
    console: &'a mut Console,
    emitter: Emitter,
    panes: Panes,
    late: Late,
}

impl Holder<'_> {
    fn run(&mut self) -> Left {
        loop {
            // A handler may take long, and a signal may come meanwhile: then the rest is not begun.
            while let Some(window) = self.panes.next(Instant::now()) {
                if self.session.hub.is_leaving() {
                    break;
                }
                self.handle(window);
            }
            // What is still held goes back with the Close.
            if self.session.hub.is_leaving() {
                return Left::Leaving(SIGNALLED);
            }
            // With the input ended there is nothing to wait for but what comes again.
            let is_last = self.session.hub.is_input_ended() && self.panes.has_whole();
            let deadline = if is_last { Some(Instant::now()) } else { self.panes.deadline() };
            match self.session.next(deadline) {
                Next::Record(record) if self.session.hub.is_stopping() => self.release(&[record]),
                Next::Record(record) => self.hold(record),
                Next::Quiet => self.rest(),
                Next::Over => return Left::Over,
            }
        }
    }

    fn hold(&mut self, record: Record) {
        let delivery = record.delivery();
        match self.panes.add(record, Instant::now()) {
            Added::Held => self.make_room(),
            Added::Late(_) if self.late == Late::Accept => self.session.writer.accept(delivery),
            Added::Late(why) => self.reject(delivery, why),
            Added::Timeless => self.reject(delivery, TIMELESS.into()),
        }
    }

    /// A record that belongs to no window is settled at once, whatever else is held: with `holds` the
    /// order of settling is free (OR-2).
    fn reject(&self, delivery: u64, why: String) {
        let outcome = Verdict::reject(Code::APPLICATION.0, why).outcome();
        self.session.writer.settle(&[Span::one(delivery)], outcome, &[]);
    }

    /// Nothing is queued: time has passed, or the broker drains.
    fn rest(&mut self) {
        if self.session.hub.is_stopping() {
            self.panes.end_all();
            while let Some(window) = self.panes.next(Instant::now()) {
                self.release(window.records());
            }
        } else if self.session.hub.is_input_ended() {
            self.panes.end_all();
        } else {
            self.panes.rest(Instant::now());
        }
    }

    fn release(&mut self, records: &[Record]) {
        self.session.give_back(records, Verdict::Release);
    }

    /// Ends windows before the broker stops to deliver because too much is held (DE-4).
    fn make_room(&mut self) {
        let welcome = self.session.welcome.clone(); // an Arc
        for input in &welcome.inputs {
            loop {
                let held = self.panes.held(input.number);
                let (records, bytes) = (input.max_unsettled_records, input.max_unsettled_bytes);
                // 0: a broker that states no bound.
                let is_full = held.records > 0
                    && (records > 0 && held.records >= records
                        || bytes > 0 && held.bytes.saturating_add(welcome.max_record) > bytes);
                if !is_full {
                    break;
                }
                self.panes.end_oldest();
            }
        }
    }

    fn handle(&mut self, window: Window) {
        if self.session.hub.is_stopping() {
            return self.release(window.records());
        }
        self.emitter.reset();
        self.session.watch().begin();
        let result = call(|| (self.handler)(&window, &mut self.emitter));
        self.session.watch().end();
        let result = result.and_then(|()| self.emitter.verdict_for(&window));
        // Rejected ones never come back, the others do, behind the watermark.
        let comes_again = matches!(&result, Err(verdict) if verdict.gives_back());
        settle_all(self.session, window.batch(), result, &self.emitter, self.console);
        if comes_again {
            let void = self.panes.give_back(&window, Instant::now());
            // That is ignored (OR-4), but has to be said: they count as held (DE-3).
            if !void.is_empty() {
                self.release(&void);
            }
        }
    }
}
