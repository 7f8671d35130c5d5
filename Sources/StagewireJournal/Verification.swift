/// What `stagewire journal verify` and `repair` stand on.
public enum Verification {
    /// Reads everything, changes nothing, and finds every damaged range of bytes. It takes no lock: beside a writer, what is being
    /// written may look unfinished or damaged.
    public static func verify<D: Disk>(
        _ disk: D, _ request: ScanRequest = ScanRequest(), visit: EntryVisitor = { _, _, _ in }
    ) throws(JournalError) -> ScanReport {
        var scan = JournalScan(disk, request)
        return try scan.run(visit)
    }

    /// Like `verify`, beside a writer that appends, begins segments and removes others meanwhile. What it is writing looks like
    /// damage to whoever sees half of it, so what counts is what two looks find in the same place: a writer's end has moved on.
    /// - Parameter pause: called between two looks.
    public static func verifyBesideWriter<D: Disk>(
        _ disk: D, _ request: ScanRequest = ScanRequest(), pause: () -> Void
    ) throws(JournalError) -> ScanReport {
        let before = try look(disk, request, pause)
        if before.findings.isEmpty { return before }
        pause()
        var report = try look(disk, request, pause)
        report.findings.removeAll { finding in !before.findings.contains { $0.isAtPlace(of: finding) } }
        return report
    }

    /// A segment may be removed between the look at the directory and the look into it: then both are repeated, five times
    /// at most.
    private static func look<D: Disk>(
        _ disk: D, _ request: ScanRequest, _ pause: () -> Void
    ) throws(JournalError) -> ScanReport {
        for _ in 0..<5 {
            do throws(JournalError) { return try verify(disk, request) } catch {
                guard case .disk(let problem) = error, problem.cause == .missing else { throw error }
                pause()
            }
        }
        return try verify(disk, request)
    }
}

extension Finding {
    /// Of what kind it is may change: a broken flush is known to be damage when a later one stands behind it.
    fileprivate func isAtPlace(of other: Finding) -> Bool {
        segment == other.segment && range.lowerBound == other.range.lowerBound
    }
}
