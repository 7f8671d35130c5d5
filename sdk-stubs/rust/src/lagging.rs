use std::collections::HashMap;
use std::time::Instant;

use crate::lanes::Lane;
use crate::limits::REGATHER_KNOWN;
use crate::record::Record;

/// Lanes that lag, of windows by event time: until what was given back of them has come again, the broker
/// delivers nothing else of them, while the others move the watermark. So such a lane is measured by its own
/// progress.
#[derive(Default)]
pub struct Lagging {
    /// By input and key.
    lanes: HashMap<(u32, Vec<u8>), Lag>,
}

/// A lane that waits for what was given back of it, or catches up behind it.
struct Lag {
    /// How far it has come, microseconds.
    behind: i64,
    /// Then the lane is given up: what it waits for is a dead letter, with another worker, or was the last.
    until: Instant,
}

impl Lagging {
    /// The record's lane waits for it; it was in a window that began at `start`.
    pub fn give_back(&mut self, record: &Record, start: i64, now: Instant) {
        if let Some(lane) = record.lane().map(owned) {
            let until = now + REGATHER_KNOWN;
            let lag = self.lanes.entry(lane).or_insert(Lag { behind: start, until });
            *lag = Lag { behind: lag.behind.min(start), until };
        }
    }

    /// A record has come again that another worker gave back, or this one so long ago that the lane was given
    /// up.
    pub fn fall_back(&mut self, record: &Record, start: i64, now: Instant) {
        if let Some(lane) = record.lane().map(owned) {
            self.lanes.entry(lane).or_insert(Lag { behind: start, until: now + REGATHER_KNOWN });
        }
    }

    /// Moves the record's lane: with the first record that comes the broker goes on with it, whether that is
    /// the one given back or one behind it, which has become a dead letter. The lane has caught up when it is
    /// where the watermark is.
    pub fn progress(&mut self, record: &Record, reached: i64, watermark: i64, now: Instant) {
        if self.lanes.is_empty() {
            return;
        }
        let lane = match record.lane().map(owned) {
            Some(lane) => lane,
            None => return,
        };
        if let Some(lag) = self.lanes.get_mut(&lane) {
            *lag = Lag { behind: lag.behind.max(reached), until: now + REGATHER_KNOWN };
            if lag.behind >= watermark {
                self.lanes.remove(&lane);
            }
        }
    }

    /// How far those lanes have come that may still have records for a window of that key (`None`: of any);
    /// `None` when none of them lags.
    pub fn behind(&self, key: Option<&[u8]>) -> Option<i64> {
        let concerns = |of: &[u8]| key.map_or(true, |key| of.is_empty() || of == key);
        self.lanes.iter().filter(|((_, of), _)| concerns(of)).map(|(_, lag)| lag.behind).min()
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

fn owned((input, key): Lane) -> (u32, Vec<u8>) {
    (input, key.to_vec())
}
