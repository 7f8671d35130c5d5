//! The last line of `--test`, the same in every language.

use std::io::Write;

use crate::verdict::Verdict;

/// Counts what became of records in a rehearsal.
#[derive(Default)]
pub struct Tally {
    records: u64,
    accepted: u64,
    filtered: u64,
    rejected: u64,
    retried: u64,
    released: u64,
    pub emitted: u64,
}

impl Tally {
    pub fn accept(&mut self, accepted: u64, filtered: u64) {
        self.records += accepted;
        self.accepted += accepted;
        self.filtered += filtered;
    }

    /// Anything but accepted is worth a line of its own.
    pub fn verdict(&mut self, number: u64, verdict: &Verdict, err: &mut dyn Write) {
        self.records += 1;
        let (count, text) = match verdict {
            Verdict::Reject { code, message } => (&mut self.rejected, format!("REJECTED {code}: {message}")),
            Verdict::Retry { code, message, .. } => (&mut self.retried, format!("RETRY {}: {message}", (*code).max(1000))),
            Verdict::Failed(message) => (&mut self.retried, format!("RETRY 1000: {message}")),
            Verdict::Release => (&mut self.released, "RELEASED".into()),
        };
        *count += 1;
        let _ = writeln!(err, "record {number}: {text}");
    }

    /// The last line, and the exit code.
    pub fn finish(&self, err: &mut dyn Write) -> u8 {
        let _ = writeln!(
            err,
            "{} records: {} accepted ({} filtered), {} rejected, {} to be retried, {} released; {} emitted",
            self.records, self.accepted, self.filtered, self.rejected, self.retried, self.released, self.emitted
        );
        u8::from(self.accepted < self.records)
    }
}
