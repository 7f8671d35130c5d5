import Foundation
import StagewireModel
import StagewireSimulation

@testable import StagewireRouter

/// A scenario file: prose, commands behind "> ", and under each command what the router did, word for word.
///
///     > pipeline source -> transform -> sink
///     > attach transform t1
///     > grant t1 10
///     > emit s1 p 1 a:one a:two b:three
///     t1 <- #1 a:one
///     > settle t1 1 retry
///     > advance 250
///
/// Run with STAGEWIRE_GOLDEN=write to write the files anew; read the difference before you commit it.
final class Scenario {
    private var rig: Rig!
    private var workers: [String: RigWorker] = [:]

    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
        "Scenarios")

    static func names() -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.hasSuffix(".txt") }.sorted()
    }

    /// The file's text and what it ought to be.
    static func play(_ name: String) throws -> (written: String, actual: String) {
        let url = directory.appendingPathComponent(name)
        let written = try String(contentsOf: url, encoding: .utf8)
        let actual = Scenario().rewrite(written)
        if ProcessInfo.processInfo.environment["STAGEWIRE_GOLDEN"] == "write" {
            try actual.write(to: url, atomically: true, encoding: .utf8)
        }
        return (written, actual)
    }

    /// Keeps prose (lines behind "# ") and commands, replaces everything else by what happens.
    private func rewrite(_ text: String) -> String {
        var output: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.hasPrefix("> ") {
                output.append(line)
                run(line.dropFirst(2).split(separator: " ").map(String.init))
                output += rig.takeLines().map { "  \($0)" }
            } else if line.hasPrefix("#") || line.isEmpty {
                output.append(line)
            }
        }
        return output.joined(separator: "\n")
    }

    private func run(_ words: [String]) {
        let rest = Array(words.dropFirst())
        switch words[0] {
        case "pipeline": build(rest)
        case "attach":
            let worker = rig.attach(rest[0], name: rest[1], features: Array(rest.dropFirst(2)))
            if worker.closed == nil { workers[rest[1]] = worker }
        case "grant":
            rig.grant(worker(rest[0]), records: UInt64(rest[1])!, input: rest.count > 2 ? UInt32(rest[2])! : 0)
        case "claim": rig.send(worker(rest[0]), .claim(partition: rest[1]))
        case "finish": rig.send(worker(rest[0]), .finished(partition: rest[1]))
        case "extend": rig.send(worker(rest[0]), .extend)
        case "ping": rig.send(worker(rest[0]), .ping(nonce: UInt64(rest[1])!))
        case "leave": rig.send(worker(rest[0]), .close(CloseReason(.ok, "")))
        case "kill": rig.kill(worker(rest[0]))
        case "advance": rig.advance(milliseconds: UInt64(rest[0])!)
        case "drain":
            rig.router.handle(.drain(deadline: .milliseconds(Int64(rest[0])!)), at: rig.now)
            rig.turn()
        case "emit": emit(rest)
        case "settle": settle(rest)
        case "status": status(rest)
        case "dead": dead(rest[0])
        case "resume":
            let stage = rig.pipeline.stages.firstIndex { $0.name == rest[0] }!
            if !rig.router.resume(stage: stage) { rig.note("\(rest[0]) was not paused") }
            rig.turn()
        case "retry-dead": change(rest) { $0.retryDeadLetters(stage: $1, $2) }
        case "drop-dead": change(rest) { $0.dropDeadLetters(stage: $1, $2) }
        default: preconditionFailure("unknown command \(words[0])")
        }
    }

    private func worker(_ name: String) -> RigWorker {
        guard let worker = workers[name] else { preconditionFailure("no worker \(name)") }
        return worker
    }

    /// `a -> b -> c; a -> d[total,drop-oldest,when=kind:x]`: stages with what they read; options of a stage in brackets.
    private func build(_ words: [String]) {
        var stages: [StageDefinition] = []
        var limits = PipelineLimits()
        for chain in words.joined(separator: " ").split(separator: ";") {
            var upstream: Int?
            for part in chain.split(separator: " ").map(String.init) where part != "->" {
                let name = String(part.prefix { $0 != "[" })
                let options =
                    part.contains("[")
                    ? part.dropFirst(name.count + 1).dropLast().split(separator: ",").map(String.init) : []
                if let known = stages.firstIndex(where: { $0.name == name }) {
                    if let upstream { stages[known].inputs.append(InputDefinition(stage: upstream)) }
                    upstream = known
                    continue
                }
                var stage = StageDefinition(name: name, isSource: upstream == nil)
                if let upstream { stage.inputs = [InputDefinition(stage: upstream)] }
                stage.retry.jitterPercent = 0
                for option in options { apply(option, to: &stage, &limits) }
                stages.append(stage)
                upstream = stages.count - 1
            }
        }
        var pipeline = PipelineDefinition(name: "scenario", stages: stages)
        pipeline.limits = limits
        pipeline.limits.maxRecord = 4096
        pipeline.limits.maxStepBytes = 8192
        pipeline.limits.maxStepRecords = 8
        pipeline.limits.windowBytes = 16_384
        pipeline.limits.windowRecords = 8
        rig = Rig(pipeline)
        _ = rig.takeLines()
    }

    private func apply(_ option: String, to stage: inout StageDefinition, _ limits: inout PipelineLimits) {
        let parts = option.split(separator: "=").map(String.init)
        switch parts[0] {
        case "total": stage.ordering = .total
        case "none": stage.ordering = .none
        case "drop-oldest": stage.inputs[0].overflow = .dropOldest
        case "drop-newest": stage.inputs[0].overflow = .dropNewest
        case "attempts": stage.retry.attempts = UInt32(parts[1])!
        case "max-age": stage.retry.maxAge = .milliseconds(Int64(parts[1])!)
        case "lease": stage.lease = .milliseconds(Int64(parts[1])!)
        case "breaker":
            // failures/of/first pause/longest pause in ms
            let numbers = parts[1].split(separator: "/").map { Int($0)! }
            var policy = BreakerPolicy()
            (policy.failures, policy.window) = (numbers[0], numbers[1])
            (policy.pauseFirst, policy.pauseLimit) = (.milliseconds(numbers[2]), .milliseconds(numbers[3]))
            stage.breaker = policy
        case "dead": limits.deadLetterRecords = Int(parts[1])!
        case "workers": stage.maxWorkers = Int(parts[1])!
        case "when":
            let pair = parts[1].split(separator: ":").map(String.init)
            stage.inputs[0].when = .compare(pair[0], .equal, .text(pair[1]))
        default: preconditionFailure("unknown option \(option)")
        }
    }

    /// `key:payload`, or `key:payload:attribute=value`; an empty key is none.
    private func emission(_ word: String, parents: [UInt64] = []) -> TestEmission {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var attributes: [(String, String)] = []
        for pair in parts.dropFirst(2) {
            let sides = pair.split(separator: "=").map(String.init)
            attributes.append((sides[0], sides[1]))
        }
        return TestEmission(
            parents: parents, output: StepBytes.output(key: parts[0], payload: parts[1], attributes: attributes))
    }

    private func emit(_ words: [String]) {
        rig.emit(
            worker(words[0]), words[1], UInt64(words[2])!, words.dropFirst(3).map { emission($0) },
            checkpoint: "at \(words[2])")
    }

    /// `settle W 3 accept a:x b:y`, `settle W 1-3,5 accept sum:6`, `settle W 2 retry 500`.
    private func settle(_ words: [String]) {
        let ranges = words[1].split(separator: ",").map { part -> ClosedRange<UInt64> in
            let ends = part.split(separator: "-").map { UInt64($0)! }
            return ends[0]...ends[ends.count - 1]
        }
        let kinds: [String: OutcomeKind] = [
            "accept": .accepted, "reject": .rejected, "retry": .retry, "release": .released,
        ]
        var outcome = TestOutcome(ranges, kinds[words[2]]!)
        switch outcome.kind {
        case .accepted: outcome.emissions = words.dropFirst(3).map { emission($0) }
        case .retry: outcome.delayMS = words.count > 3 ? UInt64(words[3])! : 0
        case .rejected: outcome.error = words.count > 3 ? words[3...].joined(separator: " ") : nil
        case .released: break
        }
        rig.settle(worker(words[0]), [outcome])
    }

    private func status(_ names: [String]) {
        for stage in rig.router.summary().stages where names.isEmpty || names.contains(stage.name) {
            rig.note(
                "\(stage.name): in \(stage.taken) out \(stage.emitted) in flight \(stage.inFlight) queued \(stage.queued) "
                    + "retried \(stage.retried) dead \(stage.dead) dropped \(stage.dropped) unmatched \(stage.unmatched)"
                    + (stage.obstacle == .breakerOpen ? " (kept back)" : ""))
        }
    }

    /// `retry-dead S 1,3`
    private func change(_ words: [String], _ body: (inout Router, Int, [UInt64]) -> Int) {
        let stage = rig.pipeline.stages.firstIndex { $0.name == words[0] }!
        let count = body(&rig.router, stage, words[1].split(separator: ",").map { UInt64($0)! })
        rig.note("\(count) of them")
        rig.turn()
    }

    private func dead(_ name: String) {
        let stage = rig.pipeline.stages.firstIndex { $0.name == name }!
        for letter in rig.router.deadLetters(stage: stage) {
            let record = letter.record.ref
            rig.note(
                "letter \(letter.number): \(String(decoding: record.payload, as: UTF8.self)) \(letter.reason.name) after "
                    + "\(letter.attempts) attempts, \(record.hopCount) hops: \(letter.error.message)"
                    + (letter.isRetrying ? " (to be retried)" : ""))
        }
    }
}
