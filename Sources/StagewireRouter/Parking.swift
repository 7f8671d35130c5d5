import DequeModule
import StagewireModel
import StagewireRecord

/// A record that left the straight way through its stream: it is retried, waits behind a held key, or is under
/// suspicion of having crashed a worker. Its bytes stay in the stream until they are in the way, and move into
/// a block of their own then.
struct ParkedRecord {
    enum State: Equatable {
        /// Waits in its key's queue, or on its own.
        case waiting
        /// With a worker again.
        case inFlight
        /// Member of a suspect group: delivered only in that group's trial.
        case suspect
    }

    var state: State
    var key: UInt64
    /// Of its next delivery, or of the one in flight.
    var attempt: UInt32
    var releases: UInt32 = 0
    /// Crashes that are charged to it.
    var crashes: UInt32 = 0
    /// Uptime before which it may not go, whatever stands in front of it in its key's queue; 0: none.
    var due: UInt64 = 0
    /// Uptime in nanoseconds of its first delivery in this subscription; 0: not delivered yet.
    var firstAttempt: UInt64
    /// `nil` while the bytes are still in the stream.
    var block: RecordBlock?
}

/// A key whose records wait: the first one failed, was released or was lost, and the others queue behind it.
struct HeldKey {
    /// Waiting sequences, in order (`Arrival.precedes`).
    var queue: Deque<UInt64> = []
    /// Uptime at which the head may go; 0: now.
    var due: UInt64 = 0
    /// Stands in the subscription's ready queue already.
    var isReady = false

    /// Puts a sequence back at its place. New arrivals come last, so the search from the back is short.
    mutating func insert(_ sequence: UInt64) {
        var index = queue.count
        while index > 0, Arrival.precedes(sequence, queue[index - 1]) { index -= 1 }
        precondition(index == 0 || queue[index - 1] != sequence, "a record waits once")
        queue.insert(sequence, at: index)
    }
}

/// What may be delivered again: all the records of a key in order, or a single one without a key.
enum Waiting: Equatable {
    case key(UInt64)
    case record(UInt64)
}

/// The parked records of one subscription.
///
/// Invariants: `bytes` is the sum over all blocks; a waiting record with a key stands in that key's queue,
/// exactly once; records and bytes stay within the limits but for what is in flight when they are reached.
struct Parking {
    let recordLimit: Int
    let byteLimit: Int
    private(set) var bytes = 0
    private var records: [UInt64: ParkedRecord] = [:]
    /// Never iterated: the order of a dictionary differs from process to process.
    var held: [UInt64: HeldKey] = [:]
    /// What can go now, in the order in which it became so.
    var ready: Deque<Waiting> = []
    /// Waiting or suspect, not in flight.
    private(set) var waiting = 0

    init(records: Int, bytes: Int) {
        recordLimit = records
        byteLimit = bytes
    }

    var count: Int { records.count }
    var isEmpty: Bool { records.isEmpty }
    var isFull: Bool { records.count >= recordLimit || bytes >= byteLimit }

    subscript(sequence: UInt64) -> ParkedRecord? { records[sequence] }

    func hasRoom(bytes size: Int) -> Bool { bytes + size <= byteLimit }

    mutating func insert(_ record: ParkedRecord, at sequence: UInt64) {
        precondition(records[sequence] == nil, "a record is parked once")
        records[sequence] = record
        if record.state != .inFlight { waiting += 1 }
        if let block = record.block { bytes += block.ref.wireLength }
    }

    /// Changes a record's state and what `change` changes besides.
    mutating func update(
        _ sequence: UInt64, to state: ParkedRecord.State, _ change: (inout ParkedRecord) -> Void = { _ in }
    ) {
        guard var record = records[sequence] else { preconditionFailure("record \(sequence) is not parked") }
        if record.state != .inFlight { waiting -= 1 }
        record.state = state
        if state != .inFlight { waiting += 1 }
        change(&record)
        records[sequence] = record
    }

    /// Gives a parked record a block of its own; the stream is not needed for it any more.
    mutating func move(_ sequence: UInt64, into block: RecordBlock) {
        precondition(records[sequence] != nil && records[sequence]?.block == nil, "a record moves once")
        records[sequence]!.block = block
        bytes += block.ref.wireLength
    }

    /// Removes a record; the caller has taken it out of its queue.
    mutating func remove(_ sequence: UInt64) -> ParkedRecord? {
        guard let record = records.removeValue(forKey: sequence) else { return nil }
        if record.state != .inFlight { waiting -= 1 }
        if let block = record.block { bytes -= block.ref.wireLength }
        return record
    }

    /// The first parked record of the stream.
    var firstOfStream: UInt64? { records.keys.filter { !Arrival.isArrival($0) }.min() }

    /// Forgets everything but arrivals, which are in no stream to come from again, and lends them in order: the caller has
    /// them wait again.
    /// - Precondition: nothing is in flight, or under suspicion
    mutating func keepArrivals() -> [(sequence: UInt64, record: ParkedRecord)] {
        let arrivals = records.filter { Arrival.isArrival($0.key) }.sorted { Arrival.precedes($0.key, $1.key) }
        precondition(records.values.allSatisfy { $0.state == .waiting }, "only what waits is put aside")
        self = Parking(records: recordLimit, bytes: byteLimit)
        for (sequence, record) in arrivals { insert(record, at: sequence) }
        return arrivals.map { ($0.key, $0.value) }
    }

    // MARK: Held keys

    /// Puts a waiting record into its key's queue. As its head it sets when the key may go (0: now). Returns whether
    /// it is the head.
    @discardableResult
    mutating func enqueue(_ sequence: UInt64, key: UInt64, due: UInt64) -> Bool {
        held[key, default: HeldKey()].insert(sequence)
        let isHead = held[key]!.queue.first == sequence
        if isHead { held[key]!.due = due }
        return isHead
    }

    /// Marks a key as able to go. Once is enough.
    mutating func makeReady(key: UInt64) {
        guard let isReady = held[key]?.isReady, !isReady else { return }
        held[key]!.isReady = true
        ready.append(.key(key))
    }
}
