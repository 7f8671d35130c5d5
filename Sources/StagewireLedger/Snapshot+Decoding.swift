import StagewireModel

/// Reading a snapshot back. What could not have been written is refused here, so that nothing behind has to expect it.
extension Ledger {
    static func decode(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) -> Ledger {
        var ledger = Ledger()
        ledger.next = try cursor.number(bytes, upTo: LedgerLimit.count)
        ledger.snapshots = try cursor.number(bytes, upTo: LedgerLimit.count)
        let start = cursor.offset
        let names = try cursor.data(bytes)
        let layout = try Layout(names.span.bytes)
        try ledger.decodeTimes(bytes, &cursor)
        try ledger.decodeStreams(bytes, &cursor)
        try ledger.decodeSubscriptions(bytes, &cursor)
        guard layout.streams.allSatisfy({ ledger.streamIndex[$0] != nil }),
            layout.subscriptions == ledger.subscriptions.map(\.name)
        else { throw LedgerFlaw(what: "the names are not those of what follows", offset: start) }
        try ledger.decodeRest(bytes, &cursor)
        ledger.take(layout)
        return ledger
    }

    private mutating func decodeTimes(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        border = try cursor.number(bytes, upTo: next)
        let kept = try cursor.number(bytes, upTo: next)
        retained = kept == 0 ? .max : kept
        time = try cursor.number(bytes)
        for _ in 0..<(try cursor.count(bytes)) {
            let start = cursor.offset
            let mark = SegmentMark(first: try cursor.number(bytes, upTo: next), time: try cursor.number(bytes))
            // The next one gets the ledger's own time, so none may be ahead of that.
            if mark.time > time { throw LedgerFlaw(what: "a segment of a time to come", offset: start) }
            if let last = segments.last, mark.first <= last.first || mark.time < last.time {
                throw LedgerFlaw(what: "segments are out of order", offset: start)
            }
            segments.append(mark)
        }
    }

    private mutating func decodeStreams(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        for _ in 0..<(try cursor.count(bytes)) {
            let start = cursor.offset
            let stream = try cursor.ledgerStream(bytes, before: next)
            guard streamIndex.updateValue(streams.count, forKey: stream.name) == nil else {
                throw LedgerFlaw(what: "stream \(stream.name) is there twice", offset: start)
            }
            streams.append(stream)
        }
    }

    private mutating func decodeSubscriptions(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        for _ in 0..<(try cursor.count(bytes)) {
            let start = cursor.offset
            let name = try cursor.subscription(bytes)
            guard let stream = streamIndex[name.stream] else {
                throw LedgerFlaw(what: "\(name) reads a stream that is not there", offset: start)
            }
            guard subscriptionIndex.updateValue(subscriptions.count, forKey: name) == nil else {
                throw LedgerFlaw(what: "\(name) is there twice", offset: start)
            }
            subscriptions.append(
                try cursor.ledgerSubscription(bytes, name, of: stream, endingAt: streams[stream].end))
        }
    }

    private mutating func decodeRest(_ bytes: RawSpan, _ cursor: inout PayloadCursor) throws(LedgerFlaw) {
        for _ in 0..<(try cursor.count(bytes)) {
            let start = cursor.offset
            let name = PartitionName(stage: try cursor.text(bytes), partition: try cursor.text(bytes))
            guard positions.updateValue(try cursor.position(bytes), forKey: name) == nil else {
                throw LedgerFlaw(what: "partition \(name.partition) of \(name.stage) is there twice", offset: start)
            }
        }
        for _ in 0..<(try cursor.count(bytes)) {
            let start = cursor.offset
            runs.append(try cursor.run(bytes))
            guard runs[runs.count - 1].number == runs.count else {
                throw LedgerFlaw(what: "run \(runs.count) has another number", offset: start)
            }
        }
        for _ in 0..<(try cursor.count(bytes)) {
            let start = cursor.offset
            let stage = try cursor.text(bytes)
            let last = try cursor.number(bytes, upTo: LedgerLimit.count)
            guard lastLetters.updateValue(last, forKey: stage) == nil else {
                throw LedgerFlaw(what: "stage \(stage) is there twice", offset: start)
            }
        }
        for subscription in subscriptions {
            let last = lastLetters[subscription.name.stage, default: 0]
            guard subscription.letters.keys.allSatisfy({ $0 <= last }) else {
                throw LedgerFlaw(
                    what: "\(subscription.name) has dead letters behind its last one", offset: cursor.offset)
            }
        }
    }
}

extension PayloadCursor {
    fileprivate mutating func ledgerStream(_ bytes: RawSpan, before next: UInt64) throws(LedgerFlaw) -> Ledger.Stream {
        var stream = Ledger.Stream(name: try stream(bytes))
        stream.end = try number(bytes, upTo: LedgerLimit.sequence)
        var last = Ledger.Extent(
            first: 0, count: 0, bytes: 0, place: EntryPlace(segment: 0, offset: 0, sequence: 0), number: 0, time: 0)
        for _ in 0..<(try count(bytes)) {
            let start = offset
            let extent = try extent(bytes, upTo: stream.end)
            guard extent.first >= last.end, extent.place.sequence >= last.last, extent.last < next
            else { throw LedgerFlaw(what: "entries of \(stream.name) are out of order", offset: start) }
            stream.extents.append(extent)
            last = extent
        }
        // Copies are of records before those that are still in entries.
        let limit = stream.extents.first?.first ?? stream.end
        var least: UInt64 = 0
        for _ in 0..<(try count(bytes)) {
            let start = offset
            let sequence = try ascending(bytes, &least, below: LedgerLimit.firstArrival)
            guard sequence < limit || sequence >= LedgerLimit.firstEdited else {
                throw LedgerFlaw(what: "\(sequence) is out of place", offset: start)
            }
            stream.strays[sequence] = try range(bytes)
        }
        try edited(bytes, before: next, &stream)
        return stream
    }

