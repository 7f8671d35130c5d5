import Foundation
import Glibc
import StagewireWire

/// A broker is tested: the suite plays its workers.
extension CaseRun {
    var brokerSocket: String {
        if case .runningBroker(let socket) = target { socket } else { "\(directory)/broker.sock" }
    }

    // MARK: Beginning

    /// Three external stages in a row; `retry` is quick, so that cases do not wait.
    static let pipeline = """
        pipeline: conformance
        stages:
          source: {attach: external, source: true, ports: [out, side]}
          transform: {attach: external, from: source, ports: [out, side], retry: {backoff: 10ms..20ms}}
          sink: {attach: external, from: transform, retry: {backoff: 10ms..20ms}}

        """

    /// A case that does not say what survives the broker is about nothing that does.
    private var pipelineText: String {
        let text = item.setup.pipeline ?? Self.pipeline
        return text.contains("durability:") ? text : "durability: \(item.setup.durability ?? "memory")\n" + text
    }

    func beginBroker() throws(Stop) {
        guard case .broker = target else { return }
        do { try pipelineText.write(toFile: pipelineFile, atomically: false, encoding: .utf8) } catch {
            throw Stop(verdict: .inconclusive, message: "the pipeline cannot be written: \(error)")
        }
        try startBroker()
    }

    private var pipelineFile: String { "\(directory)/pipeline.yaml" }

    /// With the pipeline that is written: what a broker of `durability: disk` keeps lies beside it.
    private func startBroker() throws(Stop) {
        guard case .broker(let command, let base) = target else { return }
        let file = pipelineFile
        let words = command.map {
            $0.replacing("{pipeline}", with: file).replacing("{socket}", with: brokerSocket)
        }
        var environment = Self.environment
        environment["STAGEWIRE_PIPELINE"] = file
        environment["STAGEWIRE_SOCKET"] = brokerSocket
        do {
            let child = try ChildProcess(words, environment: environment, directory: base)
            process = child
            processes.append(child)
        } catch {
            throw .fail(error.message)
        }
        try awaitSocket()
    }

    /// `restart: KILL`, or another signal's name: the broker is ended by it, and the same command begins anew, with the
    /// same pipeline and the same socket. Connections end with the broker; what had come on them before counts.
    private func restart(_ step: Step) throws(Stop) {
        guard let ending = process, ending.poll() == nil else {
            throw Stop(verdict: .inconclusive, message: "the broker had ended before it was to be restarted")
        }
        let couldEnd = mayEnd
        mayBreakOff = true
        try kill(Step(verb: .kill, argument: step.argument.text.map { .text($0) } ?? "KILL", like: step))
        try waitFor("the end of the broker", step) { ending.poll() != nil }
        try takeRest()
        for link in links { link.drop() }
        mayEnd = couldEnd
        mayBreakOff = false
        if let violation { throw violation }
        transcript.add(seconds, "--", "--", "the suite starts the broker again")
        try startBroker()
    }

    private func awaitSocket() throws(Stop) {
        let isThere = try serve(Self.patience) { () throws(Stop) in
            guard let descriptor = try? Socket.connect(to: self.brokerSocket) else { return false }
            Glibc.close(descriptor)
            return true
        }
        guard isThere else { throw .fail("the broker does not listen at \(brokerSocket)") }
    }

    // MARK: Attaching

    func connect(_ name: String) throws(Stop) -> Link {
        let link: Link
        do {
            link = Link(name: name, descriptor: try Socket.connect(to: brokerSocket), automatic: item.setup.automatic)
        } catch { throw .fail(error.message) }
        link.fragment = item.setup.fragment
        links.append(link)
        return link
    }

