/// Opening: taking the directory, finding the end, making sure of it.
extension JournalWriter {
    /// Opens the journal of a directory, or begins one in an empty directory.
    ///
    /// Everything that `visit` has seen is durable when this returns. A write that a crash cut short is cleared and is in `found`.
    /// - Parameter visit: sees every entry from `options.request.from` on, in order.
    /// - Throws: `.inUse`, `.foreignPipeline`, `.newerFormat`, `.damaged` (nothing was changed then), `.full`, `.disk`.
    public static func open(
        _ disk: D, _ options: JournalOptions, visit: EntryVisitor = { _, _, _ in }
    ) throws(JournalError) -> JournalWriter {
        let lock = try take(disk)
        do throws(JournalError) {
            var scan = JournalScan(disk, options.request)
            let found = try scan.run(visit)
            if found.isDamaged { throw .damaged(found.findings.filter(\.losesEntries)) }
            let writer = try resume(disk, options, lock, found)
            return writer
        } catch {
            disk.close(lock)
            throw error
        }
    }

    private static func take(_ disk: D) throws(JournalError) -> DiskFile {
        do { return try disk.lock(JournalFormat.lockName) } catch {
            throw error.cause == .inUse ? .inUse(lock: error.name) : .disk(error)
        }
    }

    private static func resume(_ disk: D, _ options: JournalOptions, _ lock: DiskFile, _ found: ScanReport)
        throws(JournalError) -> JournalWriter
    {
        do throws(DiskError) {
            let reusable = try takeLeftovers(disk, options)
            let active: Active
            var kept = found.segments.map { Kept(first: $0.first, bytes: $0.size) }
            if let end = found.end, let last = found.segments.last {
                active = try continueSegment(disk, last, end, found)
            } else {
                active = try beginJournal(disk, options)
                kept = [Kept(first: active.header.first, bytes: active.header.capacity)]
            }
            return JournalWriter(
                disk: disk, options: options, lock: lock, active: active, kept: kept, reusable: reusable,
                chain: found.chain, next: found.end?.sequence ?? active.header.first, found: found)
        } catch {
            throw error.cause == .noSpace ? .full(.disk(error)) : .disk(error)
        }
    }

    /// A spare may be of any size and state: it is made anew when it is needed. Segments that would have been used again are kept
    /// for that, if they are of the size and number that is wanted now.
    private static func takeLeftovers(_ disk: D, _ options: JournalOptions) throws(DiskError) -> [Kept] {
        var reusable: [Kept] = []
        for name in try disk.list().sorted() {
            if name == JournalFormat.spareName || name == JournalFormat.repairName { try disk.remove(name) }
            guard name.hasSuffix(JournalFormat.reusableSuffix),
                let first = JournalFormat.firstSequence(
                    of: String(name.dropLast(JournalFormat.reusableSuffix.count)))
            else { continue }
            if (reusable.count + 1) * options.segmentBytes <= options.reusableBytes,
                try SegmentFile(name, on: disk).size == options.segmentBytes
            {
                reusable.append(Kept(first: first, bytes: options.segmentBytes))
            } else {
                try disk.remove(name)
            }
        }
        return reusable
    }

    private static func beginJournal(_ disk: D, _ options: JournalOptions) throws(DiskError) -> Active {
        let header = SegmentHeader(
            previous: 0, identity: options.identity, first: options.firstSequence, capacity: options.firstSegmentBytes,
            nonce: options.nonce(of: options.firstSequence))
        let file = try disk.makeSpare(header.capacity)
        do throws(DiskError) {
            try disk.writeHeader(header, to: file)
            try disk.rename(JournalFormat.spareName, to: JournalFormat.segmentName(header.first))
            try disk.syncDirectory()
        } catch {
            disk.close(file)
            throw error
        }
        return Active(file: file, header: header, end: JournalFormat.segmentHeader, scrap: 0)
    }

    /// Goes on in the last segment. Two things are made sure of before anything is built on what was read:
    ///
    /// - The last flush is durable. It may have been read from memory that the system never wrote to the disk: because there was no
    ///   time, or because a sync failed, after which the system takes the bytes for written. So they are written once more.
    /// - Nothing is behind the end.
    private static func continueSegment(
        _ disk: D, _ last: ScanReport.Segment, _ end: JournalPosition, _ found: ScanReport
    ) throws(DiskError) -> Active {
        let header = try readHeader(disk, last)
        let file = try disk.open(last.name, .write)
        do throws(DiskError) {
            if let flush = found.lastFlush { try rewrite(disk, file, flush.offset..<end.offset) }
            // The flush may have whole entries behind the broken ones: everything goes, not only what is broken.
            let unfinished = found.findings.filter { $0.kind == .unfinished }.map(\.range.upperBound)
            var dirty = max(last.end, unfinished.max() ?? 0)
            // What is left of others is not told apart from what is left of it: all of it goes, once.
            if header.isReused, dirty > end.offset { dirty = max(dirty, min(last.size, header.capacity)) }
            if dirty > end.offset { try disk.clear(file, end.offset..<dirty) }
            try disk.sync(file)
            try disk.syncDirectory()
        } catch {
            disk.close(file)
            throw error
        }
        return Active(file: file, header: header, end: end.offset, scrap: 0)
    }

    private static func readHeader(_ disk: D, _ last: ScanReport.Segment) throws(DiskError) -> SegmentHeader {
        guard case .header(let header) = try disk.readHeader(last.name) else {
            // It was read a moment ago, by a scan that found it good.
            throw DiskError(.read, last.name, .other(code: 0, text: "its header has changed"))
        }
        return header
    }

    private static func rewrite(_ disk: D, _ file: DiskFile, _ range: Range<Int>) throws(DiskError) {
        var buffer = [UInt8](repeating: 0, count: min(range.count, 256 * 1024))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let wanted = min(buffer.count, range.upperBound - offset)
            let count = try disk.read(file, at: offset, into: &buffer, 0..<wanted)
            guard count > 0 else { break }
            try disk.writeAll(file, buffer.span.bytes.extracting(0..<count), at: offset)
            offset += count
        }
    }
}
