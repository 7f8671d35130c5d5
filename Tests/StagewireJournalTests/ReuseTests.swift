import StagewireDiskSimulation
import StagewireTestSupport
import Testing

@testable import StagewireJournal

/// Segments that are written over what others had.
struct ReuseTests {
    private let disk = Sample.disk()

    private static func options(segmentBytes: Int = 1024, reusable: Int = 3) -> JournalOptions {
        var options = Sample.options(segmentBytes: segmentBytes)
        options.reusableBytes = reusable * segmentBytes
        return options
    }

    /// A journal all of whose segments were others before.
    /// - Returns: the entries that are kept.
    private func reuse(_ writer: inout JournalWriter<MemoryDisk>) throws -> [Item] {
        let segmentBytes = writer.options.segmentBytes
        while writer.segments.count < 5 { _ = try Sample.fill(&writer, flushes: [2]) }
        try writer.retire(below: writer.next)
        #expect(writer.segments.count == 1 && writer.reusableBytes == 3 * segmentBytes)
        let first = writer.next
        var items: [Item] = []
        while writer.reusableBytes > 0 { items += try Sample.fill(&writer, flushes: [Int(writer.next % 3) + 1]) }
        items += try Sample.fill(&writer, flushes: [2, 1, 1])
        try writer.retire(below: writer.segments[1].first)
        #expect(writer.first >= first)
        let kept = writer.first
        return items.filter { $0.sequence >= kept }
    }

    private var names: [String] { disk.fileNames.filter { $0.hasSuffix(".seg") } }

    /// A rotation has nothing to make: it opens a file, and gives it a header and a name.
    @Test func aRotation() throws {
        var writer = try JournalWriter.open(disk, Self.options())
        while writer.segments.count < 3 { _ = try Sample.fill(&writer, flushes: [2]) }
        let names = self.names
        try writer.retire(below: writer.next)
        #expect(Set(disk.fileNames) == ["lock", names[0] + ".old", names[1] + ".old", names[2]])
        #expect(writer.byteCount == 3072 && writer.reusableBytes == 2048 && !writer.wantsPreparation)
        let before = disk.calls.count
        while writer.segments.count < 2 { _ = try Sample.fill(&writer, flushes: [1]) }
        #expect(disk.calls[before...].suffix(7) == [.open, .write, .sync, .rename, .syncDirectory, .write, .sync])
        #expect(Set(disk.calls[before...]) == [.open, .write, .sync, .rename, .syncDirectory])
        #expect(writer.byteCount == 3072 && writer.reusableBytes == 1024)
        #expect(!disk.fileNames.contains(names[0] + ".old"), "the oldest first")
        let (_, report) = try Sample.scan(disk)
        #expect(report.findings == [])
    }

