/// What `stagewire journal verify` and `repair` stand on.
public enum Verification {
    /// Reads everything, changes nothing, and finds every damaged range of bytes. It takes no lock: beside a writer, the last
    /// flush may look unfinished.
    public static func verify<D: Disk>(
        _ disk: D, _ request: ScanRequest = ScanRequest(), visit: EntryVisitor = { _, _, _ in }
    ) throws(JournalError) -> ScanReport {
        var scan = JournalScan(disk, request)
        return try scan.run(visit)
    }
}

/// How to make a damaged journal one that can be opened: keep the longest valid prefix and set the rest aside. Nothing is
/// deleted; what is set aside has ".damaged" behind its name, and no part in the journal any more.
public struct RepairPlan: Equatable, Sendable {
    public enum Step: Equatable, Sendable {
        /// The whole file gets another name.
        case setAside(name: String)
        /// A copy of the file is set aside; the file keeps its first `end` bytes, zeros behind them, and its size.
        case cut(name: String, end: Int, capacity: Int)
    }

    /// In the order in which they have to be taken: the last segment first, so that what is left is a prefix at any time, and
    /// a repair that was interrupted is simply begun again.
    public let steps: [Step]
    /// The sequence with which the repaired journal goes on: entries below are kept.
    public let next: UInt64
    /// What will be lost.
    public let losses: [Finding]

    /// The plan for what a scan has found. Without damage there are no steps. A function of the report alone.
    public init(_ report: ScanReport) {
        losses = report.findings.filter(\.losesEntries)
        next = report.end?.sequence ?? 1
        guard !losses.isEmpty, let end = report.end else {
            steps = []
            return
        }
        var steps: [Step] = []
        for segment in report.segments.reversed() {
            let holdsEnd = segment.first == end.segment && end.offset >= JournalFormat.segmentHeader
            if holdsEnd, let capacity = segment.capacity {
                let isWhole = segment.end <= end.offset && segment.size >= capacity
                let isClean = !report.findings.contains { $0.segment == segment.name && !$0.range.isEmpty }
                if !(isWhole && isClean) { steps.append(.cut(name: segment.name, end: end.offset, capacity: capacity)) }
            } else if segment.first >= end.segment {
                steps.append(.setAside(name: segment.name))
            }
        }
        self.steps = steps
    }

    /// For people: one sentence for each loss, and what becomes of it.
    public var message: String {
        if losses.isEmpty { return "The journal is not damaged: there is nothing to repair." }
        return
            "Repairing keeps the entries below \(next). Lost: \(Finding.list(losses)). What is not kept is set aside as "
            + "\(steps.map(\.aside).joined(separator: ", "))."
    }
}

extension RepairPlan.Step {
    var aside: String {
        switch self {
        case .setAside(let name), .cut(let name, _, _): name + ".damaged"
        }
    }
}

extension RepairPlan {
    /// Carries the plan out, under the writer's lock. After an error, or a crash, scan and plan again.
    public func apply<D: Disk>(to disk: D) throws(JournalError) {
        let lock: DiskFile
        do { lock = try disk.lock(JournalFormat.lockName) } catch {
            throw error.cause == .inUse ? .inUse(lock: error.name) : .disk(error)
        }
        defer { disk.close(lock) }
        do throws(DiskError) {
            for step in steps {
                switch step {
                case .setAside(let name): try disk.rename(name, to: try disk.freeName(step.aside))
                case .cut(let name, let end, let capacity):
                    try disk.copy(name, prefix: nil, capacity: nil, to: try disk.freeName(step.aside))
                    try disk.syncDirectory()
                    if try disk.list().contains(JournalFormat.repairName) { try disk.remove(JournalFormat.repairName) }
                    try disk.copy(name, prefix: end, capacity: capacity, to: JournalFormat.repairName)
                    try disk.rename(JournalFormat.repairName, to: name)
                }
                try disk.syncDirectory()
            }
        } catch { throw error.cause == .noSpace ? .full(.disk(error)) : .disk(error) }
    }
}

extension Disk {
    /// `name`, or with a number behind it if an earlier repair has taken it.
    fileprivate func freeName(_ name: String) throws(DiskError) -> String {
        let taken = Set(try list())
        var candidate = name
        var number = 2
        while taken.contains(candidate) {
            candidate = "\(name).\(number)"
            number += 1
        }
        return candidate
    }

    /// A durable copy of a file, or of its first bytes in a file of another size.
    fileprivate func copy(_ name: String, prefix: Int?, capacity: Int?, to new: String) throws(DiskError) {
        var source = try SegmentFile(name, on: self)
        let target = try open(new, .create)
        defer { close(target) }
        let end = min(prefix ?? source.size, source.size)
        let size = capacity ?? source.size
        if size > 0 { try preallocate(target, bytes: size) }
        var offset = 0
        while offset < end {
            let count = try source.load(offset, min(256 * 1024, end - offset))
            guard count > 0 else { break }
            let bytes = source.withBytes(offset, count) { $0.withUnsafeBytes { Array($0) } }
            try writeAll(target, bytes.span.bytes, at: offset)
            offset += count
        }
        try sync(target)
    }
}
