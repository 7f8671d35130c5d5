/// Why the journal cannot do what it was asked to.
public enum JournalError: Error, Equatable, Sendable {
    /// A call failed while nothing was at stake: reading, opening. Whoever knows a reason to may try again.
    case disk(DiskError)
    /// Another writer has the directory.
    case inUse(lock: String)
    case foreignPipeline(segment: String, found: JournalIdentity, expected: JournalIdentity)
    case newerFormat(segment: String, version: UInt32)
    /// Entries are damaged or missing. Nothing is changed before somebody decides (`RepairPlan`).
    case damaged([Finding])
    /// Nothing was written and nothing lost: try again when there is room.
    case full(Fullness)
    /// Final: after this error nobody knows what is on the disk, so this writer confirms nothing more. Reopening finds out.
    case poisoned(DiskError)
    /// Entries before `first` are not kept any more; nil when there are none at all.
    case notRetained(sequence: UInt64, first: UInt64?)
    /// Something else lies where the entry was said to be.
    case notThere(JournalPosition)

    public enum Fullness: Hashable, Sendable {
        /// The file system has no room.
        case disk(DiskError)
        /// `JournalOptions.byteLimit`.
        case bytes(limit: Int)
        /// `JournalOptions.segmentLimit`.
        case segments(limit: Int)
    }

    /// What happened, where, and what to do.
    public var message: String {
        switch self {
        case .disk(let error): "The journal's disk: \(error.message)."
        case .inUse(let lock):
            "Another process writes this journal and holds \(lock). Stop it, or give this pipeline a state "
                + "directory of its own."
        case .foreignPipeline(let segment, let found, let expected):
            "Segment \(segment) belongs to another pipeline (\(found), this one is \(expected)). Give each pipeline a state "
                + "directory of its own."
        case .newerFormat(let segment, let version):
            "Segment \(segment) has format \(version), and this program knows formats up to \(JournalFormat.version). Use the "
                + "version that wrote it, or a newer one."
        case .damaged(let findings):
            "The journal is damaged: \(Finding.list(findings)). Nothing was changed. Repairing keeps what lies before "
                + "the first damage and sets the rest aside."
        case .full(.disk(let error)): "The journal has no room: \(error.message). It goes on when space is freed."
        case .full(.bytes(let limit)):
            "The journal has reached its limit of \(limit) bytes. It goes on when records are settled, or with a "
                + "higher limit."
        case .full(.segments(let limit)):
            "The journal has reached its limit of \(limit) segments. It goes on when records are settled, or with a "
                + "higher limit."
        case .poisoned(let error):
            "The journal confirms nothing any more: \(error.message). What is on the disk is unknown until the "
                + "program is started again."
        case .notRetained(let sequence, let first):
            "Entry \(sequence) is not kept"
                + (first.map { "; the first one is \($0)." } ?? ": the journal has no entries.")
        case .notThere(let position):
            "Entry \(position.sequence) is not at byte \(position.offset) of "
                + "\(JournalFormat.segmentName(position.segment))."
        }
    }
}
