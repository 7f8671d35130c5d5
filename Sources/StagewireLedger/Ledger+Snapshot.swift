import StagewireModel

/// A snapshot: the ledger's state, and copies of the few records that old segments would have to be kept for.
///
/// ```
/// "stgwsnap" | version | length of the state | state | records, wire-ready | checksum of everything before
/// ```
/// The bytes are framed and checked by whoever stores them; this is the content only.
extension Ledger {
    /// Bytes of the records needed in entries below `cut`: exact for copies, an estimate where extents are needed in part.
    public func liveBytes(below cut: UInt64) -> Int {
        var total = 0
        for (index, stream) in streams.enumerated() {
            total += stream.strays.values.reduce(0) { $0 + $1.count }
            let old = stream.entries(below: cut)
            if old.isEmpty { continue }
            let needed = needed(index)
            for extent in old {
                total += extent.bytes.count / max(1, extent.count) * needed.count(in: extent.first..<extent.end)
            }
        }
        return total
    }

    /// The state, with copies of all records that are needed from entries below `cut`; afterwards nothing below it is.
    ///
    /// - Parameters:
    ///   - old: the records of the snapshot before this one
    ///   - fetch: the payload of the entry at a place
    public func snapshot(
        cutting cut: UInt64, strays old: [UInt8], fetch: (EntryPlace) throws -> [UInt8]
    ) throws -> Snapshot {
        var copy = self
        var records: [UInt8] = []
        for index in streams.indices {
            let needed = needed(index)
            var strays: [UInt64: Range<Int>] = [:]
            for (sequence, range) in streams[index].strays.sorted(by: { $0.key < $1.key })
            where needed.contains(sequence) {
                strays[sequence] = records.appendCopy(of: old[range])
            }
            for extent in streams[index].entries(below: cut) where needed.overlaps(extent.first..<extent.end) {
                let payload = try fetch(extent.place)
                for record in try WireRecords.split(payload, extent) where needed.contains(record.sequence) {
                    strays[record.sequence] = records.appendCopy(of: record.bytes)
                }
            }
            copy.streams[index].strays = strays
            copy.streams[index].forget(below: cut)
        }
        return Snapshot(ledger: copy, records: records)
    }

    /// A snapshot made of an earlier state of this ledger is durable: its copies stand for what it cut.
    public mutating func adopt(_ snapshot: Ledger, cutting cut: UInt64) {
        for index in snapshot.streams.indices {
            streams[index].strays = snapshot.streams[index].strays
            streams[index].forget(below: cut)
        }
    }
}

extension Ledger.Stream {
    /// What is known to be in entries below `cut`.
    fileprivate func entries(below cut: UInt64) -> [Ledger.Extent] {
        pinned.filter { $0.place.sequence < cut } + extents.prefix { $0.place.sequence < cut }
    }

    fileprivate mutating func forget(below cut: UInt64) {
        pinned.removeAll { $0.place.sequence < cut }
        while let extent = extents.first, extent.place.sequence < cut { extents.removeFirst() }
    }
}

/// A ledger and the records that it has copies of.
public struct Snapshot: Sendable {
    public var ledger: Ledger
    /// Wire-ready records; `Ledger.Stream.strays` says which is where.
    public var records: [UInt8]

    public init(ledger: Ledger, records: [UInt8]) {
        self.ledger = ledger
        self.records = records
    }

    public func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        ledger.encode(into: &bytes)
        bytes.put(records)
        return bytes
    }

    public init(_ payload: RawSpan) throws(LedgerFlaw) {
        var cursor = PayloadCursor(payload)
        ledger = try Ledger.decode(payload, &cursor)
        records = try cursor.data(payload)
        guard cursor.isAtEnd else { throw LedgerFlaw(what: "something follows the snapshot", offset: cursor.offset) }
        for stream in ledger.streams {
            for range in stream.strays.values where range.upperBound > records.count {
                throw LedgerFlaw(what: "a record of \(stream.name) lies outside of the snapshot", offset: 0)
            }
        }
    }
}

/// A record that was read back, wire-ready.
public struct StoredRecord: Sendable {
    public var sequence: UInt64
    public var bytes: ArraySlice<UInt8>
}

