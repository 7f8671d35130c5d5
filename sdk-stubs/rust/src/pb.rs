// Generated from proto/ by prost-build 0.11. Do not edit.
/// One record. A worker that emits one leaves `lineage` unset; a record that carries it is refused.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Record {
    /// owned by the broker, now and ever
    #[prost(message, optional, tag="1")]
    pub lineage: ::core::option::Option<Lineage>,
    /// owned by the author of the stage
    #[prost(message, optional, tag="2")]
    pub header: ::core::option::Option<Header>,
    /// never looked into by the broker
    #[prost(bytes="bytes", tag="3")]
    pub payload: ::prost::bytes::Bytes,
}
/// What the author says about a record. At most 16 KiB encoded.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Header {
    /// for example "sensor.raw"
    #[prost(string, tag="1")]
    pub schema: ::prost::alloc::string::String,
    /// the version of `schema` that the payload follows
    #[prost(uint32, tag="2")]
    pub schema_version: u32,
    /// records of one key keep their order; at most 1 KiB; absent or empty: no key
    #[prost(bytes="bytes", tag="3")]
    pub key: ::prost::bytes::Bytes,
    /// microseconds since 1970-01-01T00:00:00Z; 0: not known
    #[prost(sfixed64, tag="4")]
    pub event_time: i64,
    /// for example "application/json"
    #[prost(string, tag="5")]
    pub content_type: ::prost::alloc::string::String,
    /// at most 64; what `when` expressions read
    #[prost(message, repeated, tag="6")]
    pub attributes: ::prost::alloc::vec::Vec<Attribute>,
}
/// A named scalar. `name` is unique within a header; the first one counts.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Attribute {
    #[prost(string, tag="1")]
    pub name: ::prost::alloc::string::String,
    #[prost(oneof="attribute::Value", tags="2, 3, 4, 5")]
    pub value: ::core::option::Option<attribute::Value>,
}
/// Nested message and enum types in `Attribute`.
pub mod attribute {
    #[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Value {
        #[prost(string, tag="2")]
        Text(::prost::alloc::string::String),
        #[prost(sint64, tag="3")]
        Integer(i64),
        #[prost(double, tag="4")]
        Number(f64),
        #[prost(bool, tag="5")]
        Flag(bool),
    }
}
/// Where a record comes from. Written by the broker only, its fields always in ascending order.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Lineage {
    /// 16 bytes
    #[prost(bytes="bytes", tag="1")]
    pub id: ::prost::bytes::Bytes,
    /// 16 bytes each; at most 16; empty for a source's record
    #[prost(bytes="bytes", repeated, tag="2")]
    pub parents: ::prost::alloc::vec::Vec<::prost::bytes::Bytes>,
    /// there were more parents than `parents` holds
    #[prost(bool, tag="3")]
    pub parents_truncated: bool,
    /// 16 bytes; absent: the record is its own root
    #[prost(bytes="bytes", tag="4")]
    pub root: ::prost::bytes::Bytes,
    /// as the source gave it, unchanged
    #[prost(message, optional, tag="5")]
    pub trace: ::core::option::Option<TraceContext>,
    /// microseconds since 1970 at which the root entered the broker
    #[prost(fixed64, tag="6")]
    pub ingest_time: u64,
    /// oldest first, one for each stage that emitted
    #[prost(message, repeated, tag="7")]
    pub hops: ::prost::alloc::vec::Vec<Hop>,
}
/// One stage's part in a record. `run` is a number announced in `Runs`.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Hop {
    #[prost(uint32, tag="1")]
    pub run: u32,
    /// microseconds between the root's ingest time and this emission
    #[prost(uint64, tag="2")]
    pub delta: u64,
    /// of the delivery that led to it; 0 stands for 1
    #[prost(uint32, tag="3")]
    pub attempt: u32,
}
/// W3C Trace Context, <https://www.w3.org/TR/trace-context/>
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TraceContext {
    /// at most 64 bytes
    #[prost(string, tag="1")]
    pub traceparent: ::prost::alloc::string::String,
    /// at most 512 bytes
    #[prost(string, tag="2")]
    pub tracestate: ::prost::alloc::string::String,
}
/// Exactly one message per frame. Kinds that a receiver does not know are ignored and counted,
/// for no kind that carries records or changes state is sent without its feature negotiated.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Envelope {
    /// major * 1000 + minor of the protocol that this frame follows; 1.0 is 1000
    #[prost(uint32, tag="1")]
    pub version: u32,
    #[prost(oneof="envelope::Message", tags="2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18")]
    pub message: ::core::option::Option<envelope::Message>,
}
/// Nested message and enum types in `Envelope`.
pub mod envelope {
    #[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Message {
        /// worker -> broker, first frame
        #[prost(message, tag="2")]
        Hello(super::Hello),
        /// broker -> worker, answers Hello
        #[prost(message, tag="3")]
        Welcome(super::Welcome),
        /// either, the last frame a side writes
        #[prost(message, tag="4")]
        Close(super::Close),
        /// either
        #[prost(message, tag="5")]
        Ping(super::Ping),
        /// either, answers Ping
        #[prost(message, tag="6")]
        Pong(super::Pong),
        /// either: towards the sender of records
        #[prost(message, tag="7")]
        Credit(super::Credit),
        /// broker -> worker
        #[prost(message, tag="8")]
        Deliver(super::Deliver),
        /// worker -> broker
        #[prost(message, tag="9")]
        Settle(super::Settle),
        /// source -> broker
        #[prost(message, tag="10")]
        Emit(super::Emit),
        /// broker -> source
        #[prost(message, tag="11")]
        Committed(super::Committed),
        /// broker -> worker, feature settle-confirm
        #[prost(message, tag="12")]
        Settled(super::Settled),
        /// worker -> broker
        #[prost(message, tag="13")]
        Extend(super::Extend),
        /// broker -> worker
        #[prost(message, tag="14")]
        Drain(super::Drain),
        /// broker -> worker
        #[prost(message, tag="15")]
        Runs(super::Runs),
        /// source -> broker
        #[prost(message, tag="16")]
        Claim(super::Claim),
        /// broker -> source
        #[prost(message, tag="17")]
        Claimed(super::Claimed),
        /// source -> broker
        #[prost(message, tag="18")]
        Finished(super::Finished),
    }
}
// ---- Connection ----

