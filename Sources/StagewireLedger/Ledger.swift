import DequeModule
import StagewireModel

/// The durable state of a pipeline, folded from the journal's entries: what every stream has, what every subscription
/// still needs of it, dead letters, where sources are. It holds places of records, not the records.
///
/// It is what the router's state would be after a crash; so it is both what a start recovers and what a snapshot says.
/// A value: a copy is a state of its own, at no cost before one of the two changes.
public struct Ledger: Sendable {
    /// Records that one entry appended to a stream.
    struct Extent: Equatable, Sendable {
        var first: UInt64
        var count: Int
        /// Where the records lie in the payload.
        var bytes: Range<Int>
        var place: EntryPlace

        var end: UInt64 { first + UInt64(count) }
    }

    struct Stream: Sendable {
        let name: StreamName
        /// In order; without those at the front of which nobody needs anything on its straight way.
        var extents: Deque<Extent> = []
        /// In order, all before `extents`: dead letters and arrivals may be about records of theirs.
        var pinned: [Extent] = []
        /// At this many the pinned ones are looked through.
        var pinnedLimit = Stream.fewPinned
        /// The sequence that the next record gets.
        var end: UInt64 = 0
        /// Indices into `subscriptions`.
        var subscribers: [Int] = []
        /// Records that were copied into the snapshot: where they lie there.
        var strays: [UInt64: Range<Int>] = [:]

        static let fewPinned = 64
    }

    struct Letter: Equatable, Sendable {
        /// The record, by its sequence in the stream.
        var home: UInt64
        var verdict: Verdict
        var isAsked = false
    }

    struct Subscription: Sendable {
        let name: SubscriptionName
        /// Index into `streams`.
        let stream: Int
        /// What left the straight way: settled, dropped, or given up on.
        var done: SequenceSet
        var trials: [UInt64: Trial] = [:]
        var letters: [UInt64: Letter] = [:]
        /// Dead letters that came back: the record behind each one's own sequence.
        var arrivals: [UInt64: UInt64] = [:]
        /// How many ever came back.
        var arrivalCount: UInt64 = 0

        /// Whether anything of it is unsettled before `end`.
        func isIdle(at end: UInt64) -> Bool { done.low >= end && letters.isEmpty && arrivals.isEmpty }
    }

    struct PartitionName: Hashable, Sendable {
        var stage: String
        var partition: String
    }

    /// Everything before this entry is in here.
    public internal(set) var next: UInt64 = 1
    var streams: [Stream] = []
    /// Numbered as in the layout.
    var subscriptions: [Subscription] = []
    var streamIndex: [StreamName: Int] = [:]
    var subscriptionIndex: [SubscriptionName: Int] = [:]
    var positions: [PartitionName: SourcePosition] = [:]
    var runs: [Run] = []
    /// The highest number that a stage has given to a dead letter.
    var lastLetters: [String: UInt64] = [:]
    /// What the numbers of the entries to come stand for.
    public internal(set) var layout = Layout()
    var layoutStreams: [Int] = []

    public init() {}

    // MARK: Folding

    /// Takes an entry in.
    public mutating func apply(kind: UInt8, _ payload: RawSpan, at place: EntryPlace) throws(LedgerFlaw) {
        switch kind {
        case EntryKind.steps: try applySteps(payload, at: place)
        case EntryKind.layout: take(try Layout(payload))
        case _: throw LedgerFlaw(what: "an entry of kind \(kind), which this version does not know", offset: 0)
        }
        next = place.sequence + 1
    }

    /// New numbers. Streams and subscriptions that are not there yet begin, a subscription at the end of its stream; those
    /// that are not named any more are forgotten, with all that they had to do (`orphans` tells beforehand what that is).
    mutating func take(_ layout: Layout) {
        self.layout = layout
        layoutStreams = layout.streams.map { stream($0) }
        let known = subscriptions
        let places = subscriptionIndex
        for stream in streams.indices { streams[stream].subscribers = [] }
        subscriptions = []
        subscriptionIndex = [:]
        for name in layout.subscriptions {
            let stream = stream(name.stream)
            subscriptionIndex[name] = subscriptions.count
            streams[stream].subscribers.append(subscriptions.count)
            subscriptions.append(
                places[name].map { known[$0] }
                    ?? Subscription(name: name, stream: stream, done: SequenceSet(below: streams[stream].end)))
        }
        for stream in streams.indices { trim(stream) }
    }

