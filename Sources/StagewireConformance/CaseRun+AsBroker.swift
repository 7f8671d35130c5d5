import Foundation
import Glibc
import StagewireWire

/// A worker is tested: the suite plays its broker.
extension CaseRun {
    private var socketPath: String {
        if case .attachedWorker(let socket) = target { socket } else { "\(directory)/broker.sock" }
    }

    // MARK: Beginning

    func beginWorker() throws(Stop) {
        do { listener = try Socket.listen(at: socketPath) } catch {
            throw Stop(verdict: .inconclusive, message: error.message)
        }
        let beginning = item.setup.begin
        guard beginning != .nothing else { return }
        let step = Step(ending: item)
        try startWorker(.null)
        try acceptWorker("w", step)
        guard beginning != .connected else { return }
        try awaitHello(try link("w"), step)
        guard beginning != .greeted else { return }
        try welcome(try link("w"), .null)
    }

    /// `start`, or `start: {environment: {NAME: value}, stage: NAME, token: false}`.
    func startWorker(_ argument: FrameLiteral) throws(Stop) {
        guard case .worker(let command, let base) = target else { return }
        token = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
        var environment = Self.environment
        environment["STAGEWIRE_SOCKET"] = socketPath
        environment["STAGEWIRE_STAGE"] = argument["stage"]?.text ?? item.setup.stage
        environment["STAGEWIRE_INSTANCE"] = "\(item.setup.stage)-1"
        if argument["token"]?.flag ?? true {
            environment["STAGEWIRE_TOKEN"] = token.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
                .joined()
        }
        environment.merge(item.setup.environment) { $1 }
        for member in argument["environment"]?.members ?? [] { environment[member.name] = member.value.text }
        do {
            let child = try ChildProcess(command, environment: environment, directory: base)
            process = child
            processes.append(child)
            mayEnd = false
        } catch {
            throw .fail(error.message, rules: ["HS-1"])
        }
    }

    /// The next connection of the worker, under a name.
    func acceptWorker(_ name: String, _ step: Step) throws(Stop) {
        try waitFor("a connection of the worker", step) { !self.waiting.isEmpty }
        let link = Link(name: name, descriptor: waiting.removeFirst(), automatic: item.setup.automatic)
        link.fragment = item.setup.fragment
        links.append(link)
    }

    func awaitHello(_ link: Link, _ step: Step) throws(Stop) {
        try waitFor("Hello", step) { () throws(Stop) in
            if link.worker.hello != nil { return true }
            if link.isDone { throw .fail("the connection ended before Hello came", rules: ["HS-2"]) }
            return false
        }
        let offered = (link.worker.hello?["offered"]?.elements ?? []).compactMap(\.text)
        let features = Set(offered + (link.worker.hello?["required"]?.elements ?? []).compactMap(\.text))
        if let declared = options.features?[item.setup.stage], declared != features {
            throw .fail(
                "Hello has the features \(features.sorted()), declared are \(declared.sorted())", rules: ["HS-7"])
        }
        try checkFeatures(features)
    }

    // MARK: Welcome

    private static let supported = ["single-threaded", "holds", "settle-confirm"]

    /// Numbers are none that a worker could guess: input 3, outputs 7 (`out`) and 2 (`side`).
    func defaultWelcome(_ link: Link) -> FrameLiteral {
        let hello = link.worker.hello ?? .object([])
        let wanted = (hello["offered"]?.elements ?? []) + (hello["required"]?.elements ?? [])
        let features = wanted.filter { Self.supported.contains($0.text ?? "") }
        let given = hello["instance"]?.text ?? ""
        let config = JSONWriter.text(item.setup.config)
        sessions += 1
        var members: [FrameLiteral.Member] = [
            .init("version", 1000), .init("session", FrameLiteral(sessions)), .init("features", .list(features)),
            .init("max_frame", 4_194_304), .init("max_record", 1_048_576), .init("stamp_reserve", 1005),
            .init("max_step_records", 4096), .init("max_step_bytes", 1_048_576), .init("heartbeat_ms", 10_000),
            .init("idle_ms", 30_000), .init("lease_ms", 30_000), .init("config", .text(config)),
        ]
        if item.setup.stage != "source" {
            members.append(
                .init(
                    "inputs",
                    [
                        [
                            "number": 3, "stage": "upstream", "port": "out", "max_unsettled_records": 4096,
                            "max_unsettled_bytes": 4_194_304, "ordering": "ORDERING_KEY",
                        ]
                    ]))
        }
        members += [
            .init("outputs", [["number": 7, "port": "out"], ["number": 2, "port": "side"]]),
            .init("pipeline", "conformance"), .init("instance", .text(given.isEmpty ? "worker-1" : given)),
        ]
        return .object(members)
    }

