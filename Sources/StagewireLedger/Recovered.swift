import StagewireModel
import StagewireRecord

/// What a router begins with: a ledger's state with the records that it is about, numbered as in a pipeline definition.
public struct Recovered {
    public struct Stream {
        /// The first record that is kept in the stream itself.
        public var first: UInt64
        public var end: UInt64
        /// Those of `first..<end` that somebody needs, wire-ready, ascending.
        public var records: [StoredRecord] = []
    }

    /// A record beside its stream.
    public struct Held {
        /// Its own in the stream, or that of an arrival.
        public var sequence: UInt64
        public var record: RecordBlock
    }

    public struct Letter {
        public var verdict: Verdict
        public var record: RecordBlock
        /// A person has asked for it to be tried again.
        public var isAsked: Bool
    }

    public struct Subscription {
        public var done: SequenceSet
        /// Everything from here on was never delivered. Below the stream's `first`, it is still to be read from the disk.
        public var cursor: UInt64
        /// Bytes of that, about.
        public var bytesOnDisk = 0
        public var trials: [UInt64: Trial] = [:]
        /// Ascending.
        public var held: [Held] = []
        /// In the order of their numbers.
        public var letters: [Letter] = []
        public var arrivalCount: UInt64 = 0
    }

    public var streams: [Stream] = []
    public var subscriptions: [Subscription] = []
    /// By stage, in the order of their names.
    public var positions: [[(partition: String, position: SourcePosition)]] = []
    public var runs: [Run] = []
    /// By stage: the highest number of a dead letter so far.
    public var lastLetters: [UInt64] = []
}

/// A subscription that the journal knows and the pipeline does not have (any more), with what it still has to do.
public struct Orphan: Equatable, Sendable {
    public var name: SubscriptionName
    /// Undelivered or unsettled records.
    public var records: Int
    public var letters: Int
}

extension Ledger {
    /// What would be lost, for want of somebody to give it to, if this were the pipeline now.
    public func orphans(in layout: Layout) -> [Orphan] {
        let known = Set(layout.subscriptions)
        return subscriptions.compactMap { subscription in
            let end = streams[subscription.stream].end
            guard !known.contains(subscription.name), !subscription.isIdle(at: end) else { return nil }
            let records = subscription.done.gaps(below: end).reduce(0) { $0 + $1.count }
            return Orphan(
                name: subscription.name, records: records + subscription.arrivals.count,
                letters: subscription.letters.count)
        }
    }

    /// Subscriptions of a pipeline that begin with what comes from now on, though their stream has had records.
    public func newcomers(in layout: Layout) -> [SubscriptionName] {
        layout.subscriptions.filter { name in
            subscriptionIndex[name] == nil && (streamIndex[name.stream].map { streams[$0].end > 0 } ?? false)
        }
    }

    /// Reads back the records that are needed.
    ///
    /// - Parameters:
    ///   - strays: the records of the snapshot
    ///   - fetch: the payload of the entry at a place
    /// - Throws: what `fetch` throws, and `LedgerFlaw`.
    public func recover(_ pipeline: PipelineDefinition, strays: [UInt8], fetch: EntryFetch) throws
        -> Recovered
    {
        try SnapshotCopies.check(strays, areOf: snapshots, unless: streams.allSatisfy(\.strays.isEmpty))
        let layout = Layout(pipeline)
        var recovered = Recovered()
        recovered.runs = runs
        recovered.lastLetters = layout.stages.map { lastLetters[$0] ?? 0 }
        recovered.positions = layout.stages.map { stage in
            positions.filter { $0.key.stage == stage }.map { ($0.key.partition, $0.value) }.sorted { $0.0 < $1.0 }
        }
        var homes: [[UInt64: RecordBlock]] = []
        var older: [[StoredRecord]] = []
        let definitions = pipeline.stages.flatMap { stage in stage.ports.map { _ in stage } }
        for (name, stage) in zip(layout.streams, definitions) {
            guard let index = streamIndex[name] else {
                recovered.streams.append(Recovered.Stream(first: 0, end: 0))
                homes.append([:])
                older.append([])
                continue
            }
            var reading = StreamReading(
                self, index, bytes: pipeline.limits.streamBytes(workers: stage.maxWorkers),
                records: pipeline.limits.streamRecords(workers: stage.maxWorkers))
            try reading.run(strays: strays, fetch: fetch)
            recovered.streams.append(reading.stream)
            homes.append(reading.homes)
            older.append(reading.older)
        }
        for name in layout.subscriptions {
            guard let stream = layout.streams.firstIndex(of: name.stream) else {
                preconditionFailure("a subscription reads a stream of its pipeline")
            }
            recovered.subscriptions.append(
                subscription(name, recovered.streams[stream], homes: homes[stream], older: older[stream]))
        }
        return recovered
    }

