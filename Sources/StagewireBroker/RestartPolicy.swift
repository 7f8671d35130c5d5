import StagewireModel

/// When a worker that ended starts again: 500 ms after the first exit, twice as long after each further
/// one, up to 30 s; from the beginning after 30 s of health. Five exits in two minutes end the run: what
/// fails that often will not heal, and a pipeline that looks alive while it stands still helps nobody.
struct RestartPolicy {
    static let first = Duration.milliseconds(500)
    static let longest = Duration.seconds(30)
    static let health = Duration.seconds(30)
    static let breakerExits = 5
    static let breakerSpan = Duration.seconds(120)

    enum Decision: Equatable { case restart(after: Duration), giveUp }

    private let first: Duration
    private var delay: Duration
    /// Uptimes of the counted exits that still lie within `breakerSpan`, oldest first.
    private var exits: [UInt64] = []

    init(first: Duration = Self.first) {
        self.first = first
        delay = first
    }

    /// An exit that counts. Times are uptimes, nanoseconds.
    mutating func exited(startedAt: UInt64, now: UInt64) -> Decision {
        precondition(startedAt <= now, "a monotonic clock")
        if now - startedAt >= Self.health.nanoseconds { delay = first }
        exits.removeAll { now - $0 > Self.breakerSpan.nanoseconds }
        exits.append(now)
        if exits.count >= Self.breakerExits { return .giveUp }
        defer { delay = max(first, min(delay * 2, Self.longest)) }
        return .restart(after: delay)
    }
}
