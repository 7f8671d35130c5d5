/// Every limit of Stagewire, with its unit, in one place. `docs/PROTOCOL.md`, "Limits", lists those
/// that a peer can meet; a pipeline may change the ones that `PipelineLimits` carries.
public enum Limits {
    // MARK: Frames
    /// Bytes of the length prefix in front of every frame.
    public static let framePrefix = 4
    /// Largest frame towards the broker before `Welcome`, bytes.
    public static let handshakeFrame = 16 * 1024
    /// Smallest, default and largest negotiable frame, bytes.
    public static let minimumFrame = 256 * 1024
    public static let defaultFrame = 4 * 1024 * 1024
    public static let ceilingFrame = 64 * 1024 * 1024
    /// What a frame adds around one record of the largest size, bytes: a worker's frame limit has to
    /// be at least `maxRecord` plus this.
    public static let frameOverhead = 64 * 1024
    /// A frame longer than the sender's remaining byte credit plus this is refused at its prefix, bytes.
    public static let controlAllowance = 256 * 1024
    /// A control message other than Hello, bytes: what decoding it may allocate follows from this.
    public static let controlMessage = 64 * 1024
    /// Outcomes, emissions, parents or ranges in one frame, each.
    public static let entries = 262_144
    /// Nesting depth of protobuf messages that the scanner follows.
    public static let nesting = 16

    // MARK: Records
    public static let header = 16 * 1024
    public static let key = 1024
    public static let attributes = 64
    public static let parents = 16
    public static let traceparent = 64
    public static let tracestate = 512
    /// Stages between a source and any sink, hence hops of one record.
    public static let depth = 64

    // MARK: Names and texts
    public static let name = 128
    public static let partition = 255
    public static let text = 8 * 1024
    public static let checkpoint = 64 * 1024
    public static let features = 64

    // MARK: Connections
    public static let connections = 1024
    /// Connections that have not finished their handshake: half-sent frames must not use up descriptors.
    public static let unauthenticated = 128
    /// Bytes that may stand unwritten to one worker before the broker encodes no further `Deliver`.
    public static let unwritten = 1024 * 1024
    /// Unwritten bytes (answers to a peer that does not read) at which the connection closes.
    public static let unwrittenCeiling = 4 * 1024 * 1024
    /// Largest `Deliver` that the broker builds out of small records, bytes.
    public static let deliverTarget = 256 * 1024
    /// Records in one `Deliver`.
    public static let deliverRecords = 4096
    /// Source partitions per stage.
    public static let partitions = 4096
    /// Runs (stage, version, instance, language) that one broker remembers.
    public static let runs = 65_536
    /// Records that may be done with behind one that is not before that one is copied out of its stream.
    public static let straggling = 1024
    /// Times a record may be released before a further release counts as an attempt.
    public static let releases = 100
}

/// The limits that a pipeline definition may set.
public struct PipelineLimits: Equatable, Sendable {
    /// Bytes of one record, the broker's stamp included.
    public var maxRecord = 1024 * 1024
    /// The shared window of a stream, bytes and records.
    public var windowBytes = 16 * 1024 * 1024
    public var windowRecords = 65_536
    /// One step beyond the window, for each session: bytes (as charged, CR-3) and records.
    public var maxStepBytes = 1024 * 1024
    public var maxStepRecords = 4096
    /// Unsettled deliveries per session and input.
    public var unsettledBytes = 4 * 1024 * 1024
    public var unsettledRecords = 4096
    /// Dead letters per subscription.
    public var deadLetterRecords = 10_000
    public var deadLetterBytes = 64 * 1024 * 1024
    /// Bytes of the journal's segments on the disk; snapshots come on top.
    public var journalBytes = 4 * 1024 * 1024 * 1024
    /// Bytes of a stream that may wait on the disk beyond its window, for each subscription; 0: streams are as long as their
    /// window.
    public var backlogBytes = 1024 * 1024 * 1024
    public var handshake: Duration = .seconds(5)
    public var heartbeat: Duration = .seconds(10)
    public var idle: Duration = .seconds(30)
    public var drain: Duration = .seconds(30)

    public init() {}

    /// A subscription's parking: a quarter of its stream's budget (window + steps of `workers` sessions), bytes.
    public func parkingBytes(workers: Int) -> Int { streamBytes(workers: workers) / 4 }
    public func parkingRecords(workers: Int) -> Int { streamRecords(workers: workers) / 4 }
    /// A stream's budget when its stage may have `workers` sessions.
    public func streamBytes(workers: Int) -> Int { windowBytes + workers * maxStepBytes }
    public func streamRecords(workers: Int) -> Int { windowRecords + workers * maxStepRecords }
}
