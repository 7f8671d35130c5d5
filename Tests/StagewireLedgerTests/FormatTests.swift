import Foundation
import StagewireModel
import StagewireRecord
import Testing

@testable import StagewireLedger

/// docs/LEDGER_FORMAT.md, held against the bytes.
struct FormatTests {
    /// The document's example: a source and a sink; two records, one of them settled, the other one given up on.
    private func example() throws -> (entries: [[UInt8]], snapshot: [UInt8]) {
        let pipeline = PipelineDefinition(
            name: "example",
            stages: [
                StageDefinition(name: "read", isSource: true),
                StageDefinition(name: "store", inputs: [InputDefinition(stage: 0)]),
            ])
        let entries = [
            Layout(pipeline).encoded(),
            Sample.steps([(0, 0, [record(1, "a"), record(2, "b")])]) { log in
                log.began(Run(number: 1, stage: "read", version: "2", instance: "read-1", language: "go"))
                log.moved(
                    stage: 0, partition: "p",
                    to: SourcePosition(epoch: 1, lastEmitID: 300, checkpoint: Array("x7".utf8)))
            },
            Sample.steps { log in
                log.done(0, 0)
                log.tried(0, 1, Trial(attempt: 2, crashes: 0, age: 12, delay: 200))
                log.buried(
                    0, 1,
                    Verdict(
                        number: 1, attempts: 2, reason: 300, time: 1_700_000_000_000_000,
                        error: DeliveryError(code: 1000, message: "no")))
            },
        ]
        var ledger = Ledger()
        for (index, payload) in entries.enumerated() {
            try ledger.apply(
                kind: index == 0 ? EntryKind.layout : EntryKind.steps, payload.span.bytes,
                at: EntryPlace(segment: 1, offset: 64 + 256 * index, sequence: UInt64(index) + 1))
        }
        let made = try ledger.snapshot(cutting: 4, strays: [], fetch: each { entries[Int($0.sequence) - 1] })
        return (entries, made.encoded())
    }

    /// A record of a source, as the broker would write it.
    private func record(_ number: UInt64, _ payload: String) -> [UInt8] {
        let stamp = LineageStamp()
        let time: UInt64 = 1_700_000_000_000_000
        stamp.source(id: RecordID(low: number, high: 0), trace: [UInt8]().span.bytes, ingestTime: time, run: 1)
        var log = StreamLog()
        let output: [UInt8] = [0x1a, UInt8(payload.utf8.count)] + payload.utf8
        let sequence = log.append(stamp, output: output.span.bytes, keyHash: 0)
        var bytes: [UInt8] = []
        log.forEachPiece(sequence..<sequence + 1) { bytes += $0 }
        return bytes
    }

    @Test func theDocumentsExample() throws {
        let (entries, snapshot) = try example()
        let dumps = try Self.dumps(of: "docs/LEDGER_FORMAT.md")
        let expected = entries + [snapshot]
        #expect(dumps == expected, "\(expected.map { Self.dump($0) }.joined(separator: "\n\n"))")
    }

    /// The tags, codes and limits of the document are those of the source.
    @Test func theDocumentsNumbers() throws {
        let text = try Self.text("docs/LEDGER_FORMAT.md")
        for (tag, name) in [
            (ChangeTag.done, "done"), (ChangeTag.trial, "tried"), (ChangeTag.buried, "given up"),
            (ChangeTag.discarded, "dropped"), (ChangeTag.asked, "asked"), (ChangeTag.revived, "come back"),
            (ChangeTag.partition, "moved"), (ChangeTag.run, "run"), (ChangeTag.time, "time"),
            (ChangeTag.rewound, "back"), (ChangeTag.edited, "edited"),
        ] { #expect(text.contains("| \(tag) | \(name) |"), "\(tag) \(name)") }
        #expect(ChangeTag.known == 1...11 && EntryKind.steps == 1 && EntryKind.layout == 2)
        #expect(LedgerLimit.sequence == (1 << 51) - 1 && text.contains("2^51 - 1"))
        #expect(LedgerLimit.firstArrival == 1 << 63 && text.contains("2^63"))
        #expect(LedgerLimit.count == 1 << 62 && text.contains("2^62"))
        #expect(
            LedgerLimit.time == (1 << 63) / 1_000_000 && LedgerLimit.attempts == 1 << 31 && LedgerLimit.ordinal == 65536
        )
    }

    // MARK: Dumps

    private static func text(_ path: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// The dumps of a document: each begins at 0 and goes on without a gap.
    private static func dumps(of path: String) throws -> [[UInt8]] {
        var dumps: [[UInt8]] = []
        for line in try text(path).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let offset = words.first, offset.count == 8, let place = Int(offset, radix: 16), line.hasSuffix("|")
            else { continue }
            if place == 0 { dumps.append([]) }
            #expect(place == dumps.last?.count, "the dump goes on without a gap")
            dumps[dumps.count - 1] += words.dropFirst().prefix(while: { $0.count == 2 }).prefix(16)
                .compactMap { UInt8($0, radix: 16) }
        }
        return dumps
    }

    private static func dump(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let row = bytes[start..<min(start + 16, bytes.count)]
            let hex = row.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
            let text = row.map { $0 >= 32 && $0 < 127 ? String(UnicodeScalar($0)) : "." }.joined()
            let offset = String(start, radix: 16)
            return String(repeating: "0", count: 8 - offset.count) + offset + "  "
                + hex + String(repeating: " ", count: 47 - hex.count) + "  |" + text + "|"
        }.joined(separator: "\n")
    }
}