/// Wire-ready records, one behind the other.
enum WireRecords {
    /// The records of an extent.
    static func split(_ payload: [UInt8], _ extent: Ledger.Extent) throws(LedgerFlaw) -> [StoredRecord] {
        guard extent.bytes.upperBound <= payload.count else {
            throw LedgerFlaw(what: "the entry is shorter than what was read of it before", offset: payload.count)
        }
        var records: [StoredRecord] = []
        records.reserveCapacity(extent.count)
        var offset = extent.bytes.lowerBound
        while offset < extent.bytes.upperBound {
            let end = try end(ofRecordAt: offset, payload, extent.bytes)
            records.append(StoredRecord(sequence: extent.first + UInt64(records.count), bytes: payload[offset..<end]))
            offset = end
        }
        guard records.count == extent.count else {
            throw LedgerFlaw(
                what: "\(extent.count) records are announced and \(records.count) are there",
                offset: extent.bytes.lowerBound)
        }
        return records
    }

    private static func end(ofRecordAt offset: Int, _ payload: [UInt8], _ range: Range<Int>) throws(LedgerFlaw) -> Int {
        var cursor = PayloadCursor(payload.span.bytes, offset..<range.upperBound)
        guard try cursor.number(payload.span.bytes) == 0x22 else {
            throw LedgerFlaw(what: "no record begins here", offset: offset)
        }
        let length = try cursor.count(payload.span.bytes)
        return try cursor.skip(length).upperBound
    }
}

// MARK: Encoding

extension Ledger {
    fileprivate func encode(into bytes: inout [UInt8]) {
        bytes.put(next)
        bytes.put(layout.encoded())
        bytes.put(streams.count)
        for stream in streams { bytes.put(stream) }
        bytes.put(subscriptions.count)
        for subscription in subscriptions { bytes.put(subscription) }
        bytes.put(positions.count)
        for (name, position) in positions.sorted(by: {
            ($0.key.stage, $0.key.partition) < ($1.key.stage, $1.key.partition)
        }) {
            bytes.put(name.stage)
            bytes.put(name.partition)
            bytes.put(position)
        }
        bytes.put(runs.count)
        for run in runs { bytes.put(run) }
        bytes.put(lastLetters.count)
        for (stage, number) in lastLetters.sorted(by: { $0.key < $1.key }) {
            bytes.put(stage)
            bytes.put(number)
        }
    }

    fileprivate static func decode(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) -> Ledger {
        var ledger = Ledger()
        ledger.next = try cursor.number(bytes)
        let names = try cursor.data(bytes)
        try ledger.decodeStreams(bytes, &cursor)
        try ledger.decodeSubscriptions(bytes, &cursor)
        try ledger.decodeRest(bytes, &cursor)
        ledger.take(try Layout(names.span.bytes))
        return ledger
    }

    private mutating func decodeStreams(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        let count = try cursor.count(bytes)
        for _ in 0..<count {
            let stream = try cursor.ledgerStream(bytes)
            streamIndex[stream.name] = streams.count
            streams.append(stream)
        }
    }

    private mutating func decodeSubscriptions(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        let count = try cursor.count(bytes)
        for _ in 0..<count {
            let subscription = try cursor.ledgerSubscription(bytes, streamIndex)
            subscriptionIndex[subscription.name] = subscriptions.count
            streams[subscription.stream].subscribers.append(subscriptions.count)
            subscriptions.append(subscription)
        }
    }

    private mutating func decodeRest(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        let partitions = try cursor.count(bytes)
        for _ in 0..<partitions {
            let name = PartitionName(stage: try cursor.text(bytes), partition: try cursor.text(bytes))
            positions[name] = try cursor.position(bytes)
        }
        let runCount = try cursor.count(bytes)
        for _ in 0..<runCount { runs.append(try cursor.run(bytes)) }
        let stages = try cursor.count(bytes)
        for _ in 0..<stages {
            let stage = try cursor.text(bytes)
            lastLetters[stage] = try cursor.number(bytes)
        }
    }
}

extension [UInt8] {
    /// Returns where it lies now.
    fileprivate mutating func appendCopy(of bytes: ArraySlice<UInt8>) -> Range<Int> {
        append(contentsOf: bytes)
        return count - bytes.count..<count
    }