    private mutating func stream(_ name: StreamName) -> Int {
        if let known = streamIndex[name] { return known }
        streams.append(Stream(name: name))
        streamIndex[name] = streams.count - 1
        return streams.count - 1
    }

    private mutating func applySteps(_ payload: RawSpan, at place: EntryPlace) throws(LedgerFlaw) {
        var touched: Set<Int> = []
        var ledger = self
        self = Ledger()
        defer { self = ledger }
        try StepsEntry.read(payload) { (append) throws(LedgerFlaw) in
            try ledger.append(append, at: place)
        } change: { (change) throws(LedgerFlaw) in
            if let stream = try ledger.apply(change) { touched.insert(stream) }
        }
        for stream in touched { ledger.trim(stream) }
    }

    private mutating func append(_ append: Append, at place: EntryPlace) throws(LedgerFlaw) {
        guard append.stream < layoutStreams.count else {
            throw LedgerFlaw(what: "there is no stream \(append.stream)", offset: append.bytes.lowerBound)
        }
        let stream = layoutStreams[append.stream]
        guard append.first == streams[stream].end else {
            throw LedgerFlaw(
                what: "stream \(streams[stream].name) goes on with \(append.first) behind \(streams[stream].end)",
                offset: append.bytes.lowerBound)
        }
        streams[stream].extents.append(
            Extent(first: append.first, count: append.count, bytes: append.bytes, place: place))
        streams[stream].end += UInt64(append.count)
    }

    /// Returns the stream of which less may be needed.
    private mutating func apply(_ change: Change) throws(LedgerFlaw) -> Int? {
        switch change {
        case .done(let number, let sequences):
            let index = try subscription(number)
            finish(sequences, index)
            return subscriptions[index].stream
        case .tried(let number, let sequence, let trial):
            subscriptions[try subscription(number)].trials[sequence] = trial
        case .buried(let number, let sequence, let verdict):
            return try bury(sequence, try subscription(number), verdict)
        case .discarded(let number, let letter):
            let index = try subscription(number)
            subscriptions[index].letters[letter] = nil
            return subscriptions[index].stream
        case .asked(let number, let letter):
            subscriptions[try subscription(number)].letters[letter]?.isAsked = true
        case .revived(let number, let letter, let arrival):
            let index = try subscription(number)
            guard let known = subscriptions[index].letters.removeValue(forKey: letter) else {
                throw LedgerFlaw(what: "dead letter \(letter) comes back and was none", offset: 0)
            }
            subscriptions[index].arrivals[arrival] = known.home
            subscriptions[index].arrivalCount += 1
        case .moved(let stage, let partition, let position):
            guard stage < layout.stages.count else { throw LedgerFlaw(what: "there is no stage \(stage)", offset: 0) }
            positions[PartitionName(stage: layout.stages[stage], partition: partition)] = position
        case .began(let run): runs.append(run)
        }
        return nil
    }

    private func subscription(_ number: Int) throws(LedgerFlaw) -> Int {
        guard number < subscriptions.count else {
            throw LedgerFlaw(what: "there is no subscription \(number)", offset: 0)
        }
        return number
    }

    private mutating func finish(_ sequences: Range<UInt64>, _ index: Int) {
        if subscriptions[index].arrivals[sequences.lowerBound] != nil {
            // Consecutive arrivals may have become one range.
            for sequence in sequences {
                subscriptions[index].arrivals[sequence] = nil
                subscriptions[index].trials[sequence] = nil
            }
            return
        }
        subscriptions[index].done.insert(sequences)
        if !subscriptions[index].trials.isEmpty {
            if sequences.count < subscriptions[index].trials.count {
                for sequence in sequences { subscriptions[index].trials[sequence] = nil }
            } else {
                subscriptions[index].trials = subscriptions[index].trials.filter { !sequences.contains($0.key) }
            }
        }
    }

