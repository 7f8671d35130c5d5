/// Which session the keys of a subscription are with while any of their records is in flight.
///
/// Keys share 1,024 lanes (by the low bits of their hash): a lane belongs to one session as long as that
/// session owes a verdict on any record of the lane. Two keys that share a lane share the session for a
/// while, nothing else; holding and voiding go by the whole hash. A fixed table costs a few nanoseconds
/// per record and never allocates. See docs/decisions/0003-one-log-with-key-lanes.md.
struct KeyLanes {
    static let count = 1024

    /// Where a record of a key may go.
    enum Route: Equatable {
        /// Anywhere.
        case free
        /// To the session in this slot only.
        case owned(Int)
        /// Nowhere for now: a suspect of this lane waits for the lane to empty.
        case claimed
    }

    struct Lane {
        var slot: Int32 = -1
        var inFlight: Int32 = 0
        var isClaimed = false
    }

    private var lanes = [Lane](repeating: Lane(), count: count)

    func route(of key: UInt64) -> Route {
        let lane = lanes[Self.index(key)]
        if lane.isClaimed { return .claimed }
        return lane.inFlight > 0 ? .owned(Int(lane.slot)) : .free
    }

    /// Whether a suspect may go to `slot`: nothing of its lane is with anybody else.
    func isOpen(_ key: UInt64, to slot: Int) -> Bool {
        let lane = lanes[Self.index(key)]
        return lane.inFlight == 0 || lane.slot == Int32(slot)
    }

    /// Keeps new records out of the lane until a suspect has entered it; otherwise other keys of the lane
    /// could keep it with their session for ever.
    mutating func claim(_ key: UInt64) { lanes[Self.index(key)].isClaimed = true }

    mutating func unclaim(_ key: UInt64) { lanes[Self.index(key)].isClaimed = false }

    mutating func enter(_ key: UInt64, slot: Int) {
        let index = Self.index(key)
        precondition(lanes[index].inFlight == 0 || lanes[index].slot == Int32(slot), "a lane is with one session")
        lanes[index].slot = Int32(slot)
        lanes[index].inFlight += 1
        lanes[index].isClaimed = false
    }

    mutating func leave(_ key: UInt64) {
        let index = Self.index(key)
        precondition(lanes[index].inFlight > 0, "a record leaves the lane that it entered")
        lanes[index].inFlight -= 1
    }

    /// Lends the table for many records at once: one look at who else has it, none at its bounds.
    @inline(__always)
    mutating func withView<Result>(_ body: (View) -> Result) -> Result {
        lanes.withUnsafeMutableBufferPointer { lanes in
            precondition(lanes.count == Self.count, "the table is fixed")
            return body(View(base: lanes.baseAddress!))
        }
    }

    /// The lent table. A lane's index lies within it whatever the key is.
    struct View {
        fileprivate let base: UnsafeMutablePointer<Lane>

        /// Enters the lane, if a record of it may go to `slot`.
        @inline(__always)
        func enter(_ key: UInt64, slot: Int32) -> Bool {
            let lane = base + KeyLanes.index(key)
            guard !lane.pointee.isClaimed, lane.pointee.inFlight == 0 || lane.pointee.slot == slot else { return false }
            lane.pointee.slot = slot
            lane.pointee.inFlight &+= 1
            return true
        }

        @inline(__always)
        func leave(_ key: UInt64) {
            let lane = base + KeyLanes.index(key)
            precondition(lane.pointee.inFlight > 0, "a record leaves the lane that it entered")
            lane.pointee.inFlight &-= 1
        }
    }

    @inline(__always)
    fileprivate static func index(_ key: UInt64) -> Int { Int(truncatingIfNeeded: key) & (count - 1) }
}
