use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::limits::{FAILURES_SHOWN, MAX_TEXT};

/// Sentences for people, on standard error. A clone writes to the same.
#[derive(Clone)]
pub struct Console {
    pub stage: String,
    stderr: Arc<Mutex<Box<dyn Write + Send>>>,
    failures: u32,
}

impl Console {
    pub fn new(stderr: Box<dyn Write + Send>) -> Self {
        Console { stage: String::new(), stderr: Arc::new(Mutex::new(stderr)), failures: 0 }
    }

    /// Standard error may be gone; the worker goes on without it.
    pub fn say(&mut self, message: &str) {
        let name = if self.stage.is_empty() { "(unknown)" } else { &self.stage };
        let mut stderr = self.stderr.lock().expect("no thread panics while it writes");
        let _ = writeln!(stderr, "stagewire: stage {name}: {}", shown(message));
    }

    /// An error that a handler did not expect. A stream of them must not fill a disk.
    pub fn failed(&mut self, what: &str, error: &str) {
        self.failures += 1;
        if self.failures <= FAILURES_SHOWN {
            self.say(&format!("{what} failed, and is to be tried again: {error}"));
        }
        if self.failures == FAILURES_SHOWN {
            self.say("further failures are not shown");
        }
    }
}

/// Texts may come from a peer: nothing in them may act on a terminal or look like a line of its own (LM-5).
fn shown(message: &str) -> String {
    let mut shown = String::new();
    for letter in message.chars() {
        if shown.len() >= MAX_TEXT {
            break;
        }
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_escaped_and_long_texts_cut() {
        assert_eq!(super::shown("a\u{1b}[31mb\nü"), "a\\u{1b}[31mb\\nü");
        assert_eq!(super::shown(&"x".repeat(10_000)).len(), 8192);
    }
}
