import DequeModule
import StagewireModel

/// The durable state of a pipeline, folded from the journal's entries: what every stream has, what every subscription
/// still needs of it, dead letters, where sources are. It holds places of records, not the records.
///
/// It is what the router's state would be after a crash; so it is both what a start recovers and what a snapshot says.
/// A value: a copy is a state of its own, at no cost before one of the two changes.
public struct Ledger: Sendable {
    struct Stream: Sendable {
        let name: StreamName
        var extents = ExtentTable()
        /// The sequence that the next record gets.
        var end: UInt64 = 0
        /// Indices into `subscriptions`.
        var subscribers: [Int] = []
        /// Records that were copied into the snapshot: where they lie there.
        var strays: [UInt64: Range<Int>] = [:]
        /// Records of dead letters, or of arrivals, that a person has edited: by numbers of their own.
        var edited: [UInt64: EditedRecord] = [:]
        /// How many there ever were.
        var edits: UInt64 = 0
    }

    /// One that stands in an entry by itself.
    struct EditedRecord: Equatable, Sendable {
        var place: EntryPlace
        /// Of the entry's payload.
        var bytes: Range<Int>
    }

    struct Letter: Equatable, Sendable {
        /// The record, by its sequence in the stream, or by its number among the edited ones.
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
        /// Replays are to begin here: so long, retention ends no later. Of this process alone.
        var pins: [UInt64] = []

        /// Whether it still has to settle this record of its stream, which ends at `end`, or this arrival.
        func isOpen(_ sequence: UInt64, before end: UInt64) -> Bool {
            sequence < end ? !done.contains(sequence) : arrivals[sequence] != nil
        }

        mutating func unpin(_ sequence: UInt64) {
            if let index = pins.firstIndex(of: sequence) { pins.remove(at: index) }
        }

        /// What is settled was tried for the last time.
        fileprivate mutating func forgetTrials(_ sequences: Range<UInt64>) {
            guard !trials.isEmpty else { return }
            guard sequences.count >= trials.count else {
                for sequence in sequences { trials[sequence] = nil }
                return
            }
            trials = trials.filter { !sequences.contains($0.key) }
        }

        /// Whether anything of it is unsettled before `end`.
        func isIdle(at end: UInt64) -> Bool { done.low >= end && letters.isEmpty && arrivals.isEmpty }
    }

    /// Where a segment begins, and when it did.
    struct SegmentMark: Equatable, Sendable {
        /// The first sequence of its entries.
        var first: UInt64
        /// Microseconds since 1970; everything before it was written before this.
        var time: UInt64
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
    /// Snapshots so far: which one has the copies that `Stream.strays` are about.
    var snapshots: UInt64 = 0
    /// What the numbers of the entries to come stand for.
    public internal(set) var layout = Layout()
    var layoutStreams: [Int] = []
    /// Entries below it are not joined with later ones: the numbers meant something else, or a snapshot stands for them.
    var border: UInt64 = 0
    /// The records of entries from here on are kept, whether somebody needs them or not.
    public internal(set) var retained: UInt64 = .max
    /// Microseconds since 1970: the last time that an entry has said.
    public internal(set) var time: UInt64 = 0
    /// When the segments that still matter were begun.
    var segments: Deque<SegmentMark> = []

    public init() {}

    // MARK: Folding

    /// Takes an entry in.
    public mutating func apply(kind: UInt8, _ payload: RawSpan, at place: EntryPlace) throws(LedgerFlaw) {
        note(segment: place.segment)
        switch kind {
        case EntryKind.steps: try applySteps(payload, at: place)
        case EntryKind.layout:
            take(try Layout(payload))
            border = place.sequence
        case _: throw LedgerFlaw(what: "an entry of kind \(kind), which this version does not know", offset: 0)
        }
        next = place.sequence + 1
    }

    private mutating func note(segment: UInt64) {
        guard segment != segments.last?.first else { return }
        if retained == .max { segments.removeAll() }
        segments.append(SegmentMark(first: segment, time: time))
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
        for stream in streams.indices {
            streams[stream].extents.hold(only: homes(stream))
            trim(stream)
        }
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
            if let stream = try ledger.apply(change, at: place) { touched.insert(stream) }
        }
        for stream in touched { ledger.trim(stream) }
    }

