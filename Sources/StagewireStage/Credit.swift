import StagewireModel

/// What emissions cost on one output (CR-3), the broker's stamp included.
struct Charge: Equatable, Sendable {
    var records: UInt64 = 0
    var bytes: UInt64 = 0

    static func + (a: Charge, b: Charge) -> Charge { Charge(records: a.records + b.records, bytes: a.bytes + b.bytes) }
    static func += (a: inout Charge, b: Charge) { a = a + b }
}

/// What the broker lets us send on one output; nothing until its first Credit.
///
/// Invariant: used <= limit in both members. `used` includes what is gathered and not yet written.
struct OutputCredit: Sendable {
    let number: UInt32
    private var limit = Charge()
    private var used = Charge()

    init(number: UInt32) { self.number = number }

    func fits(_ charge: Charge) -> Bool {
        used.records + charge.records <= limit.records && used.bytes + charge.bytes <= limit.bytes
    }

    /// Takes over a limit that somebody else has raised.
    mutating func raise(to other: OutputCredit) { limit = other.limit }

    mutating func use(_ charge: Charge) {
        precondition(fits(charge), "credit is used only where it fits")
        used += charge
    }

    /// Each member is raised by itself; a lower limit is ignored (CR-2).
    mutating func raise(to credit: CreditLimit) {
        limit.records = max(limit.records, credit.records)
        limit.bytes = max(limit.bytes, credit.bytes)
    }
}

/// What we let the broker send on one input: a window beyond what has left our queue.
///
/// ```
/// 0 ...... taken ...... received ...... limit = taken at the last grant + window
/// ```
/// A grant is due when half of the window has been taken since the last one. The window is at least twice the
/// largest record, so an empty queue always leaves room for any record (CR-6).
struct InputWindow: Sendable {
    static let records: UInt64 = 8192
    static let bytes: UInt64 = 4 * 1024 * 1024

    let number: UInt32
    private let window: Charge
    private var taken = Charge()
    private var received = Charge()
    private var limit = Charge()

    init(number: UInt32, maxRecord: UInt64) {
        self.number = number
        window = Charge(records: Self.records, bytes: max(Self.bytes, 2 * min(maxRecord, UInt64(Limits.ceilingFrame))))
    }

    /// Books what arrived; false when the broker overshot our grant.
    mutating func receive(_ charge: Charge) -> Bool {
        received += charge
        return received.records <= limit.records && received.bytes <= limit.bytes
    }

    /// Books what left the queue, and returns the grant that is due because of it.
    mutating func take(_ charge: Charge) -> CreditLimit? {
        taken += charge
        let isDue =
            taken.records + window.records - limit.records >= window.records / 2
            || taken.bytes + window.bytes - limit.bytes >= window.bytes / 2
        return isDue ? grant() : nil
    }

    /// Moves the limit up to a full window.
    mutating func grant() -> CreditLimit {
        limit = taken + window
        return CreditLimit(number: number, records: limit.records, bytes: limit.bytes)
    }
}
