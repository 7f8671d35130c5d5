//! Credit, both directions. Limits are cumulative since the session began and never shrink.

use crate::limits::{WINDOW_BYTES, WINDOW_RECORDS};
use crate::pb;

/// What emissions cost on one output, before the broker's stamp_reserve is added per record.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Charge {
    pub records: u64,
    pub bytes: u64,
}

/// What the broker lets us send on one output port; zero until its first Credit.
///
/// Invariant: used <= limit, in records and in bytes; `used` includes gathered, unsent outcomes.
pub struct OutputCredit {
    pub number: u32,
    limit_records: u64,
    limit_bytes: u64,
    used_records: u64,
    used_bytes: u64,
}

impl OutputCredit {
    pub fn new(number: u32) -> Self {
        OutputCredit { number, limit_records: 0, limit_bytes: 0, used_records: 0, used_bytes: 0 }
    }

    pub fn fits(&self, charge: Charge, reserve: u64) -> bool {
        charge.records <= self.limit_records - self.used_records
            && charge.bytes + charge.records * reserve <= self.limit_bytes - self.used_bytes
    }

    pub fn use_up(&mut self, charge: Charge, reserve: u64) {
        assert!(self.fits(charge, reserve), "output credit overshot");
        self.used_records += charge.records;
        self.used_bytes += charge.bytes + charge.records * reserve;
    }

    /// A limit that does not grow is ignored.
    pub fn raise(&mut self, records: u64, bytes: u64) {
        self.limit_records = self.limit_records.max(records);
        self.limit_bytes = self.limit_bytes.max(bytes);
    }
}

/// What we let the broker send on one input: the window beyond what has left our queue.
///
/// ```text
/// 0 ........ taken ........ received ........ limit = taken at the last grant + window
/// ```
///
/// A grant goes out when half of the window has been taken since the last one: with a window of two
/// records of the largest size an empty queue then always leaves room for any record.
pub struct InputWindow {
    pub number: u32,
    window: Charge,
    taken: Charge,
    received: Charge,
    limit: Charge,
}

impl InputWindow {
    pub fn new(number: u32, max_record: u64) -> Self {
        let window = Charge { records: WINDOW_RECORDS, bytes: WINDOW_BYTES.max(max_record.saturating_mul(2)) };
        InputWindow { number, window, taken: Charge::default(), received: Charge::default(), limit: Charge::default() }
    }

    /// Books a record that arrived, and says whether the broker kept to our limits.
    pub fn receive(&mut self, size: usize) -> bool {
        self.received.records += 1;
        self.received.bytes += size as u64;
        self.received.records <= self.limit.records && self.received.bytes <= self.limit.bytes
    }

    /// Books records that left the queue; a grant that is due because of them is returned.
    pub fn take(&mut self, records: usize, bytes: u64) -> Option<pb::Credit> {
        self.taken.records += records as u64;
        self.taken.bytes += bytes;
        let is_due = self.taken.records + self.window.records - self.limit.records >= self.window.records / 2
            || self.taken.bytes + self.window.bytes - self.limit.bytes >= self.window.bytes / 2;
        is_due.then(|| self.grant())
    }

    /// Moves the limits up to a full window.
    pub fn grant(&mut self) -> pb::Credit {
        self.limit.records = self.taken.records + self.window.records;
        self.limit.bytes = self.taken.bytes + self.window.bytes;
        pb::Credit { number: self.number, records: self.limit.records, bytes: self.limit.bytes }
    }
}