/// The first frame of a worker, at most 16 KiB. Fields 1 to 15 are frozen for ever.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Hello {
    #[prost(uint32, tag="1")]
    pub min_version: u32,
    /// same major as min_version
    #[prost(uint32, tag="2")]
    pub max_version: u32,
    /// a stage of the pipeline
    #[prost(string, tag="3")]
    pub stage: ::prost::alloc::string::String,
    /// names this worker among those of its stage; at most 128 bytes
    #[prost(string, tag="4")]
    pub instance: ::prost::alloc::string::String,
    /// the author's own version, shown in lineage; at most 128 bytes
    #[prost(string, tag="5")]
    pub stage_version: ::prost::alloc::string::String,
    /// features this worker can use
    #[prost(string, repeated, tag="6")]
    pub offered: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// features it cannot work without
    #[prost(string, repeated, tag="7")]
    pub required: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// bytes this worker accepts in one frame; 0: 4 MiB
    #[prost(uint64, tag="8")]
    pub max_frame: u64,
    /// STAGEWIRE_TOKEN, when the broker's host started the worker
    #[prost(bytes="bytes", tag="9")]
    pub token: ::prost::bytes::Bytes,
    /// diagnostics only
    #[prost(string, tag="10")]
    pub sdk: ::prost::alloc::string::String,
    /// diagnostics and lineage only
    #[prost(string, tag="11")]
    pub language: ::prost::alloc::string::String,
    #[prost(message, repeated, tag="12")]
    pub reads: ::prost::alloc::vec::Vec<Schema>,
    #[prost(message, repeated, tag="13")]
    pub writes: ::prost::alloc::vec::Vec<Schema>,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Schema {
    #[prost(string, tag="1")]
    pub name: ::prost::alloc::string::String,
    #[prost(uint32, tag="2")]
    pub version: u32,
    #[prost(bytes="bytes", tag="3")]
    pub definition: ::prost::bytes::Bytes,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Welcome {
    /// chosen: the highest common minor
    #[prost(uint32, tag="1")]
    pub version: u32,
    #[prost(uint64, tag="2")]
    pub session: u64,
    /// in force on this connection
    #[prost(string, repeated, tag="3")]
    pub features: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// bytes, either direction
    #[prost(uint64, tag="4")]
    pub max_frame: u64,
    /// bytes of one record, the broker's stamp included
    #[prost(uint64, tag="5")]
    pub max_record: u64,
    /// bytes added to an output's size when it is charged (CR-3)
    #[prost(uint64, tag="6")]
    pub stamp_reserve: u64,
    /// emissions of one outcome or Emit, all ports together
    #[prost(uint64, tag="7")]
    pub max_step_records: u64,
    /// their charge in bytes, all ports together
    #[prost(uint64, tag="8")]
    pub max_step_bytes: u64,
    #[prost(uint32, tag="9")]
    pub heartbeat_ms: u32,
    #[prost(uint32, tag="10")]
    pub idle_ms: u32,
    #[prost(uint32, tag="11")]
    pub lease_ms: u32,
    /// the stage's configuration, one JSON value
    #[prost(bytes="bytes", tag="12")]
    pub config: ::prost::bytes::Bytes,
    #[prost(message, repeated, tag="13")]
    pub inputs: ::prost::alloc::vec::Vec<Input>,
    #[prost(message, repeated, tag="14")]
    pub outputs: ::prost::alloc::vec::Vec<Output>,
    #[prost(string, tag="15")]
    pub pipeline: ::prost::alloc::string::String,
    /// as in Hello, or given by the broker when Hello named none
    #[prost(string, tag="16")]
    pub instance: ::prost::alloc::string::String,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Input {
    #[prost(uint32, tag="1")]
    pub number: u32,
    /// upstream stage
    #[prost(string, tag="2")]
    pub stage: ::prost::alloc::string::String,
    /// and its port
    #[prost(string, tag="3")]
    pub port: ::prost::alloc::string::String,
    /// the broker never has more unsettled here
    #[prost(uint64, tag="4")]
    pub max_unsettled_records: u64,
    #[prost(uint64, tag="5")]
    pub max_unsettled_bytes: u64,
    #[prost(enumeration="Ordering", tag="6")]
    pub ordering: i32,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Output {
    #[prost(uint32, tag="1")]
    pub number: u32,
    #[prost(string, tag="2")]
    pub port: ::prost::alloc::string::String,
}
/// The last frame a side writes; it reads on until EOF.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Close {
    /// docs/PROTOCOL.md, "Codes"; 0: a normal end
    #[prost(uint32, tag="1")]
    pub code: u32,
    /// for a person: what happened and what to do; at most 8 KiB
    #[prost(string, tag="2")]
    pub message: ::prost::alloc::string::String,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Ping {
    #[prost(uint64, tag="1")]
    pub nonce: u64,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Pong {
    #[prost(uint64, tag="1")]
    pub nonce: u64,
}
/// Finish. `input-ended`: settle what is held, windows flushed. `shutdown`: finish or release.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Drain {
    #[prost(enumeration="DrainReason", tag="1")]
    pub reason: i32,
    /// from now; what is unsettled then counts as RELEASED
    #[prost(uint32, tag="2")]
    pub deadline_ms: u32,
}
// ---- Credit ----

/// Cumulative limits since the session began. From a worker: for input `number`.
/// From the broker: for output `number`. Neither ever shrinks.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Credit {
    #[prost(uint32, tag="1")]
    pub number: u32,
    #[prost(uint64, tag="2")]
    pub records: u64,
    #[prost(uint64, tag="3")]
    pub bytes: u64,
}
// ---- Deliveries and steps ----

/// The i-th record has delivery id first_delivery + i; ids are consecutive per session, from 1.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Deliver {
    #[prost(uint32, tag="1")]
    pub input: u32,
    #[prost(uint64, tag="2")]
    pub first_delivery: u64,
    /// one per record; empty: all are first attempts
    #[prost(uint32, repeated, tag="3")]
    pub attempts: ::prost::alloc::vec::Vec<u32>,
    #[prost(message, repeated, tag="4")]
    pub records: ::prost::alloc::vec::Vec<Record>,
    /// reserved for bridges and replay: not set in version 1.0
    #[prost(uint64, tag="5")]
    pub stream: u64,
    #[prost(uint64, tag="6")]
    pub partition: u64,
    #[prost(uint64, tag="7")]
    pub sequence: u64,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Settle {
    #[prost(message, repeated, tag="1")]
    pub outcomes: ::prost::alloc::vec::Vec<Outcome>,
}
/// One verdict over deliveries, with everything they produced: one step.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Outcome {
    #[prost(uint64, tag="1")]
    pub first: u64,
    /// 0 stands for `first`
    #[prost(uint64, tag="2")]
    pub last: u64,
    #[prost(enumeration="OutcomeKind", tag="3")]
    pub kind: i32,
    /// only with ACCEPTED
    #[prost(message, repeated, tag="4")]
    pub emissions: ::prost::alloc::vec::Vec<Emission>,
    /// only with RETRY: at least this long; 0: the pipeline's backoff
    #[prost(uint32, tag="5")]
    pub delay_ms: u32,
    /// with REJECTED and RETRY
    #[prost(message, optional, tag="6")]
    pub error: ::core::option::Option<Error>,
    /// further deliveries of the same outcome (a window's), ascending
    #[prost(message, repeated, tag="7")]
    pub more: ::prost::alloc::vec::Vec<Range>,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Range {
    #[prost(uint64, tag="1")]
    pub first: u64,
    /// 0 stands for `first`
    #[prost(uint64, tag="2")]
    pub last: u64,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Emission {
    /// an output's number
    #[prost(uint32, tag="1")]
    pub port: u32,
    /// delivery ids of this outcome; empty: all of them, in order
    #[prost(uint64, repeated, tag="2")]
    pub parents: ::prost::alloc::vec::Vec<u64>,
    /// without lineage
    #[prost(message, optional, tag="3")]
    pub output: ::core::option::Option<Record>,
    /// sources only
    #[prost(message, optional, tag="4")]
    pub trace: ::core::option::Option<TraceContext>,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Error {
    /// 1000 and up are the application's
    #[prost(uint32, tag="1")]
    pub code: u32,
    /// at most 8 KiB
    #[prost(string, tag="2")]
    pub message: ::prost::alloc::string::String,
    /// the effect may have happened
    #[prost(bool, tag="3")]
    pub indefinite: bool,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Refusal {
    /// delivery (the outcome's first) or emit id
    #[prost(uint64, tag="1")]
    pub id: u64,
    #[prost(message, optional, tag="2")]
    pub error: ::core::option::Option<Error>,
}
/// Durable (in memory mode: applied) through this delivery id; some outcomes were refused.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Settled {
    #[prost(uint64, tag="1")]
    pub through: u64,
    #[prost(message, repeated, tag="2")]
    pub refused: ::prost::alloc::vec::Vec<Refusal>,
}
/// Progress: the lease starts anew.
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Extend {
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Runs {
    #[prost(message, repeated, tag="1")]
    pub runs: ::prost::alloc::vec::Vec<Run>,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Run {
    /// consecutive from 1
    #[prost(uint32, tag="1")]
    pub number: u32,
    #[prost(string, tag="2")]
    pub stage: ::prost::alloc::string::String,
    #[prost(string, tag="3")]
    pub version: ::prost::alloc::string::String,
    #[prost(string, tag="4")]
    pub instance: ::prost::alloc::string::String,
    #[prost(string, tag="5")]
    pub language: ::prost::alloc::string::String,
}
// ---- Sources ----

#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Claim {
    #[prost(string, tag="1")]
    pub partition: ::prost::alloc::string::String,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Claimed {
    #[prost(string, tag="1")]
    pub partition: ::prost::alloc::string::String,
    #[prost(uint64, tag="2")]
    pub epoch: u64,
    /// 0: none yet
    #[prost(uint64, tag="3")]
    pub last_emit_id: u64,
    /// of last_emit_id
    #[prost(bytes="bytes", tag="4")]
    pub checkpoint: ::prost::bytes::Bytes,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Emit {
    #[prost(string, tag="1")]
    pub partition: ::prost::alloc::string::String,
    /// consecutive per stage and partition across sessions, from 1
    #[prost(uint64, tag="2")]
    pub emit_id: u64,
    #[prost(message, repeated, tag="3")]
    pub emissions: ::prost::alloc::vec::Vec<Emission>,
    /// the source's position after these records; at most 64 KiB
    #[prost(bytes="bytes", tag="4")]
    pub checkpoint: ::prost::bytes::Bytes,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Committed {
    #[prost(string, tag="1")]
    pub partition: ::prost::alloc::string::String,
    #[prost(uint64, tag="2")]
    pub through: u64,
    #[prost(message, repeated, tag="3")]
    pub refused: ::prost::alloc::vec::Vec<Refusal>,
}
#[allow(clippy::derive_partial_eq_without_eq)]
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Finished {
    #[prost(string, tag="1")]
    pub partition: ::prost::alloc::string::String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Ordering {
    Unspecified = 0,
    /// records of one key in order
    Key = 1,
    None = 2,
    /// all records in order
    Total = 3,
}
impl Ordering {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Ordering::Unspecified => "ORDERING_UNSPECIFIED",
            Ordering::Key => "ORDERING_KEY",
            Ordering::None => "ORDERING_NONE",
            Ordering::Total => "ORDERING_TOTAL",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "ORDERING_UNSPECIFIED" => Some(Self::Unspecified),
            "ORDERING_KEY" => Some(Self::Key),
            "ORDERING_NONE" => Some(Self::None),
            "ORDERING_TOTAL" => Some(Self::Total),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum DrainReason {
    Unspecified = 0,
    InputEnded = 1,
    Shutdown = 2,
}
impl DrainReason {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            DrainReason::Unspecified => "DRAIN_REASON_UNSPECIFIED",
            DrainReason::InputEnded => "DRAIN_REASON_INPUT_ENDED",
            DrainReason::Shutdown => "DRAIN_REASON_SHUTDOWN",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DRAIN_REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "DRAIN_REASON_INPUT_ENDED" => Some(Self::InputEnded),
            "DRAIN_REASON_SHUTDOWN" => Some(Self::Shutdown),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum OutcomeKind {
    /// closes the connection, as every unknown value does
    Unspecified = 0,
    Accepted = 1,
    /// will never work: a dead letter
    Rejected = 2,
    /// attempt + 1 after a delay
    Retry = 3,
    /// untouched: same attempt, elsewhere or later
    Released = 4,
}
impl OutcomeKind {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            OutcomeKind::Unspecified => "OUTCOME_KIND_UNSPECIFIED",
            OutcomeKind::Accepted => "OUTCOME_KIND_ACCEPTED",
            OutcomeKind::Rejected => "OUTCOME_KIND_REJECTED",
            OutcomeKind::Retry => "OUTCOME_KIND_RETRY",
            OutcomeKind::Released => "OUTCOME_KIND_RELEASED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "OUTCOME_KIND_UNSPECIFIED" => Some(Self::Unspecified),
            "OUTCOME_KIND_ACCEPTED" => Some(Self::Accepted),
            "OUTCOME_KIND_REJECTED" => Some(Self::Rejected),
            "OUTCOME_KIND_RETRY" => Some(Self::Retry),
            "OUTCOME_KIND_RELEASED" => Some(Self::Released),
            _ => None,
        }
    }
}
