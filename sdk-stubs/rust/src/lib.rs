//! Lets a Rust program be a stage of a Stagewire pipeline: a source, a transform or a sink. The
//! program dials the broker, and this crate keeps the protocol: credit in both directions,
//! heartbeats, leases, atomic settling, draining and reconnecting.
//!
//! ```no_run
//! use stagewire::{Output, Stage};
//!
//! fn main() -> std::process::ExitCode {
//!     Stage::new().transform(|record, out| {
//!         let upper = record.payload().to_ascii_uppercase();
//!         out.emit(&Output { payload: &upper, ..record.output() });
//!         Ok(())
//!     })
//! }
//! ```
//!
//! How a stage works, in threads:
//!
//! ```text
//! reader   socket -> frames; answers Ping, books credit, queues records; never waits for a handler
//! main     takes records from the queue, into windows if there are any, calls the handler, gathers
//!          outcomes, writes Settle frames
//! crew     with `workers`: several threads that call the handler, in the place of main
//! keeper   writes gathered outcomes that have waited too long; Extend while records are held, but for a
//!          handler that has had its time
//! signals  lets main finish what is at hand and leave
//! source   the author's function, in the place of a handler
//! ```
//!
//! The outcome of one handling is one step: what it emitted becomes visible together with the
//! settlement of its record, or of its window, or not at all.
//!
//! Where to look: `worker` (connections and how they end), `session` and `hub` (what one connection's
//! threads share), `lanes` (what is void), `consuming`, `crew`, `holding` and `producing` (the kinds of stages),
//! `panes` (which record belongs to which window), `rehearsal` (`--test`), `wire`, `frame` and `settle`
//! (bytes).

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod arguments;
mod codes;
mod config;
mod confirmations;
mod console;
mod consuming;
mod credit;
mod crew;
mod emitter;
mod frame;
mod handshake;
mod holding;
mod hub;
mod incoming;
mod json;
mod keeper;
mod lagging;
mod lanes;
mod limits;
mod lineage;
mod output;
mod panes;
#[allow(clippy::all)]
mod pb;
mod producing;
mod reader;
mod record;
mod rehearsal;
mod role;
mod session;
mod settle;
mod signals;
mod source;
mod stage;
mod tally;
mod verdict;
mod window;
mod windows;
mod wire;
mod worker;
mod workers;

pub use arguments::source_arguments;
pub use codes::Code;
pub use emitter::Emitter;
pub use lineage::{Hop, Lineage, RecordId};
pub use output::{Attribute, Output, Scalar, Trace};
pub use record::Record;
pub use source::{Partition, Source, SourceError};
pub use stage::Stage;
pub use verdict::Verdict;
pub use window::{Batch, Window};
pub use windows::{Late, Windows};
pub use workers::Workers;

#[cfg(test)]
mod tests;
