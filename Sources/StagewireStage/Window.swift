import StagewireModel

/// The records that one window or batch holds, oldest first.
public struct Window: Sendable {
    public internal(set) var records: [Record]
    /// With `byKey` the key that all of them have; empty for the records without one.
    public let key: [UInt8]
    /// Microseconds since 1970, of windows by event time.
    public let span: Range<Int64>?
    /// False when the window had to end before its bound, because the broker lets a session hold no more.
    public internal(set) var isComplete = true

    init(records: [Record], key: [UInt8] = [], span: Range<Int64>? = nil) {
        self.records = records
        self.key = key
        self.span = span
    }
}

/// When a window ends. The members may be combined; the first to be reached ends it.
public struct WindowBounds: Equatable, Sendable {
    public var records: Int?
    /// Of payloads: the window ends before it has more.
    public var bytes: Int?
    /// Since the arrival of its first record.
    public var time: Duration?
    /// Each key has windows of its own.
    public var byKey = false
    var eventTime: EventTime?
    var arrived: Int?

    struct EventTime: Equatable, Sendable {
        /// All in microseconds.
        var size: Int64
        var lateness: Int64
        /// 0: never.
        var idle: UInt64
        var late: Late
    }

    /// What becomes of a record whose window has ended.
    public enum Late: Sendable {
        /// A dead letter.
        case reject
        /// Dropped as filtered.
        case accept
    }

    public init(records: Int? = nil, bytes: Int? = nil, time: Duration? = nil, byKey: Bool = false) {
        precondition(records ?? 1 > 0 && bytes ?? 1 > 0 && time ?? .seconds(1) > .zero, "bounds are above zero")
        self.records = records
        self.bytes = bytes
        self.time = time
        self.byKey = byKey
    }

    /// What has arrived, at most so many records; nothing is waited for.
    public static func arrived(_ most: Int) -> WindowBounds {
        var bounds = WindowBounds()
        bounds.arrived = most
        return bounds
    }

    public static func records(_ count: Int) -> WindowBounds { WindowBounds(records: count) }
    public static func seconds(_ seconds: Double) -> WindowBounds { WindowBounds(time: .seconds(seconds)) }

    /// Tumbling windows by event time, aligned to 1970-01-01T00:00:00Z.
    ///
    /// - Parameters:
    ///   - lateness: how far the watermark stays behind the latest event time seen.
    ///   - idle: without a record for so long, all windows end. Zero: never.
    public static func eventTime(
        size: Duration, lateness: Duration = .zero, idle: Duration = .seconds(10), late: Late = .reject
    ) -> WindowBounds {
        var bounds = WindowBounds()
        let microseconds = { (duration: Duration) in Int64(clamping: duration.nanoseconds / 1000) }
        precondition(microseconds(size) > 0, "a window by event time has a size of a microsecond or more")
        bounds.eventTime = EventTime(
            size: microseconds(size), lateness: microseconds(lateness), idle: idle.nanoseconds / 1000, late: late)
        return bounds
    }
}

/// How a stage's records come together in groups.
enum GroupRule: Equatable, Sendable {
    /// What is there, at most so many.
    case arrived(Int)
    case window(WindowBounds, byKey: Bool)
}

extension WindowBounds {
    var rule: GroupRule { arrived.map(GroupRule.arrived) ?? .window(self, byKey: byKey) }
}
