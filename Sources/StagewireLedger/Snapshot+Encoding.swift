import StagewireModel

extension Ledger {
    func encode(into bytes: inout [UInt8]) {
        bytes.put(next)
        bytes.put(snapshots)
        bytes.put(layout.encoded())
        bytes.put(border)
        bytes.put(retained == .max ? 0 : retained)
        bytes.put(time)
        bytes.put(segments.count)
        for mark in segments {
            bytes.put(mark.first)
            bytes.put(mark.time)
        }
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
}

extension [UInt8] {
    fileprivate mutating func put(_ range: Range<Int>) {
        put(range.lowerBound)
        put(range.count)
    }

    fileprivate mutating func put(_ stream: Ledger.Stream) {
        put(stream.name)
        put(stream.end)
        let extents = stream.extents.all
        put(extents.count)
        for extent in extents {
            put(extent.first)
            put(extent.count)
            put(extent.bytes)
            put(extent.place.segment)
            put(extent.place.offset)
            put(extent.place.sequence)
            put(extent.last - extent.place.sequence)
            put(extent.number)
            put(extent.time)
        }
        put(stream.strays.count)
        for (sequence, range) in stream.strays.sorted(by: { $0.key < $1.key }) {
            put(sequence)
            put(range)
        }
        put(stream.edits)
        put(stream.edited.count)
        for (number, record) in stream.edited.sorted(by: { $0.key < $1.key }) {
            put(number)
            put(record.place.segment)
            put(record.place.offset)
            put(record.place.sequence)
            put(record.bytes)
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
