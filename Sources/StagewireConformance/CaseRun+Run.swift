import Foundation
import StagewireWire

extension CaseRun {
    /// What a process under test inherits: nothing that a broker around the suite has said to it.
    static var environment: [String: String] {
        ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("STAGEWIRE_") }
    }

    /// Runs a case from its setup to its last step.
    static func run(
        _ item: Case, _ target: Target, _ options: RunOptions, directory: String
    ) -> CaseResult {
        let run = CaseRun(item, target, options, directory: directory)
        defer { run.close() }
        var stop: Stop?
        var place = item.place
        do throws(Stop) {
            try run.checkNeeds()
            try run.begin()
            for step in item.steps {
                place = step.place
                try run.perform(step)
            }
            if let violation = run.violation { throw violation }
            try run.finish()
        } catch {
            stop = error
        }
        if stop != nil, stop?.verdict != .skip { run.listen(afterwards: 50) }
        return run.result(stop, place)
    }

    /// What the process still says may explain a failure.
    private func listen(afterwards milliseconds: Int) {
        violation = nil
        mayEnd = true
        _ = try? serve(milliseconds) { false }
    }

    private func result(_ stop: Stop?, _ place: Place) -> CaseResult {
        let rules = stop.map { $0.rules.isEmpty ? item.rules : $0.rules } ?? item.rules
        return CaseResult(
            slug: item.slug, title: item.title, role: item.role, profile: item.profile,
            verdict: stop?.verdict ?? .pass, rules: rules, message: stop?.message ?? "",
            place: stop == nil ? "" : place.description, transcript: stop == nil ? [] : transcript.lines,
            standardError: stop == nil ? "" : process?.standardError ?? "", seconds: seconds)
    }

    private func checkNeeds() throws(Stop) {
        if !target.hasProcess, let step = item.steps.first(where: { $0.verb.needsProcess }) {
            throw Stop(verdict: .skip, message: "`\(step.verb.rawValue)` needs a process that the suite has started")
        }
        if case .runningBroker = target, item.setup.pipeline != nil {
            throw Stop(verdict: .skip, message: "it needs a pipeline of its own, and the broker runs already")
        }
        if !options.hasControl, item.steps.contains(where: { $0.verb == .control }) {
            throw Stop(verdict: .skip, message: "it asks the control API (--control)")
        }
        if let declared = options.features?[item.setup.stage] { try checkFeatures(declared) }
    }

    /// Skips a case whose features are not there, or are and must not be.
    func checkFeatures(_ features: Set<String>) throws(Stop) {
        if let missing = item.requires.first(where: { !features.contains($0) }) {
            throw Stop(verdict: .skip, message: "feature \(missing) is not declared")
        }
        if let present = item.excludes.first(where: features.contains) {
            throw Stop(verdict: .skip, message: "feature \(present) is declared")
        }
    }

    private func begin() throws(Stop) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Stop(verdict: .inconclusive, message: "no directory \(directory): \(error.localizedDescription)")
        }
        switch item.role {
        case .worker: try beginWorker()
        case .broker: try beginBroker()
        }
    }

    /// The steps are through. What must hold of every case at its end.
    private func finish() throws(Stop) {
        for link in links where link.isOpen && item.setup.checks && !link.isDone && !link.sentClose {
            if item.role == .worker, link.worker.welcome != nil, !link.worker.hasClosed, link.isReading {
                do throws(Stop) { try barrier(link, Step(ending: item)) } catch {
                    // One that may have ended meanwhile has nobody to answer.
                    if !mayEnd || !link.isDone { throw error }
                }
            }
        }
    }

    func perform(_ step: Step) throws(Stop) {
        do throws(Stop) {
            if let violation { throw violation }
            try dispatch(step)
        } catch {
            var stop = error
            if stop.rules.isEmpty { stop.rules = step.rules }
            if let why = step.why { stop.message += " (\(why))" }
            throw stop
        }
    }

    private func dispatch(_ step: Step) throws(Stop) {
        switch step.verb {
        case .send, .raw, .expect, .absent, .skip, .barrier, .closed, .ended, .close, .drop, .reading, .automatic:
            try performFrames(step)
        case .pause, .mark, .elapsed, .repeat, .exit, .kill, .alive, .stderr, .stop, .copes, .leaves:
            try performProcess(step)
        case .start, .accept, .welcome, .deliver, .settled, .unsettled, .granted, .emitted, .drain, .claimed,
            .listening, .random:
            try performAsBroker(step)
        case .connect, .hello, .attach, .grant, .claim, .emit, .committed, .finish, .delivered, .undelivered, .settle,
            .confirmed, .restart, .fuzz, .control:
            try performAsWorkers(step)
        }
    }
}

extension Step {
    /// The check at a case's end.
    init(ending item: Case) {
        verb = .barrier
        argument = .null
        link = "w"
        rules = ["LV-1"]
        why = "at the end of the case"
        within = nil
        place = item.place
    }
}