    /// Sends Hello, with members in place of the usual ones; `token_file` waits for a file in the pipeline's directory
    /// and sends the hexadecimal in it.
    func hello(_ argument: FrameLiteral, _ link: Link, _ step: Step) throws(Stop) {
        let given: FrameLiteral = argument.text.map { .object([.init("stage", .text($0))]) } ?? argument
        var message: FrameLiteral = [
            "min_version": 1000, "max_version": 1000, "stage": "transform", "instance": .text(link.name),
        ]
        message = message.overridden(by: given)
        if let file = given["token_file"]?.text {
            let token = try waitFor(file: file, step)
            message = message.overridden(by: .object([.init("token", .bytes(token))]))
        }
        let own = ["token_file", "welcome"]
        let members = message.members.filter { !own.contains($0.name) }
        link.broker.stage = message["stage"]?.text ?? ""
        let version = message["max_version"] ?? 1000
        try send(.object([.init("version", version), .init("hello", .object(members))]), to: link)
        if let code = given["welcome"]?.flag, !code { return }
        try waitFor("Welcome", step) { () throws(Stop) in
            if link.broker.welcome != nil { return true }
            if link.isDone { throw .fail("Welcome was expected, but \(self.ending(link))") }
            return false
        }
        consume("welcome", link)
        guard link.automatic.credit else { return }
        for input in link.broker.inputs.keys.sorted() { try topUpInput(input, link) }
    }

    private func consume(_ kind: String, _ link: Link) {
        if let index = link.received.firstIndex(where: { $0.kind == kind && !$0.isConsumed }) {
            link.received[index].isConsumed = true
        }
    }