    fileprivate mutating func put(_ range: Range<Int>) {
        put(range.lowerBound)
        put(range.count)
    }

    fileprivate mutating func put(_ stream: Ledger.Stream) {
        put(stream.name)
        put(stream.end)
        // Pinned ones are told apart again as soon as something of the stream is done with.
        put(stream.pinned.count + stream.extents.count)
        for extent in stream.pinned + stream.extents {
            put(extent.first)
            put(extent.count)
            put(extent.bytes)
            put(extent.place.segment)
            put(extent.place.offset)
            put(extent.place.sequence)
        }
        put(stream.strays.count)
        for (sequence, range) in stream.strays.sorted(by: { $0.key < $1.key }) {
            put(sequence)
            put(range)
        }
    }

    fileprivate mutating func put(_ subscription: Ledger.Subscription) {
        put(subscription.name)
        put(subscription.done.low)
        put(subscription.done.ranges.count)
        for range in subscription.done.ranges {
            put(range.lowerBound)
            put(range.count)
        }
        put(subscription.trials.count)
        for (sequence, trial) in subscription.trials.sorted(by: { $0.key < $1.key }) {
            put(sequence)
            put(trial)
        }
        put(subscription.letters.count)
        for (_, letter) in subscription.letters.sorted(by: { $0.key < $1.key }) {
            put(letter.home)
            put(letter.verdict)
            put(letter.isAsked ? 1 : 0)
        }
        put(subscription.arrivals.count)
        for (sequence, home) in subscription.arrivals.sorted(by: { $0.key < $1.key }) {
            put(sequence)
            put(home)
        }
        put(subscription.arrivalCount)
    }
}

extension PayloadCursor {
    fileprivate mutating func range(_ bytes: RawSpan) throws(LedgerFlaw) -> Range<Int> {
        let low = try count(bytes)
        let length = try count(bytes)
        guard length <= .max - low else { throw LedgerFlaw(what: "a range is too large", offset: offset) }
        return low..<low + length
    }

    fileprivate mutating func ledgerStream(_ bytes: RawSpan) throws(LedgerFlaw) -> Ledger.Stream {
        var stream = Ledger.Stream(name: try stream(bytes))
        stream.end = try number(bytes)
        for _ in 0..<(try count(bytes)) {
            stream.extents.append(
                Ledger.Extent(
                    first: try number(bytes), count: try count(bytes), bytes: try range(bytes),
                    place: EntryPlace(
                        segment: try number(bytes), offset: try count(bytes), sequence: try number(bytes))))
        }
        for _ in 0..<(try count(bytes)) {
            let sequence = try number(bytes)
            stream.strays[sequence] = try range(bytes)
        }
        return stream
    }

    fileprivate mutating func ledgerSubscription(_ bytes: RawSpan, _ streams: [StreamName: Int]) throws(LedgerFlaw)
        -> Ledger.Subscription
    {
        let name = try subscription(bytes)
        guard let stream = streams[name.stream] else {
            throw LedgerFlaw(what: "\(name) reads a stream that is not there", offset: offset)
        }
        var done = SequenceSet(below: try number(bytes))
        for _ in 0..<(try count(bytes)) {
            let low = try number(bytes)
            let (high, overflow) = low.addingReportingOverflow(try number(bytes))
            guard !overflow else { throw LedgerFlaw(what: "a range is too large", offset: offset) }
            done.insert(low..<high)
        }
        var subscription = Ledger.Subscription(name: name, stream: stream, done: done)
        for _ in 0..<(try count(bytes)) {
            let sequence = try number(bytes)
            subscription.trials[sequence] = try trial(bytes)
        }
        for _ in 0..<(try count(bytes)) {
            let home = try number(bytes)
            let verdict = try verdict(bytes)
            subscription.letters[verdict.number] = Ledger.Letter(
                home: home, verdict: verdict, isAsked: try number(bytes) != 0)
        }
        for _ in 0..<(try count(bytes)) {
            let sequence = try number(bytes)
            subscription.arrivals[sequence] = try number(bytes)
        }
        subscription.arrivalCount = try number(bytes)
        return subscription
    }
}
