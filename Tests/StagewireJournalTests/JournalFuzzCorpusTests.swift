import Foundation
import StagewireDiskSimulation
import StagewireJournal
import StagewireTestSupport
import Testing

/// `STAGEWIRE_WRITE_CORPUS=<directory>` writes the first inputs of the fuzz target for journals: real small ones, whole and
/// damaged, behind the two bytes that say what is made right in them (`JournalFuzzer`).
@Suite struct JournalFuzzCorpusTests {
    private static let directory = ProcessInfo.processInfo.environment["STAGEWIRE_WRITE_CORPUS"]
    private static let segmentBytes = 512

    private func segments(isMarked: Bool = false) throws -> [[UInt8]] {
        let disk = MemoryDisk(random: SplitMix64(seed: 7))
        let options = JournalOptions(
            identity: SmallJournal.identity, nonce: 1, segmentBytes: Self.segmentBytes)
        var writer = try JournalWriter.open(disk, options)
        for count in [1, 3, 2, 1, 2, 1, 3, 1] {
            for number in 0..<count {
                let payload = Array(SmallJournal.payload(writer.next).prefix(number * 9))
                writer.append(kind: UInt8(number + 1), payload.span.bytes)
            }
            _ = try writer.flush()
        }
        if isMarked { try writer.mark() }
        return disk.segmentNames.map(disk.bytes)
    }

    @Test(.enabled(if: directory != nil))
    func writeCorpus() throws {
        let directory = URL(filePath: try #require(Self.directory))
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let segments = try self.segments()
        try #require(segments.count == 2)
        let last = segments[1].lastIndex { $0 != 0 } ?? 0
        var flipped = segments[0]
        flipped[100] ^= 1
        var torn = segments[1]
        for index in (last - 20)...last { torn[index] = 0 }
        let marked = try self.segments(isMarked: true)
        let size = UInt8(Self.segmentBytes / 8)
        let inputs: [String: [UInt8]] = [
            "one": [0, 0] + segments[0], "one-corrected": [3, 0] + segments[0],
            "two": [4, size] + segments[0] + segments[1], "two-corrected": [7, size] + segments[0] + segments[1],
            "two-keeping-places": [15, size] + segments[0] + segments[1],
            "flipped": [4, size] + flipped + segments[1], "torn": [5, size] + segments[0] + torn,
            "cut-off": [7, size] + segments[0] + segments[1].prefix(150),
            "swapped": [5, size] + segments[1] + segments[0],
            "marked": [7, size] + marked[0] + marked[1], "reused": [23, size] + marked[0] + marked[1],
            "reused-torn": [21, size] + segments[0] + torn,
            "reused-and-old": [31, size] + segments[0] + segments[1].prefix(200) + marked[0].dropFirst(200),
        ]
        for (name, bytes) in inputs { try Data(bytes).write(to: directory.appending(path: name)) }
    }
}
