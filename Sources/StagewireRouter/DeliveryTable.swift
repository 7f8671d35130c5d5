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
/// moves over a ring; an old delivery that stays unsettled while thousands behind it are settled (a window's) moves
/// aside, so that the table's size follows what is unsettled, not the distance between the ids.
///
/// Invariants: the first entry of the window is not settled; `stragglers` ascend and lie below `first`.
struct DeliveryTable {
    /// Settled entries that may stand behind an unsettled one before that one moves aside.
    static let slack = 8192
    private static let smallest = 64

    /// Position = id mod size, which is a power of two.
    private var ring: [InFlight] = []
    private var stragglers: [(id: UInt64, entry: InFlight)] = []
    private(set) var first: UInt64 = 1
    private(set) var next: UInt64 = 1
    /// Unsettled and voided deliveries: what the worker still owes a verdict on.
    private(set) var owed = 0

    /// Entries in the window.
    private var count: Int { Int(next - first) }
    var isEmpty: Bool { owed == 0 }
    /// Every delivery up to this id has its verdict.
    var settledThrough: UInt64 { (stragglers.first?.id ?? first) - 1 }

    @inline(__always)
    private func position(_ id: UInt64) -> Int { Int(truncatingIfNeeded: id) & (ring.count &- 1) }

    mutating func append(_ entry: InFlight) -> UInt64 {
        if count == ring.count { grow(to: count + 1) }
        let id = next
        ring[position(id)] = entry
        next += 1
        owed += 1
        return id
    }

    /// The delivery, if the session ever had it and still owes its verdict.
    func owedEntry(_ id: UInt64) -> InFlight? {
        if id >= first {
            guard id < next else { return nil }
            let entry = ring[position(id)]
            return entry.state == .settled ? nil : entry
        }
        return straggler(id).map { stragglers[$0].entry }
    }

    /// Marks a delivery as settled. It must be owed.
    mutating func settle(_ id: UInt64) {
        owed -= 1
        if id >= first {
            precondition(id < next && ring[position(id)].state != .settled, "a delivery is settled once")
            ring[position(id)].state = .settled
            if id == first { popSettled() }
            if count > Self.slack && count > 2 * owed { moveAside() }
        } else if let index = straggler(id) {
            stragglers.remove(at: index)
        } else {
            preconditionFailure("only an owed delivery is settled")
        }
    }

    // MARK: Many at once

    /// Lends the places of the next `most` deliveries to `body`, which fills as many of them as it returns.
    @inline(__always)
    mutating func append(atMost most: Int, _ body: (DeliveryPlaces) -> Int) -> Int {
        if count + most > ring.count { grow(to: count + most) }
        let places = (first: next, most: most)
        let filled = ring.withUnsafeMutableBufferPointer { ring in
            body(DeliveryPlaces(ring: ring, first: places.first, most: places.most))
        }
        precondition(filled <= most, "no more than there were places for")
        next += UInt64(filled)
        owed += filled
        return filled
    }

    /// Settles the deliveries from `id` on, `most` at most, up to the first one that is not unsettled or that `body` does
    /// not want. Stragglers are not among them.
    /// - Returns: how many
    @inline(__always)
    mutating func settle(from id: UInt64, atMost most: Int, _ body: (InFlight) -> Bool) -> Int {
        guard id >= first, id < next else { return 0 }
        let end = next - id > UInt64(most) ? id + UInt64(most) : next
        let isFront = id == first
        var at = id
        ring.withUnsafeMutableBufferPointer { ring in
            let mask = ring.count &- 1
            while at < end {
                // The position lies within the ring whatever the id is.
                let place = ring.baseAddress! + (Int(truncatingIfNeeded: at) & mask)
                guard place.pointee.state == .unsettled, body(place.pointee) else { break }
                place.pointee.state = .settled
                at &+= 1
            }
        }
        owed -= Int(at - id)
        if isFront {
            first = at
            popSettled()
        }
        if count > Self.slack && count > 2 * owed { moveAside() }
        return Int(at - id)
    }

