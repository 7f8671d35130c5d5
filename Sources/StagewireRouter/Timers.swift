import HeapModule
import StagewireModel

/// What the core waits for.
enum Timer: Equatable {
    case handshake(ConnectionID)
    case liveness(ConnectionID)
    case lease(ConnectionID)
    /// A key or a record of this subscription may go again.
    case retry(subscription: Int, Waiting)
    /// A stage's pause may be over.
    case breaker(stage: Int)
    case drainDeadline
    /// Whether a subscription is too slow: that is for the pump to see.
    case look
}

/// Deadlines in order. A timer is not moved or taken back: when it fires, its owner looks whether it is still
/// due and sets a new one, so that a frame costs no heap operation.
struct Timers {
    private struct Entry: Comparable {
        var due: UInt64
        /// Order of arming, so that equal deadlines fire in one order everywhere.
        var order: UInt64
        var timer: Timer
        static func < (a: Entry, b: Entry) -> Bool { (a.due, a.order) < (b.due, b.order) }
        static func == (a: Entry, b: Entry) -> Bool { a.order == b.order }
    }

    private var heap = Heap<Entry>()
    private var armed: UInt64 = 0

    var next: UInt64? { heap.min?.due }

    mutating func arm(_ timer: Timer, at due: UInt64) {
        armed += 1
        heap.insert(Entry(due: due, order: armed, timer: timer))
    }

    mutating func popDue(at uptime: UInt64) -> Timer? {
        guard let entry = heap.min, entry.due <= uptime else { return nil }
        return heap.removeMin().timer
    }
}
