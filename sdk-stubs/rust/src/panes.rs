use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::json;
use crate::lagging::Lagging;
use crate::lanes::Lane;
use crate::limits::{AWAITED, REGATHER, REGATHER_KNOWN};
use crate::lineage::RecordId;
use crate::record::Record;
use crate::window::Window;
use crate::windows::{micros, Windows};

/// Names a window that is being filled: its key (empty without `by_key`), and its number by event time.
type Name = (Vec<u8>, i64);

/// Sorts records into windows and says when they end. No clock, no socket: both are the caller's.
///
/// ```text
/// add -> open (by name, in the order of their first record) -> ended -> next
///         deadlines: `seconds`, or REGATHER       ends: by event time, against the watermark
/// ```
pub struct Panes {
    rules: Windows,
    /// Size and lateness by event time, microseconds.
    event_time: Option<(i64, i64)>,
    open: BTreeMap<u64, Pane>,
    names: HashMap<Name, u64>,
    deadlines: BTreeSet<(Instant, u64)>,
    ends: BTreeSet<(i64, u64)>,
    ended: VecDeque<Window>,
    next_number: u64,
    /// Everything before it has been seen; `None` before the first record.
    watermark: Option<i64>,
    last_arrival: Option<Instant>,
    /// Windows whose records come again, with how many: given back, or void. Ended as they are, they take
    /// these again.
    awaited: HashMap<Name, usize>,
    /// Those records, so that no other is taken for one of them.
    returning: HashSet<RecordId>,
    lagging: Lagging,
    held: HashMap<u32, Held>,
}

/// A window being filled.
struct Pane {
    name: Name,
    records: Vec<Record>,
    bytes: u64,
    deadline: Option<Instant>,
    /// By event time; unless it has ended already and only gathers what comes again.
    end: Option<i64>,
}

/// What is held of one input, in records and in bytes as the broker counts them.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Held {
    pub records: u64,
    pub bytes: u64,
}

/// What became of a record.
#[derive(PartialEq, Debug)]
pub enum Added {
    Held,
    Late(String),
    /// Windows are by event time, and it has none.
    Timeless,
}

impl Panes {
    pub fn new(rules: &Windows) -> Self {
        Panes {
            rules: rules.clone(),
            event_time: rules.event_time.map(|(size, lateness)| (micros(size), micros(lateness))),
            open: BTreeMap::new(),
            names: HashMap::new(),
            deadlines: BTreeSet::new(),
            ends: BTreeSet::new(),
            ended: VecDeque::new(),
            next_number: 0,
            watermark: None,
            last_arrival: None,
            awaited: HashMap::new(),
            returning: HashSet::new(),
            lagging: Lagging::default(),
            held: HashMap::new(),
        }
    }

    pub fn add(&mut self, record: Record, now: Instant) -> Added {
        self.last_arrival = Some(now);
        let key = if self.rules.by_key { record.key().to_vec() } else { Vec::new() };
        match self.event_time {
            Some((size, lateness)) => self.add_by_time(key, record, now, size, lateness),
            None => {
                self.put((key, 0), record, now, None);
                Added::Held
            }
        }
    }

    fn add_by_time(&mut self, key: Vec<u8>, record: Record, now: Instant, size: i64, lateness: i64) -> Added {
        let time = record.event_time();
        if time == 0 {
            return Added::Timeless;
        }
        let name = (key, time.div_euclid(size));
        let end = name.1.saturating_add(1).saturating_mul(size);
        // A record that comes again was in time when it came first.
        let is_again = self.is_returning(&record, &name);
        if is_again {
            self.count_back(&name);
            if self.watermark.map_or(false, |watermark| end <= watermark) {
                self.lagging.fall_back(&record, name.1.saturating_mul(size), now);
            }
        }
        let has_ended = self.mark(&name).map_or(false, |mark| end <= mark);
        if has_ended && !is_again && !self.names.contains_key(&name) {
            return Added::Late(format!("late: its window ended at {}", json::event_time_text(end)));
        }
        // Before the watermark moves: a record never ends its own window and is late for it.
        let seen = time.saturating_sub(lateness);
        let watermark = self.watermark.map_or(seen, |watermark| watermark.max(seen));
        self.put(name, record.clone(), now, (!has_ended).then_some(end));
        self.watermark = Some(watermark);
        self.lagging.progress(&record, seen, watermark, now);
        self.end_passed();
        Added::Held
    }

    /// Whether it was here before. Without an identity (none comes from a broker) its window tells.
    fn is_returning(&mut self, record: &Record, name: &Name) -> bool {
        let id = record.id();
        let is_known = if id == RecordId::default() { self.awaited.contains_key(name) } else { self.returning.remove(&id) };
        is_known || record.attempt() > 1
    }

