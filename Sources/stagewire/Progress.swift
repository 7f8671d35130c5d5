import StagewireBroker
import StagewireModel
import StagewireRouter

/// The line that shows how a run gets on: rewritten twice a second on a terminal, else printed every five seconds.
enum Progress {
    static func start(_ pipeline: PipelineDefinition, _ broker: Broker, _ console: Console) -> Task<Void, Never> {
        let interval = console.isTerminal ? Duration.milliseconds(500) : .seconds(5)
        return Task {
            let started = ContinuousClock.now
            var previous: (entered: UInt64, at: ContinuousClock.Instant) = (0, started)
            while !Task.isCancelled {
                do { try await Task.sleep(for: interval) } catch { return }
                guard let summary = await broker.summary(), !Task.isCancelled else { continue }
                let now = ContinuousClock.now
                let entered = entered(summary, pipeline)
                let rate = Double(entered - previous.entered) / ((now - previous.at) / .seconds(1))
                previous = (entered, now)
                console.status(line(summary, pipeline, rate: rate, after: now - started))
            }
        }
    }

    /// Records that sources have emitted.
    private static func entered(_ summary: PipelineSummary, _ pipeline: PipelineDefinition) -> UInt64 {
        zip(summary.stages, pipeline.stages).reduce(0) { $1.1.isSource ? $0 + $1.0.emitted : $0 }
    }

    static func line(
        _ summary: PipelineSummary, _ pipeline: PipelineDefinition, rate: Double, after time: Duration
    ) -> String {
        let stages = zip(summary.stages, pipeline.stages).map { state, definition in
            "\(state.name) \(Figures.grouped(definition.isSource ? state.emitted : state.accepted))"
        }
        let inFlight = summary.stages.reduce(0) { $0 + $1.inFlight }
        let queued = summary.stages.reduce(0) { $0 + $1.queued }
        let dead = summary.stages.reduce(0) { $0 + $1.dead }
        var parts = [Figures.clock(time), stages.joined(separator: "  ")]
        parts.append("\(Figures.grouped(UInt64(rate.rounded()))) records/s in")
        parts.append("\(Figures.grouped(UInt64(inFlight))) in flight, \(Figures.grouped(UInt64(queued))) queued")
        if dead > 0 { parts.append("\(Figures.grouped(dead)) DEAD") }
        return parts.joined(separator: " | ")
    }
}
