use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::output::Output;
use crate::record::Record;
use crate::settle::Span;
use crate::verdict::Verdict;

/// Several records that are settled together.
pub struct Batch {
    records: Vec<Record>,
    /// By delivery. In a cell, so that a handler may reject while it walks the records.
    rejected: RefCell<BTreeMap<u64, Verdict>>,
}

/// The records of one window. What is emitted for it, and its settlement, are one step.
pub struct Window {
    batch: Batch,
    pub(crate) key: Vec<u8>,
    /// Of a window by event time.
    pub(crate) bounds: Option<(i64, i64)>,
    pub(crate) is_complete: bool,
}

impl Batch {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        Batch { records, rejected: RefCell::default() }
    }

    /// A batch as if it had been delivered, for testing a handler without a broker.
    pub fn testing(outputs: &[Output]) -> Self {
        Batch::new((1..).zip(outputs).map(|(number, output)| Record::testing(output).delivered_as(number)).collect())
    }

    /// As they arrived; at least one.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// This one record will never work: a dead letter, whatever becomes of the others if they are
    /// accepted. Codes from 1000 are yours.
    ///
    /// Panics if the record is not one of this batch.
    pub fn reject(&self, record: &Record, code: u32, message: impl Into<String>) {
        let delivery = record.delivery();
        assert!(self.records.iter().any(|own| own.delivery() == delivery), "a record of this batch");
        self.rejected.borrow_mut().insert(delivery, Verdict::reject(code, message));
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        spans(self.records.iter().map(Record::delivery))
    }

    /// Those that were not rejected by themselves.
    pub(crate) fn rest(&self) -> Vec<Span> {
        let rejected = self.rejected.borrow();
        spans(self.records.iter().map(Record::delivery).filter(|delivery| !rejected.contains_key(delivery)))
    }

    pub(crate) fn rejected(&self) -> BTreeMap<u64, Verdict> {
        self.rejected.borrow().clone()
    }
}

impl Window {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        Window { batch: Batch::new(records), key: Vec::new(), bounds: None, is_complete: true }
    }

    /// A window as if its records had been delivered, for testing a handler without a broker. Its key is
    /// that of the first record.
    pub fn testing(outputs: &[Output]) -> Self {
        let key = outputs.first().map_or_else(Vec::new, |output| output.key.to_vec());
        Window { batch: Batch::testing(outputs), key, bounds: None, is_complete: true }
    }

    /// As they arrived; at least one.
    pub fn records(&self) -> &[Record] {
        self.batch.records()
    }

    /// With `Windows::by_key` the key that all records have; else empty.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Of a window by event time, its first microsecond since 1970.
    pub fn start(&self) -> Option<i64> {
        self.bounds.map(|(start, _)| start)
    }

    /// Of a window by event time, the first microsecond since 1970 behind it.
    pub fn end(&self) -> Option<i64> {
        self.bounds.map(|(_, end)| end)
    }

    /// Whether the window ended by its own bounds, or because the input did; not for want of room.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// This one record will never work: a dead letter, unless the handler returns a verdict for the
    /// whole window. Codes from 1000 are yours.
    ///
    /// Panics if the record is not one of this window.
    pub fn reject(&self, record: &Record, code: u32, message: impl Into<String>) {
        self.batch.reject(record, code, message);
    }

    /// Takes records out that are not to be handled.
    pub(crate) fn remove(&mut self, is_gone: impl Fn(&Record) -> bool) -> Vec<Record> {
        let (gone, kept) = std::mem::take(&mut self.batch.records).into_iter().partition(is_gone);
        self.batch.records = kept;
        gone
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }
}

/// Deliveries, in any order, as ascending ranges.
pub(crate) fn spans(deliveries: impl Iterator<Item = u64>) -> Vec<Span> {
    let mut deliveries: Vec<u64> = deliveries.collect();
    deliveries.sort_unstable();
    let mut spans: Vec<Span> = Vec::new();
    for delivery in deliveries {
        match spans.last_mut() {
            Some(span) if span.last + 1 == delivery => span.last = delivery,
            _ => spans.push(Span::one(delivery)),
        }
    }
    spans
}