    fn count_back(&mut self, name: &Name) {
        if let Some(count) = self.awaited.get_mut(name) {
            *count = count.saturating_sub(1);
        }
    }

    /// Everything before it has been seen, of the lanes that may have records for the window.
    fn mark(&self, name: &Name) -> Option<i64> {
        let behind = self.lagging.behind(self.rules.by_key.then_some(&name.0));
        Some(behind.map_or(self.watermark?, |behind| behind.min(self.watermark.unwrap_or(behind))))
    }

    /// Into the window of that name, which ends before or after it when its bounds say so.
    fn put(&mut self, name: Name, record: Record, now: Instant, end: Option<i64>) {
        let payload = record.payload().len() as u64;
        let is_full = |pane: &Pane| self.rules.bytes.map_or(false, |most| pane.bytes + payload > most);
        if let Some(number) = self.names.get(&name).copied().filter(|number| is_full(&self.open[number])) {
            self.end(number, true);
        }
        let held = self.held.entry(record.input_number()).or_default();
        held.records += 1;
        held.bytes += record.size();
        let number = match self.names.get(&name) {
            Some(number) => *number,
            None => self.open(name.clone(), now, end),
        };
        let pane = self.open.get_mut(&number).expect("just found or opened");
        pane.records.push(record);
        pane.bytes += payload;
        let is_whole = pane.end.is_none() && self.awaited.get(&name) == Some(&0);
        let is_full = self.rules.records.map_or(false, |most| pane.records.len() >= most)
            || self.rules.bytes.map_or(false, |most| pane.bytes >= most);
        if is_full || is_whole {
            self.end(number, true);
        }
    }

