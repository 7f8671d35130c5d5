import StagewireWire

/// Deliveries to a worker under test, and the verdicts on them.
extension CaseRun {
    /// `deliver: [echo, {do: "emit 3", key: a, attempt: 2}]`: each element a record, by its payload or in full:
    /// `do` or `payload`, `key`, `attempt`, `header` (members in place of the usual ones), `lineage`, `record` (the
    /// whole message, verbatim), `times`. Or `{records: [...], input: 3, force: true, together: false}`.
    ///
    /// Waits for the worker's credit, unless `force`. `together: false` puts each into a frame of its own.
    func deliver(_ step: Step, _ link: Link) throws(Stop) {
        let list = step.argument["records"] ?? step.argument
        let input = step.argument["input"]?.number ?? link.worker.inputs.keys.sorted().first ?? 0
        var records: [(encoded: [UInt8], key: [UInt8], attempt: UInt64)] = []
        for element in list.elements {
            for _ in 0..<(element["times"]?.number ?? 1) {
                records.append(try record(element, number: link.worker.deliveries.count + records.count + 1))
            }
        }
        let isTogether = step.argument["together"]?.flag ?? true
        let force = step.argument["force"]?.flag ?? false
        while !records.isEmpty {
            if !force { try awaitCredit(UInt64(records[0].encoded.count), input, step, link) }
            var count = 1
            while isTogether, count < records.count, force || fits(records[...count], input, link) { count += 1 }
            try sendDeliver(Array(records[..<count]), input, link)
            records.removeFirst(count)
        }
    }

    private func fits(
        _ records: ArraySlice<(encoded: [UInt8], key: [UInt8], attempt: UInt64)>, _ input: UInt64, _ link: Link
    ) -> Bool {
        let bytes = records.reduce(UInt64(0)) { $0 + UInt64($1.encoded.count) }
        guard bytes < 1 << 20 else { return false }
        return link.worker.inputs[input]?.fits(records: UInt64(records.count), bytes: bytes) ?? false
    }

    private func awaitCredit(_ bytes: UInt64, _ input: UInt64, _ step: Step, _ link: Link) throws(Stop) {
        do {
            try waitFor("credit for a record of \(bytes) bytes on input \(input)", step) { () throws(Stop) in
                if link.worker.inputs[input]?.fits(records: 1, bytes: bytes) ?? false { return true }
                if link.isDone { throw .fail("a record was to be delivered, but \(self.ending(link))") }
                return false
            }
        } catch {
            throw Stop(
                verdict: error.verdict, rules: error.rules.isEmpty ? ["CR-6"] : error.rules, message: error.message)
        }
    }

    private func sendDeliver(
        _ records: [(encoded: [UInt8], key: [UInt8], attempt: UInt64)], _ input: UInt64, _ link: Link
    ) throws(Stop) {
        let first = UInt64(link.worker.deliveries.count) + 1
        var members: [FrameLiteral.Member] = [
            .init("input", FrameLiteral(input)), .init("first_delivery", FrameLiteral(first)),
        ]
        if records.contains(where: { $0.attempt != 1 }) {
            members.append(.init("attempts", .list(records.map { FrameLiteral($0.attempt) })))
        }
        for (index, record) in records.enumerated() {
            members.append(.init("records", .bytes(record.encoded)))
            let size = UInt64(record.encoded.count)
            link.worker.inputs[input, default: Account()].spend(records: 1, bytes: size)
            link.worker.deliveries.append(
                .init(id: first + UInt64(index), input: input, key: record.key, size: size, outcome: nil))
        }
        try send("deliver", members, to: link)
    }

