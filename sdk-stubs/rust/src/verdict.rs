use std::time::Duration;

use crate::codes::Code;
use crate::limits::MAX_TEXT;
use crate::pb;

/// How a delivery, or all of a window, ends when it is not simply accepted. Any error turns into `Failed`
/// by `?`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Will never work: a dead letter.
    Reject {
        /// Codes from 1000 are yours.
        code: u32,
        /// For a person; at most 8 KiB, the rest is cut off.
        message: String,
    },
    /// Again, as a further attempt.
    Retry {
        /// Not before it has passed, in milliseconds rounded up; zero: the pipeline's own backoff.
        delay: Duration,
        /// Codes from 1000 are yours; 1000 if it is less.
        code: u32,
        /// For a person; at most 8 KiB, the rest is cut off.
        message: String,
        /// The effect may have happened already.
        is_indefinite: bool,
    },
    /// Untouched: the same attempt, elsewhere or a little later.
    Release,
    /// What an error that `?` hands on turns into, and a panic: again after the pipeline's own backoff;
    /// the text goes to standard error too.
    Failed(String),
}

impl Verdict {
    /// `Reject`; a code under 1000 becomes 1000, for those are the protocol's.
    pub fn reject(code: u32, message: impl Into<String>) -> Self {
        Verdict::Reject { code: code.max(Code::APPLICATION.0), message: message.into() }
    }

    /// `Retry` with code 1000, of something that certainly has not happened.
    pub fn retry(delay: Duration, message: impl Into<String>) -> Self {
        Verdict::Retry { delay, code: Code::APPLICATION.0, message: message.into(), is_indefinite: false }
    }

    /// Whether its records come again.
    pub(crate) fn gives_back(&self) -> bool {
        !matches!(self, Verdict::Reject { .. })
    }

    /// The message, without its deliveries.
    pub(crate) fn outcome(self) -> pb::Outcome {
        let mut outcome = pb::Outcome::default();
        match self {
            Verdict::Reject { code, message } => {
                outcome.kind = pb::OutcomeKind::Rejected as i32;
                outcome.error = Some(pb::Error { code, message: cut_text(message), indefinite: false });
            }
            Verdict::Retry { delay, code, message, is_indefinite } => {
                let code = code.max(Code::APPLICATION.0);
                outcome.kind = pb::OutcomeKind::Retry as i32;
                outcome.delay_ms = milliseconds(delay);
                outcome.error = Some(pb::Error { code, message: cut_text(message), indefinite: is_indefinite });
            }
            Verdict::Failed(text) => return Verdict::retry(Duration::ZERO, text).outcome(),
            Verdict::Release => outcome.kind = pb::OutcomeKind::Released as i32,
        }
        outcome
    }
}

impl<E: std::error::Error> From<E> for Verdict {
    fn from(error: E) -> Self {
        Verdict::Failed(with_causes(&error))
    }
}

/// An error's text with those of its causes, where they say something new.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Rounds up, so that a short delay does not become none, and saturates.
fn milliseconds(delay: Duration) -> u32 {
    u32::try_from((delay.as_nanos() + 999_999) / 1_000_000).unwrap_or(u32::MAX)
}

/// At most 8 KiB, cut between characters.
pub fn cut_text(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
