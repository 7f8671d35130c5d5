//! What is to be done once the broker has confirmed that a settlement is durable (ST-8).

use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, Sender};
use std::thread::{self, JoinHandle};

use crate::console::Console;
use crate::consuming::panic_text;
use crate::settle::Span;

pub type Action = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// By delivery, of one session.
#[derive(Default)]
pub struct Asked(BTreeMap<u64, Entry>);

struct Entry {
    /// The first delivery of its outcome, by which the broker names a refusal.
    outcome: u64,
    actions: Vec<Action>,
}

impl Asked {
    pub fn ask(&mut self, delivery: u64, action: Action) {
        self.0.entry(delivery).or_insert(Entry { outcome: delivery, actions: Vec::new() }).actions.push(action);
    }

    /// These deliveries, ascending, are settled with one outcome.
    pub fn settle(&mut self, spans: &[Span], is_accepted: bool) {
        if self.0.is_empty() {
            return;
        }
        for span in spans {
            if is_accepted {
                self.0.range_mut(span.first..=span.last).for_each(|(_, entry)| entry.outcome = spans[0].first);
            } else {
                let dropped: Vec<u64> = self.0.range(span.first..=span.last).map(|(delivery, _)| *delivery).collect();
                dropped.iter().for_each(|delivery| drop(self.0.remove(delivery)));
            }
        }
    }

    /// Takes out what is confirmed, in the order of the deliveries.
    pub fn confirm(&mut self, through: u64, refused: &[u64]) -> Vec<Action> {
        if !refused.is_empty() {
            self.0.retain(|_, entry| !refused.contains(&entry.outcome));
        }
        let rest = match through.checked_add(1) {
            Some(next) => self.0.split_off(&next),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.0, rest).into_values().flat_map(|entry| entry.actions).collect()
    }
}

/// Does it, one after the other, on a thread that begins with the first. At its end it waits for the rest.
pub struct Confirmer {
    console: Console,
    running: Option<(Sender<Action>, JoinHandle<()>)>,
}

impl Confirmer {
    pub fn new(console: Console) -> Self {
        Confirmer { console, running: None }
    }

    pub fn run(&mut self, actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let console = &self.console;
        let (sender, _) = self.running.get_or_insert_with(|| {
            let (sender, receiver) = channel::<Action>();
            let mut console = console.clone();
            let work = move || {
                for action in receiver {
                    if let Err(error) = call(action) {
                        console.say(&format!("what was to be done on confirmation failed: {error}"));
                    }
                }
            };
            (sender, thread::spawn(work))
        });
        for action in actions {
            sender.send(action).expect("the thread ends after the sender");
        }
    }
}

impl Drop for Confirmer {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.running.take() {
            drop(sender);
            thread.join().expect("a panic of an action is caught");
        }
    }
}

fn call(action: Action) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|payload| Err(panic_text(payload)))
}
