use std::io::Write;

use crate::limits::FAILURES_SHOWN;

/// Sentences for people, on standard error.
pub struct Console {
    pub stage: String,
    stderr: Box<dyn Write>,
    failures: u32,
}

impl Console {
    pub fn new(stderr: Box<dyn Write>) -> Self {
        Console { stage: String::new(), stderr, failures: 0 }
    }

    /// Standard error may be gone; the worker goes on without it.
    pub fn say(&mut self, message: &str) {
        let name = if self.stage.is_empty() { "(unknown)" } else { &self.stage };
        let _ = writeln!(self.stderr, "stagewire: stage {name}: {message}");
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
