import StagewireModel

/// Sorts records into windows and says when one ends. Pure: the caller brings the time.
struct WindowSorter {
    /// What became of a record.
    enum Placing: Equatable {
        case held
        case late(end: Int64)
        case timeless
    }

    struct Open {
        var window: Window
        /// Bytes of payloads.
        var bytes = 0
        /// Nanoseconds of uptime at which it ends by time.
        var deadline: UInt64?
        /// By event time it had ended before it began, and gathers what comes again.
        var isGathering = false
    }

    struct Slot: Hashable {
        var key: [UInt8]
        var start: Int64
    }

    let bounds: WindowBounds
    private let byKey: Bool
    /// Oldest first: a dictionary has no order, and the oldest goes first where there are too many.
    var open: [Open] = []
    private var indices: [Slot: Int] = [:]
    var ended: [Window] = []
    /// The latest event time seen, less lateness.
    private var watermark = Int64.min
    private var lastArrival: UInt64 = 0
    var lagging = WindowLagging()
    /// Ids of records that come again: given back, or void.
    var returning: Set<[UInt8]> = []
    /// How many of them, by window.
    var awaited: [Slot: Int] = [:]

    init(_ bounds: WindowBounds, byKey: Bool) {
        self.bounds = bounds
        self.byKey = byKey
    }

    /// Places a record; windows that end because of it are to be fetched with `takeEnded`.
    mutating func add(_ record: Record, now: UInt64) -> Placing {
        lastArrival = now
        let key = byKey ? record.key : []
        guard let rule = bounds.eventTime else {
            let slot = Slot(key: key, start: 0)
            _ = isReturning(record, slot)
            lagging.forget(record)
            insert(record, slot, span: nil, now: now)
            return .held
        }
        let time = record.eventTime
        guard time != 0 else { return .timeless }
        let slot = slot(of: record, size: rule.size)
        let (end, overflow) = slot.start.addingReportingOverflow(rule.size)
        guard !overflow else { return .late(end: end) }
        // A record that comes again was in time when it came first.
        let isAgain = isReturning(record, slot)
        if isAgain, end <= watermark { lagging.fallBack(record, to: slot.start, now: now) }
        let hasEnded = end <= mark(key)
        guard !hasEnded || isAgain || indices[slot] != nil else { return .late(end: end) }
        insert(record, slot, span: slot.start..<end, now: now, hasEnded: hasEnded)
        let (mark, tooEarly) = time.subtractingReportingOverflow(rule.lateness)
        if !tooEarly {
            watermark = max(watermark, mark)
            lagging.progress(record, to: mark, watermark: watermark, now: now)
        }
        endPassed()
        return .held
    }

    func slot(of record: Record, size: Int64) -> Slot {
        Slot(key: byKey ? record.key : [], start: Self.floor(record.eventTime, to: size))
    }

    /// Everything before it has been seen, of the lanes that may have records for a window of that key.
    private func mark(_ key: [UInt8]) -> Int64 {
        min(watermark, lagging.behind(key: byKey ? key : nil) ?? .max)
    }

    /// Ends what the watermark has passed.
    private mutating func endPassed() {
        let over = open.indices.filter { index in
            guard let end = open[index].window.span?.upperBound, end <= watermark else { return false }
            return !open[index].isGathering && end <= mark(open[index].window.key)
        }
        endAll(at: over)
    }

    var hasEnded: Bool { !ended.isEmpty }

    /// Windows that have ended, oldest first.
    mutating func takeEnded() -> [Window] {
        defer { ended = [] }
        return ended
    }

    /// The oldest of them. One at a time, for those behind it may be void when it is given back.
    mutating func nextEnded() -> Window? { ended.isEmpty ? nil : ended.removeFirst() }

    /// Ends what time ends.
    mutating func advance(to now: UInt64) {
        endAll { $0.deadline.map { $0 <= now } ?? false }
        if let idleEnd, idleEnd <= now {
            watermark = max(watermark, open.compactMap { $0.window.span?.upperBound }.max() ?? watermark)
        }
        lagging.expire(now)
        if bounds.eventTime != nil { endPassed() }
    }

    /// When `advance` has to be called next; nanoseconds of uptime.
    var nextDeadline: UInt64? {
        [open.compactMap(\.deadline).min(), idleEnd, lagging.deadline].compactMap(\.self).min()
    }

    /// Unless the watermark is behind all windows already, and they wait for lanes that lag.
    private var idleEnd: UInt64? {
        guard let rule = bounds.eventTime, rule.idle > 0 else { return nil }
        guard open.contains(where: { $0.window.span.map { $0.upperBound > watermark } ?? false }) else { return nil }
        return lastArrival + rule.idle * 1000
    }

    /// Nothing more comes but what comes again: every other window ends, complete.
    mutating func endWhole() {
        let over = open.indices.filter { index in
            let group = open[index]
            let slot = Slot(key: group.window.key, start: group.window.span?.lowerBound ?? 0)
            let isWaiting = group.deadline != nil || lagging.behind(key: byKey ? slot.key : nil) != nil
            return !isWaiting || awaited[slot, default: 0] == 0
        }
        endAll(at: over)
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

    private mutating func insert(
        _ record: Record, _ slot: Slot, span: Range<Int64>?, now: UInt64, hasEnded: Bool = false
    ) {
        if let most = bounds.bytes, let index = indices[slot], open[index].bytes + record.payloadSize > most {
            end(index)
        }
        let index = indices[slot] ?? begin(slot, span, now, hasEnded)
        open[index].window.records.append(record)
        open[index].bytes += record.payloadSize
        let isFull = bounds.records.map { open[index].window.records.count >= $0 } ?? false
        if isFull || (open[index].isGathering && awaited[slot] == 0) { end(index) }
    }

    private mutating func begin(_ slot: Slot, _ span: Range<Int64>?, _ now: UInt64, _ hasEnded: Bool) -> Int {
        var new = Open(window: Window(records: [], key: slot.key, span: span))
        new.deadline = bounds.time.map { now + $0.nanoseconds }
        new.isGathering = hasEnded
        // Nobody knows how many there are of what another worker gave back: as long as a Deliver or two take.
        if hasEnded { new.deadline = now + (awaited[slot] == nil ? Uptime.second : WindowLagging.patience) }
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
                awaited[Slot(key: group.window.key, start: group.window.span?.lowerBound ?? 0)] = nil
                over = over.dropFirst()
            } else {
                rest.append(group)
            }
        }
        open = rest
        index()
    }

    mutating func index() {
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