    @Test func itIsReadLikeAnyOther() throws {
        var writer = try JournalWriter.open(disk, Self.options())
        let items = try reuse(&writer)
        #expect(names.allSatisfy { disk.bytes(of: $0)[56] == 1 } && names.count > 2)
        let (found, report) = try Sample.scan(disk)
        #expect(found == items && report.findings == [])
        #expect(report.end?.sequence == writer.next)
        var reader = try JournalReader.open(disk, from: writer.first)
        for item in items { #expect(try reader.advance()?.sequence == item.sequence) }
        #expect(try reader.advance() == nil)
        _ = consume writer
        #expect(try JournalWriter.open(disk, Self.options()).found.findings == [])
    }

    // MARK: Damage

    private func examine(_ damaged: MemoryDisk, _ items: [Item], _ name: String, _ range: Range<Int>, confirmed: Int)
        throws
    {
        let (found, report) = try Sample.scan(damaged)
        let what = "\(range) of \(name): \(report.findings)"
        #expect(found == Array(items.prefix(found.count)), "something wrong is served, \(what)")
        #expect(
            report.findings.contains { $0.segment == name && $0.range.overlaps(range) }, "not located, \(what)")
        if found.count < confirmed { #expect(report.isDamaged, "confirmed entries are lost, \(what)") }
        if report.isDamaged { try RepairPlan(report).apply(to: damaged) }
        var writer = try JournalWriter.open(damaged, Self.options())
        #expect(writer.next == (items.first?.sequence ?? 1) + UInt64(found.count) || found.isEmpty, "\(what)")
        _ = try Sample.fill(&writer, flushes: [2])
        let (again, after) = try Sample.scan(damaged)
        #expect(again.count == found.count + 2 && !after.isDamaged, "\(what), then \(after.findings)")
    }

    /// One bit, and all bits, of every byte up to where it is seen that the entries end; with a mark no entry of the last flush is
    /// lost without a word either.
    @Test(arguments: [false, true])
    func everyByteFlipped(isMarked: Bool) throws {
        var writer = try JournalWriter.open(disk, Self.options())
        let items = try reuse(&writer)
        if isMarked { try writer.mark() }
        let segments = try Sample.scan(disk).1.segments
        for segment in segments {
            let original = disk.bytes(of: segment.name)
            for place in 0..<min(segment.end + JournalFormat.mark, original.count) {
                // What is there was another segment's, and says nothing where less than a mark has room.
                if place >= segment.end, original.count - segment.end < JournalFormat.mark { break }
                for change in [UInt8(1) << (place % 8), 0xff] {
                    let damaged = disk.copy()
                    damaged.flip(segment.name, place, change)
                    try examine(
                        damaged, items, segment.name, place..<place + 1,
                        confirmed: isMarked ? items.count : items.count - 1)
                }
            }
        }
    }

    /// What was erased looks like the end of the entries, unless some follow.
    @Test func everySectorErased() throws {
        var writer = try JournalWriter.open(disk, Self.options(segmentBytes: 2048))
        let items = try reuse(&writer)
        try writer.mark()
        for segment in try Sample.scan(disk).1.segments {
            for start in stride(from: 0, to: segment.end, by: 512) {
                let range = start..<min(start + 512, segment.end)
                let damaged = disk.copy()
                var bytes = disk.bytes(of: segment.name)
                for index in range { bytes[index] = 0 }
                damaged.replace(segment.name, bytes)
                let (found, report) = try Sample.scan(damaged)
                #expect(found == Array(items.prefix(found.count)) && report.isDamaged, "\(range) of \(segment.name)")
            }
        }
    }

    /// Of one flush any sectors may be missing, in whose place is what another segment had there. As long as nothing says that the
    /// flush was durable, it is a write that was cut short; as soon as something does, it is damage.
    @Test(arguments: 0..<3)
    func anySectorsOfAFlush(testimony: Int) throws {
        var writer = try JournalWriter.open(disk, Self.options(segmentBytes: 8192))
        var items = try reuse(&writer)
        while disk.bytes(of: names.last!).count - (try Sample.scan(disk).1.end?.offset ?? 0) < 5000 {
            items += try Sample.fill(&writer, flushes: [2])
        }
        let name = names.last!
        let start = items.count
        let old = disk.bytes(of: name)
        let first = try #require(try Sample.scan(disk).1.end?.offset)
        items += try Sample.fill(&writer, flushes: [12])
        let end = try #require(try Sample.scan(disk).1.end?.offset)
        let marked = items.count
        switch testimony {
        case 1: try writer.mark()
        case 2: items += try Sample.fill(&writer, flushes: [1])
        default: break
        }
        let new = disk.bytes(of: name)
        if testimony == 1 { #expect(new[end + 28] == 0xff, "the mark has its place") }
        let sectors = Array(first / 512...(end - 1) / 512)
        for missing in 1..<(1 << sectors.count) {
            var bytes = new
            for (index, sector) in sectors.enumerated() where missing >> index & 1 == 1 {
                // The mark's sector is what it is: it was written later.
                for place in max(first, sector * 512)..<min(end, sector * 512 + 512) { bytes[place] = old[place] }
            }
            let damaged = disk.copy()
            damaged.replace(name, bytes)
            let (found, report) = try Sample.scan(damaged)
            #expect(found == Array(items.prefix(found.count)) && found.count >= start && found.count <= marked)
            #expect(report.isDamaged == (testimony != 0), "\(missing): \(report.findings)")
            guard testimony == 0 else { continue }
            var again = try JournalWriter.open(damaged, Self.options(segmentBytes: 8192))
            _ = try Sample.fill(&again, flushes: [1])
            let (after, calm) = try Sample.scan(damaged)
            #expect(after.count == found.count + 1 && calm.findings == [], "\(missing): \(calm.findings)")
        }
    }

    /// What a segment has behind its last entry is not looked at while another follows. A repair that sets that one aside leaves nothing
    /// there that would be seen then: here an entry that is valid by itself.
    @Test func aRepairLeavesALastSegment() throws {
        var writer = try JournalWriter.open(disk, Self.options())
        let items = try reuse(&writer)
        _ = consume writer
        let (last, before) = try lastTwo()
        guard case .header(let header) = try disk.readHeader(before.name) else {
            Issue.record("its header is whole")
            return
        }
        let place = before.end + 8
        var forged: [UInt8] = []
        EntryHeader.stub(kind: 1, into: &forged)
        EntryHeader.close(&forged, at: 0)
        _ = EntryHeader.seal(
            &forged, at: 0, sequence: last.first + 1, flushStart: last.first + 1, previous: 0, seed: header.seed)
        var bytes = disk.bytes(of: before.name)
        bytes.replaceSubrange(place..<place + forged.count, with: forged)
        disk.replace(before.name, bytes)
        disk.flip(last.name, 40)
        let repair = try Repair.run(disk)
        #expect(repair.found.isDamaged && repair.report.findings == [])
        #expect(repair.asides.map(\.segment) == [last.name, before.name])
        #expect(try Sample.scan(disk).0 == items.filter { $0.sequence < last.first })
    }

    private func lastTwo() throws -> (last: ScanReport.Segment, before: ScanReport.Segment) {
        let segments = Array(try Sample.scan(disk).1.segments.suffix(2))
        return (segments[1], segments[0])
    }

    // MARK: Marks

    /// What a large payload has at the end of a sector may be zero, and then damage to the last flush looks like a write that was cut
    /// short. A mark knows better.
    @Test(arguments: [false, true])
    func damageToTheLastFlush(isMarked: Bool) throws {
        var writer = try Sample.open(disk, Sample.options(segmentBytes: 16384))
        _ = try Sample.fill(&writer, flushes: [3])
        writer.append(kind: 1, [UInt8](repeating: 0, count: 4000).span.bytes)
        _ = try writer.flush()
        if isMarked { try writer.mark() }
        disk.flip(names[0], 2000)
        let (found, report) = try Sample.scan(disk)
        #expect(found.count == 3 && report.isDamaged == isMarked)
        #expect(report.findings.map(\.kind) == [isMarked ? .entries : .unfinished])
        if isMarked { #expect(report.findings[0].first == 4 && report.findings[0].end == 5) }
    }

    /// It has a place only within a sector and a segment, and the next entry takes it.
    @Test func aMarkGivesWay() throws {
        var writer = try Sample.open(disk, Sample.options(segmentBytes: 2048))
        var items: [Item] = []
        var marks = 0
        while writer.segments.count < 4 {
            items += try Sample.fill(&writer, flushes: [1])
            let (end, before) = (try #require(try Sample.scan(disk).1.end), disk.calls.count)
            try writer.mark()
            let hasPlace = end.offset % 512 <= 480 && end.offset <= 2048 - 40
            #expect(disk.calls.count - before == (hasPlace ? 1 : 0))
            marks += hasPlace ? 1 : 0
            let (found, report) = try Sample.scan(disk)
            #expect(found == items && report.findings == [] && report.end == end)
            var reader = try JournalReader.open(disk, at: end)
            #expect(try reader.advance() == nil)
        }
        #expect(marks > 20 && marks < items.count)
        try writer.mark()
        _ = consume writer
        disk.restart(.process)
        #expect(try Sample.open(disk, Sample.options(segmentBytes: 2048)).found.findings == [])
    }

    /// Without room for it nothing is lost, and what there is of it is cleared.
    @Test func halfAMark() throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [1])
        disk.faults = [disk.calls.count: .short, disk.calls.count + 1: .full]
        try writer.mark()
        #expect(try Sample.scan(disk).1.findings.allSatisfy { $0.kind == .unfinished })
        _ = try Sample.fill(&writer, flushes: [1])
        #expect(try Sample.scan(disk).1.findings == [])
        disk.faults = [disk.calls.count: .fails]
        #expect(throws: JournalError.self) { try writer.mark() }
        #expect(writer.poison != nil)
    }

    // MARK: Limits

    /// Only of the usual size, and only so many; the rest is removed.
    @Test func howManyAreKept() throws {
        var writer = try JournalWriter.open(disk, Self.options(reusable: 2))
        writer.append(kind: 1, [UInt8](repeating: 1, count: 5000).span.bytes)
        _ = try writer.flush()
        while writer.segments.count < 6 { _ = try Sample.fill(&writer, flushes: [2]) }
        try writer.retire(below: writer.next)
        #expect(writer.reusableBytes == 2048)
        #expect(disk.fileNames.count { $0.hasSuffix(".old") } == 2 && names.count == 1)
        try writer.dropAllReusable()
        #expect(writer.reusableBytes == 0 && disk.fileNames.count == 2)
    }

    /// They make room for a group that needs a larger segment, and are no reason to say that there is none.
    @Test func theyMakeRoom() throws {
        var options = Self.options()
        options.byteLimit = 6000
        var writer = try JournalWriter.open(disk, options)
        while writer.segments.count < 5 { _ = try Sample.fill(&writer, flushes: [2]) }
        try writer.retire(below: writer.next)
        #expect(writer.byteCount == 4096)
        writer.append(kind: 1, [UInt8](repeating: 1, count: 3500).span.bytes)
        _ = try writer.flush()
        #expect(writer.byteCount <= 6000 && writer.reusableBytes < 3072)
        options.byteLimit = .max
        options.segmentLimit = 2
        _ = consume writer
        writer = try JournalWriter.open(disk, options)
        try writer.retire(below: writer.next)
        for _ in 0..<2 { #expect(throws: JournalError.full(.segments(limit: 2))) { try overfill(&writer) } }
    }

    private func overfill(_ writer: inout JournalWriter<MemoryDisk>) throws {
        for _ in 0..<30 { _ = try Sample.fill(&writer, flushes: [2]) }
    }

    /// Somebody has tidied up: then the next segment is made anew.
    @Test func oneIsGone() throws {
        var writer = try JournalWriter.open(disk, Self.options())
        while writer.segments.count < 4 { _ = try Sample.fill(&writer, flushes: [2]) }
        try writer.retire(below: writer.next)
        for name in disk.fileNames where name.hasSuffix(".old") { disk.delete(name) }
        let count = writer.segments.count
        while writer.segments.count < count + 5 { _ = try Sample.fill(&writer, flushes: [2]) }
        #expect(try Sample.scan(disk).1.findings == [])
    }

    /// The next opening goes on with them; one that does not want them removes them.
    @Test func opening() throws {
        var writer = try JournalWriter.open(disk, Self.options())
        while writer.segments.count < 4 { _ = try Sample.fill(&writer, flushes: [2]) }
        try writer.retire(below: writer.next)
        _ = consume writer
        #expect(try JournalWriter.open(disk, Self.options()).reusableBytes == 3072)
        #expect(try JournalWriter.open(disk, Self.options(reusable: 2)).reusableBytes == 2048)
        #expect(try JournalWriter.open(disk, Self.options(segmentBytes: 2048)).reusableBytes == 0)
        #expect(!disk.fileNames.contains { $0.hasSuffix(".old") } && disk.openFiles == 0)
    }

    /// Whoever still reads what has become another segment is told that it is not kept, whatever is there now.
    @Test func aReaderThatIsOvertaken() throws {
        var writer = try JournalWriter.open(disk, Self.options())
        while writer.segments.count < 3 { _ = try Sample.fill(&writer, flushes: [2]) }
        var reader = try JournalReader.open(disk, from: 1)
        for _ in 0..<3 { _ = try reader.advance() }
        try writer.retire(below: writer.next)
        while writer.reusableBytes > 0 { _ = try Sample.fill(&writer, flushes: [2]) }
        // What is in its memory it may still see.
        do throws(JournalError) {
            while let entry = try reader.advance() { #expect(entry.sequence < writer.first) }
            Issue.record("it comes to an end that is none")
        } catch {
            guard case .notRetained = error else { throw error }
        }
    }

    /// Bytes that look like long entries are checked as many times as the segment is long, not once each.
    @Test func patience() throws {
        var writer = try JournalWriter.open(disk, Self.options(segmentBytes: 1 << 20, reusable: 1))
        _ = try Sample.fill(&writer, flushes: [1])
        var forged: [UInt8] = []
        while forged.count < (1 << 20) - 400 {
            var bytes = [UInt8](repeating: 1, count: 32)
            bytes.store(UInt32(max(100, (1 << 20) - 1000 - forged.count)), at: 4)
            bytes.store(UInt64(1000), at: 8)
            bytes.store(UInt64(1), at: 16)
            forged += bytes
        }
        writer.append(kind: 1, forged.span.bytes)
        _ = try writer.flush()
        writer.append(kind: 1, [UInt8](repeating: 1, count: 1000).span.bytes)
        _ = try writer.flush()
        try writer.retire(below: writer.next)
        writer.append(kind: 1, [UInt8](repeating: 2, count: (1 << 20) - 1000).span.bytes)
        _ = try writer.flush()
        _ = try Sample.fill(&writer, flushes: [1])
        let name = try #require(names.last)
        #expect(disk.bytes(of: name)[56] == 1)
        let before = disk.calls.count
        #expect(try Sample.scan(disk).1.findings == [])
        #expect(disk.calls.count - before < 100)
    }
}
