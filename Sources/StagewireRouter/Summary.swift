import StagewireModel
import StagewireRecord

/// What the router counts beside its subscriptions.
public struct RouterCounters: Equatable, Sendable {
    /// Messages of kinds that this version does not know.
    public var unknownMessages: UInt64 = 0
    /// Emissions on ports that nobody subscribes to.
    public var unrouted: UInt64 = 0
}

/// A pipeline's state in numbers, for people and for the control API.
public struct PipelineSummary: Equatable, Sendable {
    public struct Stage: Equatable, Sendable {
        public var name = ""
        public var workers = 0
        public var hasEnded = false
        /// Deliveries, redeliveries included.
        public var delivered: UInt64 = 0
        /// Input records with a final verdict of ACCEPTED.
        public var accepted: UInt64 = 0
        /// Records emitted.
        public var emitted: UInt64 = 0
        /// Accepted without any emission.
        public var filtered: UInt64 = 0
        public var retried: UInt64 = 0
        public var dead: UInt64 = 0
        public var dropped: UInt64 = 0
        public var unmatched: UInt64 = 0
        public var inFlight = 0
        /// Undelivered and waiting records.
        public var queued = 0
        public var crashes: UInt64 = 0
    }

    public var stages: [Stage] = []
    /// Bytes that all streams and parkings hold.
    public var bytes = 0
    /// Records that are neither settled nor dead: what a stop in memory mode discards.
    public var unsettled: Int { stages.reduce(0) { $0 + $1.inFlight + $1.queued } }
}

extension Router {
    public func summary() -> PipelineSummary {
        var summary = PipelineSummary()
        for stage in stages {
            var line = PipelineSummary.Stage()
            line.name = stage.definition.name
            line.workers = stage.sessions.count
            line.hasEnded = stage.phase == .ended
            line.emitted = stage.emitted
            line.crashes = stage.crashes
            for index in stage.subscriptions { add(subscriptions[index], to: &line) }
            summary.stages.append(line)
        }
        for stream in streams { summary.bytes += stream.log.bytes }
        for subscription in subscriptions { summary.bytes += subscription.parking.bytes + subscription.dead.bytes }
        return summary
    }

    private func add(_ subscription: Subscription, to line: inout PipelineSummary.Stage) {
        let counters = subscription.counters
        line.delivered += counters.delivered
        line.accepted += counters.accepted
        line.filtered += counters.filtered
        line.retried += counters.retried
        line.dead += subscription.dead.total
        line.dropped += counters.dropped
        line.unmatched += counters.unmatched
        line.inFlight += subscription.inFlight
        let undelivered =
            streams[subscription.stream].visibleEnd
            - min(streams[subscription.stream].visibleEnd, subscription.progress.cursor)
        line.queued += Int(undelivered) + subscription.parking.waiting
    }

    /// A stage's dead letters, oldest first, over all its inputs.
    public func deadLetters(stage: Int) -> [DeadLetter] {
        stages[stage].subscriptions.flatMap { Array(subscriptions[$0].dead.letters) }
    }
}
