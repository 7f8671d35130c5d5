//! `--test`: a stage without a broker.
//!
//! It goes the way of a session (the same handlers, emitter, windows and limits), with a file in place of
//! deliveries and a clock that stands still: two runs over one file print the same.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::time::Instant;

use crate::arguments::Arguments;
use crate::codes::Code;
use crate::consuming::call;
use crate::emitter::Emitter;
use crate::json;
use crate::limits::MAX_TEXT;
use crate::panes::{Added, Panes};
use crate::producing;
use crate::record::Record;
use crate::role::{BatchHandler, Role, WindowHandler, Work};
use crate::tally::Tally;
use crate::verdict::Verdict;
use crate::window::{Batch, Window};
use crate::windows::{Late, Windows};

/// Gives the records of a file to the stage's handler, or runs a source from the beginning. Returns the
/// exit code.
pub fn run(role: Role, arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match role {
        Role::Source(make) => producing::rehearse(make, arguments, out, err),
        Role::Consumer(mut consumer) => match consumer.configure(&arguments.config) {
            Ok(()) => rehearse(consumer.current(), arguments, out, err),
            Err(message) => complain(err, &message),
        },
    }
}

/// What is wrong with the file or the configuration: exit code 2.
pub fn complain(err: &mut dyn Write, message: &str) -> u8 {
    let _ = writeln!(err, "stagewire: {message}");
    2
}

fn rehearse(work: &mut Work, arguments: &Arguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let file: Box<dyn BufRead> = match arguments.file.as_str() {
        "-" => Box::new(BufReader::new(io::stdin())),
        path => match File::open(path) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => return complain(err, &format!("{path}: {error}")),
        },
    };
    let mut rehearsal = Rehearsal { emitter: Emitter::recorder(), tally: Tally::default(), out, err };
    let mut lines = Lines { file, name: &arguments.file, line: 0, records: 0 };
    let result = match work {
        Work::Records(handler) => lines.try_each(|record| {
            let batch = Batch::new(vec![record]);
            rehearsal.judge(&batch, |emitter| handler(&batch.records()[0], emitter));
        }),
        Work::Shared(_, handler) => lines.try_each(|record| {
            let batch = Batch::new(vec![record]);
            rehearsal.judge(&batch, |emitter| handler(&batch.records()[0], emitter));
        }),
        Work::Batches(limit, handler) => rehearsal.batches(&mut lines, *limit, handler),
        Work::Windows(windows, handler) => rehearsal.windows(&mut lines, windows, handler),
    };
    let _ = rehearsal.out.flush();
    match result {
        Ok(()) => rehearsal.tally.finish(rehearsal.err),
        Err(message) => complain(rehearsal.err, &message),
    }
}

/// Records, one on each line; empty lines are passed over.
struct Lines<'a> {
    file: Box<dyn BufRead>,
    name: &'a str,
    line: u64,
    records: u64,
}

impl Lines<'_> {
    /// The number of a record is its delivery id, which verdicts then name.
    fn next(&mut self) -> Result<Option<Record>, String> {
        loop {
            let mut text = Vec::new();
            self.line += 1;
            let size = self.file.read_until(b'\n', &mut text).map_err(|error| self.at(&error.to_string()))?;
            if size == 0 {
                return Ok(None);
            }
            let text = std::str::from_utf8(&text).map_err(|_| self.at("not UTF-8"))?.trim();
            if !text.is_empty() {
                self.records += 1;
                return json::read(text, self.records).map(Some).map_err(|problem| self.at(&problem));
            }
        }
    }

    fn try_each(&mut self, mut handle: impl FnMut(Record)) -> Result<(), String> {
        while let Some(record) = self.next()? {
            handle(record);
        }
        Ok(())
    }

    fn at(&self, problem: &str) -> String {
        let name = if self.name == "-" { "standard input" } else { self.name };
        format!("{name}:{}: {problem}", self.line)
    }
}

/// Where a handler's results go. Failures to write are passed over: whoever reads has seen enough.
struct Rehearsal<'a> {
    emitter: Emitter,
    tally: Tally,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl Rehearsal<'_> {
    fn batches(&mut self, lines: &mut Lines, limit: usize, handler: &mut BatchHandler) -> Result<(), String> {
        loop {
            let mut records = Vec::new();
            while records.len() < limit {
                match lines.next()? {
                    Some(record) => records.push(record),
                    None => break,
                }
            }
            if records.is_empty() {
                return Ok(());
            }
            let batch = Batch::new(records);
            self.judge(&batch, |_| handler(&batch));
        }
    }

    /// Time by the clock stands still: `seconds` and `idle` end nothing before the end of the file.
    fn windows(&mut self, lines: &mut Lines, windows: &Windows, handler: &mut WindowHandler) -> Result<(), String> {
        let now = Instant::now();
        let mut panes = Panes::new(windows);
        while let Some(record) = lines.next()? {
            let number = record.delivery();
            match panes.add(record, now) {
                Added::Held => {}
                Added::Late(_) if windows.late == Late::Accept => self.tally.accept(1, 1),
                Added::Late(why) => self.tally.verdict(number, &Verdict::reject(Code::APPLICATION.0, why), self.err),
                Added::Timeless => {
                    self.tally.verdict(number, &Verdict::reject(Code::APPLICATION.0, crate::holding::TIMELESS), self.err);
                }
            }
            self.finish(&mut panes, handler, now);
        }
        panes.end_all();
        self.finish(&mut panes, handler, now);
        Ok(())
    }

    fn finish(&mut self, panes: &mut Panes, handler: &mut WindowHandler, now: Instant) {
        while let Some(window) = panes.next(now) {
            self.judge_window(&window, handler);
        }
    }

    fn judge_window(&mut self, window: &Window, handler: &mut WindowHandler) {
        self.judge(window.batch(), |emitter| {
            handler(window, emitter)?;
            emitter.verdict_for(window)
        });
    }

    /// Calls the handler and counts. Emissions of a failed call are dropped, as a broker drops them.
    fn judge(&mut self, batch: &Batch, handler: impl FnOnce(&mut Emitter) -> Result<(), Verdict>) {
        self.emitter.reset();
        let emitter = &mut self.emitter;
        let result = call(|| {
            handler(emitter)?;
            emitter.checked(MAX_TEXT)
        });
        if let Err(verdict) = result {
            return batch.records().iter().for_each(|record| self.tally.verdict(record.delivery(), &verdict, self.err));
        }
        let rejected = batch.rejected();
        for (number, verdict) in &rejected {
            self.tally.verdict(*number, verdict, self.err);
        }
        let emissions = self.emitter.recorded_with_ports();
        let accepted = (batch.records().len() - rejected.len()) as u64;
        self.tally.accept(accepted, if emissions.is_empty() { accepted } else { 0 });
        self.tally.emitted += emissions.len() as u64;
        for (port, record) in emissions {
            let _ = writeln!(self.out, "{}", json::write(&record, &port));
        }
    }
}