    private mutating func edited(_ bytes: RawSpan, before next: UInt64, _ stream: inout Ledger.Stream)
        throws(LedgerFlaw)
    {
        stream.edits = try number(bytes, upTo: LedgerLimit.count)
        var least = LedgerLimit.firstEdited
        for _ in 0..<(try count(bytes)) {
            let number = try ascending(bytes, &least, below: LedgerLimit.firstEdited + stream.edits)
            let place = EntryPlace(
                segment: try self.number(bytes), offset: try count(bytes), sequence: try self.number(bytes, upTo: next))
            stream.edited[number] = Ledger.EditedRecord(place: place, bytes: try range(bytes))
        }
    }

    /// The record of a dead letter or of an arrival.
    private mutating func home(_ bytes: RawSpan, before end: UInt64) throws(LedgerFlaw) -> UInt64 {
        let start = offset
        let home = try number(bytes, upTo: LedgerLimit.firstArrival - 1)
        guard home < end || home >= LedgerLimit.firstEdited else {
            throw LedgerFlaw(what: "\(home) is too large a number", offset: start)
        }
        return home
    }

    private mutating func extent(_ bytes: RawSpan, upTo end: UInt64) throws(LedgerFlaw) -> Ledger.Extent {
        let start = offset
        let extent = (first: try number(bytes), count: try count(bytes), bytes: try count(bytes))
        guard extent.count >= 1, extent.count <= extent.bytes / WireRecords.shortest, extent.first <= end,
            UInt64(extent.count) <= end - extent.first
        else { throw LedgerFlaw(what: "\(extent.count) records in \(extent.bytes) bytes", offset: start) }
        let place = EntryPlace(
            segment: try number(bytes), offset: try count(bytes),
            sequence: try number(bytes, upTo: LedgerLimit.count))
        return Ledger.Extent(
            first: extent.first, count: extent.count, bytes: extent.bytes, place: place,
            last: place.sequence + (try number(bytes, upTo: LedgerLimit.count)), number: try count(bytes),
            time: try number(bytes))
    }

    private mutating func range(_ bytes: RawSpan) throws(LedgerFlaw) -> Range<Int> {
        let start = offset
        let low = try count(bytes)
        let length = try count(bytes)
        guard length <= .max - low else { throw LedgerFlaw(what: "a range is too large", offset: start) }
        return low..<low + length
    }

    /// A number that is at least `least`; the next one has to be greater.
    private mutating func ascending(_ bytes: RawSpan, _ least: inout UInt64, below limit: UInt64) throws(LedgerFlaw)
        -> UInt64
    {
        let start = offset
        let value = try number(bytes)
        guard value >= least, value < limit else { throw LedgerFlaw(what: "\(value) is out of place", offset: start) }
        least = value + 1
        return value
    }

    fileprivate mutating func ledgerSubscription(
        _ bytes: RawSpan, _ name: SubscriptionName, of stream: Int, endingAt end: UInt64
    ) throws(LedgerFlaw) -> Ledger.Subscription {
        var subscription = Ledger.Subscription(name: name, stream: stream, done: try done(bytes, upTo: end))
        let start = offset
        var least: UInt64 = 0
        for _ in 0..<(try count(bytes)) {
            let sequence = try ascending(bytes, &least, below: .max)
            subscription.trials[sequence] = try trial(bytes)
        }
        least = 1
        for _ in 0..<(try count(bytes)) {
            let home = try home(bytes, before: end)
            let begun = offset
            let verdict = try verdict(bytes)
            guard verdict.number >= least else {
                throw LedgerFlaw(what: "dead letters are out of order", offset: begun)
            }
            least = verdict.number + 1
            subscription.letters[verdict.number] = Ledger.Letter(home: home, verdict: verdict, isAsked: try flag(bytes))
        }
        least = LedgerLimit.firstArrival
        for _ in 0..<(try count(bytes)) {
            let sequence = try ascending(bytes, &least, below: .max)
            subscription.arrivals[sequence] = try home(bytes, before: end)
        }
        subscription.arrivalCount = try number(bytes, upTo: LedgerLimit.count)
        guard subscription.trials.keys.allSatisfy({ subscription.isOpen($0, before: end) }) else {
            throw LedgerFlaw(what: "\(name) has tried what it has not got", offset: start)
        }
        return subscription
    }

    private mutating func done(_ bytes: RawSpan, upTo end: UInt64) throws(LedgerFlaw) -> SequenceSet {
        var done = SequenceSet(below: try number(bytes, upTo: end))
        for _ in 0..<(try count(bytes)) {
            let start = offset
            let low = try number(bytes, upTo: end)
            let length = try number(bytes, upTo: end - low)
            guard done.append(low..<low + length) else {
                throw LedgerFlaw(what: "ranges are out of order", offset: start)
            }
        }
        return done
    }
}
