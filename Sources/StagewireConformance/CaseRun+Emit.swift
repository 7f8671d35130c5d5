import StagewireWire

/// What the suite's workers emit and settle.
extension CaseRun {
    /// `emit: [a, b]`, or `emit: {records: [a, {payload: b, key: k, port: side, header: {...}, trace: {...}, times: 3}],
    /// partition: p, checkpoint: x, id: 7, force: true, claim: false}`. Claims the partition if that has not been done;
    /// waits for credit unless `force`. `output` in a record is the whole message, verbatim.
    func emit(_ step: Step, _ link: Link) throws(Stop) {
        let partition = step.argument["partition"]?.text ?? "p"
        if link.broker.claims[partition] == nil, step.argument["claim"]?.flag ?? true {
            let claim = FrameLiteral.text(partition)
            try performAsWorkers(Step(verb: .claim, argument: claim, like: step))
        }
        let id = step.argument["id"]?.number ?? link.broker.claims[partition]?.next ?? 1
        let emissions = try emissions(step.argument["records"] ?? step.argument, link)
        let members: [FrameLiteral.Member] = [
            .init("partition", .text(partition)), .init("emit_id", FrameLiteral(id)), .init("emissions", emissions),
            .init("checkpoint", step.argument["checkpoint"] ?? .null),
        ]
        let frame = try encoded("emit", .object(members), link)
        let fields = frame.fields.all("emissions")
        try spend(fields, step, link)
        genealogy.emitted(
            pipeline: link.broker.pipeline, stage: link.broker.stage, instance: link.broker.instance,
            partition: partition, emitID: id, emissions: fields, content: frame.content)
        if let next = link.broker.claims[partition]?.next, id == next { link.broker.claims[partition]?.next = id + 1 }
        write(FrameForge.framed(frame.content), Transcript.describe(frame.dump), to: link)
    }

    /// `settle: 1`, `settle: {first: 1, last: 3, kind: RETRY, delay_ms: 50, error: {...}}`, or a list of such outcomes:
    /// one Settle. Emissions as in `emit`, with `parents`. Kind is ACCEPTED unless it says another.
    func settle(_ step: Step, _ link: Link) throws(Stop) {
        let force = step.argument["force"]?.flag ?? false
        let list = step.argument["outcomes"]?.elements ?? step.argument.elements
        var outcomes: [FrameLiteral] = []
        for element in list.flatMap(Self.each) {
            let given: FrameLiteral = element.number.map { .object([.init("first", FrameLiteral($0))]) } ?? element
            var outcome = FrameLiteral.object([.init("kind", "ACCEPTED")]).overridden(by: given)
            if let emitted = given["emissions"] {
                outcome = outcome.overridden(by: .object([.init("emissions", try emissions(emitted, link))]))
            }
            outcomes.append(.object(outcome.members.filter { $0.name != "force" }))
        }
        let frame = try encoded("settle", .object([.init("outcomes", .list(outcomes))]), link)
        let fields = frame.fields.all("outcomes")
        if !force { try spend(fields.flatMap { $0.inner.all("emissions") }, step, link) }
        for field in fields { note(field, frame.content, link) }
        write(FrameForge.framed(frame.content), Transcript.describe(frame.dump), to: link)
    }

    /// `{first: 1, last: 3, each: true, ...}`: an outcome for each of these deliveries.
    private static func each(_ outcome: FrameLiteral) -> [FrameLiteral] {
        guard outcome["each"]?.flag == true, let first = outcome["first"]?.number, let last = outcome["last"]?.number,
            first <= last
        else { return [outcome] }
        let rest = FrameLiteral.object(outcome.members.filter { $0.name != "each" && $0.name != "last" })
        return (first...last).map { rest.overridden(by: .object([.init("first", FrameLiteral($0))])) }
    }

    /// Marks what an outcome settles, and remembers what its emissions must become.
    private func note(_ outcome: FrameDump.Field, _ content: [UInt8], _ link: Link) {
        let literal = FrameLiteral(outcome.inner)
        var parents: [(UInt64, Genealogy.Parent)] = []
        for range in [literal] + (literal["more"]?.elements ?? []) {
            let first = range["first"]?.number ?? 0
            let last = min(range["last"]?.number ?? first, UInt64(link.broker.deliveries.count))
            guard first >= 1, first <= last else { continue }
            for id in first...last {
                let index = Int(id) - 1
                link.broker.deliveries[index].isSettled = true
                let delivery = link.broker.deliveries[index]
                let lineage = delivery.record["lineage"] ?? .object([])
                parents.append((id, .init(id: delivery.recordID, lineage: lineage, attempt: delivery.attempt)))
            }
        }
        genealogy.settled(
            pipeline: link.broker.pipeline, stage: link.broker.stage, instance: link.broker.instance, parents: parents,
            ports: link.broker.ports, emissions: outcome.inner.all("emissions"), content: content)
    }