    private mutating func append(_ append: Append, at place: EntryPlace) throws(LedgerFlaw) {
        guard append.stream < layoutStreams.count else { throw .about("there is no stream \(append.stream)") }
        let stream = layoutStreams[append.stream]
        guard append.first == streams[stream].end else {
            throw .about(
                "stream \(streams[stream].name) goes on with \(append.first) behind \(streams[stream].end)")
        }
        guard UInt64(append.count) <= LedgerLimit.sequence - append.first else {
            throw .about("stream \(streams[stream].name) goes beyond \(LedgerLimit.sequence)")
        }
        streams[stream].end += UInt64(append.count)
        // What nobody reads is needed by nobody, and no change will ever say so.
        guard !streams[stream].subscribers.isEmpty || place.sequence >= retained else { return }
        let extent = Extent(
            first: append.first, count: append.count, bytes: append.bytes.count, place: place, number: append.stream,
            time: time)
        streams[stream].extents.append(extent, border: border)
    }

    /// Returns the stream of which less may be needed.
    private mutating func apply(_ change: Change, at place: EntryPlace) throws(LedgerFlaw) -> Int? {
        switch change {
        case .done(let number, let sequences):
            let index = try subscription(number)
            try finish(sequences, index)
            return subscriptions[index].stream
        case .tried(let number, let sequence, let trial):
            let index = try subscription(number)
            try expectOpen(sequence, index)
            subscriptions[index].trials[sequence] = trial
        case .buried(let number, let sequence, let verdict):
            return try bury(sequence, try subscription(number), verdict)
        case .discarded(let number, let letter):
            let index = try subscription(number)
            let known = try take(letter, from: index)
            streams[subscriptions[index].stream].letGo(known.home)
            return subscriptions[index].stream
        case .asked(let number, let letter):
            let index = try subscription(number)
            guard subscriptions[index].letters[letter] != nil else { throw noLetter(letter, index) }
            subscriptions[index].letters[letter]?.isAsked = true
        case .revived(let number, let letter, let arrival):
            try revive(letter, as: arrival, try subscription(number))
        case .moved(let stage, let partition, let position):
            guard stage < layout.stages.count else { throw .about("there is no stage \(stage)") }
            positions[PartitionName(stage: layout.stages[stage], partition: partition)] = position
        case .began(let run):
            guard run.number == runs.count + 1 else {
                throw .about("run \(run.number) begins, and there were \(runs.count) before")
            }
            runs.append(run)
        case .noted(let time): self.time = max(self.time, time)
        case .rewound(let number, let sequence):
            try rewind(try subscription(number), to: sequence)
        case .edited(let number, let letter, let bytes):
            let index = try subscription(number)
            try edit(letter, index, EditedRecord(place: place, bytes: bytes))
            return subscriptions[index].stream
        }
        return nil
    }

    /// The subscription goes through its stream again from this record on. Dead letters and arrivals stay what they are.
    private mutating func rewind(_ index: Int, to sequence: UInt64) throws(LedgerFlaw) {
        guard sequence <= subscriptions[index].done.low, let first = firstKept(subscription: index), sequence >= first
        else {
            throw .about("\(subscriptions[index].name) goes to record \(sequence), which is not there")
        }
        subscriptions[index].done = SequenceSet(below: sequence)
        subscriptions[index].trials = subscriptions[index].trials.filter { $0.key >= LedgerLimit.firstArrival }
        subscriptions[index].unpin(sequence)
    }

    private func subscription(_ number: Int) throws(LedgerFlaw) -> Int {
        guard number < subscriptions.count else { throw .about("there is no subscription \(number)") }
        return number
    }

    /// A subscription still has to settle this record or this arrival.
    private func expectOpen(_ sequence: UInt64, _ index: Int) throws(LedgerFlaw) {
        guard !subscriptions[index].isOpen(sequence, before: streams[subscriptions[index].stream].end) else { return }
        throw .about("\(subscriptions[index].name) has no record \(sequence) to settle")
    }

    private mutating func finish(_ sequences: Range<UInt64>, _ index: Int) throws(LedgerFlaw) {
        guard sequences.upperBound > streams[subscriptions[index].stream].end else {
            subscriptions[index].done.insert(sequences)
            return subscriptions[index].forgetTrials(sequences)
        }
        // Consecutive arrivals may have become one range. It ends at the first that is none.
        for sequence in sequences {
            guard let home = subscriptions[index].arrivals.removeValue(forKey: sequence) else {
                throw .about("\(subscriptions[index].name) has no record \(sequence) to settle")
            }
            subscriptions[index].trials[sequence] = nil
            streams[subscriptions[index].stream].letGo(home)
        }
    }

