import Foundation
import Testing

@testable import StagewireLedger

/// `STAGEWIRE_WRITE_CORPUS=<directory>` writes the first inputs of the fuzz target for ledgers (`LedgerFuzzer` has their form):
/// lives of a pipeline as a journal would have them, from the beginning, and from a snapshot on.
@Suite struct LedgerFuzzCorpusTests {
    private static let directory = ProcessInfo.processInfo.environment["STAGEWIRE_WRITE_CORPUS"]

    private static func piece(_ kind: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [kind, UInt8(truncatingIfNeeded: payload.count), UInt8(truncatingIfNeeded: payload.count >> 8)] + payload
    }

    @Test(.enabled(if: directory != nil))
    func writeCorpus() throws {
        let directory = URL(filePath: try #require(Self.directory))
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for seed in 1...12 as ClosedRange<UInt64> {
            var history = History(seed: seed)
            var ledger = Sample.ledger()
            var input = Self.piece(1, history.entries[0])
            for _ in 0..<Int(seed) {
                let payload = history.step()
                try ledger.fold(payload)
                input += Self.piece(0, payload)
            }
            try Data(input).write(to: directory.appending(path: "life-\(seed)"))
            let made = try ledger.snapshot(
                cutting: ledger.next, strays: [], fetch: each { history.payload($0) })
            let later = Self.piece(2, made.encoded()) + Self.piece(0, history.step()) + Self.piece(0, history.step())
            if later.count < 4096 { try Data(later).write(to: directory.appending(path: "snapshot-\(seed)")) }
        }
    }
}
