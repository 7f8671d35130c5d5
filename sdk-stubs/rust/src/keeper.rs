use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::settle::Writer;

/// Tells how long a handler has been running, without a clock in the handler's way: the handler's thread
/// counts, the keeper looks at the count and at its own clock.
pub struct Watch {
    /// Odd while a handler runs.
    count: AtomicU64,
    /// What it has, if `begin_with` was told.
    delivery: AtomicU64,
    /// `count` when the keeper found that handler overdue.
    overdue_at: AtomicU64,
    timeout: Duration,
}

impl Watch {
    pub fn new(timeout: Duration) -> Self {
        Watch { count: AtomicU64::new(0), delivery: AtomicU64::new(0), overdue_at: AtomicU64::new(0), timeout }
    }

    /// Only the handler's thread counts, so reading and writing need not be one step.
    pub fn begin(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// `begin` for one of several handlers, whose `overdue` the others look at.
    pub fn begin_with(&self, delivery: u64) {
        self.delivery.store(delivery, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Its end; whether it was overdue, so that others may have waited for it.
    pub fn end_seen(&self) -> bool {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        self.overdue_at.load(Ordering::SeqCst) == count
    }

    /// The delivery whose handler has had its time and still runs.
    pub fn overdue(&self) -> Option<u64> {
        let count = self.count.load(Ordering::SeqCst);
        (count % 2 == 1 && self.overdue_at.load(Ordering::SeqCst) == count).then(|| self.delivery.load(Ordering::SeqCst))
    }
}

/// What the keeper has seen of a `Watch`.
struct Sight {
    count: u64,
    since: Instant,
    is_told: bool,
}

impl Sight {
    /// Whether the handler has had its time. Counted from when it was first seen, so it has a little more.
    fn is_overdue(&mut self, watch: &Watch, now: Instant) -> bool {
        let count = watch.count.load(Ordering::Relaxed);
        if count != self.count {
            *self = Sight { count, since: now, is_told: false };
        }
        let is_overdue = count % 2 == 1 && !watch.timeout.is_zero() && now >= self.since + watch.timeout;
        if is_overdue {
            watch.overdue_at.store(count, Ordering::SeqCst);
        }
        is_overdue
    }
}

/// The keeper writes gathered outcomes that have waited too long, and renews the lease every third of it
/// while deliveries are held: under a long handler, in a window, while credit is awaited. A handler that
/// has had its time gets no more of it. There is at least one watch, and all have the same timeout.
pub fn keep(writer: &Writer, lease: Duration, watches: &[Watch]) {
    let timeout = watches[0].timeout;
    let third = if lease.is_zero() { Duration::from_secs(3600) } else { lease / 3 };
    // Seldom enough to cost nothing, often enough to see a handler soon after it has begun.
    let look = if timeout.is_zero() { third } else { third.min(timeout / 4).max(Duration::from_millis(1)) };
    let mut next_lease = Instant::now() + third;
    let mut sights: Vec<Sight> = watches.iter().map(|_| Sight { count: 0, since: Instant::now(), is_told: false }).collect();
    loop {
        let now = Instant::now();
        let mut is_overdue = false;
        for (sight, watch) in sights.iter_mut().zip(watches) {
            is_overdue |= sight.is_overdue(watch, now);
        }
        let is_due = now >= next_lease;
        if is_due {
            next_lease = now + third;
        }
        writer.tend(is_due && !is_overdue);
        let is_connected = match writer.rest(look.min(next_lease.saturating_duration_since(now))) {
            Some(is_connected) => is_connected,
            None => return,
        };
        for (sight, watch) in sights.iter_mut().zip(watches) {
            let is_overdue = sight.is_overdue(watch, Instant::now());
            if is_overdue && !sight.is_told {
                sight.is_told = true;
                eprintln!("stagewire: a handler has taken more than {timeout:?}; the broker takes its records back when their lease ends");
            }
            if is_overdue && !is_connected {
                eprintln!("stagewire: the session is over and the handler has not returned; this worker ends");
                process::exit(1);
            }
        }
    }
}
