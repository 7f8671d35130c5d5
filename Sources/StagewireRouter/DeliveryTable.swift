import DequeModule
import StagewireModel

/// One delivery that a session has not let go of.
struct InFlight {
    enum State: UInt8 {
        case unsettled
        /// An earlier delivery of its key was not accepted: the record comes again, this outcome is ignored.
        case voided
        case settled
    }

    var sequence: UInt64
    /// The key that orders it: 0 for none.
    var key: UInt64
    /// Uptime in nanoseconds at which it was handed over.
    var delivered: UInt64
    var attempt: UInt32
    /// Bytes as charged to the worker's credit.
    var bytes: UInt32
    /// Index of the stage's input.
    var input: UInt16
    var state: State
}

/// A session's deliveries by id. Ids are consecutive from 1, so the table is a window [first, next) that
/// moves; an old delivery that stays unsettled while thousands behind it are settled (a window's) moves
/// aside, so that the table's size follows what is unsettled, not the distance between the ids.
///
/// Invariants: the first entry of the window is not settled; `stragglers` ascend and lie below `first`.
struct DeliveryTable {
    /// Settled entries that may stand behind an unsettled one before that one moves aside.
    static let slack = 8192

    private var entries = Deque<InFlight>()
    private var stragglers: [(id: UInt64, entry: InFlight)] = []
    private(set) var first: UInt64 = 1
    /// Unsettled and voided deliveries: what the worker still owes a verdict on.
    private(set) var owed = 0

    var next: UInt64 { first + UInt64(entries.count) }
    var isEmpty: Bool { owed == 0 }
    /// Every delivery up to this id has its verdict.
    var settledThrough: UInt64 { (stragglers.first?.id ?? first) - 1 }

    mutating func append(_ entry: InFlight) -> UInt64 {
        let id = next
        entries.append(entry)
        owed += 1
        return id
    }

    /// The delivery, if the session ever had it and still owes its verdict.
    func owedEntry(_ id: UInt64) -> InFlight? {
        if id >= first {
            let offset = id - first
            guard offset < UInt64(entries.count) else { return nil }
            let entry = entries[Int(offset)]
            return entry.state == .settled ? nil : entry
        }
        return straggler(id).map { stragglers[$0].entry }
    }

    /// Marks a delivery as settled. It must be owed.
    mutating func settle(_ id: UInt64) {
        owed -= 1
        if id >= first {
            let offset = Int(id - first)
            precondition(entries[offset].state != .settled, "a delivery is settled once")
            entries[offset].state = .settled
            if offset == 0 { popSettled() }
            if entries.count > Self.slack && entries.count > 2 * owed { moveAside() }
        } else if let index = straggler(id) {
            stragglers.remove(at: index)
        } else {
            preconditionFailure("only an owed delivery is settled")
        }
    }

    /// Voids the unsettled deliveries of `key` on `input` behind `id`, oldest first.
    mutating func void(after id: UInt64, key: UInt64, input: UInt16, _ body: (InFlight) -> Void) {
        for index in stragglers.indices where stragglers[index].id > id {
            voidIfMatching(&stragglers[index].entry, key, input, body)
        }
        let start = id >= first ? Int(id - first) + 1 : 0
        for index in start..<max(start, entries.count) {
            voidIfMatching(&entries[index], key, input, body)
        }
    }

    private func voidIfMatching(_ entry: inout InFlight, _ key: UInt64, _ input: UInt16, _ body: (InFlight) -> Void) {
        guard entry.key == key, entry.input == input, entry.state == .unsettled else { return }
        entry.state = .voided
        body(entry)
    }

    /// What is owed, oldest first.
    func forEachOwed(_ body: (UInt64, InFlight) -> Void) {
        for straggler in stragglers { body(straggler.id, straggler.entry) }
        for (offset, entry) in entries.enumerated() where entry.state != .settled {
            body(first + UInt64(offset), entry)
        }
    }

    /// The oldest delivery that is owed.
    var oldest: (id: UInt64, entry: InFlight)? {
        if let straggler = stragglers.first { return straggler }
        return entries.first.map { (first, $0) }
    }

    private mutating func popSettled() {
        while let front = entries.first, front.state == .settled {
            entries.removeFirst()
            first += 1
        }
    }

    private mutating func moveAside() {
        while let front = entries.first, entries.count > 2 * owed || front.state == .settled {
            if front.state != .settled { stragglers.append((first, front)) }
            entries.removeFirst()
            first += 1
        }
        popSettled()
    }

    private func straggler(_ id: UInt64) -> Int? {
        var low = 0
        var high = stragglers.count
        while low < high {
            let middle = (low + high) / 2
            if stragglers[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < stragglers.count && stragglers[low].id == id ? low : nil
    }

    /// The invariant, for tests and for debug builds.
    func check() {
        precondition(entries.first.map { $0.state != .settled } ?? true, "the window starts at an owed delivery")
        var count = stragglers.count
        for entry in entries where entry.state != .settled { count += 1 }
        precondition(count == owed, "owed counts what is not settled")
        for index in stragglers.indices.dropFirst() {
            precondition(stragglers[index - 1].id < stragglers[index].id, "stragglers ascend")
        }
        precondition((stragglers.last?.id ?? 0) < first, "stragglers lie below the window")
    }
}
