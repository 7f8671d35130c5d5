import StagewireModel
import StagewireRecord
import StagewireTestSupport

@testable import StagewireLedger

/// A random life of a pipeline: entries that a router could have written, and the naive oracle of what they add up to.
struct History {
    struct Letter: Equatable {
        var home: UInt64
        var verdict: Verdict
        var isAsked = false
    }

    struct Reader {
        /// Of its stream: not settled.
        var open: Set<UInt64> = []
        var trials: [UInt64: Trial] = [:]
        var letters: [UInt64: Letter] = [:]
        var arrivals: [UInt64: UInt64] = [:]
        var arrivalCount: UInt64 = 0
    }

    let pipeline: PipelineDefinition
    let layout: Layout
    private(set) var random: SplitMix64
    /// All records ever, by stream; and the entry of each.
    private(set) var records: [[[UInt8]]]
    private(set) var homes: [[UInt64]]
    private(set) var readers: [Reader]
    private(set) var positions: [String: SourcePosition] = [:]
    private(set) var runs: [Run] = []
    private(set) var lastLetters: [String: UInt64] = [:]
    /// Payloads by sequence; the first is the layout.
    private(set) var entries: [[UInt8]] = []

    init(seed: UInt64, pipeline: PipelineDefinition = Sample.pipeline()) {
        random = SplitMix64(seed: seed)
        self.pipeline = pipeline
        layout = Layout(pipeline)
        records = Array(repeating: [], count: layout.streams.count)
        homes = records.map { _ in [] }
        readers = layout.subscriptions.map { _ in Reader() }
        entries.append(layout.encoded())
    }

    /// The sequence of the next entry.
    var next: UInt64 { UInt64(entries.count) + 1 }

    func payload(_ place: EntryPlace) -> [UInt8] { entries[Int(place.sequence) - 1] }

    private func stream(of reader: Int) -> Int {
        layout.streams.firstIndex(of: layout.subscriptions[reader].stream)!
    }

    // MARK: One entry

    /// Makes the next entry; returns its payload.
    @discardableResult
    mutating func step() -> [UInt8] {
        var appends: [(stream: Int, first: UInt64, records: [[UInt8]])] = []
        for stream in layout.streams.indices where Int.random(in: 0..<3, using: &random) == 0 {
            let first = UInt64(records[stream].count)
            let new = (0..<Int.random(in: 1...3, using: &random)).map {
                Sample.record("\(stream).\(first + UInt64($0))", key: "k\(Int.random(in: 0..<3, using: &random))")
            }
            appends.append((stream, first, new))
            records[stream] += new
            homes[stream] += new.map { _ in next }
            for reader in readers.indices where self.stream(of: reader) == stream {
                readers[reader].open.formUnion(first..<first + UInt64(new.count))
            }
        }
        var log = ChangeLog()
        for _ in 0..<Int.random(in: 0...6, using: &random) { change(&log) }
        let payload = Sample.steps(appends) { $0 = log }
        entries.append(payload)
        return payload
    }

    private mutating func change(_ log: inout ChangeLog) {
        let reader = Int.random(in: readers.indices, using: &random)
        switch Int.random(in: 0..<14, using: &random) {
        case 0..<7: finish(reader, &log)
        case 7: trial(reader, &log)
        case 8: bury(reader, &log)
        case 9: letters(reader, &log)
        case 10: revive(reader, &log)
        case 11: begin(&log)
        case _: move(&log)
        }
    }

    /// The front most often, as it is in life; an arrival now and then.
    private mutating func pick(_ reader: Int) -> UInt64? {
        let open = readers[reader].open.sorted() + readers[reader].arrivals.keys.sorted()
        return Int.random(in: 0..<3, using: &random) > 0 ? open.first : open.randomElement(using: &random)
    }

    private mutating func finish(_ reader: Int, _ log: inout ChangeLog) {
        guard let sequence = pick(reader) else { return }
        log.done(reader, sequence)
        close(reader, sequence)
    }

    private mutating func close(_ reader: Int, _ sequence: UInt64) {
        readers[reader].open.remove(sequence)
        readers[reader].arrivals[sequence] = nil
        readers[reader].trials[sequence] = nil
    }

    private mutating func trial(_ reader: Int, _ log: inout ChangeLog) {
        guard let sequence = pick(reader) else { return }
        let trial = Trial(
            attempt: UInt32.random(in: 2...9, using: &random), crashes: UInt32.random(in: 0...2, using: &random),
            age: UInt64.random(in: 0...9999, using: &random), delay: UInt64.random(in: 0...9999, using: &random))
        readers[reader].trials[sequence] = trial
        log.tried(reader, sequence, trial)
    }

    private mutating func bury(_ reader: Int, _ log: inout ChangeLog) {
        guard let sequence = pick(reader) else { return }
        let stage = layout.subscriptions[reader].stage
        lastLetters[stage, default: 0] += 1
        let verdict = Sample.verdict(lastLetters[stage]!, time: UInt64.random(in: 0...(.max), using: &random))
        readers[reader].letters[verdict.number] = Letter(
            home: readers[reader].arrivals[sequence] ?? sequence, verdict: verdict)
        close(reader, sequence)
        log.buried(reader, sequence, verdict)
    }

    private mutating func letters(_ reader: Int, _ log: inout ChangeLog) {
        guard let number = readers[reader].letters.keys.sorted().randomElement(using: &random) else { return }
        if Bool.random(using: &random) {
            readers[reader].letters[number] = nil
            log.discarded(reader, number: number)
        } else {
            readers[reader].letters[number]!.isAsked = true
            log.asked(reader, number: number)
        }
    }

