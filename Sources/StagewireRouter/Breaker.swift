import StagewireModel

/// Pauses a stage when too many of its last records were given up on: what rejects everything, because a file is
/// missing or a service is gone, must not turn a whole stream into dead letters.
///
///     closed   -- `failures` of the last `window` records given up on -->  open
///     open     -- its pause is over ----------------------------------->  trying
///     trying   -- most of the probes accepted ------------------------->  closed
///     trying   -- most of them given up on ---------------------------->  open, twice as long
///     open, trying -- a person says so -------------------------------->  closed
///
/// A value: verdicts and the time go in, whether it has changed comes out. Only final verdicts count: a record that is
/// tried again is not one yet.
struct Breaker {
    enum State: Equatable {
        case closed
        /// Nothing is delivered before this uptime, nanoseconds.
        case open(until: UInt64)
        /// A few records are delivered; the verdicts since the pause was over.
        case trying(accepted: Int, dead: Int)
    }

    /// Records that it tries, at once and altogether. Most of them decide, so that one ordinary poison record among them
    /// does not double the pause.
    static let probes = 5
    private static let majority = probes / 2 + 1
    /// Records given up on by one occasion count as so many at most: one bad batch of a thousand is one mistake.
    static let mostPerOccasion = 5

    private let policy: BreakerPolicy?
    private(set) var state = State.closed
    /// The last verdicts, in a ring: why a record was given up on, `nil` for an accepted one. A byte each.
    private var window: [Code?]
    private var next = 0
    /// Verdicts since it was closed the last time.
    private var seen = 0
    /// Of those in the window.
    private var dead = 0
    private var lastError = DeliveryError(code: 0, message: "")
    private var occasion: UInt64 = 0
    private var ofOccasion = 0
    /// Pauses in a row.
    private var pauses: UInt64 = 0

    init(_ policy: BreakerPolicy?) {
        self.policy = policy
        window = Array(repeating: nil, count: policy?.window ?? 0)
    }

    var isClosed: Bool {
        switch state {
        case .closed: true
        case .open, .trying: false
        }
    }

    // MARK: Verdicts

    /// Records were accepted. Returns whether it goes on by that.
    mutating func accepted(_ count: Int) -> Bool {
        seen &+= count
        // Without a dead one in it every place of the window is the same.
        if dead > 0 { for _ in 0..<min(count, window.count) { add(nil) } }
        guard case .trying(let accepted, let dead) = state else { return false }
        guard accepted + count >= Self.majority else {
            state = .trying(accepted: accepted + count, dead: dead)
            return false
        }
        close()
        return true
    }

    /// A record was given up on.
    /// - Parameter number: of the occasion, the same for all records that one verdict or one crash is about.
    /// - Returns: until when it pauses by that, if it does.
    mutating func died(_ reason: Code, _ error: DeliveryError, on number: UInt64, at now: UInt64) -> UInt64? {
        guard let policy else { return nil }
        ofOccasion = occasion == number ? ofOccasion + 1 : 1
        occasion = number
        guard ofOccasion <= Self.mostPerOccasion else { return nil }
        seen &+= 1
        add(reason)
        lastError = error
        switch state {
        case .open: return nil
        case .closed:
            guard dead >= policy.failures else { return nil }
            // Not the same trouble any more, if it has worked for as long as it looks back.
            if seen > policy.window { pauses = 0 }
        case .trying(let accepted, let dead):
            guard dead + 1 >= Self.majority else {
                state = .trying(accepted: accepted, dead: dead + 1)
                return nil
            }
        }
        let until = now &+ pause(policy)
        state = .open(until: until)
        pauses += 1
        return until
    }

    private mutating func add(_ reason: Code?) {
        if window[next] != nil { dead -= 1 }
        if reason != nil { dead += 1 }
        window[next] = reason
        next = next + 1 == window.count ? 0 : next + 1
    }

    /// Nanoseconds of the pause that begins now.
    private func pause(_ policy: BreakerPolicy) -> UInt64 {
        let (pause, overflow) = policy.pauseFirst.nanoseconds.multipliedReportingOverflow(by: 1 << min(pauses, 40))
        return min(overflow ? .max : pause, policy.pauseLimit.nanoseconds)
    }

    // MARK: Time, and people

    /// Returns whether its pause is over by now and it begins to try.
    mutating func wake(at now: UInt64) -> Bool {
        guard case .open(let until) = state, until <= now else { return false }
        state = .trying(accepted: 0, dead: 0)
        return true
    }

    /// Somebody has looked at it. Returns whether it was paused.
    mutating func resume() -> Bool {
        guard !isClosed else { return false }
        close()
        pauses = 0
        return true
    }

    /// What it has seen is no argument any more.
    private mutating func close() {
        state = .closed
        for index in window.indices { window[index] = nil }
        (next, seen, dead) = (0, 0, 0)
    }

    // MARK: For people

    /// Why it pauses. Of several reasons that are as frequent, the one with the lowest code.
    var finding: PipelineSummary.Pause.Finding {
        var finding = PipelineSummary.Pause.Finding(dead: dead, of: min(seen, window.count), error: lastError)
        for reason in Code.allCases where reason.scope == .delivery {
            let count = window.count { $0 == reason }
            if count > finding.most { (finding.reason, finding.most) = (reason, count) }
        }
        return finding
    }
}