    /// Whether all of these are owed and not voided.
    func areUnsettled(_ ids: ClosedRange<UInt64>) -> Bool {
        guard ids.lowerBound >= first, ids.upperBound < next else { return false }
        for id in ids where ring[position(id)].state != .unsettled { return false }
        return true
    }

    private mutating func grow(to least: Int) {
        var size = max(Self.smallest, ring.count)
        while size < least { size *= 2 }
        let vacant = InFlight(
            sequence: 0, key: 0, delivered: 0, attempt: 0, bytes: 0, input: 0, state: .settled)
        var larger = [InFlight](repeating: vacant, count: size)
        for id in first..<next { larger[Int(truncatingIfNeeded: id) & (size - 1)] = ring[position(id)] }
        ring = larger
    }

    /// Voids the unsettled deliveries of `key` on `input` behind `id`, oldest first.
    mutating func void(after id: UInt64, key: UInt64, input: UInt16, _ body: (InFlight) -> Void) {
        for index in stragglers.indices where stragglers[index].id > id {
            voidIfMatching(&stragglers[index].entry, key, input, body)
        }
        let start = max(first, id + 1)
        for later in start..<max(start, next) { voidIfMatching(&ring[position(later)], key, input, body) }
    }

    private func voidIfMatching(_ entry: inout InFlight, _ key: UInt64, _ input: UInt16, _ body: (InFlight) -> Void) {
        guard entry.key == key, entry.input == input, entry.state == .unsettled else { return }
        entry.state = .voided
        body(entry)
    }

    /// What is owed, oldest first.
    func forEachOwed(_ body: (UInt64, InFlight) -> Void) {
        for straggler in stragglers { body(straggler.id, straggler.entry) }
        for id in first..<next where ring[position(id)].state != .settled { body(id, ring[position(id)]) }
    }

    /// The oldest delivery that is owed.
    var oldest: (id: UInt64, entry: InFlight)? {
        if let straggler = stragglers.first { return straggler }
        return first < next ? (first, ring[position(first)]) : nil
    }

    /// Who looks for a record that was delivered for the first time: those ascend, unless inputs are mixed or others were
    /// delivered again in between. `nil` therefore says little.
    func unsettled(sequence: UInt64, input: Int) -> InFlight? {
        var low = first
        var high = next
        while low < high {
            let middle = low + (high - low) / 2
            if ring[position(middle)].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        guard low < next, case let entry = ring[position(low)], entry.sequence == sequence,
            Int(entry.input) == input, entry.state == .unsettled
        else { return nil }
        return entry
    }

    private mutating func popSettled() {
        while first < next, ring[position(first)].state == .settled { first += 1 }
    }

    private mutating func moveAside() {
        while first < next, count > 2 * owed || ring[position(first)].state == .settled {
            let front = ring[position(first)]
            if front.state != .settled { stragglers.append((first, front)) }
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
        precondition(first == next || ring[position(first)].state != .settled, "the window starts at an owed delivery")
        var count = stragglers.count
        for id in first..<next where ring[position(id)].state != .settled { count += 1 }
        precondition(count == owed, "owed counts what is not settled")
        for index in stragglers.indices.dropFirst() {
            precondition(stragglers[index - 1].id < stragglers[index].id, "stragglers ascend")
        }
        precondition((stragglers.last?.id ?? 0) < first, "stragglers lie below the window")
    }
}

/// Where the next deliveries of a session go.
struct DeliveryPlaces {
    private let base: UnsafeMutablePointer<InFlight>
    private let mask: Int
    /// Id of the first one.
    let first: UInt64
    private let most: Int

    @inline(__always)
    init(ring: UnsafeMutableBufferPointer<InFlight>, first: UInt64, most: Int) {
        base = ring.baseAddress!
        mask = ring.count &- 1
        self.first = first
        self.most = most
    }

    /// The position lies within the ring whatever `offset` is; that it is free is the caller's affair.
    @inline(__always)
    func set(_ offset: Int, _ entry: InFlight) {
        precondition(offset < most, "no more than there are places for")
        base[Int(truncatingIfNeeded: first &+ UInt64(truncatingIfNeeded: offset)) & mask] = entry
    }
}