    fn open(&mut self, name: Name, now: Instant, end: Option<i64>) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        // By event time only those wait by the clock that have ended already, for the rest of what comes
        // again.
        let wait = match self.event_time {
            Some(_) if end.is_some() => None,
            Some(_) if self.awaited.contains_key(&name) => Some(REGATHER_KNOWN),
            Some(_) => Some(REGATHER),
            None => self.rules.seconds.map(Duration::from_secs_f64),
        };
        let deadline = wait.map(|wait| now + wait);
        self.deadlines.extend(deadline.map(|deadline| (deadline, number)));
        self.ends.extend(end.map(|end| (end, number)));
        self.names.insert(name.clone(), number);
        self.open.insert(number, Pane { name, records: Vec::new(), bytes: 0, deadline, end });
        number
    }

    fn end(&mut self, number: u64, is_complete: bool) {
        let pane = self.open.remove(&number).expect("an open window");
        self.names.remove(&pane.name);
        self.awaited.remove(&pane.name);
        if let Some(deadline) = pane.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        if let Some(end) = pane.end {
            self.ends.remove(&(end, number));
        }
        pane.records.iter().for_each(|record| self.let_go(record));
        let mut window = Window::new(pane.records);
        let (key, index) = pane.name;
        window.key = key;
        window.bounds = self.event_time.map(|(size, _)| (index.saturating_mul(size), index.saturating_add(1).saturating_mul(size)));
        window.is_complete = is_complete;
        self.ended.push_back(window);
    }

    fn let_go(&mut self, record: &Record) {
        let held = self.held.entry(record.input_number()).or_default();
        held.records -= 1;
        held.bytes -= record.size();
    }

    /// Ends what the watermark has passed, but for windows whose records are still to come again.
    fn end_passed(&mut self) {
        let watermark = self.watermark.unwrap_or(i64::MIN);
        let passed: Vec<(i64, u64)> = self.ends.range(..=(watermark, u64::MAX)).copied().collect();
        for (end, number) in passed {
            if self.mark(&self.open[&number].name) >= Some(end) {
                self.end(number, true);
            }
        }
    }

    /// The next window to be handled.
    pub fn next(&mut self, now: Instant) -> Option<Window> {
        while let Some(&(_, number)) = self.deadlines.iter().next().filter(|(deadline, _)| now >= *deadline) {
            self.end(number, true);
        }
        if self.lagging.expire(now) {
            self.end_passed();
        }
        self.ended.pop_front()
    }

    /// To be called when nothing is queued: after the idle time the watermark moves behind all windows.
    pub fn rest(&mut self, now: Instant) {
        let is_idle = self.idle_at().map_or(false, |at| now >= at);
        if let Some(&(last, _)) = self.ends.iter().next_back().filter(|_| is_idle) {
            self.watermark = self.watermark.max(Some(last));
            self.end_passed();
        }
    }

    /// Unless the watermark is behind all windows already, and they wait for lanes that lag.
    fn idle_at(&self) -> Option<Instant> {
        let is_open = self.ends.iter().next_back().map_or(false, |(end, _)| self.watermark < Some(*end));
        self.last_arrival.filter(|_| is_open).and_then(|last| Some(last + self.rules.idle_after()?))
    }

    /// When something ends without a further record.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.deadlines.iter().next().map(|(deadline, _)| *deadline);
        first.into_iter().chain(self.idle_at()).chain(self.lagging.deadline()).min()
    }

    /// Nothing more comes but what comes again: every other window ends. The watermark stays.
    pub fn end_all(&mut self) {
        let over = self.open.iter().filter(|(_, pane)| !self.is_awaited(pane)).map(|(number, _)| *number);
        over.collect::<Vec<_>>().into_iter().for_each(|number| self.end(number, true));
    }

    /// Whether `end_all` would end one.
    pub fn has_whole(&self) -> bool {
        !self.ended.is_empty() || self.open.values().any(|pane| !self.is_awaited(pane))
    }

    /// As long as somebody waits for it: a lane that is given up is not.
    fn is_awaited(&self, pane: &Pane) -> bool {
        let is_waiting = pane.deadline.is_some() || self.lagging.behind(self.rules.by_key.then_some(&pane.name.0)).is_some();
        is_waiting && self.awaited.get(&pane.name).map_or(false, |count| *count > 0)
    }

    /// There is no room to wait for more: the oldest window ends before its time.
    pub fn end_oldest(&mut self) {
        if let Some(number) = self.open.keys().next().copied() {
            self.end(number, false);
        }
    }

    /// The window's records come again, and are not late then. What is held of their lanes behind them is
    /// void (OR-3), leaves its windows and is returned: it comes again, too.
    pub fn give_back(&mut self, window: &Window, now: Instant) -> Vec<Record> {
        let mut firsts: HashMap<Lane, u64> = HashMap::new();
        for record in window.records() {
            self.expect(record);
            self.lagging.give_back(record, window.start().unwrap_or(i64::MIN), now);
            if let Some(lane) = record.lane() {
                let first = firsts.entry(lane).or_insert(u64::MAX);
                *first = record.delivery().min(*first);
            }
        }
        let is_void = |record: &Record| {
            let first = record.lane().and_then(|lane| firsts.get(&lane));
            first.map_or(false, |first| *first < record.delivery())
        };
        let void = self.take_out(is_void);
        void.iter().for_each(|record| self.expect(record));
        void
    }

    /// The record comes again.
    fn expect(&mut self, record: &Record) {
        let size = match self.event_time {
            Some((size, _)) => size,
            None => return, // no other window is ever late
        };
        // What goes to another worker is never seen again here.
        if self.returning.len() >= AWAITED * 16 || self.awaited.len() >= AWAITED {
            self.awaited.clear();
            self.returning.clear();
        }
        if record.id() != RecordId::default() {
            self.returning.insert(record.id());
        }
        let key = if self.rules.by_key { record.key().to_vec() } else { Vec::new() };
        *self.awaited.entry((key, record.event_time().div_euclid(size))).or_default() += 1;
    }

    /// Takes records out of their windows, ended ones included.
    fn take_out(&mut self, is_gone: impl Fn(&Record) -> bool) -> Vec<Record> {
        let mut gone = Vec::new();
        for window in &mut self.ended {
            gone.extend(window.remove(&is_gone));
        }
        self.ended.retain(|window| !window.records().is_empty());
        let mut left = Vec::new();
        for pane in self.open.values_mut() {
            let (taken, kept): (Vec<Record>, Vec<Record>) = pane.records.drain(..).partition(&is_gone);
            pane.records = kept;
            pane.bytes -= taken.iter().map(|record| record.payload().len() as u64).sum::<u64>();
            left.extend(taken);
        }
        left.iter().for_each(|record| self.let_go(record));
        let empty: Vec<u64> = self.open.iter().filter(|(_, pane)| pane.records.is_empty()).map(|(number, _)| *number).collect();
        empty.into_iter().for_each(|number| self.close(number));
        gone.append(&mut left);
        gone
    }

    /// Forgets a window that has nothing left.
    fn close(&mut self, number: u64) {
        let pane = self.open.remove(&number).expect("an open window");
        self.names.remove(&pane.name);
        self.deadlines.retain(|(_, of)| *of != number);
        self.ends.retain(|(_, of)| *of != number);
    }

    pub fn held(&self, input: u32) -> Held {
        self.held.get(&input).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty()
    }
}