    private func waitFor(file name: String, _ step: Step) throws(Stop) -> [UInt8] {
        let path = "\(directory)/\(name)"
        var token: [UInt8] = []
        try waitFor("the file \(name)", step) {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8), text.hasSuffix("\n") else {
                return false
            }
            token = FrameLiteral.hexadecimal(text) ?? []
            return !token.isEmpty
        }
        return token
    }

    /// `attach: {s: source, t: {stage: transform, instance: t1}}`: connections by name, each with Hello and Welcome.
    private func attach(_ step: Step) throws(Stop) {
        for member in step.argument.members { try hello(member.value, try connect(member.name), step) }
    }

    // MARK: What it does by itself

    func answerBroker(_ frame: Received, _ link: Link) {
        guard link.isOpen, !link.sentClose else { return }
        do throws(Stop) {
            if frame.kind == "ping", link.automatic.pong {
                try send("pong", [.init("nonce", frame.message["nonce"] ?? 0)], to: link)
            }
            if frame.kind == "deliver", link.automatic.credit {
                try topUpInput(frame.message["input"]?.number ?? 0, link)
            }
        } catch {
            violation = violation ?? error
        }
    }

    /// A window of 256 records and twice `max_record`, granted anew when half of it is used.
    private func topUpInput(_ input: UInt64, _ link: Link) throws(Stop) {
        guard let account = link.broker.inputs[input] else { return }
        let bytes = 2 * (link.broker.welcome?["max_record"]?.number ?? 1_048_576)
        guard account.remaining.records <= 128 || account.remaining.bytes <= bytes / 2 else { return }
        try grant(input, account.used.records + 256, account.used.bytes + bytes, link)
    }

    // MARK: Verbs

    func performAsWorkers(_ step: Step) throws(Stop) {
        switch step.verb {
        case .connect: for name in step.argument.elements { _ = try connect(name.text ?? "w") }
        case .hello: try hello(step.argument, try link(step.link), step)
        case .attach: try attach(step)
        case .grant:
            let link = try link(step.link)
            let input = step.argument["input"]?.number ?? link.broker.inputs.keys.sorted().first ?? 0
            try grant(input, step.argument["records"]?.number ?? 0, try grantedBytes(step, input, link), link)
        case .claim: try claim(step.argument.text ?? "p", try link(step.link), step)
        case .emit: try emit(step, try link(step.link))
        case .committed: try committed(step, try link(step.link))
        case .finish:
            try send("finished", [.init("partition", .text(step.argument.text ?? "p"))], to: try link(step.link))
        case .delivered: try delivered(step, try link(step.link))
        case .undelivered:
            let link = try link(step.link)
            if let delivery = link.broker.deliveries.first(where: { !$0.isSeen }) {
                throw .fail("delivery \(delivery.id) came, which must not: \(Pattern.shown(Self.flattened(delivery)))")
            }
        case .settle: try settle(step, try link(step.link))
        case .confirmed:
            let link = try link(step.link)
            let through = step.argument.number ?? 0
            try waitFor("Settled through \(through)", step) { link.broker.settledThrough >= through || link.isDone }
            guard link.broker.settledThrough >= through else {
                throw .fail("no Settled through \(through): \(ending(link))")
            }
        case .control: try control(step)
        case .restart: try restart(step)
        case .fuzz:
            var damage = FuzzBrokerCase(self, step)
            try damage.play()
        case _: preconditionFailure("\(step.verb) is not a worker's")
        }
    }

    /// `bytes: N`, or `like: ID`: enough for one more record of that delivery's size, exactly; `less: N` fewer.
    private func grantedBytes(_ step: Step, _ input: UInt64, _ link: Link) throws(Stop) -> UInt64 {
        guard let id = step.argument["like"]?.number else { return step.argument["bytes"]?.number ?? 1 << 40 }
        guard let delivery = link.broker.deliveries.first(where: { $0.id == id }) else {
            throw .fail("the case names delivery \(id), which has not come")
        }
        let used = link.broker.inputs[input]?.used.bytes ?? 0
        return used + delivery.size - min(delivery.size, step.argument["less"]?.number ?? 0)
    }

    private func claim(_ partition: String, _ link: Link, _ step: Step) throws(Stop) {
        let before = link.received.count
        try send("claim", [.init("partition", .text(partition))], to: link)
        for number in 1..<max(1, step.argument["times"]?.number ?? 1) {
            try send("claim", [.init("partition", .text("\(partition)\(number)"))], to: link)
        }
        try waitFor("Claimed of \(partition)", step) { () throws(Stop) in
            let isHere = link.received[before...].contains {
                $0.kind == "claimed" && $0.message["partition"]?.text == partition
            }
            if isHere { return true }
            if link.isDone { throw .fail("Claimed was expected, but \(self.ending(link))", rules: ["SO-2"]) }
            return false
        }
    }

    /// `committed: 3`, or `committed: {partition: p, through: 3}`.
    private func committed(_ step: Step, _ link: Link) throws(Stop) {
        let partition = step.argument["partition"]?.text ?? "p"
        let through = step.argument.number ?? step.argument["through"]?.number ?? 0
        try waitFor("Committed of \(partition) through \(through)", step) { () throws(Stop) in
            if link.broker.committed[partition] ?? 0 >= through { return true }
            if link.isDone { throw .fail("Committed was expected, but \(self.ending(link))", rules: ["SO-6"]) }
            return false
        }
    }

    /// `delivered: 3`, `delivered: [PATTERN, ...]`, or `{records: [...], any_order: true}`: the next deliveries that no
    /// step has looked at. A pattern that is text is the payload; else it has `payload`, `key`, `attempt`, `id`, `input`,
    /// `header`, `lineage`.
    private func delivered(_ step: Step, _ link: Link) throws(Stop) {
        let list = step.argument["records"] ?? step.argument
        let patterns = list.number != nil ? [] : list.elements
        let count = Int(list.number ?? UInt64(patterns.count))
        try waitFor("\(count) deliveries", step) { () throws(Stop) in
            let unseen = link.broker.deliveries.count { !$0.isSeen }
            if unseen >= count { return true }
            if link.isDone { throw .fail("\(unseen) of \(count) deliveries came, then \(self.ending(link))") }
            return false
        }
        var unseen = link.broker.deliveries.indices.filter { !link.broker.deliveries[$0].isSeen }
        for (index, pattern) in patterns.enumerated() {
            let wanted: FrameLiteral = pattern.members.isEmpty ? .object([.init("payload", pattern)]) : pattern
            var place = 0
            if step.argument["any_order"]?.flag == true {
                place =
                    unseen.firstIndex {
                        Pattern.mismatch(wanted, Self.flattened(link.broker.deliveries[$0])) == nil
                    } ?? 0
            }
            let flat = Self.flattened(link.broker.deliveries[unseen[place]])
            if let problem = Pattern.mismatch(wanted, flat, path: "delivery \(index + 1) of these") {
                throw .fail(problem)
            }
            link.broker.deliveries[unseen[place]].isSeen = true
            unseen.remove(at: place)
        }
        if patterns.isEmpty { for index in unseen.prefix(count) { link.broker.deliveries[index].isSeen = true } }
    }

    static func flattened(_ delivery: BrokerLedger.Delivery) -> FrameLiteral {
        .object([
            .init("id", FrameLiteral(delivery.id)), .init("input", FrameLiteral(delivery.input)),
            .init("attempt", FrameLiteral(delivery.attempt)),
            .init("payload", delivery.record["payload"] ?? .bytes([])),
            .init("key", .bytes(delivery.key)), .init("header", delivery.record["header"] ?? .object([])),
            .init("lineage", delivery.record["lineage"] ?? .object([])),
        ])
    }
}
