/// Credit on one input or output, as CR-2 counts it: totals since the session began.
struct Account: Equatable, Sendable {
    struct Amount: Equatable, Sendable {
        var records: UInt64 = 0
        var bytes: UInt64 = 0
    }

    var limit = Amount()
    var used = Amount()

    /// What may still be sent. A limit below what was used is the sender's fault, and leaves nothing.
    var remaining: Amount {
        Amount(
            records: limit.records > used.records ? limit.records - used.records : 0,
            bytes: limit.bytes > used.bytes ? limit.bytes - used.bytes : 0)
    }

    var isOverdrawn: Bool { used.records > limit.records || used.bytes > limit.bytes }

    /// Each of the two is raised by itself.
    mutating func raise(records: UInt64, bytes: UInt64) {
        limit.records = max(limit.records, records)
        limit.bytes = max(limit.bytes, bytes)
    }

    mutating func spend(records: UInt64, bytes: UInt64) {
        used.records += records
        used.bytes += bytes
    }

    func fits(records: UInt64, bytes: UInt64) -> Bool { remaining.records >= records && remaining.bytes >= bytes }
}
