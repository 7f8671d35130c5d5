import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

struct WriterTests {
    private let disk = Sample.disk()

    /// One write and one sync for a group, however many entries it has.
    @Test func groupCommit() throws {
        var writer = try Sample.open(disk, Sample.options(segmentBytes: 64 * 1024))
        let before = disk.calls.count
        for _ in 0..<100 { writer.append(kind: 1, bytes(1, 2, 3).span.bytes) }
        let durable = try writer.flush()
        #expect(durable.sequences == 1..<101)
        #expect(durable.start == JournalPosition(segment: 1, offset: 64, sequence: 1))
        #expect(Array(disk.calls[before...]) == [.write, .sync])
        #expect(try writer.flush().sequences == 101..<101)
        #expect(disk.calls.count == before + 2)
    }

    /// Groups are filled elsewhere, entries in parts; the offsets they give lead to the entries.
    @Test func groupsAndPositions() throws {
        var writer = try Sample.open(disk)
        writer.append(kind: 9, bytes(7).span.bytes)
        _ = try writer.flush()
        var group = EntryGroup(reserving: 100)
        var offsets = [group.append(kind: 1, bytes(1, 2).span.bytes)]
        offsets.append(group.begin(kind: 2))
        group.put(bytes(3, 4).span.bytes)
        group.put([UInt8]().span.bytes)
        group.put(bytes(5).span.bytes)
        group.end()
        let durable = try writer.flush(&group)
        #expect(group.isEmpty && group.byteCount == 0)
        for (index, payload) in [[1, 2], [3, 4, 5] as [UInt8]].enumerated() {
            let position = JournalPosition(
                segment: durable.start.segment, offset: durable.start.offset + offsets[index],
                sequence: durable.sequences.lowerBound + UInt64(index))
            var reader = try JournalReader.open(disk, at: position)
            let entry = try #require(try reader.advance())
            #expect(entry.sequence == position.sequence && entry.kind == UInt8(index + 1))
            #expect(reader.withPayload { $0.withUnsafeBytes { Array($0) } } == payload)
        }
    }

    @Test func rotation() throws {
        var writer = try Sample.open(disk)
        let items = try Sample.fill(&writer, flushes: [Int](repeating: 2, count: 20))
        #expect(writer.segmentCount > 3)
        #expect(disk.fileNames.filter { $0.hasSuffix(".seg") }.count == writer.segmentCount)
        #expect(writer.byteCount == writer.segmentCount * 1024)
        // Larger than a segment: it gets one of its own size.
        writer.append(kind: 1, [UInt8](repeating: 1, count: 5000).span.bytes)
        let durable = try writer.flush()
        #expect(durable.start.offset == 64 && durable.start.segment == durable.sequences.lowerBound)
        #expect(try Sample.scan(disk).0.dropLast() == items[...])
    }

    /// The first group may be larger than the first segment, which is then replaced.
    @Test func theFirstGroupIsLarge() throws {
        var writer = try Sample.open(disk)
        writer.append(kind: 1, [UInt8](repeating: 1, count: 5000).span.bytes)
        _ = try writer.flush()
        #expect(writer.segmentCount == 1 && writer.byteCount >= 5000)
        #expect(try writer.retire(below: 100) == 0)
        #expect(try Sample.scan(disk).0.count == 1)
    }

    /// With a segment prepared ahead, rotation has nothing to allocate.
    @Test func prepareAhead() throws {
        var writer = try Sample.open(disk)
        let before = disk.calls.count
        while writer.wantsPreparation { try writer.prepareAhead(zeros: 400) }
        #expect(Array(disk.calls[before...]) == [.create, .preallocate, .write, .write, .write, .sync])
        #expect(writer.segmentCount == 2 && writer.byteCount == 2048)
        try writer.prepareAhead()
        #expect(disk.calls.count == before + 6)
        _ = try Sample.fill(&writer, flushes: [4])
        let calls = disk.calls.count
        _ = try Sample.fill(&writer, flushes: [6])
        #expect(Array(disk.calls[calls...]) == [.write, .sync, .rename, .syncDirectory, .write, .sync])
        // What was prepared and not used is no part of the journal.
        try writer.prepareAhead()
        _ = consume writer
        #expect(try Sample.open(disk).segmentCount == 2)
        #expect(!disk.fileNames.contains("next.new") && disk.openFiles == 0)
    }

