import StagewireModel

/// Sorts records into windows and says when one ends. Pure: the caller brings the time.
struct WindowSorter {
    /// What became of a record.
    enum Placing: Equatable {
        case held
        case late(end: Int64)
        case timeless
    }

    private struct Open {
        var window: Window
        /// Bytes of payloads.
        var bytes = 0
        /// Nanoseconds of uptime at which it ends by time.
        var deadline: UInt64?
    }

    private struct Slot: Hashable {
        var key: [UInt8]
        var start: Int64
    }

    private let bounds: WindowBounds
    private let byKey: Bool
    /// Oldest first: a dictionary has no order, and the oldest goes first where there are too many.
    private var open: [Open] = []
    private var indices: [Slot: Int] = [:]
    private var ended: [Window] = []
    /// The latest event time seen, less lateness.
    private var watermark = Int64.min
    private var lastArrival: UInt64 = 0

    init(_ bounds: WindowBounds, byKey: Bool) {
        self.bounds = bounds
        self.byKey = byKey
    }

    /// Places a record; windows that end because of it are to be fetched with `takeEnded`.
    mutating func add(_ record: Record, now: UInt64) -> Placing {
        lastArrival = now
        let key = byKey ? record.key : []
        guard let rule = bounds.eventTime else {
            insert(record, Slot(key: key, start: 0), span: nil, now: now)
            return .held
        }
        let time = record.eventTime
        guard time != 0 else { return .timeless }
        let start = Self.floor(time, to: rule.size)
        let (end, overflow) = start.addingReportingOverflow(rule.size)
        guard !overflow, end > watermark else { return .late(end: end) }
        insert(record, Slot(key: key, start: start), span: start..<end, now: now)
        let (mark, tooEarly) = time.subtractingReportingOverflow(rule.lateness)
        if !tooEarly, mark > watermark {
            watermark = mark
            endAll { $0.window.span.map { $0.upperBound <= mark } ?? false }
        }
        return .held
    }

    var hasEnded: Bool { !ended.isEmpty }

    /// Windows that have ended, oldest first.
    mutating func takeEnded() -> [Window] {
        defer { ended = [] }
        return ended
    }

    /// Ends what time ends.
    mutating func advance(to now: UInt64) {
        endAll { $0.deadline.map { $0 <= now } ?? false }
        if let idleEnd, idleEnd <= now {
            watermark = max(watermark, open.compactMap { $0.window.span?.upperBound }.max() ?? watermark)
            endAll { _ in true }
        }
    }

    /// When `advance` has to be called next; nanoseconds of uptime.
    var nextDeadline: UInt64? {
        let first = open.compactMap(\.deadline).min()
        guard let idleEnd else { return first }
        return min(first ?? .max, idleEnd)
    }

    private var idleEnd: UInt64? {
        guard let rule = bounds.eventTime, rule.idle > 0, !open.isEmpty else { return nil }
        return lastArrival + rule.idle * 1000
    }

    /// Ends every window, complete.
    mutating func endEverything() { endAll { _ in true } }

    /// Ends the oldest window before its time; false when there is none.
    mutating func endOldest() -> Bool {
        guard !open.isEmpty else { return false }
        open[0].window.isComplete = false
        end(0)
        return true
    }

    /// Records and bytes (as credit charges) held of an input.
    func held(input: UInt32) -> Charge {
        var sum = Charge()
        for group in open {
            for record in group.window.records where record.input.number == input {
                sum += Charge(records: 1, bytes: UInt64(record.size))
            }
        }
        return sum
    }

    private mutating func insert(_ record: Record, _ slot: Slot, span: Range<Int64>?, now: UInt64) {
        if let most = bounds.bytes, let index = indices[slot], open[index].bytes + record.payloadSize > most {
            end(index)
        }
        let index = indices[slot] ?? begin(slot, span, now)
        open[index].window.records.append(record)
        open[index].bytes += record.payloadSize
        if let most = bounds.records, open[index].window.records.count >= most { end(index) }
    }

    private mutating func begin(_ slot: Slot, _ span: Range<Int64>?, _ now: UInt64) -> Int {
        var new = Open(window: Window(records: [], key: slot.key, span: span))
        new.deadline = bounds.time.map { now + $0.nanoseconds }
        open.append(new)
        indices[slot] = open.count - 1
        return open.count - 1
    }

    private mutating func end(_ index: Int) { endAll(at: [index]) }

    private mutating func endAll(where isOver: (Open) -> Bool) {
        endAll(at: open.indices.filter { isOver(open[$0]) })
    }

    private mutating func endAll(at over: [Int]) {
        guard !over.isEmpty else { return }
        var over = over[...]
        var rest: [Open] = []
        for (index, group) in open.enumerated() {
            if over.first == index {
                ended.append(group.window)
                over = over.dropFirst()
            } else {
                rest.append(group)
            }
        }
        open = rest
        indices = [:]
        for (index, group) in open.enumerated() {
            indices[Slot(key: group.window.key, start: group.window.span?.lowerBound ?? 0)] = index
        }
    }

    /// The multiple of `size` at or below `time`, for times before 1970 too.
    private static func floor(_ time: Int64, to size: Int64) -> Int64 {
        let rest = time % size
        let base = time - rest
        guard rest < 0 else { return base }
        let (below, overflow) = base.subtractingReportingOverflow(size)
        return overflow ? base : below
    }
}
