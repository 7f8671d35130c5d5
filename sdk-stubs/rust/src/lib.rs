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
//! main     takes records one by one, calls the handler, gathers outcomes, writes Settle frames
//! keeper   writes gathered outcomes that have waited too long, and Extend while records are held
//! ```
//!
//! The outcome of one record's handling is one step: what it emitted becomes visible together with
//! its settlement, or not at all.

mod arguments;
mod codes;
mod config;
mod console;
mod consuming;
mod credit;
mod emitter;
mod frame;
mod handshake;
mod holding;
mod hub;
mod json;
mod keeper;
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

#[cfg(test)]
mod tests;