    /// - Parameter number: from which an id follows, when none is given.
    private func record(
        _ element: FrameLiteral, number: Int
    ) throws(Stop) -> (encoded: [UInt8], key: [UInt8], attempt: UInt64) {
        let attempt = element["attempt"]?.number ?? 1
        let whole = element["record"]
        let header = FrameLiteral.object([
            .init("schema", "conformance"), .init("schema_version", 1), .init("key", element["key"] ?? .null),
        ]).overridden(by: element["header"])
        let lineage = FrameLiteral.object([
            .init("id", .bytes(Murmur.hash(Murmur.little(UInt64(number))))),
            .init("ingest_time", 1_767_225_600_000_000), .init("hops", [["run": 1]]),
        ]).overridden(by: element["lineage"])
        let payload = element["do"] ?? element["payload"] ?? (element.members.isEmpty ? element : .null)
        let literal =
            whole ?? .object([.init("lineage", lineage), .init("header", header), .init("payload", payload)])
        do {
            let encoded = try FrameForge.message("Record", literal)
            return (encoded, literal["header"]?["key"]?.asBytes ?? [], attempt)
        } catch {
            throw .fail("the case cannot be sent: record: \(error.path): \(error.message)")
        }
    }

    // MARK: Verdicts

    /// `settled: {1: ACCEPTED, 2-4: {kind: REJECTED, error: {code: 1000}}, 5: {emissions: [{payload: x, port: out}]}}`:
    /// waits until these are settled and compares the last to be so as the first. A list is one pattern for each
    /// delivery from the first on; `settled: all` only waits.
    func settled(_ step: Step, _ link: Link) throws(Stop) {
        let expectations = Self.expectations(step.argument, count: link.worker.deliveries.count)
        try waitFor("a verdict on \(expectations.count) deliveries", step) { () throws(Stop) in
            let isSettled = expectations.allSatisfy { id, _ in
                id >= 1 && id <= link.worker.deliveries.count && link.worker.deliveries[Int(id) - 1].outcome != nil
            }
            if isSettled { return true }
            if link.isDone {
                let open = expectations.filter { link.worker.deliveries[Int($0.0) - 1].outcome == nil }.map(\.0)
                throw .fail("deliveries \(open) were not settled before \(self.ending(link))")
            }
            return false
        }
        for (id, pattern) in expectations {
            guard let outcome = link.worker.deliveries[Int(id) - 1].outcome else { continue }
            if let problem = mismatch(pattern, outcome, link) { throw .fail("delivery \(id): \(problem)") }
        }
    }

    private static func expectations(_ argument: FrameLiteral, count: Int) -> [(UInt64, FrameLiteral)] {
        switch argument {
        case .text("all"), .null: return (1...UInt64(max(1, count))).map { ($0, .null) }
        case .list(let patterns): return patterns.enumerated().map { (UInt64($0.offset) + 1, $0.element) }
        case .object(let members):
            return members.flatMap { member -> [(UInt64, FrameLiteral)] in
                let ends = member.name.split(separator: "-").compactMap { UInt64($0) }
                guard let first = ends.first, let last = ends.last, first <= last else { return [] }
                return (first...last).map { ($0, member.value) }
            }
        case _: return (1...UInt64(max(1, count))).map { ($0, argument) }
        }
    }

    private func mismatch(_ pattern: FrameLiteral, _ outcome: WorkerLedger.Outcome, _ link: Link) -> String? {
        if let kind = pattern.text {
            return Pattern.mismatch(.text(kind), .text(outcome.kind), path: "the verdict")
        }
        let flat = FrameLiteral.object(
            outcome.literal.members.filter { $0.name != "emissions" } + [
                .init(
                    "emissions",
                    .list(outcome.emissions.map { EmissionPattern.flattened($0, ports: link.worker.ports) }))
            ])
        return Pattern.mismatch(pattern, flat)
    }
}

/// An emission as cases write it: `{port: out, payload: x, key: k, header: {...}, parents: [...]}`.
enum EmissionPattern {
    static func flattened(_ emission: FrameLiteral, ports: [String: UInt64]) -> FrameLiteral {
        let number = emission["port"]?.number ?? 0
        let port = ports.first { $0.value == number }?.key ?? "\(number)"
        let output = emission["output"] ?? .object([])
        return .object([
            .init("port", .text(port)), .init("parents", emission["parents"] ?? .list([])),
            .init("header", output["header"] ?? .object([])), .init("payload", output["payload"] ?? .bytes([])),
            .init("key", output["header"]?["key"] ?? .bytes([])), .init("trace", emission["trace"] ?? .null),
        ])
    }
}