    private mutating func bury(_ sequence: UInt64, _ index: Int, _ verdict: Verdict) throws(LedgerFlaw) -> Int {
        try expectOpen(sequence, index)
        let (stage, stream) = (subscriptions[index].name.stage, subscriptions[index].stream)
        let last = lastLetters[stage, default: 0]
        guard verdict.number > last else {
            throw .about("dead letter \(verdict.number) of \(stage) comes behind \(last)")
        }
        lastLetters[stage] = verdict.number
        // A letter that had come back is the same record as before. It is held once more before it is let go.
        let home = subscriptions[index].arrivals[sequence] ?? sequence
        let edited = streams[stream].edited[home]
        streams[stream].extents.hold(home)
        try finish(sequence..<sequence + 1, index)
        streams[stream].edited[home] = edited
        subscriptions[index].letters[verdict.number] = Letter(home: home, verdict: verdict)
        return stream
    }

    /// The letter lets its record go, and the arrival takes hold of it: nothing changes for the extents.
    private mutating func revive(_ letter: UInt64, as arrival: UInt64, _ index: Int) throws(LedgerFlaw) {
        guard arrival >= LedgerLimit.firstArrival, arrival < .max, subscriptions[index].arrivals[arrival] == nil else {
            throw .about("dead letter \(letter) comes back as \(arrival), which is no number for it")
        }
        subscriptions[index].arrivals[arrival] = try take(letter, from: index).home
        subscriptions[index].arrivalCount += 1
    }

    private mutating func edit(_ letter: UInt64, _ index: Int, _ record: EditedRecord) throws(LedgerFlaw) {
        guard let home = subscriptions[index].letters[letter]?.home else { throw noLetter(letter, index) }
        let stream = subscriptions[index].stream
        guard streams[stream].edits < LedgerLimit.count else { throw .about("too many edited records") }
        streams[stream].letGo(home)
        let number = LedgerLimit.firstEdited + streams[stream].edits
        streams[stream].edits += 1
        streams[stream].edited[number] = record
        subscriptions[index].letters[letter]?.home = number
    }

    private mutating func take(_ letter: UInt64, from index: Int) throws(LedgerFlaw) -> Letter {
        guard let known = subscriptions[index].letters.removeValue(forKey: letter) else {
            throw noLetter(letter, index)
        }
        return known
    }

    private func noLetter(_ letter: UInt64, _ index: Int) -> LedgerFlaw {
        .about("\(subscriptions[index].name) has no dead letter \(letter)")
    }

    // MARK: What is needed

    mutating func trim(_ stream: Int) {
        streams[stream].extents.trim(below: low(stream), retained: retained)
    }

    /// Below it no subscription needs a record on its straight way.
    func low(_ stream: Int) -> UInt64 {
        streams[stream].subscribers.reduce(streams[stream].end) { min($0, subscriptions[$1].done.low) }
    }

    /// Records that dead letters and arrivals are about, each as often as there are such, in no order.
    func homes(_ stream: Int) -> [UInt64] {
        streams[stream].subscribers.flatMap { subscriber in
            subscriptions[subscriber].letters.values.map(\.home) + Array(subscriptions[subscriber].arrivals.values)
        }
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
        streams.reduce(next) { least, stream in
            stream.edited.values.reduce(min(least, stream.extents.first?.place.sequence ?? .max)) {
                min($0, $1.place.sequence)
            }
        }
    }
}

extension Ledger.Stream {
    /// A dead letter or an arrival that was about this record is gone.
    fileprivate mutating func letGo(_ home: UInt64) {
        guard home >= LedgerLimit.firstEdited else { return extents.letGo(home) }
        edited[home] = nil
    }
}

extension Ledger.EditedRecord {
    /// The record under this number.
    func read(_ number: UInt64, _ fetch: EntryFetch) throws -> StoredRecord {
        var record: StoredRecord?
        try fetch(place, place.sequence) { payload in
            guard bytes.upperBound <= payload.count else {
                throw LedgerFlaw.about("the entry is shorter than what was read of it before")
            }
            record = StoredRecord(sequence: number, bytes: payload[bytes])
        }
        guard let record else { throw LedgerFlaw.about("the entry of an edited record is not there") }
        return record
    }
}
