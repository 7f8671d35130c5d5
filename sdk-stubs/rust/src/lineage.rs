use std::fmt;

use prost::Message;

use crate::pb;
use crate::record::Record;

/// The 128-bit identity that the broker gave to a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct RecordId(pub [u8; 16]);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One stage's part in a record.
#[derive(Clone, PartialEq, Debug)]
pub struct Hop {
    /// The stage's name in the pipeline.
    pub stage: String,
    /// Its author's version; may be empty.
    pub version: String,
    /// Which of the stage's workers it was.
    pub instance: String,
    /// What that worker was written in; may be empty.
    pub language: String,
    /// When the broker took the emission, microseconds since 1970.
    pub time: u64,
    /// Of the delivery that led to it, from 1.
    pub attempt: u32,
}

/// Where a record comes from, as the broker stamped it.
#[derive(Clone, PartialEq, Debug)]
pub struct Lineage {
    /// The record's own.
    pub id: RecordId,
    /// At most 16; none for a source's record.
    pub parents: Vec<RecordId>,
    /// There were more parents than are kept.
    pub parents_truncated: bool,
    /// The source record that it goes back to; its own id for a source's record.
    pub root: RecordId,
    /// When the root entered the broker, microseconds since 1970.
    pub ingest_time: u64,
    /// Oldest first.
    pub hops: Vec<Hop>,
    /// `traceparent` of W3C Trace Context, as the source gave it; may be empty.
    pub trace_parent: String,
    /// `tracestate` of it; may be empty.
    pub trace_state: String,
}

impl Record {
    /// The record's identity; all zero in records made for tests.
    pub fn id(&self) -> RecordId {
        // `id` is field 1 of the lineage, and the broker writes fields in ascending order.
        match self.lineage_bytes() {
            [0x0a, 16, rest @ ..] => record_id(rest),
            _ => RecordId::default(),
        }
    }

    /// Where the record comes from. Decoding costs something, so it is done when asked for. `None`
    /// if the bytes are damaged.
    pub fn lineage(&self) -> Option<Lineage> {
        let raw = pb::Lineage::decode(self.lineage_bytes()).ok()?;
        let runs = self.runs();
        let hop = |hop: &pb::Hop| {
            let run = runs.get(&hop.run).cloned().unwrap_or_default();
            Hop {
                stage: run.stage,
                version: run.version,
                instance: run.instance,
                language: run.language,
                time: raw.ingest_time.saturating_add(hop.delta),
                attempt: hop.attempt.max(1),
            }
        };
        let id = record_id(&raw.id);
        let trace = raw.trace.clone().unwrap_or_default();
        Some(Lineage {
            id,
            parents: raw.parents.iter().map(|parent| record_id(parent)).collect(),
            parents_truncated: raw.parents_truncated,
            root: if raw.root.is_empty() { id } else { record_id(&raw.root) },
            ingest_time: raw.ingest_time,
            hops: raw.hops.iter().map(hop).collect(),
            trace_parent: trace.traceparent,
            trace_state: trace.tracestate,
        })
    }
}

fn record_id(bytes: &[u8]) -> RecordId {
    RecordId(bytes.get(..16).and_then(|b| b.try_into().ok()).unwrap_or_default())
}
