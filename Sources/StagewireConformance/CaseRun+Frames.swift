import StagewireModel
import StagewireWire

/// Verbs of both roles about frames and bytes.
extension CaseRun {
    func performFrames(_ step: Step) throws(Stop) {
        let link = try link(step.link)
        switch step.verb {
        case .send:
            for message in step.argument.elements {
                noteCredit(message, link)
                if message["close"] != nil { link.sentClose = true }
                try send(message, to: link)
            }
        case .raw: try sendRaw(step, link)
        case .expect: try expect(step, link)
        case .absent: try absent(step, link)
        case .skip:
            for index in link.received.indices where link.received[index].kind == step.argument.text {
                link.received[index].isConsumed = true
            }
        case .barrier: try barrier(link, step)
        case .closed: try awaitClose(step, try closing(step) ?? link)
        case .ended:
            try waitFor("the end of the connection", step) { link.isDone }
            if step.argument["close"]?.flag == false, link.received.contains(where: { $0.kind == "close" }) {
                throw .fail("a Close came, the connection was to end without one")
            }
        case .close:
            try send("close", step.argument.members, to: link)
            link.sentClose = true
            link.closeWriting()
        case .drop:
            transcript.add(seconds, link.name, "--", "the suite drops the connection")
            link.drop()
        case .reading: link.isReading = step.argument.flag ?? (step.argument.text != "off")
        case .automatic:
            do { try link.automatic.read(step.argument, at: step.place) } catch { throw .fail(error.message) }
        case _: preconditionFailure("\(step.verb) is not about frames")
        }
    }

    /// Credit up to these totals: on an output of the worker under test, or on an input of the suite's own worker.
    func grant(_ number: UInt64, _ records: UInt64, _ bytes: UInt64, _ link: Link) throws(Stop) {
        let message = FrameLiteral.object([
            .init(
                "credit",
                .object([
                    .init("number", FrameLiteral(number)), .init("records", FrameLiteral(records)),
                    .init("bytes", FrameLiteral(bytes)),
                ]))
        ])
        noteCredit(message, link)
        try send(message, to: link)
    }

    /// A Credit that a case writes out counts like one that the suite grants by itself.
    private func noteCredit(_ message: FrameLiteral, _ link: Link) {
        guard let credit = message["credit"] else { return }
        let number = credit["number"]?.number ?? 0
        let records = credit["records"]?.number ?? 0
        let bytes = credit["bytes"]?.number ?? 0
        if item.role == .worker {
            link.worker.outputs[number]?.raise(records: records, bytes: bytes)
        } else {
            link.broker.inputs[number]?.raise(records: records, bytes: bytes)
        }
    }

    private func sendRaw(_ step: Step, _ link: Link) throws(Stop) {
        let bytes: [UInt8]
        do { bytes = try RawBytes.bytes(step.argument) } catch { throw .fail("\(error.path): \(error.message)") }
        guard link.isOpen, !link.isBroken else {
            throw Stop(verdict: .inconclusive, message: "the connection had ended before the bytes could be sent")
        }
        write(bytes, "\(bytes.count) raw bytes: \(Pattern.shown(.bytes(Array(bytes.prefix(32)))))", to: link)
    }

    /// The first frame of the kind that no step has taken yet.
    private func expect(_ step: Step, _ link: Link) throws(Stop) {
        let kind = step.argument.text ?? step.argument.members.first?.name ?? ""
        let pattern = step.argument.members.first?.value ?? .null
        try waitFor("\(kind) \(Pattern.shown(pattern))", step) { () throws(Stop) in
            if let index = link.received.firstIndex(where: { $0.kind == kind && !$0.isConsumed }) {
                link.received[index].isConsumed = true
                if let problem = Pattern.mismatch(pattern, link.received[index].message) {
                    throw .fail("\(kind) is not as expected: \(problem)")
                }
                return true
            }
            if link.isDone { throw .fail("\(kind) was expected, but \(self.ending(link))") }
            return false
        }
    }

    /// How a connection ended, for messages.
    func ending(_ link: Link) -> String {
        guard let close = link.received.last(where: { $0.kind == "close" }) else { return "the connection ended" }
        return "the connection was closed with code \(close.message["code"]?.number ?? 0): "
            + (close.message["message"]?.text ?? "")
    }

    /// Meaningful behind a barrier only.
    private func absent(_ step: Step, _ link: Link) throws(Stop) {
        let kind = step.argument.text ?? step.argument.members.first?.name ?? ""
        let pattern = step.argument.members.first?.value ?? .null
        let found = link.received.first {
            $0.kind == kind && !$0.isConsumed && Pattern.mismatch(pattern, $0.message) == nil
        }
        if let found { throw .fail("\(kind) \(Pattern.shown(found.message)) came, which must not") }
    }

    /// `among: [a, b]`: the first of these connections that ends, where it is the other side's choice.
    private func closing(_ step: Step) throws(Stop) -> Link? {
        var links: [Link] = []
        for name in step.argument["among"]?.elements ?? [] { links.append(try link(name.text ?? "")) }
        guard !links.isEmpty else { return nil }
        try waitFor("the end of a connection", step) { links.contains(where: \.isDone) }
        return links.first(where: \.isDone)
    }

    /// `closed: {code: 100}`, or `closed: MALFORMED_FRAME`; the end of the connection follows.
    private func awaitClose(_ step: Step, _ link: Link) throws(Stop) {
        let pattern: FrameLiteral
        switch step.argument {
        case .integer, .unsigned, .text: pattern = .object([.init("code", try Codes.number(step.argument))])
        case .object(let members):
            var named = members.filter { $0.name != "among" }
            for index in named.indices where named[index].name == "code" {
                named[index].value = try Codes.number(named[index].value)
            }
            pattern = .object(named)
        case _: pattern = .null
        }
        mayEnd = true
        try waitFor("Close \(Pattern.shown(pattern))", step) { () throws(Stop) in
            if let index = link.received.firstIndex(where: { $0.kind == "close" && !$0.isConsumed }) {
                link.received[index].isConsumed = true
                if let problem = Pattern.mismatch(pattern, link.received[index].message) {
                    let sentence = link.received[index].message["message"]?.text ?? ""
                    throw .fail("Close is not as expected: \(problem); it says: \(sentence)")
                }
                return true
            }
            if link.isDone { throw .fail("Close was expected, but the connection ended without", rules: ["ER-2"]) }
            return false
        }
        // EN-1: the side that wrote Close reads on until EOF, so the suite ends its own side now.
        link.closeWriting()
        try waitFor("the end of the connection behind Close", step) { link.isDone }
    }
}

/// Codes by number or by name.
enum Codes {
    static func number(_ value: FrameLiteral) throws(Stop) -> FrameLiteral {
        guard let name = value.text else {
            guard case .object(let members) = value, members.first?.name == "one_of" else { return value }
            var numbers: [FrameLiteral] = []
            for element in members[0].value.elements { numbers.append(try number(element)) }
            return .object([.init("one_of", .list(numbers))])
        }
        guard let code = Code.allCases.first(where: { $0.name == name }) else {
            throw .fail("the case names the code \(name), which does not exist")
        }
        return FrameLiteral(UInt64(code.rawValue))
    }
}
