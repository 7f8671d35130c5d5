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
                // As the last one it would be searched for entries to its end.
                let becomesLast = segment.isReused && segment.first != report.segments.last?.first
                if !(isWhole && isClean) || becomesLast {
                    steps.append(.cut(name: segment.name, end: end.offset, capacity: capacity))
                }
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
    /// The file that it is about.
    public var segment: String {
        switch self {
        case .setAside(let name), .cut(let name, _, _): name
        }
    }

    /// What it is set aside as, unless an earlier repair has taken the name.
    public var aside: String { segment + ".damaged" }
}
