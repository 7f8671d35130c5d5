import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

struct ReaderTests {
    private let disk = Sample.disk()

    private func read(_ reader: inout JournalReader<MemoryDisk>, below end: UInt64 = .max) throws -> [UInt64] {
        var found: [UInt64] = []
        while let entry = try reader.advance(below: end) { found.append(entry.sequence) }
        return found
    }

    /// A reader that has come to the end goes on when something is appended, over segments too, and never reads beyond
    /// what it is told is durable.
    @Test func besideAWriter() throws {
        var writer = try Sample.open(disk)
        var reader = try JournalReader.open(disk, from: 1)
        var seen: [UInt64] = []
        for round in 1...30 {
            _ = try Sample.fill(&writer, flushes: [round % 3 + 1])
            seen += try read(&reader, below: writer.next - 1)
            #expect(reader.next == writer.next - 1)
            seen += try read(&reader, below: writer.next)
            #expect(try reader.advance(below: writer.next) == nil && reader.next == writer.next)
        }
        #expect(writer.segmentCount > 3 && seen == Array(1..<writer.next))
    }

    @Test func fromEverywhere() throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [1, 2, 3, 4, 5, 6])
        for first in 1...writer.next {
            var reader = try JournalReader.open(disk, from: first)
            #expect(try read(&reader) == Array(first..<writer.next))
        }
        #expect(throws: JournalError.notRetained(sequence: writer.next + 1, first: 1)) {
            _ = try JournalReader.open(disk, from: writer.next + 1)
        }
    }

    /// Retention removes a segment that is being read; the reader finishes it and says what follows is gone.
    @Test func retentionOvertakes() throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [Int](repeating: 2, count: 20))
        var reader = try JournalReader.open(disk, from: 1)
        try writer.retire(below: writer.next)
        var last: UInt64 = 0
        do {
            while let entry = try reader.advance() { last = entry.sequence }
            Issue.record("the end was not reached")
        } catch { #expect(error == .notRetained(sequence: last + 1, first: writer.first)) }
        #expect(last > 1)
    }

    /// A file with the name of a segment that begins in the middle of another: a reader stops where a scan does.
    @Test func anotherSegmentBeginsInsideThisOne() throws {
        var writer = try Sample.open(disk)
        let items = try Sample.fill(&writer, flushes: [1, 1, 1, 1])
        _ = consume writer
        try #require(items.count == 4)
        disk.replace(JournalFormat.segmentName(3), disk.bytes(of: JournalFormat.segmentName(1)))
        #expect(try Sample.scan(disk).0.map(\.sequence) == [1, 2])
        var reader = try JournalReader.open(disk, from: 1)
        #expect(try reader.advance()?.sequence == 1 && reader.advance()?.sequence == 2)
        do {
            _ = try reader.advance()
            Issue.record("what is not the journal's is served")
        } catch {
            guard case .damaged(let findings) = error else { throw error }
            #expect(findings.map(\.segment) == [JournalFormat.segmentName(3)])
        }
    }

    @Test func damageIsNotServed() throws {
        var writer = try Sample.open(disk)
        let items = try Sample.fill(&writer, flushes: [1, 1, 1, 1])
        let name = JournalFormat.segmentName(1)
        var bytes = disk.bytes(of: name)
        let second = 64 + JournalFormat.entryHeader + (items[0].payload.count / 8 + 1) * 8
        bytes[second + 40] ^= 1
        disk.replace(name, bytes)
        var reader = try JournalReader.open(disk, from: 1)
        #expect(try reader.advance()?.sequence == 1)
        for _ in 0..<2 {
            do {
                _ = try reader.advance()
                Issue.record("damage is served")
            } catch {
                guard case .damaged(let findings) = error else { throw error }
                #expect(findings.map(\.first) == [2] && findings[0].range.lowerBound == second)
            }
        }
    }

    @Test func noSuchPlace() throws {
        var writer = try Sample.open(disk)
        _ = try Sample.fill(&writer, flushes: [3])
        for place in [(1, 0, 1), (1, 65, 1), (1, 4096, 1), (1, 64, 0)] as [(UInt64, Int, UInt64)] {
            let position = JournalPosition(segment: place.0, offset: place.1, sequence: place.2)
            #expect(throws: JournalError.notThere(position)) { _ = try JournalReader.open(disk, at: position) }
        }
        #expect(throws: JournalError.notRetained(sequence: 9, first: 1)) {
            _ = try JournalReader.open(disk, at: JournalPosition(segment: 9, offset: 64, sequence: 9))
        }
        // Another entry than the one that was named.
        var reader = try JournalReader.open(disk, at: JournalPosition(segment: 1, offset: 64, sequence: 2))
        #expect(throws: JournalError.self) { _ = try reader.advance() }
    }

    /// Opening with a snapshot does not read segments that have only older entries, whatever has become of them.
    @Test func fromASnapshot() throws {
        var writer = try Sample.open(disk)
        let items = try Sample.fill(&writer, flushes: [Int](repeating: 2, count: 40))
        let next = writer.next
        _ = consume writer
        let name = JournalFormat.segmentName(1)
        var content = disk.bytes(of: name)
        content[100] ^= 1
        disk.replace(name, content)
        #expect(throws: JournalError.self) { _ = try Sample.open(disk) }
        for from in [next - 1, next - 30, next] {
            var options = Sample.options()
            options.request.from = from
            options.request.confirmed = next
            var found: [UInt64] = []
            let writer = try JournalWriter.open(disk, options) { entry, _, _ in found.append(entry.sequence) }
            #expect(writer.next == next)
            #expect(found == items.map(\.sequence).filter { $0 >= from })
        }
    }
}
