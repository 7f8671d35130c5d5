use std::collections::{HashMap, HashSet};
use std::time::Instant;

use crate::limits::REGATHER_KNOWN;
use crate::lineage::RecordId;
use crate::pb;
use crate::record::Record;

/// What the broker keeps in order: the records of an input's key, or all of an input.
pub type Lane = (u32, Vec<u8>);

/// Lanes that lag: until what was given back of them has come again, the broker delivers nothing else of
/// them, while the others move the watermark. So such a lane is measured by its own progress.
pub struct Lagging {
    /// Of inputs. One that is not named has no order.
    orderings: HashMap<u32, i32>,
    lanes: HashMap<Lane, Lag>,
}

/// A lane that waits for what was given back of it.
struct Lag {
    /// How far it has come, microseconds.
    behind: i64,
    /// What was delivered behind this one, until it comes again, is void (OR-3).
    first: u64,
    /// What was given back. Others may come before it that were under way, and are void.
    given: HashSet<RecordId>,
    /// Some of it has come again.
    is_back: bool,
    /// Then the lane is given up: what it waits for is a dead letter, with another worker, or was the last.
    until: Instant,
}

impl Lagging {
    pub fn new(inputs: &[pb::Input]) -> Self {
        Lagging { orderings: inputs.iter().map(|input| (input.number, input.ordering)).collect(), lanes: HashMap::new() }
    }

    /// `None`: its input has no order, or the record no key.
    pub fn lane(&self, record: &Record) -> Option<Lane> {
        let input = record.input_number();
        match pb::Ordering::from_i32(*self.orderings.get(&input)?) {
            Some(pb::Ordering::None) => None,
            Some(pb::Ordering::Key) => (!record.key().is_empty()).then(|| (input, record.key().to_vec())),
            _ => Some((input, Vec::new())), // one that we do not know is TOTAL (HS-6)
        }
    }

    /// The record's lane waits for it; it was in a window that began at `start`.
    pub fn give_back(&mut self, record: &Record, start: i64, now: Instant) {
        let lane = match self.lane(record) {
            Some(lane) => lane,
            None => return,
        };
        let until = now + REGATHER_KNOWN;
        let fresh = |behind| Lag { behind, first: u64::MAX, given: HashSet::new(), is_back: false, until };
        let lag = self.lanes.entry(lane).or_insert_with(|| fresh(start));
        if lag.is_back {
            *lag = fresh(lag.behind);
        }
        lag.behind = lag.behind.min(start);
        lag.first = lag.first.min(record.delivery());
        lag.given.insert(record.id());
    }

    /// A record is here again. Returns its lane and the deliveries between which all of that lane are void,
    /// when it is the first of what was given back.
    pub fn come_back(&mut self, record: &Record) -> Option<(Lane, u64, u64)> {
        let lane = self.lane(record)?;
        let lag = self.lanes.get_mut(&lane).filter(|lag| !lag.is_back && lag.given.contains(&record.id()))?;
        lag.is_back = true;
        Some((lane, lag.first, record.delivery()))
    }

    /// Another worker gave it back, or this one so long ago that the lane was given up.
    pub fn fall_back(&mut self, record: &Record, start: i64, now: Instant) {
        if let Some(lane) = self.lane(record) {
            let new = Lag { behind: start, first: u64::MAX, given: HashSet::new(), is_back: true, until: now + REGATHER_KNOWN };
            self.lanes.entry(lane).or_insert(new);
        }
    }

    /// Moves the record's lane. It has caught up when it is where the watermark is.
    pub fn progress(&mut self, record: &Record, reached: i64, watermark: i64, now: Instant) {
        if self.lanes.is_empty() {
            return;
        }
        let lane = match self.lane(record) {
            Some(lane) => lane,
            None => return,
        };
        if let Some(lag) = self.lanes.get_mut(&lane).filter(|lag| lag.is_back) {
            lag.behind = lag.behind.max(reached);
            lag.until = now + REGATHER_KNOWN;
            if lag.behind >= watermark {
                self.lanes.remove(&lane);
            }
        }
    }

    /// Forgets a lane that has nothing to catch up with.
    pub fn forget(&mut self, record: &Record) {
        self.lane(record).and_then(|lane| self.lanes.remove(&lane));
    }

    /// How far those lanes have come that may still have records for a window of that key (`None`: of any);
    /// `None` when none of them lags.
    pub fn behind(&self, key: Option<&[u8]>) -> Option<i64> {
        let concerns = |(_, of): &Lane| key.map_or(true, |key| of.is_empty() || of.as_slice() == key);
        self.lanes.iter().filter(|(lane, _)| concerns(lane)).map(|(_, lag)| lag.behind).min()
    }

    /// Gives up the lanes for which it has been waited long enough; whether there were any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.lanes.len();
        self.lanes.retain(|_, lag| now < lag.until);
        self.lanes.len() < before
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.lanes.values().map(|lag| lag.until).min()
    }
}