    private func subscription(
        _ name: SubscriptionName, _ stream: Recovered.Stream, homes: [UInt64: RecordBlock],
        older: [StoredRecord]
    ) -> Recovered.Subscription {
        guard let index = subscriptionIndex[name] else {
            return Recovered.Subscription(done: SequenceSet(below: stream.end), cursor: stream.end)
        }
        let known = subscriptions[index]
        var recovered = Recovered.Subscription(
            done: known.done, cursor: known.cursor(below: stream.end), trials: known.trials)
        recovered.bytesOnDisk = bytes(streamIndex[name.stream], from: recovered.cursor, to: stream.first)
        recovered.arrivalCount = known.arrivalCount
        for record in older where record.sequence < recovered.cursor && !known.done.contains(record.sequence) {
            recovered.held.append(
                Recovered.Held(sequence: record.sequence, record: RecordBlock(wire: record.bytes.span.bytes)))
        }
        for (sequence, home) in known.arrivals.sorted(by: { $0.key < $1.key }) {
            guard let record = homes[home] else { continue }
            recovered.held.append(Recovered.Held(sequence: sequence, record: record))
        }
        for letter in known.letters.values.sorted(by: { $0.verdict.number < $1.verdict.number }) {
            guard let record = homes[letter.home] else { continue }
            recovered.letters.append(
                Recovered.Letter(verdict: letter.verdict, record: record, isAsked: letter.isAsked))
        }
        return recovered
    }
}

extension Ledger {
    /// Bytes of the records of a stream in a range, about.
    private func bytes(_ stream: Int?, from: UInt64, to end: UInt64) -> Int {
        guard let stream, from < end else { return 0 }
        var bytes = 0
        for extent in streams[stream].extents.from(from, bytes: .max) where extent.first < end {
            bytes += extent.bytes
        }
        return bytes
    }
}

extension Ledger.Subscription {
    /// Behind everything that was ever delivered, as far as that has left a trace: what is not done with below has to come
    /// again.
    func cursor(below end: UInt64) -> UInt64 {
        max(done.end, trials.keys.filter { $0 < end }.max().map { $0 + 1 } ?? 0)
    }
}

/// Reads the needed records of one stream, the latest first: as many as its memory may have stay in the stream. Of the older
/// ones those that had been delivered get memory of their own; the others stay on the disk for now.
private struct StreamReading {
    private let source: Ledger.Stream
    private let needed: RangeIndex
    /// What somebody needs on its straight way.
    private let straight: RangeIndex
    /// What of that was delivered and has to come again.
    private let begun: RangeIndex
    private let wanted: Set<UInt64>
    private let byteLimit: Int
    private let recordLimit: Int
    private var bytes = 0
    private var isFull = false
    /// Descending while reading.
    private(set) var stream: Recovered.Stream
    private(set) var older: [StoredRecord] = []
    private(set) var homes: [UInt64: RecordBlock] = [:]

    init(_ ledger: Ledger, _ index: Int, bytes: Int, records: Int) {
        source = ledger.streams[index]
        needed = ledger.needed(index)
        straight = RangeIndex(
            source.subscribers.flatMap { ledger.subscriptions[$0].done.gaps(below: ledger.streams[index].end) })
        begun = RangeIndex(
            source.subscribers.flatMap { subscriber in
                let subscription = ledger.subscriptions[subscriber]
                return subscription.done.gaps(below: subscription.cursor(below: ledger.streams[index].end))
            })
        wanted = Set(ledger.homes(index))
        byteLimit = bytes
        recordLimit = records
        stream = Recovered.Stream(first: source.end, end: source.end)
    }

    mutating func run(strays: [UInt8], fetch: EntryFetch) throws {
        for extent in source.extents.all.reversed() where isWanted(extent) {
            for record in try extent.records(fetch).reversed() { try take(record) }
        }
        for (sequence, range) in source.strays.sorted(by: { $0.key > $1.key }) {
            guard range.upperBound <= strays.count else {
                throw LedgerFlaw.about("record \(sequence) of \(source.name) is not in the snapshot")
            }
            try take(StoredRecord(sequence: sequence, bytes: strays[range]))
        }
        for (number, record) in source.edited where wanted.contains(number) { try take(record.read(number, fetch)) }
        stream.records.reverse()
        older.reverse()
        let found = stream.records.count + older.count
        let missing = straight.count(in: stream.first..<stream.end) + begun.count(in: 0..<stream.first) - found
        guard missing == 0 else {
            throw LedgerFlaw(what: "\(missing) records of \(source.name) are needed and are not there", offset: 0)
        }
        guard homes.count == wanted.count else {
            throw LedgerFlaw(
                what: "the records of \(wanted.count - homes.count) dead letters of \(source.name) are not there",
                offset: 0)
        }
    }

    private func isWanted(_ extent: Ledger.Extent) -> Bool {
        let range = extent.first..<extent.end
        guard isFull else { return needed.overlaps(range) }
        return begun.overlaps(range) || wanted.contains { range.contains($0) }
    }

    private mutating func take(_ record: StoredRecord) throws(LedgerFlaw) {
        let (isHome, isStraight) = (wanted.contains(record.sequence), straight.contains(record.sequence))
        guard isHome || isStraight else { return }
        try record.check()
        if isHome { homes[record.sequence] = RecordBlock(wire: record.bytes.span.bytes) }
        guard isStraight else { return }
        let isBeyond =
            bytes + record.bytes.count > byteLimit || stream.end - record.sequence > UInt64(recordLimit)
        isFull = isFull || isBeyond
        guard !isFull else {
            if begun.contains(record.sequence) { older.append(record) }
            return
        }
        bytes += record.bytes.count
        stream.first = record.sequence
        stream.records.append(record)
    }
}
