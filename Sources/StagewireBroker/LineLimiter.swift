/// Keeps a log readable, whatever others make the broker say: so many lines a second, the others are counted.
struct LineLimiter {
    let rate: Int
    private var second: UInt64 = 0
    private var shown = 0
    private(set) var dropped = 0

    init(rate: Int) { self.rate = rate }

    /// Whether a line that comes at `now` (uptime, nanoseconds) is to be shown, and how many were dropped before
    /// it and not mentioned yet.
    mutating func admit(at now: UInt64) -> (isShown: Bool, droppedBefore: Int) {
        var mentioned = 0
        if now / 1_000_000_000 != second {
            mentioned = takeDropped()
            second = now / 1_000_000_000
            shown = 0
        }
        guard shown < rate else {
            dropped += 1
            return (false, mentioned)
        }
        shown += 1
        return (true, mentioned)
    }

    mutating func takeDropped() -> Int {
        defer { dropped = 0 }
        return dropped
    }
}
