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
        public var phase = Phase.running
        public var hasEnded: Bool { phase == .ended }
        /// Why records wait although they could be handled.
        public var obstacle: Obstacle?
        /// Its breaker keeps records back.
        public var pause: Pause?
        /// Deliveries, redeliveries included.
        public var delivered: UInt64 = 0
        /// Input records with a final verdict of ACCEPTED.
        public var accepted: UInt64 = 0
        /// Records emitted.
        public var emitted: UInt64 = 0
        /// Accepted without any emission.
        public var filtered: UInt64 = 0
        public var retried: UInt64 = 0
        /// Deliveries taken back because an earlier one of their key was not accepted.
        public var voided: UInt64 = 0
        public var released: UInt64 = 0
        /// Records ever given up on.
        public var dead: UInt64 = 0
        /// Dead letters that were retried.
        public var revived: UInt64 = 0
        /// Dead letters that are kept now.
        public var deadLetters = 0
        public var dropped: UInt64 = 0
        public var unmatched: UInt64 = 0
        public var inFlight = 0
        /// Undelivered and waiting records.
        public var queued = 0
        public var crashes: UInt64 = 0
        public var sessions: [Session] = []
        public var inputs: [Input] = []

        /// Records that came in and are done with: accepted, or given up on and not retried since.
        public var taken: UInt64 { accepted + dead - revived }
    }

    public enum Phase: Equatable, Sendable { case running, draining, ended }

    public enum Obstacle: Equatable, Sendable {
        case noWorker, noCredit, outputFull, parkingFull, deadLettersFull
        /// Too many of its last records were given up on.
        case breakerOpen
    }

    public struct Session: Equatable, Sendable {
        public var instance = ""
        public var version = ""
        public var language = ""
        public var inFlight = 0
        /// What it may still be sent, over all inputs.
        public var creditRecords: UInt64 = 0
        public var creditBytes: UInt64 = 0
        /// Uptime, nanoseconds.
        public var attachedAt: UInt64 = 0
    }

    public struct Input: Equatable, Sendable {
        public var queued = 0
        public var inFlight = 0
        public var deadLetters = 0
    }

    public var stages: [Stage] = []
    /// Bytes that all streams, parkings and dead letters hold.
    public var bytes = 0
    /// Records that are neither settled nor dead: what a stop in memory mode discards.
    public var unsettled: Int { stages.reduce(0) { $0 + $1.inFlight + $1.queued } }
}

extension Router {
    /// The worker that a hop's run number stands for; `nil` for a number that was never given out.
    public func run(_ number: UInt32) -> Run? {
        number > 0 && number <= UInt32(runs.count) ? runs[Int(number) - 1] : nil
    }

    public func summary() -> PipelineSummary {
        var summary = PipelineSummary()
        for stage in stages.indices { summary.stages.append(line(stage)) }
        for stream in streams { summary.bytes += stream.log.bytes }
        for subscription in subscriptions { summary.bytes += subscription.backlog?.log.bytes ?? 0 }
        for subscription in subscriptions { summary.bytes += subscription.parking.bytes + subscription.dead.bytes }
        return summary
    }

    private func line(_ index: Int) -> PipelineSummary.Stage {
        let stage = stages[index]
        var line = PipelineSummary.Stage()
        line.name = stage.definition.name
        line.workers = stage.sessions.count
        line.phase =
            switch stage.phase {
            case .running: .running
            case .draining: .draining
            case .ended: .ended
            }
        line.emitted = stage.emitted
        line.crashes = stage.crashes
        for slot in stage.sessions { line.sessions.append(describe(sessions[slot])) }
        for subscription in stage.subscriptions { add(subscriptions[subscription], to: &line) }
        if stage.phase != .ended || isSuspending { line.pause = pause(index) }
        line.obstacle = obstacle(index, line)
        return line
    }

    private func describe(_ session: Session) -> PipelineSummary.Session {
        var line = PipelineSummary.Session()
        line.instance = session.instance
        if let run = run(session.run) {
            line.version = run.version
            line.language = run.language
        }
        line.inFlight = session.deliveries.owed
        line.attachedAt = session.attachedAt
        for input in session.inputs {
            // A worker may give as much as 64 bits hold, and on each input.
            line.creditRecords = line.creditRecords.saturatingSum(input.credit.leftRecords)
            line.creditBytes = line.creditBytes.saturatingSum(input.credit.leftBytes)
        }
        return line
    }

    private func add(_ subscription: Subscription, to line: inout PipelineSummary.Stage) {
        let counters = subscription.counters
        line.delivered += counters.delivered
        line.accepted += counters.accepted
        line.filtered += counters.filtered
        line.retried += counters.retried
        line.voided += counters.voided
        line.released += counters.released
        line.dead += subscription.dead.total
        line.revived += subscription.dead.revived
        line.deadLetters += subscription.dead.count
        line.dropped += counters.dropped
        line.unmatched += counters.unmatched
        let undelivered =
            streams[subscription.stream].visibleEnd
            - min(streams[subscription.stream].visibleEnd, subscription.progress.cursor)
        let input = PipelineSummary.Input(
            queued: Int(undelivered) + subscription.parking.waiting, inFlight: subscription.inFlight,
            deadLetters: subscription.dead.count)
        line.inFlight += input.inFlight
        line.queued += input.queued
        line.inputs.append(input)
    }

    /// The nearest cause first: what a person can do something about.
    private func obstacle(_ index: Int, _ line: PipelineSummary.Stage) -> PipelineSummary.Obstacle? {
        let stage = stages[index]
        guard line.queued > 0, stage.phase != .ended else { return nil }
        if stage.subscriptions.contains(where: { subscriptions[$0].dead.isFull }) { return .deadLettersFull }
        if line.pause != nil { return .breakerOpen }
        if stage.sessions.isEmpty { return .noWorker }
        if stage.streams.contains(where: { streams[$0].isOverWindow }) { return .outputFull }
        if stage.subscriptions.contains(where: { subscriptions[$0].saidBlocked }) { return .parkingFull }
        let isSpent = line.sessions.allSatisfy { $0.creditRecords == 0 || $0.creditBytes == 0 }
        return isSpent && line.inFlight == 0 ? .noCredit : nil
    }
}

extension UInt64 {
    fileprivate func saturatingSum(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
