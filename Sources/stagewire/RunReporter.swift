import Logging
import StagewireBroker
import StagewireControl
import StagewireModel

/// What `run` says beside the broker's log: text for people, or lines with an `event` for a log collector.
struct RunReporter: Sendable {
    let pipeline: PipelineDefinition
    let console: Console
    let quiet: Bool

    /// A line that is rewritten may come often, one that stays may not.
    private var interval: Duration { console.isRewriting ? .milliseconds(500) : .seconds(30) }

    func started(_ broker: Broker) {
        guard !quiet else { return }
        let banner = Banner(pipeline, socket: broker.socketPath, state: broker.statePath)
        switch console.format {
        case .text: console.line(banner.text)
        case .json: event("started", "\(pipeline.name) has started", banner)
        }
    }

    /// Reports until the task is cancelled.
    func startProgress(_ broker: Broker) -> Task<Void, Never>? {
        guard !quiet else { return nil }
        return Task {
            let started = ContinuousClock.now
            var meter = ProgressMeter(pipeline)
            while !Task.isCancelled {
                do { try await Task.sleep(for: interval) } catch { return }
                guard let summary = await broker.summary(), !Task.isCancelled else { continue }
                let (progress, hasChanged) = meter.measure(summary, after: ContinuousClock.now - started)
                if hasChanged || console.isRewriting { show(progress) }
            }
        }
    }

    private func show(_ progress: Progress) {
        guard !console.isRewriting else { return console.status(progress.line(width: console.statusWidth)) }
        let text = progress.line(width: .max)
        switch console.format {
        case .text: console.log(LogLine(level: .info, message: text))
        case .json: event("progress", text, progress)
        }
    }

    func stopping(at once: Bool) {
        let limit = Figures.spell(pipeline.limits.drain)
        let text =
            once
            ? "ending at once"
            : "stopping: sources stop, what is in flight is finished, at most \(limit); "
                + "a second signal ends the run at once"
        console.log(LogLine(level: .notice, message: text))
    }

    func ended(_ summary: RunSummary, problem: String?) {
        // The table stands where the progress line stood, and the reason for a failure last, where the eye is.
        console.clearStatus()
        if console.format == .text, !quiet { console.line(summary.table) }
        for warning in summary.warnings { console.log(LogLine(level: .warning, message: warning)) }
        if let problem { console.log(LogLine(level: .error, message: problem)) }
        if console.format == .json, !quiet { event("ended", summary.headline, summary) }
        console.finish()
    }

    /// Before the run has started.
    func failed(_ problem: String) {
        console.log(LogLine(level: .error, message: problem))
        console.finish()
    }

    private func event(_ name: String, _ message: String, _ details: some Encodable) {
        console.line(LogLine(level: .info, message: message).json(event: name, details: details))
    }
}