    func welcome(_ link: Link, _ overrides: FrameLiteral) throws(Stop) {
        let message = defaultWelcome(link).overridden(by: item.setup.welcome).overridden(by: overrides)
        link.worker.open(message)
        try send(.object([.init("version", message["version"] ?? 1000), .init("welcome", message)]), to: link)
        if link.automatic.credit { for port in link.worker.outputs.keys.sorted() { try topUp(port, link) } }
    }

    /// One step of credit beyond what was used, whenever less is left: the least that CR-7 asks of a broker.
    private func topUp(_ port: UInt64, _ link: Link) throws(Stop) {
        guard let account = link.worker.outputs[port], let welcome = link.worker.welcome else { return }
        let records = welcome["max_step_records"]?.number ?? 0
        let bytes = welcome["max_step_bytes"]?.number ?? 0
        let left = account.remaining
        guard left.records < records || left.bytes < bytes else { return }
        try grant(port, account.used.records + records, account.used.bytes + bytes, link)
    }

    // MARK: What it does by itself

    func answerWorker(_ frame: Received, _ link: Link) {
        // EN-1: the receiver of Close closes.
        if frame.kind == "close" { link.closeWriting() }
        guard link.worker.welcome != nil, link.isOpen, !link.sentClose else { return }
        do throws(Stop) {
            switch frame.kind {
            case "ping" where link.automatic.pong:
                try send("pong", [.init("nonce", frame.message["nonce"] ?? 0)], to: link)
            case "settle" where link.automatic.credit, "emit" where link.automatic.credit:
                for port in link.worker.outputs.keys.sorted() { try topUp(port, link) }
            case _: break
            }
            guard link.automatic.commit else { return }
            switch frame.kind {
            case "claim": try claim(frame.message["partition"]?.text ?? "", link)
            case "emit": try commit(frame.message, link)
            case "settle" where link.worker.features.contains("settle-confirm"): try confirm(link)
            case _: break
            }
        } catch {
            violation = violation ?? error
        }
    }

    private func claim(_ partition: String, _ link: Link) throws(Stop) {
        var state = partitions[partition] ?? (0, 0, [])
        state.epoch += 1
        partitions[partition] = state
        link.worker.claimed[partition] = state.last
        link.worker.finished.remove(partition)
        try send(
            "claimed",
            [
                .init("partition", .text(partition)), .init("epoch", FrameLiteral(state.epoch)),
                .init("last_emit_id", FrameLiteral(state.last)), .init("checkpoint", .bytes(state.checkpoint)),
            ], to: link)
    }

    /// `claimed: {partition: p, epoch: 2, last_emit_id: 7, checkpoint: x}`: sends Claimed, with whatever position.
    private func claimed(_ message: FrameLiteral, _ link: Link) throws(Stop) {
        let partition = message["partition"]?.text ?? "p"
        let last = message["last_emit_id"]?.number ?? 0
        partitions[partition] = (message["epoch"]?.number ?? 1, last, message["checkpoint"]?.asBytes ?? [])
        link.worker.claimed[partition] = last
        try send("claimed", message.members, to: link)
    }

    /// `listening: off` before the worker is started: it finds no broker.
    private func listen(_ isOn: Bool) throws(Stop) {
        if listener >= 0 { Glibc.close(listener) }
        listener = -1
        unlink(socketPath)
        guard isOn else { return }
        do { listener = try Socket.listen(at: socketPath) } catch {
            throw Stop(verdict: .inconclusive, message: error.message)
        }
    }

    private func commit(_ emit: FrameLiteral, _ link: Link) throws(Stop) {
        let partition = emit["partition"]?.text ?? ""
        let id = emit["emit_id"]?.number ?? 0
        guard var state = partitions[partition] else { return }
        if id == state.last + 1 {
            state.last = id
            if let checkpoint = emit["checkpoint"]?.asBytes { state.checkpoint = checkpoint }
            partitions[partition] = state
        }
        try send(
            "committed", [.init("partition", .text(partition)), .init("through", FrameLiteral(state.last))], to: link)
    }