    @Test func retention() throws {
        var writer = try Sample.open(disk)
        let items = try Sample.fill(&writer, flushes: [Int](repeating: 2, count: 20))
        let segments = writer.segmentCount
        #expect(try writer.retire(below: 1) == 0)
        #expect(try writer.retire(below: 12) > 0)
        #expect(writer.first <= 12 && writer.first > 1)
        #expect(try Sample.scan(disk).0 == items.filter { $0.sequence >= writer.first })
        #expect(throws: JournalError.notRetained(sequence: 1, first: writer.first)) {
            _ = try JournalReader.open(disk, from: 1)
        }
        let below = writer.sequence(keeping: 2048)
        try writer.retire(below: below)
        #expect(writer.byteCount == 2048 && writer.segmentCount == 2 && segments > 3)
        try writer.retire(below: .max)
        #expect(writer.segmentCount == 1)
        let (first, next) = (writer.first, writer.next)
        _ = consume writer
        let again = try Sample.open(disk)
        #expect(again.first == first && again.next == next)
    }

    // MARK: Limits

    @Test func limits() throws {
        var options = Sample.options()
        options.segmentLimit = 3
        var writer = try Sample.open(disk, options)
        try fillUntil(&writer, .full(.segments(limit: 3)))
        _ = consume writer
        options.segmentLimit = .max
        options.byteLimit = 5000
        writer = try Sample.open(disk, options)
        try fillUntil(&writer, .full(.bytes(limit: 5000)))
        #expect(writer.byteCount <= 5000)
    }

    /// Without room a group stays, and goes in when there is room.
    private func fillUntil(_ writer: inout JournalWriter<MemoryDisk>, _ expected: JournalError) throws {
        var error: JournalError?
        for _ in 0..<40 where error == nil {
            writer.append(kind: 3, [UInt8](repeating: 9, count: 300).span.bytes)
            do throws(JournalError) { _ = try writer.flush() } catch let full { error = full }
        }
        #expect(error == expected)
        let next = writer.next
        #expect(throws: expected) { _ = try writer.flush() }
        try writer.retire(below: next)
        #expect(try writer.flush().sequences == next..<next + 1)
    }

    @Test func aFullDisk() throws {
        disk.capacity = 2500
        var writer = try Sample.open(disk)
        try fillUntil(&writer, .full(.disk(DiskError(.preallocate, "next.new", .noSpace))))
        #expect(try Sample.scan(disk).1.findings == [])
    }

    /// A write that ends in the middle for want of space is cleared before the next one.
    @Test func halfAWrite() throws {
        var writer = try Sample.open(disk)
        writer.append(kind: 1, [UInt8](repeating: 1, count: 600).span.bytes)
        disk.faults = [disk.calls.count: .short, disk.calls.count + 1: .full]
        #expect(throws: JournalError.full(.disk(DiskError(.write, "0000000000000001.seg", .noSpace)))) {
            _ = try writer.flush()
        }
        // Nothing was confirmed, and nothing is served.
        #expect(try Sample.scan(disk).0 == [])
        #expect(try writer.flush().sequences == 1..<2)
        #expect(try Sample.scan(disk).1.findings == [])
    }

    /// What is left of it is gone as well when something smaller is written first, or nothing at all in that segment.
    @Test(arguments: [1, 900])
    func halfAWriteAndSomethingElse(bytes: Int) throws {
        var writer = try Sample.open(disk)
        writer.append(kind: 1, [UInt8](repeating: 1, count: 40).span.bytes)
        _ = try writer.flush()
        var large = EntryGroup()
        large.append(kind: 1, [UInt8](repeating: 1, count: 800).span.bytes)
        disk.faults = [disk.calls.count: .short, disk.calls.count + 1: .full]
        #expect(throws: JournalError.self) { _ = try writer.flush(&large) }
        var other = EntryGroup()
        other.append(kind: 1, [UInt8](repeating: 2, count: bytes).span.bytes)
        _ = try writer.flush(&other)
        let (found, report) = try Sample.scan(disk)
        #expect(found.map(\.payload.count) == [40, bytes] && report.findings == [])
        _ = try writer.flush(&large)
        #expect(try Sample.scan(disk).0.map(\.payload.count) == [40, bytes, 800])
    }

    /// A file is removed while flushes go on: until that is durable the segment counts, and whatever a crash leaves is whole.
    @Test(arguments: 0...3, [0, 1024, 8192])
    func retirementBesideFlushes(crashAfter steps: Int, reusableBytes: Int) throws {
        var options = Sample.options()
        options.reusableBytes = reusableBytes
        var writer = try Sample.open(disk, options)
        var items = try Sample.fill(&writer, flushes: [Int](repeating: 2, count: 20))
        let segments = writer.segments.map(\.first)
        let retired = writer.retirable(below: segments[3])
        #expect(retired == Array(segments[..<3]) && writer.retirable(below: .max) == segments.dropLast())
        let more = [Int](repeating: 2, count: 8)
        for first in retired.prefix(steps) {
            let (count, bytes) = (writer.segments.count, writer.byteCount)
            let retirement = writer.retirement(of: first)
            let done = retirement.carryOut(on: disk)
            #expect(writer.segments.count == count && writer.byteCount == bytes && writer.first == first)
            items += try Sample.fill(&writer, flushes: more)
            try writer.retire(retirement, done: done)
            #expect(writer.first > first)
        }
        // The next one's file is gone, and nothing has been said of it.
        if steps < retired.count {
            _ = writer.retirement(of: retired[steps]).carryOut(on: disk)
            items += try Sample.fill(&writer, flushes: more)
        }
        let last = writer.next
        _ = consume writer
        disk.restart(.power(seed: UInt64(steps)))
        let reopened = try Sample.open(disk, options)
        #expect(reopened.next == last && reopened.first <= segments[3])
        #expect(try Sample.scan(disk).0 == items.filter { $0.sequence >= reopened.first })
    }

    /// A file that cannot be removed ends the writer as a failed sync does.
    @Test func retirementThatFails() throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [Int](repeating: 2, count: 20))
        disk.faults = [disk.calls.count: .fails]
        let retirement = writer.retirement(of: 1)
        let done = retirement.carryOut(on: disk)
        let cause = DiskError(.remove, "0000000000000001.seg", .other(code: 5, text: "Input/output error"))
        #expect(throws: JournalError.poisoned(cause)) { try writer.retire(retirement, done: done) }
        #expect(throws: JournalError.poisoned(cause)) { _ = try writer.flush() }
    }

    // MARK: Failing for good

    @Test(arguments: [DiskOperation.write, .sync])
    func poison(operation: DiskOperation) throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [1])
        disk.faults = [disk.calls.count + (operation == .write ? 0 : 1): .fails]
        writer.append(kind: 1, bytes(1).span.bytes)
        let cause = DiskError(operation, "0000000000000001.seg", .other(code: 5, text: "Input/output error"))
        for _ in 0..<2 { #expect(throws: JournalError.poisoned(cause)) { _ = try writer.flush() } }
        #expect(throws: JournalError.poisoned(cause)) { try writer.retire(below: 1) }
        #expect(throws: JournalError.poisoned(cause)) { try writer.prepareAhead() }
        #expect(writer.poison == cause && writer.next == 2)
        _ = consume writer
        #expect(disk.openFiles == 0)
    }

    /// After a failed sync the system believes that it has written what it has not. What a new process reads is therefore
    /// written again before anything is built on it.
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func afterAFailedSync(seed: UInt64) throws {
        let disk = MemoryDisk(random: SplitMix64(seed: seed))
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [1])
        disk.faults = [disk.calls.count + 1: .fails]
        writer.append(kind: 1, [UInt8](repeating: 5, count: 700).span.bytes)
        #expect(throws: JournalError.self) { _ = try writer.flush() }
        _ = consume writer
        disk.restart(.process)
        var second = try Sample.open(disk)
        #expect(second.next == 3)
        second.append(kind: 1, bytes(6).span.bytes)
        _ = try second.flush()
        _ = consume second
        disk.restart(.power(seed: seed))
        #expect(try Sample.scan(disk).0.map(\.sequence) == [1, 2, 3])
    }

    // MARK: Not ours

    @Test func twoWriters() throws {
        let first = try Sample.open(disk)
        #expect(throws: JournalError.inUse(lock: "lock")) { _ = try Sample.open(disk) }
        #expect(first.next == 1)
        _ = consume first
        _ = try Sample.open(disk)
    }

    @Test func aForeignPipeline() throws {
        _ = try Sample.open(disk)
        let other = JournalIdentity(high: 1, low: 2)
        let expected = JournalError.foreignPipeline(
            segment: "0000000000000001.seg", found: identity, expected: other)
        #expect(throws: expected) { _ = try Sample.open(disk, JournalOptions(identity: other, nonce: 1)) }
        #expect(disk.openFiles == 0)
    }

    /// A segment of another pipeline among ours.
    @Test func aForeignSegment() throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [5])
        let other = Sample.disk()
        var options = JournalOptions(
            identity: JournalIdentity(high: 1, low: 2), nonce: 1, segmentBytes: 1024, firstSequence: writer.next)
        options.request.from = 0
        _ = try Sample.open(other, options)
        let name = JournalFormat.segmentName(writer.next)
        disk.replace(name, other.bytes(of: name))
        let expected = JournalError.foreignPipeline(
            segment: name, found: JournalIdentity(high: 1, low: 2), expected: identity)
        #expect(throws: expected) { _ = try Sample.scan(disk) }
    }

    /// A segment of another life of the same journal has the right name and fits in number.
    @Test func aSegmentOfAnotherLife() throws {
        var disks = [disk, Sample.disk()]
        for (index, disk) in disks.enumerated() {
            var writer = try Sample.open(disk)
            writer.append(kind: 1, [UInt8](repeating: UInt8(index), count: 900).span.bytes)
            _ = try writer.flush()
            writer.append(kind: 1, [UInt8](repeating: UInt8(index), count: 900).span.bytes)
            _ = try writer.flush()
        }
        let name = JournalFormat.segmentName(2)
        disks[0].replace(name, disks[1].bytes(of: name))
        disks.removeLast()
        let (found, report) = try Sample.scan(disks[0])
        #expect(found.map(\.sequence) == [1] && report.isDamaged)
        #expect(report.findings.map(\.segment) == [name])
        var reader = try JournalReader.open(disks[0], from: 1)
        #expect(try reader.advance()?.sequence == 1)
        #expect(throws: JournalError.self) { _ = try reader.advance() }
        let plan = RepairPlan(report)
        #expect(plan.steps == [.setAside(name: name)] && plan.next == 2)
    }

    @Test func aNewerFormat() throws {
        _ = try Sample.open(disk)
        let name = JournalFormat.segmentName(1)
        disk.replace(name, FormatTests.newer(disk.bytes(of: name)))
        #expect(throws: JournalError.newerFormat(segment: name, version: 3)) { _ = try Sample.open(disk) }
        #expect(throws: JournalError.newerFormat(segment: name, version: 3)) {
            _ = try JournalReader.open(disk, from: 1)
        }
    }

    @Test func sentences() {
        let disk = DiskError(.sync, "0000000000000001.seg", .other(code: 5, text: "Input/output error"))
        let damage = JournalError.damaged([])
        let errors: [JournalError] = [
            .disk(disk), .inUse(lock: "lock"), .newerFormat(segment: "0000000000000001.seg", version: 2), damage,
            .foreignPipeline(segment: "0000000000000001.seg", found: identity, expected: identity), .full(.disk(disk)),
            .full(.bytes(limit: 1)), .full(.segments(limit: 1)), .poisoned(disk), .notRetained(sequence: 1, first: nil),
            .notThere(JournalPosition(segment: 1, offset: 64, sequence: 1)),
        ]
        for error in errors { #expect(error.message.first?.isUppercase == true && error.message.hasSuffix(".")) }
        #expect(
            JournalError.poisoned(disk).message
                == "The journal confirms nothing any more: cannot sync 0000000000000001.seg: Input/output error. What is "
                + "on the disk is unknown until the program is started again.")
    }
}
