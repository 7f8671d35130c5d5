import Foundation
import StagewireDiskSimulation
import StagewireTestSupport
import Testing

@testable import StagewireJournal

/// docs/JOURNAL_FORMAT.md, held against the bytes.
struct FormatTests {
    /// The journal of the document's example.
    private func example() throws -> [UInt8] {
        let disk = Sample.disk()
        var options = JournalOptions(
            identity: JournalIdentity(high: 0x0011_2233_4455_6677, low: 0x8899_aabb_ccdd_eeff), nonce: 0,
            segmentBytes: 256)
        options.nonce = 1
        var writer = try JournalWriter.open(disk, options)
        writer.append(kind: 1, Array("first".utf8).span.bytes)
        writer.append(kind: 2, Array("second entry".utf8).span.bytes)
        _ = try writer.flush()
        writer.append(kind: 1, [UInt8]().span.bytes)
        _ = try writer.flush()
        try writer.mark()
        return disk.bytes(of: JournalFormat.segmentName(1))
    }

    @Test func theDocumentsExample() throws {
        let bytes = try example()
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/JOURNAL_FORMAT.md")
        let text = try String(contentsOf: path, encoding: .utf8)
        var written: [UInt8] = []
        for line in text.split(separator: "\n") {
            // 00000040  82 3a ...  |.:..|
            let words = line.split(separator: " ")
            guard let offset = words.first, offset.count == 8, let place = Int(offset, radix: 16), line.hasSuffix("|")
            else { continue }
            #expect(place == written.count, "the dump goes on without a gap")
            written += words.dropFirst().prefix(while: { $0.count == 2 }).prefix(16).compactMap { UInt8($0, radix: 16) }
        }
        // Up to the end of the mark's row.
        let used = 0xe0
        #expect(written == Array(bytes[..<used]), "\(Self.dump(bytes[..<used]))")
    }

    static func dump(_ bytes: ArraySlice<UInt8>) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let row = bytes[start..<min(start + 16, bytes.count)]
            let hex = row.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
            let text = row.map { $0 >= 32 && $0 < 127 ? String(UnicodeScalar($0)) : "." }.joined()
            let offset = String(start, radix: 16)
            return String(repeating: "0", count: 8 - offset.count) + offset + "  " + hex + "  |" + text + "|"
        }.joined(separator: "\n")
    }

    @Test func names() {
        #expect(JournalFormat.segmentName(42) == "000000000000002a.seg")
        #expect(JournalFormat.firstSequence(of: "000000000000002a.seg") == 42)
        #expect(JournalFormat.firstSequence(of: JournalFormat.segmentName(.max)) == .max)
        for wrong in [
            "2a.seg", "000000000000002A.seg", "+00000000000002a.seg", "000000000000002a.seg.damaged", "lock", ".seg",
            "next.new", "0000000000000002a.seg",
        ] { #expect(JournalFormat.firstSequence(of: wrong) == nil, "\(wrong)") }
    }

    /// Every entry ends with a byte that is not zero, and the next one begins at a multiple of eight.
    @Test func sizes() {
        for payload in 0..<100 {
            let bytes = JournalFormat.entryBytes(payload: payload)
            let end = bytes - JournalFormat.entryHeader - payload
            #expect(bytes % 8 == 0 && (1...8).contains(end))
        }
    }

    @Test func headers() {
        var header = SegmentHeader(previous: 9, identity: identity, first: 77, capacity: 4096, nonce: 5)
        header.isReused = true
        #expect(SegmentHeader.decode(header.encoded().span.bytes) == .header(header))
        header.isReused = false
        let bytes = header.encoded()
        #expect(SegmentHeader.decode(bytes.span.bytes) == .header(header))
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 0x10
            #expect(SegmentHeader.decode(damaged.span.bytes) == .damaged)
            #expect(SegmentHeader.decode(bytes.span.bytes.extracting(0..<place)) == .damaged)
        }
    }

    /// A segment of the first version has nothing in the field that says whether it was another one.
    @Test func theFirstVersion() {
        var bytes = SegmentHeader(previous: 9, identity: identity, first: 77, capacity: 4096, nonce: 5).encoded()
        func store(version: UInt32, reused: UInt32) -> SegmentHeader.Decoded {
            bytes.store(version, at: 8)
            bytes.store(reused, at: 56)
            bytes.store(CRC32C.of(bytes.span.bytes.extracting(0..<60)), at: 60)
            return SegmentHeader.decode(bytes.span.bytes)
        }
        guard case .header = store(version: 1, reused: 0), case .header = store(version: 2, reused: 1) else {
            Issue.record("a good header is refused")
            return
        }
        #expect(store(version: 1, reused: 1) == .damaged && store(version: 2, reused: 2) == .damaged)
        #expect(store(version: 0, reused: 0) == .damaged)
    }

    /// The header of a later version, which keeps magic, version and checksum where they are.
    static func newer(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        bytes.store(JournalFormat.version + 1, at: 8)
        bytes.store(CRC32C.of(bytes.span.bytes.extracting(0..<60)), at: 60)
        return bytes
    }
}