    private mutating func bury(_ sequence: UInt64, _ index: Int, _ verdict: Verdict) throws(LedgerFlaw) -> Int {
        let stage = subscriptions[index].name.stage
        lastLetters[stage] = max(lastLetters[stage, default: 0], verdict.number)
        // A letter that had come back is the same record as before.
        let home = subscriptions[index].arrivals[sequence] ?? sequence
        finish(sequence..<sequence + 1, index)
        subscriptions[index].letters[verdict.number] = Letter(home: home, verdict: verdict)
        return subscriptions[index].stream
    }

    // MARK: What is needed

    /// Forgets the extents at the front of which nobody needs anything.
    private mutating func trim(_ stream: Int) {
        let low = low(stream)
        let hasHomes = streams[stream].subscribers.contains {
            !subscriptions[$0].letters.isEmpty || !subscriptions[$0].arrivals.isEmpty
        }
        if !hasHomes, !streams[stream].pinned.isEmpty { streams[stream].pinned = [] }
        while let extent = streams[stream].extents.first, extent.end <= low {
            streams[stream].extents.removeFirst()
            if hasHomes { streams[stream].pinned.append(extent) }
        }
        if streams[stream].pinned.count >= streams[stream].pinnedLimit { prune(stream) }
    }

    /// Forgets the pinned extents that no dead letter and no arrival is about.
    mutating func prune(_ stream: Int) {
        let homes = RangeIndex(homes(stream).map { $0..<$0 + 1 })
        streams[stream].pinned.removeAll { !homes.overlaps($0.first..<$0.end) }
        streams[stream].pinnedLimit = max(Stream.fewPinned, 2 * streams[stream].pinned.count)
    }

    /// Below it no subscription needs a record on its straight way.
    func low(_ stream: Int) -> UInt64 {
        streams[stream].subscribers.reduce(streams[stream].end) { min($0, subscriptions[$1].done.low) }
    }

    /// Records that dead letters and arrivals are about, ascending.
    func homes(_ stream: Int) -> [UInt64] {
        var homes: Set<UInt64> = []
        for subscriber in streams[stream].subscribers {
            for letter in subscriptions[subscriber].letters.values { homes.insert(letter.home) }
            for home in subscriptions[subscriber].arrivals.values { homes.insert(home) }
        }
        return homes.sorted()
    }

    /// All records that anybody needs.
    func needed(_ stream: Int) -> RangeIndex {
        var ranges = homes(stream).map { $0..<$0 + 1 }
        for subscriber in streams[stream].subscribers {
            ranges += subscriptions[subscriber].done.gaps(below: streams[stream].end)
        }
        return RangeIndex(ranges)
    }

    /// The first entry that holds a record which somebody needs; `next` when there is none.
    public var firstNeeded: UInt64 {
        streams.reduce(next) { first, stream in
            min(first, stream.pinned.first?.place.sequence ?? .max, stream.extents.first?.place.sequence ?? .max)
        }
    }
}

/// Ranges of sequences to look things up in.
struct RangeIndex {
    /// Ascending and apart.
    let ranges: [Range<UInt64>]

    init(_ unsorted: [Range<UInt64>]) {
        var merged: [Range<UInt64>] = []
        for range in unsorted.sorted(by: { $0.lowerBound < $1.lowerBound }) where !range.isEmpty {
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    func contains(_ sequence: UInt64) -> Bool { overlaps(sequence..<sequence + 1) }

    func overlaps(_ range: Range<UInt64>) -> Bool {
        let index = first(endingAbove: range.lowerBound)
        return index < ranges.count && ranges[index].lowerBound < range.upperBound
    }

    /// How many sequences of `range` are in here.
    func count(in range: Range<UInt64>) -> Int {
        var index = first(endingAbove: range.lowerBound)
        var count = 0
        while index < ranges.count, ranges[index].lowerBound < range.upperBound {
            count += ranges[index].clamped(to: range).count
            index += 1
        }
        return count
    }

    private func first(endingAbove sequence: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound > sequence { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