    private func encoded(_ kind: String, _ message: FrameLiteral, _ link: Link) throws(Stop) -> Received {
        do {
            let envelope: FrameLiteral = .object([
                .init("version", FrameLiteral(link.broker.version)), .init(kind, message),
            ])
            return Received(try FrameForge.envelope(envelope), arrival: now())
        } catch {
            throw .fail("the case cannot be sent: \(error.path): \(error.message)")
        }
    }

    /// Waits for credit, and takes it.
    private func spend(_ emissions: [FrameDump.Field], _ step: Step, _ link: Link) throws(Stop) {
        var needs: [UInt64: Account.Amount] = [:]
        for emission in emissions {
            let port = FrameLiteral(emission.inner)["port"]?.number ?? 0
            var need = needs[port] ?? Account.Amount()
            need.records += 1
            need.bytes += UInt64(emission.inner.first("output")?.range.count ?? 0) + link.broker.reserve
            needs[port] = need
        }
        for (port, need) in needs.sorted(by: { $0.key < $1.key }) {
            if !(step.argument["force"]?.flag ?? false) {
                try waitFor("credit for \(need.records) records and \(need.bytes) bytes on port \(port)", step) {
                    () throws(Stop) in
                    if link.broker.outputs[port]?.fits(records: need.records, bytes: need.bytes) ?? true { return true }
                    if link.isDone { throw .fail("credit was expected, but \(self.ending(link))", rules: ["CR-7"]) }
                    return false
                }
            }
            link.broker.outputs[port]?.spend(records: need.records, bytes: need.bytes)
        }
    }

    /// Records as cases write them to Emissions.
    private func emissions(_ list: FrameLiteral, _ link: Link) throws(Stop) -> FrameLiteral {
        var emissions: [FrameLiteral] = []
        for element in list.elements {
            let times = element["times"]?.number ?? 1
            for _ in 0..<times { emissions.append(emission(element, link)) }
        }
        return .list(emissions)
    }

    private func emission(_ element: FrameLiteral, _ link: Link) -> FrameLiteral {
        if element["output"] != nil || element["emission"] != nil {
            return element["emission"]
                ?? .object(
                    element.members.filter { $0.name == "output" || $0.name == "parents" || $0.name == "trace" }
                        + [.init("port", port(element["port"], link))])
        }
        let header = FrameLiteral.object([
            .init("schema", "conformance"), .init("schema_version", 1), .init("key", element["key"] ?? .null),
        ]).overridden(by: element["header"])
        let isPlain = element.members.isEmpty || element["fill"] != nil
        let payload = isPlain ? element : self.payload(element, header: header, link)
        var members: [FrameLiteral.Member] = [.init("port", port(element["port"], link))]
        if let parents = element["parents"] { members.append(.init("parents", parents)) }
        members.append(.init("output", .object([.init("header", header), .init("payload", payload)])))
        if let trace = element["trace"] { members.append(.init("trace", trace)) }
        return .object(members)
    }

    /// As written, or as many bytes as make the emission cost `charge` bytes (CR-3).
    private func payload(_ element: FrameLiteral, header: FrameLiteral, _ link: Link) -> FrameLiteral {
        guard let charge = element["charge"]?.number else { return element["payload"] ?? .null }
        let wanted = Int(charge) - Int(link.broker.reserve)
        let head = (try? FrameForge.message("Record", .object([.init("header", header)]))) ?? []
        // Tag, length, payload: the length takes 1 to 4 bytes, and some sums cannot be met exactly.
        for width in 1...4 {
            let size = wanted - head.count - 1 - width
            guard size > 0, (70 - UInt64(size).leadingZeroBitCount) / 7 == width else { continue }
            return .object([.init("fill", "x"), .init("size", FrameLiteral(size))])
        }
        return .null
    }

    /// By name, or by number for ports that are not there.
    private func port(_ value: FrameLiteral?, _ link: Link) -> FrameLiteral {
        guard let name = value?.text else { return value ?? .null }
        return link.broker.ports.first { $0.value == name }.map { FrameLiteral($0.key) } ?? .null
    }
}

extension Step {
    init(verb: Verb, argument: FrameLiteral, like other: Step) {
        self = other
        self.verb = verb
        self.argument = argument
    }
}
