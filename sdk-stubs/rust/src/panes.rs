use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::json;
use crate::limits::{AWAITED, REGATHER, REGATHER_KNOWN};
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
    /// Windows whose records come back, with how many: a retry. Ended as they are, they take these again.
    awaited: HashMap<Name, usize>,
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
            held: HashMap::new(),
        }
    }

    pub fn add(&mut self, record: Record, now: Instant) -> Added {
        self.last_arrival = Some(now);
        let key = if self.rules.by_key { record.key().to_vec() } else { Vec::new() };
        match self.event_time {
            None => self.put((key, 0), record, now, None),
            Some((size, lateness)) => {
                let time = record.event_time();
                if time == 0 {
                    return Added::Timeless;
                }
                let name = (key, time.div_euclid(size));
                let end = name.1.saturating_add(1).saturating_mul(size);
                let has_ended = self.watermark.map_or(false, |watermark| end <= watermark);
                // A record that comes again was in time when it came first.
                let is_again = record.attempt() > 1 || self.awaited.contains_key(&name) || self.names.contains_key(&name);
                if has_ended && !is_again {
                    return Added::Late(format!("late: its window ended at {}", json::event_time_text(end)));
                }
                // Before the watermark moves: a record never ends its own window and is late for it.
                self.put(name, record, now, (!has_ended).then_some(end));
                let seen = time.saturating_sub(lateness);
                self.watermark = Some(self.watermark.map_or(seen, |watermark| watermark.max(seen)));
                self.end_passed();
            }
        }
        Added::Held
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
        let is_whole = pane.end.is_none() && self.awaited.get(&name).map_or(false, |count| pane.records.len() >= *count);
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
        for record in &pane.records {
            let held = self.held.entry(record.input_number()).or_default();
            held.records -= 1;
            held.bytes -= record.size();
        }
        let mut window = Window::new(pane.records);
        let (key, index) = pane.name;
        window.key = key;
        window.bounds = self.event_time.map(|(size, _)| (index.saturating_mul(size), index.saturating_add(1).saturating_mul(size)));
        window.is_complete = is_complete;
        self.ended.push_back(window);
    }

    fn end_passed(&mut self) {
        while let Some(&(_, number)) = self.ends.iter().next().filter(|(end, _)| self.watermark >= Some(*end)) {
            self.end(number, true);
        }
    }

    /// The next window to be handled.
    pub fn next(&mut self, now: Instant) -> Option<Window> {
        while let Some(&(_, number)) = self.deadlines.iter().next().filter(|(deadline, _)| now >= *deadline) {
            self.end(number, true);
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

    fn idle_at(&self) -> Option<Instant> {
        self.last_arrival.filter(|_| !self.ends.is_empty()).and_then(|last| Some(last + self.rules.idle_after()?))
    }

    /// When something ends without a further record.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.deadlines.iter().next().map(|(deadline, _)| *deadline);
        first.into_iter().chain(self.idle_at()).min()
    }

    /// The input has ended: so does every window. The watermark stays, for what may come again.
    pub fn end_all(&mut self) {
        self.open.keys().copied().collect::<Vec<_>>().into_iter().for_each(|number| self.end(number, true));
    }

    /// There is no room to wait for more: the oldest window ends before its time.
    pub fn end_oldest(&mut self) {
        if let Some(number) = self.open.keys().next().copied() {
            self.end(number, false);
        }
    }

    /// The window is to be tried again: its records are not late when they come.
    pub fn await_again(&mut self, window: &Window) {
        if let (Some((size, _)), Some(start)) = (self.event_time, window.start()) {
            // What goes to another worker is never seen again here.
            if self.awaited.len() >= AWAITED {
                self.awaited.clear();
            }
            self.awaited.insert((window.key().to_vec(), start.div_euclid(size)), window.records().len());
        }
    }

    pub fn held(&self, input: u32) -> Held {
        self.held.get(&input).copied().unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty()
    }
}
