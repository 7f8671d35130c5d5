import StagewireModel

/// What the broker keeps in order: the records of an input's key, or all of an input.
struct OrderLane: Hashable {
    private var input: UInt32
    private(set) var key: [UInt8]

    /// nil: the record's input has no order, or the record no key.
    init?(_ record: Record) {
        input = record.input.number
        switch record.input.ordering {
        case .none: return nil
        case .key: key = record.key
        case .total:
            key = []
            return
        }
        guard !key.isEmpty else { return nil }
    }
}

/// Lanes that were given back. What the broker has sent of them, before it knew, is void (OR-3) and comes anew, so no
/// handler should see it. A Ping behind the Settle tells when that is over:
///
/// ```
/// worker:  Settle(RETRY 1) Ping ------.          .--- 2, 3: settled, not handled
/// broker:  Deliver 1, 2   Deliver 3    `- Pong  Deliver 4 (1 again), 5 (2), 6 (3): handled
/// ```
struct ClosedLanes {
    /// The nonce of the Ping whose Pong opens the lane: the last one, if it was given back more than once.
    private var nonces: [OrderLane: UInt64] = [:]
    /// The same, the other way round, so that a Pong costs no more than what it opens.
    private var lanes: [UInt64: [OrderLane]] = [:]

    var isEmpty: Bool { nonces.isEmpty }

    mutating func close(_ lane: OrderLane, until nonce: UInt64) {
        guard nonces.updateValue(nonce, forKey: lane) != nonce else { return }
        lanes[nonce, default: []].append(lane)
    }

    /// The Pong is here: what arrives from now on was sent after the broker knew.
    mutating func open(_ nonce: UInt64) {
        for lane in lanes.removeValue(forKey: nonce) ?? [] where nonces[lane] == nonce { nonces[lane] = nil }
    }

    /// Whether a record that has just arrived is to be taken as void.
    func contain(_ record: Record) -> Bool {
        guard let lane = OrderLane(record) else { return false }
        return nonces[lane] != nil
    }
}
