import StagewireModel
import StagewireRecord

/// Stages that are paused because most of what they get is given up on: `Breaker` says when, this what follows.
extension Router {
    // MARK: What it keeps back

    /// Whether anything of this stage may be handed to anybody now.
    func mayDeliver(_ stage: Int) -> Bool {
        stages[stage].breaker.isClosed || stages[stage].sessions.contains { admitsProbe($0) }
    }

    /// Whether one more record may be handed to this session. On the way of every record.
    @inline(__always)
    func admits(_ slot: Int) -> Bool { stages[sessions[slot].stage].breaker.isClosed || admitsProbe(slot) }

    private func admitsProbe(_ slot: Int) -> Bool {
        let stage = sessions[slot].stage
        switch stages[stage].breaker.state {
        case .closed: return true
        case .open: return false
        case .trying(let accepted, let dead):
            // A window closes when records go on coming: it is judged by its first one, however many that takes.
            if sessions[slot].features.contains(.holds) { return true }
            let inFlight = stages[stage].subscriptions.reduce(0) { $0 + subscriptions[$1].inFlight }
            return inFlight + accepted + dead < Breaker.probes
        }
    }

    // MARK: What it hears

    mutating func noteAccepted(_ count: Int, _ stage: Int) {
        guard stages[stage].breaker.accepted(count) else { return }
        effects.append(.log(Notice(.info, stage: stage, "goes on: what it tried was accepted")))
    }

    mutating func noteDeath(_ reason: Code, _ error: DeliveryError, _ stage: Int, at now: Moment) {
        let wasTrying = !stages[stage].breaker.isClosed
        guard let until = stages[stage].breaker.died(reason, error, on: occasion, at: now.uptime) else { return }
        timers.arm(.breaker(stage: stage), at: until)
        let finding = stages[stage].breaker.finding
        let pause = "paused for \(Self.spell(until - now.uptime))"
        let what =
            wasTrying
            ? "\(pause): what it tried was given up on again (\(reason.name))"
            : "\(pause): \(finding.dead) of its last \(finding.of) records were given up on, \(finding.frequency)"
        effects.append(
            .log(
                Notice(
                    .error, stage: stage,
                    "\(what); the last error: \(error.message) (then it tries a few records; once the cause is repaired, "
                        + "`stagewire resume \(stages[stage].definition.name)` has it go on at once)")))
    }

    mutating func wakeBreaker(_ stage: Int, at now: Moment) {
        guard stages[stage].breaker.wake(at: now.uptime), stages[stage].phase != .ended else { return }
        effects.append(
            .log(Notice(.info, stage: stage, "its pause is over: it tries \(Breaker.probes) records at most")))
    }

    /// A person has a paused stage go on: the next `pump` delivers. Returns whether it was paused.
    public mutating func resume(stage: Int) -> Bool {
        stages[stage].phase != .ended && stages[stage].breaker.resume()
    }

    /// As in the pipeline's file: "1m 30s", "500ms".
    private static func spell(_ nanoseconds: UInt64) -> String {
        let milliseconds = nanoseconds / 1_000_000
        guard milliseconds >= 1000, milliseconds % 1000 == 0 || milliseconds >= 10_000 else {
            return "\(milliseconds)ms"
        }
        let seconds = milliseconds / 1000
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")].filter { $0.0 > 0 }
        return parts.map { "\($0.0)\($0.1)" }.joined(separator: " ")
    }
}

extension PipelineSummary {
    /// A stage that its breaker keeps back.
    public struct Pause: Equatable, Sendable {
        /// What a stage's last records came to.
        public struct Finding: Equatable, Sendable {
            /// Records given up on, of so many with a final verdict.
            public var dead: Int
            public var of: Int
            /// The most frequent reason among them, and how often it is.
            public var reason = Code.rejected
            public var most = 0
            /// The last one's error.
            public var error: DeliveryError

            /// "48 of them REJECTED"
            public var frequency: String { "\(most == dead ? "all" : "\(most)") of them \(reason.name)" }

            init(dead: Int, of count: Int, error: DeliveryError) {
                (self.dead, of, self.error) = (dead, count, error)
            }
        }

        /// Uptime in nanoseconds at which it tries again; `nil`: it tries.
        public var until: UInt64?
        public var finding: Finding
    }
}

extension Router {
    func pause(_ stage: Int) -> PipelineSummary.Pause? {
        switch stages[stage].breaker.state {
        case .closed: nil
        case .open(let until): PipelineSummary.Pause(until: until, finding: stages[stage].breaker.finding)
        case .trying: PipelineSummary.Pause(until: nil, finding: stages[stage].breaker.finding)
        }
    }
}
