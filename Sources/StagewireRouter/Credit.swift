import StagewireModel

/// Credit that a worker gave us for one input: cumulative limits, and what we sent under them.
///
/// Worked example: limits (100 records, 10,000 bytes), sent (98, 9,500). A record of 400 bytes is admitted:
/// 99 of 100 and 9,900 of 10,000. The next one of 400 bytes is not (10,300 bytes), one of 100 bytes is.
///
/// Invariant: `records <= recordLimit && bytes <= byteLimit`, always: what was sent was admitted before.
struct SendWindow: Equatable {
    private(set) var recordLimit: UInt64 = 0
    private(set) var byteLimit: UInt64 = 0
    private(set) var records: UInt64 = 0
    private(set) var bytes: UInt64 = 0

    /// Raises the limits. A limit that does not grow is ignored, for credit is never revoked (CR-2).
    /// Returns whether anything changed.
    mutating func raise(to limit: CreditLimit) -> Bool {
        let changed = limit.records > recordLimit || limit.bytes > byteLimit
        recordLimit = max(recordLimit, limit.records)
        byteLimit = max(byteLimit, limit.bytes)
        return changed
    }

    var leftRecords: UInt64 { recordLimit - records }
    var leftBytes: UInt64 { byteLimit - bytes }

    func admits(bytes size: Int) -> Bool {
        // Written without addition on the limit's side: limits may be as large as UInt64.max.
        records < recordLimit && UInt64(size) <= byteLimit - bytes
    }

    mutating func spend(bytes size: Int) {
        precondition(admits(bytes: size), "a record is sent within both limits only")
        records += 1
        bytes += UInt64(size)
    }

    /// The same for many at once.
    mutating func spend(records count: Int, bytes size: Int) {
        precondition(
            UInt64(count) <= leftRecords && UInt64(size) <= leftBytes, "records are sent within both limits only")
        records += UInt64(count)
        bytes += UInt64(size)
    }
}

/// Credit that we gave one session for one output port, and what it used.
///
/// Invariant: `usedRecords <= grantedRecords && usedBytes <= grantedBytes`.
struct GrantWindow: Equatable {
    private(set) var grantedRecords: UInt64 = 0
    private(set) var grantedBytes: UInt64 = 0
    private(set) var usedRecords: UInt64 = 0
    private(set) var usedBytes: UInt64 = 0

    /// What the session may still send.
    var outstandingRecords: Int { Int(grantedRecords - usedRecords) }
    var outstandingBytes: Int { Int(grantedBytes - usedBytes) }

    /// Nothing was ever granted.
    var isNew: Bool { grantedRecords == 0 && grantedBytes == 0 }

    /// Takes an emission's charge; false when it exceeds what was granted (nothing is taken then).
    mutating func charge(records: Int, bytes: Int) -> Bool {
        guard records <= outstandingRecords, bytes <= outstandingBytes else { return false }
        usedRecords += UInt64(records)
        usedBytes += UInt64(bytes)
        return true
    }

    /// Grants so much more.
    mutating func extend(records: Int, bytes: Int) {
        precondition(records >= 0 && bytes >= 0, "credit is never revoked")
        grantedRecords += UInt64(records)
        grantedBytes += UInt64(bytes)
    }
}

/// How much a stream may hand out, and to whom: the bound on its memory.
///
/// Invariant: occupied + what all sessions may still send <= window + maxWorkers x step, in bytes and in
/// records. Every session that may exist has one step of that budget for itself: what a session is given beyond
/// its own step comes out of the shared window, so the others' allowances come back to one step whatever it does.
struct GrantPolicy: Equatable {
    /// The shared window.
    var window: Int
    /// One session's own step.
    var step: Int
    /// Sessions that may exist.
    var sessions: Int

    var capacity: Int { window + sessions * step }

    /// How much more to give a session.
    /// - Parameters:
    ///   - outstanding: what it may still send
    ///   - occupied: what the stream retains
    ///   - reserved: over all other sessions that may exist, the greater of one step and what each may still send
    ///   - attached: sessions attached now
    ///   - filled: how much of the window is given out: all of it, or less while that is enough
    func increase(outstanding: Int, occupied: Int, reserved: Int, attached: Int, filled: Int) -> Int {
        let share = max(0, filled - occupied) / max(1, attached)
        let target = step + share
        // Under its own step a session is topped up at once, for it may wait for exactly that much. Above,
        // half windows: fewer Credit frames.
        guard outstanding < step || target - outstanding >= target / 2 else { return 0 }
        let room = capacity - occupied - reserved - outstanding
        return max(0, min(target - outstanding, room))
    }

    /// A new session's own step. It was kept free while the session was absent, so it is there whatever the others have
    /// filled, their own steps included; less only where sessions that have left filled theirs.
    /// - Parameters:
    ///   - others: what all other attached sessions may still send
    ///   - absent: sessions that may exist and do not
    func first(occupied: Int, others: Int, absent: Int) -> Int {
        max(0, min(step, capacity - occupied - others - absent * step))
    }

    /// What a session keeps from the others.
    func reserve(outstanding: Int) -> Int { max(outstanding, step) }
}
