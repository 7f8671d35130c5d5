import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

/// Every byte of a small journal of three segments, changed, cut off or gone.
struct DamageTests {
    private let disk = Sample.disk()
    private let items: [Item]
    private let names: [String]

    init() throws {
        var writer = try Sample.open(disk)
        items = try Sample.fill(&writer, flushes: [1, 3, 2, 1, 3, 1, 2, 1, 1])
        names = disk.fileNames.filter { $0.hasSuffix(".seg") }
        try #require(names.count == 3)
    }

    /// Found, located, and nothing wrong is ever served: what a scan delivers is the beginning of what was written, and it
    /// says where it ends unless nothing is missing.
    private func examine(_ damaged: MemoryDisk, _ what: String, at place: (name: String, range: Range<Int>)) throws {
        let (found, report) = try Sample.scan(damaged)
        #expect(found == Array(items.prefix(found.count)), "\(what): something wrong is served")
        let located = report.findings.contains { finding in
            finding.segment == place.name && finding.range.overlaps(place.range)
        }
        #expect(located, "\(what): not located, \(report.findings)")
        #expect(report.end?.sequence == UInt64(found.count + 1), "\(what)")
        if found.count < items.count {
            let cut = report.findings.contains { $0.losesEntries || $0.kind == .unfinished }
            #expect(cut, "\(what): entries are missing without a word")
        }
        let lastFlush = items.count - 1
        if found.count < lastFlush { #expect(report.isDamaged, "\(what): confirmed entries are lost") }
        try repair(damaged, report, found, what)
    }

    /// A writer either refuses and a repair helps, or it opens and goes on behind what is good.
    private func repair(_ damaged: MemoryDisk, _ report: ScanReport, _ found: [Item], _ what: String) throws {
        let plan = RepairPlan(report)
        if report.isDamaged {
            do {
                _ = try Sample.open(damaged)
                Issue.record("\(what): a damaged journal is opened")
            } catch let error as JournalError {
                guard case .damaged = error else { throw error }
            }
            #expect(!plan.steps.isEmpty && plan.next == UInt64(found.count + 1), "\(what)")
            try plan.apply(to: damaged)
        } else {
            #expect(plan.steps.isEmpty, "\(what)")
        }
        var writer = try Sample.open(damaged)
        #expect(writer.next == plan.next || found.isEmpty, "\(what)")
        _ = try Sample.fill(&writer, flushes: [2])
        _ = consume writer
        let (again, after) = try Sample.scan(damaged)
        #expect(Array(again.prefix(found.count)) == found && again.count == found.count + 2, "\(what): \(after)")
        #expect(!after.isDamaged, "\(what): \(after.findings)")
    }

    /// One bit, and all bits, of every byte up to behind the last entry; then some of the zeros.
    @Test(arguments: 0..<3)
    func everyByteFlipped(segment: Int) throws {
        let name = names[segment]
        let original = disk.bytes(of: name)
        let used = (original.lastIndex { $0 != 0 } ?? 0) + 1
        let places = Array(0..<used) + Array(stride(from: used, to: original.count, by: 29))
        for place in places {
            for change in [UInt8(1) << (place % 8), 0xff] {
                var bytes = original
                bytes[place] ^= change
                let damaged = disk.copy()
                damaged.replace(name, bytes)
                try examine(
                    damaged, "byte \(place) of \(name) ^ \(change)", at: (name, place..<place + 1))
            }
        }
    }

    /// A flip in the last flush, too, is told from a write that was cut short, unless it is in the length of its last entry.
    @Test func flipsAreNoUnfinishedWrites() throws {
        let name = names[2]
        let original = disk.bytes(of: name)
        let used = (original.lastIndex { $0 != 0 } ?? 0) + 1
        let last = Sample.item(items.count, bytes: items[items.count - 1].payload.count)
        let start = used - JournalFormat.entryHeader - last.payload.count / 8 * 8 - 8
        for place in start..<used where !(start + 4..<start + 8).contains(place) {
            var bytes = original
            bytes[place] ^= 0x80
            let damaged = disk.copy()
            damaged.replace(name, bytes)
            let (_, report) = try Sample.scan(damaged)
            #expect(report.isDamaged, "byte \(place)")
        }
    }

    @Test(arguments: 0..<3)
    func everyTruncation(segment: Int) throws {
        let name = names[segment]
        let original = disk.bytes(of: name)
        for size in 0..<original.count {
            let damaged = disk.copy()
            damaged.replace(name, Array(original.prefix(size)))
            if size < JournalFormat.segmentHeader {
                let (found, report) = try Sample.scan(damaged)
                #expect(found == Array(items.prefix(found.count)))
                #expect(report.findings.contains { $0.segment == name && $0.kind == .header })
                continue
            }
            try examine(damaged, "\(name) cut at \(size)", at: (name, size..<original.count))
        }
    }

    /// A sector that was never written, though its sync said so: no later flush, and it would be a write cut short.
    @Test(arguments: 0..<3)
    func everySectorLost(segment: Int) throws {
        let name = names[segment]
        let original = disk.bytes(of: name)
        let used = (original.lastIndex { $0 != 0 } ?? 0) + 1
        for start in stride(from: 0, to: used, by: 512) {
            var bytes = original
            let range = start..<min(start + 512, used)
            for index in range { bytes[index] = 0 }
            let damaged = disk.copy()
            damaged.replace(name, bytes)
            try examine(damaged, "\(range) of \(name) lost", at: (name, range))
        }
    }

    /// Of one flush of many entries any sectors may be missing, and it is never damage; as soon as there is a later flush, it is.
    @Test func anySectorsOfAFlush() throws {
        for isLast in [true, false] {
            let disk = Sample.disk()
            var writer = try Sample.open(disk, Sample.options(segmentBytes: 8192))
            var items = try Sample.fill(&writer, flushes: [2])
            let start = 2
            items += try Sample.fill(&writer, flushes: [12])
            if !isLast { items += try Sample.fill(&writer, flushes: [1]) }
            let name = JournalFormat.segmentName(1)
            let original = disk.bytes(of: name)
            let first = 64 + items[..<start].reduce(0) { $0 + 32 + $1.payload.count / 8 * 8 + 8 }
            let end = 64 + items[..<14].reduce(0) { $0 + 32 + $1.payload.count / 8 * 8 + 8 }
            let sectors = Array(first / 512...(end - 1) / 512)
            for missing in 1..<(1 << sectors.count) {
                var bytes = original
                for (index, sector) in sectors.enumerated() where missing >> index & 1 == 1 {
                    for place in max(first, sector * 512)..<min(end, sector * 512 + 512) { bytes[place] = 0 }
                }
                let damaged = disk.copy()
                damaged.replace(name, bytes)
                let (found, report) = try Sample.scan(damaged)
                #expect(found == Array(items.prefix(found.count)) && found.count >= start)
                #expect(report.isDamaged == !isLast, "\(missing): \(report.findings)")
                // Without a trace of it there is nothing to tell.
                if isLast { #expect(report.findings.isEmpty == (missing == (1 << sectors.count) - 1)) }
                if isLast { #expect(report.findings.allSatisfy { $0.kind == .unfinished }) }
            }
        }
    }

    @Test func aSegmentIsGone() throws {
        let damaged = disk.copy()
        damaged.delete(names[1])
        let (found, report) = try Sample.scan(damaged)
        let gone = JournalFormat.firstSequence(of: names[1])!
        let next = JournalFormat.firstSequence(of: names[2])!
        #expect(found == items.filter { $0.sequence < gone })
        #expect(report.findings.map(\.kind) == [.missing])
        #expect(report.findings[0].first == gone && report.findings[0].end == next)
        try repair(damaged, report, found, "a segment is gone")
        #expect(damaged.fileNames.contains(names[2] + ".damaged"))
    }

    /// Nothing in the journal says that it had more, so whoever knows has to say so.
    @Test func theFirstOrLastSegmentIsGone() throws {
        let all = ScanRequest(from: 1, confirmed: UInt64(items.count + 1))
        #expect(try Sample.scan(disk, all).1.findings == [])
        for index in [0, 2] {
            let damaged = disk.copy()
            damaged.delete(names[index])
            #expect(try Sample.scan(damaged).1.findings == [])
            let report = try Sample.scan(damaged, all).1
            #expect(report.findings.map(\.kind) == [.missing] && report.isDamaged)
            var options = Sample.options()
            options.request = all
            options.request.identity = identity
            #expect(throws: JournalError.damaged(report.findings)) { _ = try Sample.open(damaged, options) }
        }
        let empty = try Sample.scan(Sample.disk(), all).1
        #expect(empty.findings.map(\.kind) == [.missing])
    }

    /// Two damaged places are two findings, and both are told apart from the good entries between them.
    @Test func everyDamagedPlaceIsFound() throws {
        let damaged = disk.copy()
        let places = [(0, 70), (0, 500), (1, 400), (2, 90)]
        for (index, place) in places {
            var bytes = damaged.bytes(of: names[index])
            bytes[place] ^= 4
            damaged.replace(names[index], bytes)
        }
        let report = try Sample.scan(damaged).1
        #expect(report.findings.map(\.segment) == [names[0], names[0], names[1], names[2]])
        #expect(zip(report.findings, places).allSatisfy { $0.range.contains($1.1) })
        #expect(report.end?.sequence == 1)
    }

    /// Bytes that look like entries inside of a payload are never taken for entries, whoever made them.
    @Test func entriesInsideOfAPayload() throws {
        let disk = Sample.disk()
        var options = Sample.options(segmentBytes: 4096)
        // Nobody outside knows it; with the same one, the entries below would be good ones.
        options.nonce += 1
        var writer = try Sample.open(disk, options)
        let inner = self.disk.bytes(of: names[0])
        writer.append(kind: 1, inner.span.bytes)
        writer.append(kind: 2, bytes(1, 2, 3).span.bytes)
        _ = try writer.flush()
        var content = disk.bytes(of: JournalFormat.segmentName(1))
        content[64 + 32] ^= 1
        disk.replace(JournalFormat.segmentName(1), content)
        let (found, report) = try Sample.scan(disk)
        #expect(found == [])
        #expect(report.findings.count == 1 && report.findings[0].first == 1 && report.findings[0].end == 2)
    }

    /// An entry that is good by itself and has another past than those before it.
    @Test func anEntryOfAnotherPast() throws {
        let disks = [Sample.disk(), Sample.disk()]
        for (index, disk) in disks.enumerated() {
            var writer = try Sample.open(disk)
            for _ in 0..<2 { writer.append(kind: 1, [UInt8](repeating: UInt8(index + 1), count: 50).span.bytes) }
            _ = try writer.flush()
        }
        let name = JournalFormat.segmentName(1)
        let second = 64 + 32 + 56
        let spliced = disks[0].bytes(of: name)[..<second] + disks[1].bytes(of: name)[second...]
        disks[0].replace(name, Array(spliced))
        let (found, report) = try Sample.scan(disks[0])
        #expect(found.map(\.payload) == [[UInt8](repeating: 1, count: 50)])
        #expect(report.findings.map(\.first) == [2] && report.isDamaged)
    }

    /// A repair that is cut short anywhere is begun again and ends the same.
    /// With a damaged first header, a wrong order of the steps would make a later segment the first, as if by retention.
    @Test(arguments: [(1, 300), (1, 3), (0, 3)])
    func aRepairIsInterrupted(segment: Int, place: Int) throws {
        let broken = disk.copy()
        var bytes = broken.bytes(of: names[segment])
        bytes[place] ^= 1
        broken.replace(names[segment], bytes)
        let (kept, report) = try Sample.scan(broken)
        for call in 0..<60 {
            for crash in [MemoryDisk.Crash.process, .power(seed: 1), .power(seed: 2), .power(seed: 3)] {
                let damaged = broken.copy()
                damaged.faults = [call: .crashAfter]
                do { try RepairPlan(report).apply(to: damaged) } catch {
                    damaged.restart(crash)
                    let (found, again) = try Sample.scan(damaged)
                    #expect(found == kept)
                    try RepairPlan(again).apply(to: damaged)
                }
                damaged.faults = [:]
                #expect(try Sample.scan(damaged).0 == kept)
                #expect(try Sample.open(damaged).next == report.end?.sequence)
            }
        }
    }

    /// Files that somebody made up or mixed up: nothing traps, nothing wrong is served, and a repair makes them usable.
    @Test func anything() throws {
        var random = SplitMix64(seed: 11)
        for number in 0..<1500 {
            let damaged = disk.copy()
            var isForged = false
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                let name = names.randomElement(using: &random)!
                var bytes = damaged.bytes(of: name)
                isForged = mangle(&bytes, &random) || isForged
                damaged.replace(name, bytes)
            }
            let (found, report) = try Sample.scan(damaged)
            if !isForged { #expect(found == Array(items.prefix(found.count)), "case \(number)") }
            damaged.capacity = 1 << 20
            do {
                if report.isDamaged { try RepairPlan(report).apply(to: damaged) }
            } catch {
                // A size of petabytes with a checksum that fits cannot be had.
                guard isForged, case .full = error else { throw error }
                continue
            }
            let again = try Sample.scan(damaged)
            #expect(
                again.0 == found && !again.1.isDamaged, "case \(number): \(report.findings), then \(again.1.findings)")
            #expect(try Sample.open(damaged).next >= 1)
        }
    }

    /// Returns whether the header was changed and has a checksum that says it was not.
    private func mangle(_ bytes: inout [UInt8], _ random: inout SplitMix64) -> Bool {
        func place() -> Int { Int.random(in: 0..<max(1, bytes.count), using: &random) }
        guard bytes.count > 64 else { return false }
        switch Int.random(in: 0..<7, using: &random) {
        case 0:
            for _ in 0..<Int.random(in: 1...9, using: &random) { bytes[place()] = .random(in: 0...255, using: &random) }
        case 1: bytes.removeLast(place())
        case 2: bytes += (0..<place()).map { _ in .random(in: 0...255, using: &random) }
        case 3: bytes.replaceSubrange(place() / 8 * 8..<bytes.count, with: bytes[(place() / 8 * 8)...])
        case 4:
            let start = place()
            for index in start..<min(start + 512, bytes.count) { bytes[index] = 0 }
        case 5:
            let (from, to) = (place() / 8 * 8, place() / 8 * 8)
            let piece = Array(bytes[from..<min(from + 200, bytes.count)])
            for (index, byte) in piece.enumerated() where to + index < bytes.count { bytes[to + index] = byte }
        default:
            // Capacity, nonce, predecessor: whatever a header may say with a checksum that fits.
            let field = [12, 32, 40, 47, 48].randomElement(using: &random)!
            bytes[field] = .random(in: 0...255, using: &random)
            let sum = CRC32C.of(bytes.span.bytes.extracting(0..<60))
            for index in 0..<4 { bytes[60 + index] = UInt8(truncatingIfNeeded: sum >> (index * 8)) }
            return true
        }
        return false
    }
}
