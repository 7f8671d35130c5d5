import Foundation
import Testing

/// `STAGEWIRE_WRITE_CORPUS=<directory>` writes the fuzz target's first inputs: the generator's messages, behind the
/// byte that chooses what they are.
@Suite struct FuzzCorpusTests {
    private static let directory = ProcessInfo.processInfo.environment["STAGEWIRE_WRITE_CORPUS"]

    @Test(.enabled(if: directory != nil))
    func writeCorpus() throws {
        let directory = URL(filePath: try #require(Self.directory))
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        var generator = Generator(seed: 1)
        for number in 0..<8 {
            for (choice, kind) in ["settle", "emit", "output"].enumerated() {
                let message =
                    switch choice {
                    case 0: generator.settle()
                    case 1: generator.emit()
                    default: generator.record()
                    }
                // Two of eight are hostile.
                let bytes = number < 6 ? WireField.encode(message) : generator.mutated(message)
                guard bytes.count < 4096 else { continue }
                try Data([UInt8(choice)] + bytes).write(to: directory.appending(path: "\(kind)-\(number)"))
            }
        }
    }
}
