import StagewireModel
import StagewireRouter

/// One stage in numbers, for people and for programs; named as in the control API.
struct StageFigures: Encodable, Equatable, Sendable {
    var name: String
    /// "source", "transform" or "sink".
    var kind: String
    /// Workers that the host keeps; absent for a stage whose workers somebody else starts.
    var workersWanted: Int?
    /// Records accepted, or given up on and not retried by a person since.
    var `in`: UInt64
    var out: UInt64
    var filtered: UInt64
    var retried: UInt64
    /// Records ever given up on.
    var dead: UInt64
    /// Dead letters that a person had retried.
    var revived: UInt64
    /// Dead letters that are kept now.
    var deadLetters: Int
    var dropped: UInt64
    var unmatched: UInt64
    var crashes: UInt64
    var inFlight: Int
    var queued: Int
    /// The last error of a stage that its breaker kept back.
    var pausedBy: String?

    private enum CodingKeys: String, CodingKey {
        case name, kind, `in`, out, filtered, retried, dead, revived, dropped, unmatched, crashes, queued
        case workersWanted = "workers_wanted"
        case deadLetters = "dead_letters"
        case inFlight = "in_flight"
        case pausedBy = "paused_by"
    }

    /// All stages, in the pipeline's order.
    static func all(_ pipeline: PipelineDefinition, _ summary: PipelineSummary) -> [StageFigures] {
        let read = Set(pipeline.stages.flatMap { $0.inputs.map(\.stage) })
        return zip(pipeline.stages, summary.stages).enumerated().map { index, pair in
            StageFigures(pair.0, pair.1, isSink: !read.contains(index))
        }
    }

    private init(_ definition: StageDefinition, _ state: PipelineSummary.Stage, isSink: Bool) {
        name = state.name
        kind = definition.isSource ? "source" : isSink ? "sink" : "transform"
        workersWanted = definition.launch == nil ? nil : definition.workers
        `in` = state.taken
        out = state.emitted
        filtered = state.filtered
        retried = state.retried
        dead = state.dead
        revived = state.revived
        deadLetters = state.deadLetters
        dropped = state.dropped
        unmatched = state.unmatched
        crashes = state.crashes
        inFlight = state.inFlight
        queued = state.queued
        pausedBy = state.pause?.finding.error.message
    }

    var isSource: Bool { kind == "source" }
}
