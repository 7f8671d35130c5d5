import StagewireModel

/// How fast a stream's readers are, and so how far it is filled.
///
/// A source sends as much as it is granted, and a stage as much as it is handed, so a stream whose readers keep up stands full all
/// the same, and every record has left the processor's caches before anybody reads it. While records pass quickly, and the broker is
/// what limits them, a stream is therefore filled with no more than passes within `enough`: in a row of stages each has its share.
/// Where it stands still all the same, somebody needs more (a slow reader, workers that collect a batch or a window): it has its whole
/// window again, for `rest` at least. What that saves is in `docs/decisions/0017-short-streams.md`.
///
/// Worked example, in memory: of 6,000,000 records a second 15,000 are enough; three steps of 4,096 are less, so it is those 12,288.
/// Of 600,000 it is 1,500, and of 100,000 it is 1,024, the least for a reader with one worker. With a journal of which a flush takes
/// 6 ms, 40,000 records a second leave 1,540 in the stream, and 2,000,000 the whole window of 65,536.
struct Turnover {
    /// What is enough while it is short.
    private(set) var records: Int
    private(set) var bytes: Int
    var load = BrokerLoad()
    private var isQuick = false
    private let most: Amount
    private var passed = Amount(records: 0, bytes: 0)
    /// Since when that has passed, and the earliest time at which it may count as quick, uptime in nanoseconds.
    private var since: UInt64 = 0
    private var notBefore: UInt64 = 0
    /// How long it is left alone when it stands still the next time, nanoseconds.
    private var rest = Turnover.shortestRest

    private struct Amount {
        var records: Int
        var bytes: Int

        func reaches(_ other: Amount) -> Bool { records >= other.records || bytes >= other.bytes }
    }

    /// What passes within this time is kept, nanoseconds; with a journal, and while so many flushes are made. A record waits for the
    /// one under way, and then for its own; what it was settled with does the same before it leaves. The rest is for those that
    /// take longer.
    static let enough: UInt64 = 2_500_000
    static let enoughFlushes: UInt64 = 6
    /// See `Router.Options.leastRecords`; and as many bytes at least.
    private let leastRecords: Int
    static let leastBytes = 512 * 1024
    /// It is measured anew after this time, or as soon as so much has passed as it holds at most.
    static let sample: UInt64 = 5_000_000
    /// Slower than the least in this time is not quick, nanoseconds; with a journal, in that and so many flushes. Processes that take
    /// turns on few processors have to wait longer than it takes them to be quick.
    static let quick: UInt64 = 100_000_000
    static let quickFlushes: UInt64 = 60
    /// How often a stream that is short and full is looked at if nothing else happens, nanoseconds: longer than it takes to find the
    /// broker idle.
    static let look: UInt64 = 25_000_000
    /// A stream that stands still is left alone for so long, and for twice as long each time that it does so again.
    static let shortestRest: UInt64 = 1_000_000_000
    static let longestRest: UInt64 = 16_000_000_000

    init(_ limits: PipelineLimits, _ options: Router.Options) {
        leastRecords = options.leastRecords
        // What has to be on a disk first is more at once.
        most =
            options.isRecording
            ? Amount(records: limits.windowRecords, bytes: limits.windowBytes)
            : Amount(records: 3 * limits.maxStepRecords, bytes: 3 * limits.maxStepBytes)
        (records, bytes) = (most.records, most.bytes)
    }

    /// The stream is filled less than its window.
    var isShort: Bool { isQuick && load.isBusy }

    /// The stream gave back so much.
    /// - Parameter workers: of the reader that has most of them.
    mutating func released(records: Int, bytes: Int, workers: Int, at uptime: UInt64) {
        passed.records += records
        passed.bytes += bytes
        let least = Amount(
            records: min(most.records, leastRecords * max(1, workers)),
            bytes: min(most.bytes, Self.leastBytes * max(1, workers)))
        guard passed.reaches(least) else { return }
        let time = uptime - since
        guard time >= Self.sample || passed.reaches(most) else { return }
        isQuick = time < quick && uptime >= notBefore
        self.records = length(passed.records, within: time, least.records, most.records, before: self.records)
        self.bytes = length(passed.bytes, within: time, least.bytes, most.bytes, before: self.bytes)
        passed = Amount(records: 0, bytes: 0)
        since = uptime
    }

    /// What passes in the time that is enough, evened out over two measurements.
    private func length(_ passed: Int, within time: UInt64, _ least: Int, _ most: Int, before: Int) -> Int {
        let enough = Double(Self.enough) + Double(Self.enoughFlushes) * Double(load.flush)
        let now = Double(passed) * enough / Double(max(1, time))
        return max(least, Int(min(Double(most), (now + Double(before)) / 2)))
    }

    /// When it is too late to be quick, unless more passes until then.
    var deadline: UInt64 { since + quick }

    /// The least has to pass within this time, or it is not short.
    private var quick: UInt64 { Self.quick + Self.quickFlushes * load.flush }

    /// It did not go on.
    mutating func stood(at uptime: UInt64) {
        isQuick = false
        let isAgain = uptime < notBefore + rest
        rest = isAgain ? min(2 * rest, Self.longestRest) : Self.shortestRest
        notBefore = uptime + rest
    }
}

/// How much the broker has to do.
public struct BrokerLoad: Equatable, Sendable {
    /// Its processor is what limits the pipeline.
    public var isBusy = false
    /// How long the journal takes for a flush, nanoseconds; 0 without one.
    public var flush: UInt64 = 0

    public init(isBusy: Bool = false, flush: UInt64 = 0) {
        (self.isBusy, self.flush) = (isBusy, flush)
    }
}
