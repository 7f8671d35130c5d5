import StagewireWire

/// What every record that the suite's workers have emitted must look like when the broker delivers it: its id and
/// lineage follow from where it was made (LI-1 to LI-7), its bytes are those of the output (RE-1).
struct Genealogy {
    struct Expected {
        /// As emitted.
        var output: [UInt8]
        var parents: [[UInt8]]
        /// Nil for a source's record.
        var root: [UInt8]?
        var trace: FrameLiteral?
        var hops: Int
        /// Of the stage that emitted it.
        var stage: String
        var instance: String
        /// Of the first parent's delivery; 1 for a source's record.
        var attempt: UInt64
        /// Of the first parent, as it was delivered.
        var earlierHops: [FrameLiteral]
        var ingestTime: UInt64?
    }

    /// A record as it was delivered, which emissions may descend from.
    struct Parent {
        var id: [UInt8]
        var lineage: FrameLiteral
        var attempt: UInt64
    }

    private var records: [[UInt8]: Expected] = [:]

    /// - Parameter emissions: of one Emit, with their fields' places in `content`.
    mutating func emitted(
        pipeline: String, stage: String, instance: String, partition: String, emitID: UInt64,
        emissions: [FrameDump.Field], content: [UInt8]
    ) {
        let origin = Murmur.hash(Self.joined(pipeline, stage, partition))
        for (ordinal, emission) in emissions.enumerated() {
            let id = Murmur.hash(origin + Murmur.little(emitID) + Murmur.little(UInt64(ordinal)))
            // A repeated Emit is not applied, whatever it holds.
            guard records[id] == nil else { continue }
            records[id] = Expected(
                output: Self.output(emission, content), parents: [], root: nil,
                trace: emission.inner.first("trace").map { FrameLiteral($0.inner) }, hops: 1, stage: stage,
                instance: instance, attempt: 1, earlierHops: [], ingestTime: nil)
        }
    }

    /// - Parameters:
    ///   - parents: of the outcome, ascending, by delivery id.
    ///   - ports: names by number.
    mutating func settled(
        pipeline: String, stage: String, instance: String, parents: [(UInt64, Parent)], ports: [UInt64: String],
        emissions: [FrameDump.Field], content: [UInt8]
    ) {
        var ordinals: [[UInt8]: UInt64] = [:]
        for emission in emissions {
            let literal = FrameLiteral(emission.inner)
            let named = literal["parents"]?.elements.compactMap(\.number) ?? []
            let chosen = named.isEmpty ? parents.map(\.1) : named.compactMap { id in parents.first { $0.0 == id }?.1 }
            guard let first = chosen.first, let port = ports[literal["port"]?.number ?? 0] else { continue }
            let list = chosen.flatMap(\.id)
            let place = Murmur.hash(Self.joined(pipeline, stage, port)) + list
            let ordinal = ordinals[place, default: 0]
            ordinals[place] = ordinal + 1
            let hops = first.lineage["hops"]?.elements ?? []
            records[Murmur.hash(place + Murmur.little(ordinal))] = Expected(
                output: Self.output(emission, content), parents: chosen.map(\.id),
                root: first.lineage["root"]?.asBytes ?? first.id, trace: first.lineage["trace"], hops: hops.count + 1,
                stage: stage, instance: instance, attempt: first.attempt, earlierHops: hops,
                ingestTime: first.lineage["ingest_time"]?.number)
        }
    }

    private static func joined(_ parts: String...) -> [UInt8] { Array(parts.joined(separator: "\0").utf8) }

    private static func output(_ emission: FrameDump.Field, _ content: [UInt8]) -> [UInt8] {
        emission.inner.first("output").map { Array(content[$0.range]) } ?? []
    }

    // MARK: Checking

    /// - Parameters:
    ///   - record: as it was delivered.
    ///   - runs: announced to this session so far, by number.
    func check(_ record: FrameDump.Field, _ content: [UInt8], runs: [UInt64: FrameLiteral]) throws(Stop) {
        guard let lineage = record.inner.first, lineage.name == "lineage" else {
            throw .fail("a record does not begin with its lineage", rules: ["RE-1", "LI-1"])
        }
        let numbers = lineage.inner.map(\.number)
        guard numbers == numbers.sorted() else {
            throw .fail("the fields of a lineage stand in the order \(numbers)", rules: ["LI-1"])
        }
        let literal = FrameLiteral(lineage.inner)
        let id = literal["id"]?.asBytes ?? []
        guard let expected = records[id] else {
            throw .fail(
                "a record has the id \(Pattern.shown(.bytes(id))), which follows from no emission of this case",
                rules: ["LI-5", "LI-6", "LI-7"])
        }
        guard Array(content[lineage.range.upperBound..<record.range.upperBound]) == expected.output else {
            throw .fail("what stands behind a record's lineage is not the output as it was emitted", rules: ["RE-1"])
        }
        try check(literal, expected)
        try check(hops: literal["hops"]?.elements ?? [], expected, runs)
    }

    private func check(_ lineage: FrameLiteral, _ expected: Expected) throws(Stop) {
        let parents = lineage["parents"]?.elements.compactMap(\.asBytes) ?? []
        guard parents == Array(expected.parents.prefix(16)),
            (lineage["parents_truncated"]?.flag ?? false) == (expected.parents.count > 16)
        else { throw .fail("a lineage names other parents than the emission", rules: ["LI-1"]) }
        guard lineage["root"]?.asBytes == expected.root else {
            throw .fail("a lineage's root is \(Pattern.shown(lineage["root"]))", rules: ["LI-1"])
        }
        guard lineage["trace"] == expected.trace || Pattern.isZero(expected.trace) && lineage["trace"] == nil else {
            throw .fail("a lineage's trace is not that of the source", rules: ["LI-1"])
        }
        let time = lineage["ingest_time"]?.number ?? 0
        guard time > 0, expected.ingestTime == nil || expected.ingestTime == time else {
            throw .fail("a lineage's ingest time is \(time), not that of its root", rules: ["LI-1"])
        }
    }

    private func check(
        hops: [FrameLiteral], _ expected: Expected, _ runs: [UInt64: FrameLiteral]
    ) throws(Stop) {
        guard hops.count == expected.hops, Array(hops.dropLast()) == expected.earlierHops, let last = hops.last else {
            throw .fail("a lineage has \(hops.count) hops, \(expected.hops) are expected", rules: ["LI-1", "LI-2"])
        }
        for hop in hops where runs[hop["run"]?.number ?? 0] == nil {
            throw .fail("a hop has run \(hop["run"]?.number ?? 0), which was not announced", rules: ["LI-3"])
        }
        let run = runs[last["run"]?.number ?? 0]
        guard run?["stage"]?.text == expected.stage, run?["instance"]?.text == expected.instance else {
            throw .fail(
                "the last hop is \(Pattern.shown(run)), not stage \(expected.stage), instance \(expected.instance)",
                rules: ["LI-2", "LI-3"])
        }
        // A case takes no day; a clock that went back shows as a number near 2^64.
        let delta = last["delta"]?.number ?? 0
        guard delta < 86_400_000_000 else {
            throw .fail("the last hop is \(delta) microseconds behind the ingest time", rules: ["LI-2"])
        }
        let attempt = max(1, last["attempt"]?.number ?? 0)
        guard attempt == expected.attempt else {
            throw .fail("the last hop has attempt \(attempt), not \(expected.attempt)", rules: ["LI-2"])
        }
    }
}
