import StagewireModel

/// How fast a stream's readers are, and so how far it is filled.
///
/// A source sends as much as it is granted, so a stream whose readers keep up with it stands full all the same, and every record has
/// left the processor's caches before anybody reads it. While what is kept passes through within `quick`, a stream is therefore
/// granted no more than three of the largest steps: one on its way in, one with its readers, one between. Where it then stands still, somebody
/// needs more (a slow reader, workers that collect a batch or a window): it has its whole window again, for `rest` at least.
/// What that saves is in `docs/decisions/0017-short-streams.md`.
struct Turnover {
    /// What is enough while it passes quickly.
    let records: Int
    let bytes: Int
    private(set) var isQuick = false
    private var releasedRecords = 0
    private var releasedBytes = 0
    /// When so much had passed last, and the earliest time at which it may count as quick, uptime in nanoseconds.
    private var since: UInt64 = 0
    private var notBefore: UInt64 = 0

    static let quick: UInt64 = 20_000_000
    static let rest: UInt64 = 2_000_000_000

    init(_ limits: PipelineLimits) {
        records = 3 * limits.maxStepRecords
        bytes = 3 * limits.maxStepBytes
    }

    /// The stream gave back so much.
    mutating func released(records: Int, bytes: Int, at uptime: UInt64) {
        releasedRecords += records
        releasedBytes += bytes
        guard releasedRecords >= self.records || releasedBytes >= self.bytes else { return }
        isQuick = uptime - since < Self.quick && uptime >= notBefore
        (releasedRecords, releasedBytes) = (0, 0)
        since = uptime
    }

    /// When it is too late to be quick, unless more passes until then.
    var deadline: UInt64 { since + Self.quick }

    /// It did not go on.
    mutating func stood(at uptime: UInt64) {
        isQuick = false
        notBefore = uptime + Self.rest
    }
}
