//! What this crate promises or allows itself, with units. The protocol's own limits arrive in Welcome.

use std::time::Duration;

/// major * 1000 + minor
pub const PROTOCOL_VERSION: u32 = 1000;
pub const SDK_NAME: &str = "stagewire-rust/0.1";

/// Bytes of length in front of a frame.
pub const FRAME_PREFIX: usize = 4;
/// Bytes of one frame we accept, unless `Stage::max_frame` says more; and the protocol's ceiling.
pub const DEFAULT_FRAME: u32 = 4 * 1024 * 1024;
pub const CEILING_FRAME: u32 = 64 * 1024 * 1024;
/// Room left free in front of gathered outcomes for prefix, version, tag and length: 4+3+1+5.
pub const FRAME_HEADROOM: usize = 16;

/// A range of deliveries in an outcome, at most: two varints with their tags, its own tag and length.
pub const RANGE: usize = 24;

/// Ranges of plain acceptances that are gathered in one outcome.
pub const RANGES_GATHERED: usize = 512;

/// Gathered outcomes are written at this size, bytes: larger gains nothing, and waits longer.
pub const SETTLE_TARGET: usize = 64 * 1024;
/// Gathered outcomes are written after about this time even if the handler is still busy.
pub const SETTLE_DELAY: Duration = Duration::from_millis(10);

/// Bytes that may wait for the broker, where Linux has 208 KiB unless told otherwise: a worker that writes more
/// sleeps until the broker has read, which then gets small pieces and wakes the worker for each of them.
/// net.core.wmem_max may make it less.
pub const SEND_BUFFER: usize = 1024 * 1024;

/// Receive windows per input: bytes (at least twice max_record, so that half of it still takes any
/// record) and records.
pub const WINDOW_BYTES: u64 = 4 * 1024 * 1024;
pub const WINDOW_RECORDS: u64 = 8192;

/// What a source keeps unconfirmed before `emit` waits: enough to keep a disk's group sync busy.
pub const KEPT_EMITS: usize = 4096;
pub const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of an error's message, a checkpoint, a partition's name.
pub const MAX_TEXT: usize = 8 * 1024;
pub const MAX_CHECKPOINT: usize = 64 * 1024;
pub const MAX_PARTITION: usize = 255;

pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After our Close we read on at most this long.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between attempts to connect: the first pause, the longest, and how long nothing more is said.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
pub const BACKOFF_LIMIT: Duration = Duration::from_secs(10);
pub const BACKOFF_SILENCE: Duration = Duration::from_secs(60);
/// After a signal a source's function has this long to return.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a handler may take unless `Stage::timeout` says otherwise.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(300);
/// Failures of handlers that are shown on standard error; the broker has all of them.
pub const FAILURES_SHOWN: u32 = 20;
/// Without a record, windows by event time end after this.
pub const IDLE: Duration = Duration::from_secs(10);
/// Records of an event-time window that come again after its end wait this long for each other: where it
/// is known how many there are, longer than the jitter of the longest backoff (20 percent of 30 s, either
/// way) can keep them apart; else as long as a Deliver or two take.
pub const REGATHER_KNOWN: Duration = Duration::from_secs(15);
pub const REGATHER: Duration = Duration::from_secs(1);
/// Windows whose records are awaited again, at most.
pub const AWAITED: usize = 4096;
/// Records that `--test` prints of a source.
pub const TEST_RECORDS: usize = 100;

/// Bytes of an encoded header and of a key, and attributes of a header, at most (RE-4).
pub const MAX_HEADER: usize = 16 * 1024;
pub const MAX_KEY: usize = 1024;
pub const MAX_ATTRIBUTES: usize = 64;
