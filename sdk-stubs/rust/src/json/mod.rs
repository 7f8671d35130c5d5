//! A record as JSON, as docs/RECORD_JSON.md describes it.

mod lineage;
mod pairs;
mod read;
mod time;
mod write;

pub use read::read;
pub use time::event_time_text;
pub use write::write;

#[cfg(test)]
mod tests;