    private func confirm(_ link: Link) throws(Stop) {
        let through = link.worker.deliveries.firstIndex { $0.outcome == nil } ?? link.worker.deliveries.count
        try send("settled", [.init("through", FrameLiteral(through))], to: link)
    }

    // MARK: Verbs

    func performAsBroker(_ step: Step) throws(Stop) {
        switch step.verb {
        case .start: try startWorker(step.argument)
        case .accept:
            let name = step.argument.text ?? step.argument["as"]?.text ?? "w"
            try acceptWorker(name, step)
            if step.argument["greet"]?.flag ?? true { try awaitHello(try link(name), step) }
        case .welcome: try welcome(try link(step.link), step.argument)
        case .deliver: try deliver(step, try link(step.link))
        case .settled: try settled(step, try link(step.link))
        case .unsettled: try unsettled(step, try link(step.link))
        case .granted: try granted(step, try link(step.link))
        case .emitted: try emitted(step, try link(step.link))
        case .drain:
            let reason = step.argument.text ?? step.argument["reason"]?.text ?? "INPUT_ENDED"
            mayEnd = true
            try send(
                "drain",
                [.init("reason", .text(reason)), .init("deadline_ms", step.argument["deadline_ms"] ?? 30_000)],
                to: try link(step.link))
        case .claimed: try claimed(step.argument, try link(step.link))
        case .listening: try listen(step.argument.flag ?? (step.argument.text != "off"))
        case .random:
            var conversation = RandomWorkerCase(self, step)
            try conversation.play()
        case _: preconditionFailure("\(step.verb) is not a broker's")
        }
    }

    /// `granted: {records: 1, bytes: 1048576}`: what may be delivered now is at least that, on every input (CR-6).
    private func granted(_ step: Step, _ link: Link) throws(Stop) {
        let records = step.argument["records"]?.number ?? 1
        let bytes = step.argument["bytes"]?.number ?? link.worker.welcome?["max_record"]?.number ?? 0
        try waitFor("credit for \(records) records and \(bytes) bytes", step) {
            link.worker.inputs.values.allSatisfy { $0.fits(records: records, bytes: bytes) } || link.isDone
        }
        guard link.worker.inputs.values.allSatisfy({ $0.fits(records: records, bytes: bytes) }) else {
            throw .fail("the worker did not grant \(records) records and \(bytes) bytes", rules: ["CR-6"])
        }
    }

    /// `unsettled: [2, 3]`, or `unsettled: all`; meaningful behind a barrier.
    private func unsettled(_ step: Step, _ link: Link) throws(Stop) {
        let all = step.argument.text == "all"
        let ids = all ? link.worker.deliveries.map(\.id) : step.argument.elements.compactMap(\.number)
        for id in ids where id >= 1 && id <= link.worker.deliveries.count {
            if let outcome = link.worker.deliveries[Int(id) - 1].outcome {
                throw .fail("delivery \(id) is settled (\(outcome.kind)), which it must not be yet")
            }
        }
    }

    /// `emitted: 10`, or `emitted: {count: 10, records: [PATTERN, ...], finished: p}`: what a source has emitted.
    private func emitted(_ step: Step, _ link: Link) throws(Stop) {
        let patterns = step.argument["records"]?.elements ?? []
        let count = Int(step.argument.number ?? step.argument["count"]?.number ?? UInt64(patterns.count))
        let partition = step.argument["finished"]?.text
        try waitFor("\(count) emitted records\(partition.map { " and Finished of \($0)" } ?? "")", step) {
            () throws(Stop) in
            let isFinished = partition.map(link.worker.finished.contains) ?? true
            if link.worker.emitted.count >= count, isFinished { return true }
            if link.isDone {
                throw .fail("\(link.worker.emitted.count) records were emitted, then \(self.ending(link))")
            }
            return false
        }
        for (index, pattern) in patterns.enumerated() {
            let emission = EmissionPattern.flattened(link.worker.emitted[index], ports: link.worker.ports)
            if let problem = Pattern.mismatch(pattern, emission, path: "emitted record \(index + 1)") {
                throw .fail(problem)
            }
        }
        if step.argument["exactly"]?.flag == true, link.worker.emitted.count != count {
            throw .fail("\(link.worker.emitted.count) records were emitted, exactly \(count) were expected")
        }
    }
}
