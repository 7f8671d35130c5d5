/// What a scan makes of the broken places it came across.
extension JournalScan {
    /// Judges the breaks of a segment, and what it lacks at its end.
    mutating func close(_ scan: borrowing SegmentScan<D>, _ breaks: [Break], next: UInt64?) {
        report.segments[report.segments.count - 1].next = scan.next
        report.segments[report.segments.count - 1].end = scan.offset
        // A segment is begun only when everything before it is durable.
        let durable = next ?? scan.durable
        var lacks = false
        for item in breaks {
            let finding = judge(item, scan, durable: durable, isLast: next == nil)
            report.findings.append(finding)
            if finding.losesEntries || finding.kind == .unfinished { lacks = true }
        }
        if let next, scan.next < next, breaks.last?.end != next {
            lacks = true
            report.findings.append(
                Finding(.missing, scan.file.name, scan.offset..<scan.offset, from: scan.next, to: next))
        }
        noteSize(scan, next: next, isComplete: !lacks)
        if lacks || report.findings.last.map({ $0.kind == .short && $0.losesEntries }) == true { isIntact = false }
        expected = (next ?? scan.next, scan.next == next ? scan.chain : nil)
    }

    private func judge(_ item: Break, _ scan: borrowing SegmentScan<D>, durable: UInt64, isLast: Bool) -> Finding {
        let name = scan.file.name
        if item.first == item.end && !isLast { return Finding(.stray, name, item.range) }
        if isLast && item.first >= durable && item.looksUnfinished { return Finding(.unfinished, name, item.range) }
        return Finding(.entries, name, item.range, from: item.first, to: item.end)
    }

    /// A file of another size than it was made with. Its size was durable before its name was.
    private mutating func noteSize(_ scan: borrowing SegmentScan<D>, next: UInt64?, isComplete: Bool) {
        let (size, capacity) = (scan.file.size, scan.header.capacity)
        if size > capacity {
            report.findings.append(Finding(.stray, scan.file.name, capacity..<size))
        } else if size < capacity {
            let lost = next == nil || !isComplete ? scan.next : nil
            report.findings.append(Finding(.short, scan.file.name, size..<capacity, from: lost, to: next))
        }
    }

    mutating func noteMissingBeginning(_ firsts: [UInt64]) {
        guard let first = firsts.first, request.confirmed > request.from, first > max(1, request.from) else { return }
        isIntact = false
        report.end = JournalPosition(segment: first, offset: 0, sequence: max(1, request.from))
        report.findings.append(
            Finding(.missing, JournalFormat.segmentName(first), 0..<0, from: max(1, request.from), to: first))
    }

    mutating func noteMissingEnd() {
        let next = report.end?.sequence ?? max(1, request.from)
        guard !report.isDamaged, next < request.confirmed else { return }
        let name = report.segments.last?.name ?? JournalFormat.segmentName(next)
        let offset = report.end?.offset ?? 0
        report.findings.append(Finding(.missing, name, offset..<offset, from: next, to: request.confirmed))
    }
}
