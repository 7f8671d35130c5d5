import StagewireModel
import StagewireRouter

/// Says when a stage stands still for a reason that nobody else would mention: records wait, nothing fails, and nothing
/// happens. Once per episode, and when it goes on again. A value: summaries and the time go in, notices come out.
struct StallWatch {
    /// How long a stage that says it again and again is not mentioned anew.
    static let silence = Duration.seconds(60)

    private enum Cause: Equatable {
        /// All workers have used up the credit that they gave.
        case noCredit
        /// Nobody is attached, and it is not the broker who starts the workers.
        case noWorker
    }

    private struct Episode {
        var cause: Cause
        /// Uptime, nanoseconds.
        var since: UInt64
        /// The stage's deliveries: while one is made, it does not stand still.
        var delivered: UInt64
        var isMentioned = false
    }

    private let stages: [StageDefinition]
    private let socketPath: String
    private let patience: UInt64
    private var episodes: [Episode?]
    /// When each stage was mentioned last; uptimes, nanoseconds.
    private var mentioned: [UInt64?]

    init(_ pipeline: PipelineDefinition, socketPath: String, patience: Duration) {
        stages = pipeline.stages
        self.socketPath = socketPath
        self.patience = patience.nanoseconds
        episodes = Array(repeating: nil, count: stages.count)
        mentioned = Array(repeating: nil, count: stages.count)
    }

    /// What is to be said at `now` (uptime, nanoseconds).
    mutating func look(at summary: PipelineSummary, now: UInt64) -> [Notice] {
        precondition(summary.stages.count == stages.count, "a summary of this pipeline")
        return stages.indices.compactMap { look(at: summary.stages[$0], $0, now: now) }
    }

    private mutating func look(at stage: PipelineSummary.Stage, _ index: Int, now: UInt64) -> Notice? {
        let cause = cause(of: stage, index)
        guard var episode = episodes[index], episode.cause == cause, episode.delivered == stage.delivered else {
            defer { episodes[index] = cause.map { Episode(cause: $0, since: now, delivered: stage.delivered) } }
            return episodes[index].flatMap { end(of: $0, stage, index, now: now) }
        }
        let isQuiet = mentioned[index].map { now - $0 < Self.silence.nanoseconds } ?? false
        guard now - episode.since >= patience, !episode.isMentioned, !isQuiet else { return nil }
        episode.isMentioned = true
        episodes[index] = episode
        mentioned[index] = now
        return notice(of: episode, stage, index, now: now)
    }

    private func cause(of stage: PipelineSummary.Stage, _ index: Int) -> Cause? {
        guard stage.queued > 0 else { return nil }
        switch stage.obstacle {
        case .noCredit: return .noCredit
        // A worker that the broker starts is the host's to mention.
        case .noWorker: return stages[index].launch == nil ? .noWorker : nil
        case .outputFull, .parkingFull, .deadLettersFull, .breakerOpen, nil: return nil
        }
    }

    private func notice(of episode: Episode, _ stage: PipelineSummary.Stage, _ index: Int, now: UInt64) -> Notice {
        let queued = stage.queued == 1 ? "1 record waits" : "\(stage.queued) records wait"
        switch episode.cause {
        case .noWorker:
            return Notice(
                .warning, stage: index,
                "waits for a worker, and \(queued): start one that connects to \(socketPath)")
        case .noCredit:
            let since = stage.delivered == 0 ? stage.sessions.map(\.attachedAt).min() ?? episode.since : episode.since
            let seconds = (now - min(now, since)) / 1_000_000_000
            let isAlone = stage.sessions.count == 1
            let has = isAlone ? "has" : "its \(stage.sessions.count) workers have"
            let what =
                stage.delivered == 0
                ? "attached for \(seconds) s and \(has) granted no credit"
                : "\(has) granted no more credit for \(seconds) s"
            return Notice(
                .warning, stage: index, instance: isAlone ? stage.sessions[0].instance : nil,
                "\(what): nothing can be delivered, and \(queued); does it send Credit?")
        }
    }

    private func end(
        of episode: Episode, _ stage: PipelineSummary.Stage, _ index: Int, now: UInt64
    ) -> Notice? {
        guard episode.isMentioned, !stage.hasEnded else { return nil }
        return Notice(.info, stage: index, "goes on after \((now - episode.since) / 1_000_000_000) s")
    }
}