    private mutating func revive(_ reader: Int, _ log: inout ChangeLog) {
        guard let number = readers[reader].letters.keys.sorted().randomElement(using: &random) else { return }
        let arrival = LedgerLimit.firstArrival + readers[reader].arrivalCount
        readers[reader].arrivalCount += 1
        readers[reader].arrivals[arrival] = readers[reader].letters.removeValue(forKey: number)!.home
        log.revived(reader, number: number, as: arrival)
    }

    private mutating func begin(_ log: inout ChangeLog) {
        let run = Run(
            number: UInt32(runs.count + 1), stage: "left", version: "\(next)", instance: "i", language: "Fortran")
        runs.append(run)
        log.began(run)
    }

    private mutating func move(_ log: inout ChangeLog) {
        let name = ["p", "q", ""].randomElement(using: &random)!
        let position = SourcePosition(
            epoch: next, lastEmitID: UInt64.random(in: 0...LedgerLimit.count, using: &random),
            checkpoint: [UInt8](repeating: 0xff, count: Int.random(in: 0...3, using: &random)))
        positions[name] = position
        log.moved(stage: 0, partition: name, to: position)
    }
}

// MARK: What must hold

extension History {
    /// What is wrong with a ledger that has taken in all entries so far.
    func faults(_ ledger: Ledger, strays: [UInt8]) -> [String] {
        let recovered: Recovered
        do {
            recovered = try ledger.recover(pipeline, strays: strays, fetch: each { payload($0) })
        } catch { return ["\(error)"] }
        var faults: [String] = []
        if recovered.runs != runs { faults.append("runs: \(recovered.runs)") }
        if recovered.lastLetters != layout.stages.map({ lastLetters[$0] ?? 0 }) { faults.append("last letters") }
        let positions = recovered.positions[0].map { "\($0.partition): \($0.position)" }
        if positions != self.positions.sorted(by: { $0.key < $1.key }).map({ "\($0.key): \($0.value)" }) {
            faults.append("positions: \(positions)")
        }
        for stream in layout.streams.indices {
            if recovered.streams[stream].end != UInt64(records[stream].count) { faults.append("end of \(stream)") }
            for record in recovered.streams[stream].records
            where Array(record.bytes) != records[stream][Int(record.sequence)] {
                faults.append("record \(record.sequence) of stream \(stream) is another")
            }
        }
        for index in readers.indices { faults += self.faults(of: index, recovered) }
        return faults + needFaults(ledger)
    }

    private func faults(of index: Int, _ recovered: Recovered) -> [String] {
        let (reader, found) = (readers[index], recovered.subscriptions[index])
        let stream = stream(of: index)
        let name = "\(layout.subscriptions[index])"
        var faults: [String] = []
        var open = Set(
            recovered.streams[stream].records.map(\.sequence).filter { !found.done.contains($0) })
        for held in found.held {
            if !open.insert(held.sequence).inserted { faults.append("\(name): \(held.sequence) is there twice") }
            let home = reader.arrivals[held.sequence] ?? held.sequence
            if wire(held.record) != records[stream][Int(home)] { faults.append("\(name): \(held.sequence) is another") }
        }
        if open != reader.open.union(reader.arrivals.keys) { faults.append("\(name): open \(open.sorted())") }
        if found.held.map(\.sequence) != found.held.map(\.sequence).sorted() {
            faults.append("\(name): held, not in order")
        }
        if found.trials != reader.trials { faults.append("\(name): trials \(found.trials)") }
        if found.arrivalCount != reader.arrivalCount { faults.append("\(name): \(found.arrivalCount) arrivals") }
        let expected = reader.letters.values.sorted { $0.verdict.number < $1.verdict.number }
        if found.letters.map(\.verdict) != expected.map(\.verdict)
            || found.letters.map(\.isAsked) != expected.map(\.isAsked)
            || found.letters.map({ wire($0.record) }) != expected.map({ records[stream][Int($0.home)] })
        {
            faults.append("\(name): dead letters")
        }
        return faults
    }

    private func wire(_ block: RecordBlock) -> [UInt8] {
        var bytes: [UInt8] = [0x22]
        bytes.put(block.ref.copyRecordBytes())
        return bytes
    }

    /// The records of a stream that anybody needs.
    func needed(_ stream: Int) -> Set<UInt64> {
        var needed: Set<UInt64> = []
        for index in readers.indices where self.stream(of: index) == stream {
            needed.formUnion(readers[index].open)
            needed.formUnion(readers[index].arrivals.values)
            needed.formUnion(readers[index].letters.values.map(\.home))
        }
        return needed
    }

    private func needFaults(_ ledger: Ledger) -> [String] {
        var first = next
        var hasStrays = false
        for stream in layout.streams.indices {
            let strays = ledger.streams[stream].strays
            hasStrays = hasStrays || !strays.isEmpty
            for sequence in needed(stream) where strays[sequence] == nil {
                first = min(first, homes[stream][Int(sequence)])
            }
        }
        let isJoined = ledger.streams.contains { $0.extents.all.contains { $0.last > $0.place.sequence } }
        // Entries that are one extent stay together. A record that was copied makes its stream keep entries behind it until the next cut.
        if ledger.firstNeeded == first || (hasStrays || isJoined) && ledger.firstNeeded < first { return [] }
        return ["entry \(first) is the first that is needed, not \(ledger.firstNeeded)"]
    }
}
