import StagewireModel
import StagewireRecord

/// One attached worker: what it may send, what it holds, when it was last heard of.
struct Session {
    let connection: ConnectionID
    /// Index into `Router.stages`.
    let stage: Int
    let instance: String
    let run: UInt32
    let features: SessionFeatures
    let maxFrame: Int

    /// Uptime, nanoseconds.
    let attachedAt: UInt64

    var inputs: [InputState]
    var outputs: [GrantWindow]
    var deliveries = DeliveryTable()
    /// Uptime of the last Settle or Extend.
    var lastProgress: UInt64
    var lastReceived: UInt64
    /// A Ping is unanswered.
    var pinged = false
    var isLeaseArmed = false
    /// Bytes of deliveries that have not left for the kernel.
    var unwritten = 0
    /// Runs announced so far: the first so many of `Router.runs`.
    var announcedRuns = 0
    var isDraining = false
    /// Gets nothing but a suspect group, once it holds nothing.
    var trial = Trial.none
    /// Source partitions claimed, by index into the stage's partitions.
    var claims: [Int] = []
    var batch = DeliveryBatch()

    /// What a free slot holds.
    static var vacant: Session {
        Session(
            connection: ConnectionID(0), stage: -1, instance: "", run: 0, features: [], maxFrame: 0, attachedAt: 0,
            inputs: [], outputs: [], lastProgress: 0, lastReceived: 0)
    }

    enum Trial: Equatable {
        case none
        /// Gets nothing more, until it holds nothing and can try a suspect group.
        case reserved
        /// Holds a suspect group and nothing else.
        case running
    }

    struct InputState {
        /// Index into `Router.subscriptions`.
        let subscription: Int
        var credit = SendWindow()
        var unsettledRecords = 0
        var unsettledBytes = 0
    }
}

struct SessionFeatures: OptionSet, Sendable {
    let rawValue: UInt8
    static let singleThreaded = SessionFeatures(rawValue: 1)
    static let holds = SessionFeatures(rawValue: 2)
    static let settleConfirm = SessionFeatures(rawValue: 4)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(named names: [String]) {
        self = []
        if names.contains(Feature.singleThreaded) { insert(.singleThreaded) }
        if names.contains(Feature.holds) { insert(.holds) }
        if names.contains(Feature.settleConfirm) { insert(.settleConfirm) }
    }
}

/// The records that one pump gathers for one session and input; adjacent ones become one segment.
struct DeliveryBatch {
    private(set) var segments: [UnsafeRawBufferPointer] = []
    /// One for each record; empty while all are first attempts.
    private(set) var attempts: [UInt32] = []
    private(set) var count = 0
    private(set) var bytes = 0
    private(set) var first: UInt64 = 0
    private(set) var input = 0

    var isEmpty: Bool { count == 0 }
    var isFull: Bool { bytes >= Limits.deliverTarget || count >= Limits.deliverRecords }

    mutating func add(_ record: RecordRef, id: UInt64, attempt: UInt32, input: Int) {
        if attempt != 1, attempts.isEmpty { attempts = [UInt32](repeating: 1, count: count) }
        if attempt != 1 || !attempts.isEmpty { attempts.append(attempt) }
        add(UnsafeRawBufferPointer(start: record.start, count: record.wireLength), of: 1, id: id, input: input)
    }

    /// Adds `records` of first attempts, with ids from `id` on.
    mutating func add(firstAttempts records: Int, _ segment: UnsafeRawBufferPointer, id: UInt64, input: Int) {
        if !attempts.isEmpty { for _ in 0..<records { attempts.append(1) } }
        add(segment, of: records, id: id, input: input)
    }

    private mutating func add(_ segment: UnsafeRawBufferPointer, of records: Int, id: UInt64, input: Int) {
        if count == 0 {
            first = id
            self.input = input
        }
        precondition(self.input == input && id == first + UInt64(count), "a batch is of one input, its ids consecutive")
        count += records
        bytes += segment.count
        if let last = segments.last, let base = last.baseAddress, base + last.count == segment.baseAddress {
            segments[segments.count - 1] = UnsafeRawBufferPointer(start: base, count: last.count + segment.count)
        } else {
            segments.append(segment)
        }
    }

    mutating func clear() {
        segments.removeAll(keepingCapacity: true)
        attempts.removeAll(keepingCapacity: true)
        count = 0
        bytes = 0
    }
}
