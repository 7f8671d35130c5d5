import StagewireModel

/// How fast a stream's readers are, and so how far it is filled.
///
/// A source sends as much as it is granted, and a stage as much as it is handed, so a stream whose readers keep up stands full all
/// the same, and every record has left the processor's caches before anybody reads it. While records pass quickly, and the broker is
/// what limits them, a stream is therefore filled with no more than passes within `enough`: in a row of stages each has its share.
/// Where it stands still all the same, somebody needs more (a slow reader, workers that collect a batch or a window): it has its whole
/// window again, for `rest` at least. What that saves is in `docs/decisions/0017-short-streams.md`.
///
/// Worked example: of 6,000,000 records a second 15,000 are enough; three steps of 4,096 are less, so it is those 12,288. Of 600,000
/// it is 1,500, and of 100,000 it is 1,024, the least for a reader with one worker.
struct Turnover {
    /// What is enough while it is short.
    private(set) var records: Int
    private(set) var bytes: Int
    /// The broker's processor is what limits the pipeline.
    var isBrokerBusy = false
    private var isQuick = false
    private let most: Amount
    private var passed = Amount(records: 0, bytes: 0)
    /// Since when that has passed, and the earliest time at which it may count as quick, uptime in nanoseconds.
    private var since: UInt64 = 0
    private var notBefore: UInt64 = 0

    private struct Amount {
        var records: Int
        var bytes: Int

        func reaches(_ other: Amount) -> Bool { records >= other.records || bytes >= other.bytes }
    }

    /// What passes within this time is kept, nanoseconds.
    static let enough: UInt64 = 2_500_000
    /// Less than this for each worker would wake them for too little.
    static let leastRecords = 1024
    static let leastBytes = 512 * 1024
    /// It is measured anew after this time, or as soon as so much has passed as it holds at most.
    static let sample: UInt64 = 5_000_000
    /// The least passes within this time, or it is not short.
    static let quick: UInt64 = 100_000_000
    static let rest: UInt64 = 5_000_000_000

    init(_ limits: PipelineLimits) {
        most = Amount(records: 3 * limits.maxStepRecords, bytes: 3 * limits.maxStepBytes)
        (records, bytes) = (most.records, most.bytes)
    }

    /// The stream is filled less than its window.
    var isShort: Bool { isQuick && isBrokerBusy }

    /// The stream gave back so much.
    /// - Parameter workers: of the reader that has most of them.
    mutating func released(records: Int, bytes: Int, workers: Int, at uptime: UInt64) {
        passed.records += records
        passed.bytes += bytes
        let least = Amount(
            records: min(most.records, Self.leastRecords * max(1, workers)),
            bytes: min(most.bytes, Self.leastBytes * max(1, workers)))
        guard passed.reaches(least) else { return }
        let time = uptime - since
        guard time >= Self.sample || passed.reaches(most) else { return }
        isQuick = time < Self.quick && uptime >= notBefore
        self.records = Self.length(passed.records, within: time, least.records, most.records, before: self.records)
        self.bytes = Self.length(passed.bytes, within: time, least.bytes, most.bytes, before: self.bytes)
        passed = Amount(records: 0, bytes: 0)
        since = uptime
    }

    /// What passes within `enough`, evened out over two measurements.
    private static func length(_ passed: Int, within time: UInt64, _ least: Int, _ most: Int, before: Int) -> Int {
        let now = Double(passed) * Double(enough) / Double(max(1, time))
        return max(least, Int(min(Double(most), (now + Double(before)) / 2)))
    }

    /// When it is too late to be quick, unless more passes until then.
    var deadline: UInt64 { since + Self.quick }

    /// It did not go on.
    mutating func stood(at uptime: UInt64) {
        isQuick = false
        notBefore = uptime + Self.rest
    }
}
