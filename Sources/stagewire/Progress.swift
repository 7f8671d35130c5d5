import StagewireBroker
import StagewireModel
import StagewireRouter

/// How a run gets on, as of one moment.
struct Progress: Encodable, Equatable {
    var seconds: Double
    /// Records that sources emitted since the moment before.
    var recordsPerSecond: Double
    var stages: [StageFigures]

    private enum CodingKeys: String, CodingKey {
        case seconds, stages
        case recordsPerSecond = "records_per_second"
    }

    /// In at most `width` columns: what matters least is left out first.
    func line(width: Int) -> String {
        let clock = Figures.clock(.seconds(seconds))
        let figures = stages.map { "\($0.name) \(Figures.grouped($0.isSource ? $0.out : $0.in))" }
        let rate = "\(Figures.grouped(UInt64(recordsPerSecond.rounded()))) records/s in"
        let waiting = "\(sum(\.inFlight)) in flight, \(sum(\.queued)) queued"
        let dead = stages.contains { $0.deadLetters > 0 } ? ["\(sum(\.deadLetters)) dead letters"] : []
        let versions = [
            [clock, figures.joined(separator: "  "), rate, waiting] + dead,
            [clock, rate, waiting] + dead,
            [clock, rate] + dead,
        ].map { $0.joined(separator: " | ") }
        return versions.first { $0.count <= width } ?? String(clock.prefix(max(0, width)))
    }

    private func sum(_ value: KeyPath<StageFigures, Int>) -> String {
        Figures.grouped(UInt64(stages.reduce(0) { $0 + $1[keyPath: value] }))
    }
}

/// Makes progress out of summaries, one after the other.
struct ProgressMeter {
    let pipeline: PipelineDefinition
    private var previous: (entered: UInt64, seconds: Double) = (0, 0)
    private var stages: [StageFigures] = []

    init(_ pipeline: PipelineDefinition) { self.pipeline = pipeline }

    /// - Parameter time: since the start of the run.
    /// - Returns: also whether anything is different from the time before.
    mutating func measure(_ summary: PipelineSummary, after time: Duration) -> (Progress, hasChanged: Bool) {
        let seconds = time / .seconds(1)
        let now = StageFigures.all(pipeline, summary)
        let entered = now.filter(\.isSource).reduce(0) { $0 + $1.out }
        let span = seconds - previous.seconds
        let rate = span > 0 ? Double(entered - previous.entered) / span : 0
        defer {
            previous = (entered, seconds)
            stages = now
        }
        return (Progress(seconds: seconds, recordsPerSecond: rate, stages: now), now != stages)
    }
}
