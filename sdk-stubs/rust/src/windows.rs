use std::time::Duration;

use crate::limits::IDLE;

/// What becomes of a record whose window by event time has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Late {
    /// A dead letter that says so.
    Reject,
    /// Dropped, as if filtered.
    Accept,
}

/// When windows end. `records`, `bytes` and `seconds` may be combined: the first to be reached ends the
/// window. `event_time` stands alone.
///
/// ```
/// use stagewire::{Late, Windows};
/// let small = Windows::new().records(100).seconds(0.5);
/// let minutes = Windows::new().event_time(60, 5).by_key().late(Late::Accept);
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    pub(crate) records: Option<usize>,
    pub(crate) bytes: Option<u64>,
    pub(crate) seconds: Option<f64>,
    /// Size and lateness, in seconds.
    pub(crate) event_time: Option<(f64, f64)>,
    pub(crate) idle: f64,
    pub(crate) by_key: bool,
    pub(crate) late: Late,
}

impl Default for Windows {
    fn default() -> Self {
        Windows {
            records: None,
            bytes: None,
            seconds: None,
            event_time: None,
            idle: IDLE.as_secs_f64(),
            by_key: false,
            late: Late::Reject,
        }
    }
}

impl Windows {
    /// Without bounds, which have to follow.
    pub fn new() -> Self {
        Self::default()
    }

    /// A window ends with that many.
    pub fn records(mut self, count: usize) -> Self {
        self.records = Some(count);
        self
    }

    /// A window ends before its payloads are more than that. A larger payload is a window of its own.
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// A window ends so many seconds after its first record arrived.
    pub fn seconds(mut self, seconds: impl Into<f64>) -> Self {
        self.seconds = Some(seconds.into());
        self
    }

    /// Tumbling windows of `size` seconds by event time, aligned to 1970-01-01T00:00:00Z. A window ends
    /// when the watermark, the latest event time seen less `lateness` seconds, has reached its end.
    pub fn event_time(mut self, size: impl Into<f64>, lateness: impl Into<f64>) -> Self {
        self.event_time = Some((size.into(), lateness.into()));
        self
    }

    /// After so many seconds without a record all windows by event time end. 10 by default, 0: never.
    pub fn idle(mut self, seconds: impl Into<f64>) -> Self {
        self.idle = seconds.into();
        self
    }

    /// A window for each key in place of one for all.
    pub fn by_key(mut self) -> Self {
        self.by_key = true;
        self
    }

    /// What becomes of a record whose window by event time has ended; `Late::Reject` by default.
    pub fn late(mut self, late: Late) -> Self {
        self.late = late;
        self
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let is_positive = |seconds: f64| seconds.is_finite() && seconds > 0.0 && seconds < LONGEST;
        let is_none = self.records.is_none() && self.bytes.is_none() && self.seconds.is_none();
        let problem = match self.event_time {
            None if is_none => "no bound; give `records`, `bytes`, `seconds` or `event_time`".into(),
            _ if self.records == Some(0) => "`records` is 0; a window has at least one".into(),
            _ if self.bytes == Some(0) => "`bytes` is 0; give at least 1".into(),
            _ if !self.seconds.map_or(true, is_positive) => {
                format!("`seconds` is {:?}; give more than 0", self.seconds.unwrap_or(0.0))
            }
            _ if !(self.idle == 0.0 || is_positive(self.idle)) => format!("`idle` is {:?}; give 0 or more", self.idle),
            Some(_) if !is_none => "`event_time` stands alone, without `records`, `bytes` and `seconds`".into(),
            Some((size, _)) if !is_positive(size) || micros(size) == 0 => {
                format!("the size by `event_time` is {size:?} seconds; give more than 0")
            }
            Some((_, lateness)) if !(lateness == 0.0 || is_positive(lateness)) => {
                format!("the lateness of `event_time` is {lateness:?} seconds; give 0 or more")
            }
            _ => return Ok(()),
        };
        Err(format!("the stage's windows: {problem}"))
    }

    pub(crate) fn idle_after(&self) -> Option<Duration> {
        (self.event_time.is_some() && self.idle > 0.0).then(|| Duration::from_secs_f64(self.idle))
    }
}

/// Seconds that still are microseconds and monotonic times without overflow: some 30,000 years.
const LONGEST: f64 = 1e12;

pub(crate) fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}
