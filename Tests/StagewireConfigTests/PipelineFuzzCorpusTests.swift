import Foundation
import Testing

/// `STAGEWIRE_WRITE_CORPUS=<directory>` writes the first inputs of the fuzz target for pipeline files (`PipelineFuzzer` has their
/// form): those that other tests read, right and wrong ones, and conditions.
@Suite struct PipelineFuzzCorpusTests {
    private static let directory = ProcessInfo.processInfo.environment["STAGEWIRE_WRITE_CORPUS"]

    private static let conditions = [
        #"level == "high""#, #"a > 1.5 and not (b <= -2 or c)"#, #"exists(x) and y != "\u00e9\n""#, "n in [1, 2, 3]",
        "true", "((((a))))",
    ]

    @Test(.enabled(if: directory != nil))
    func writeCorpus() throws {
        let directory = URL(filePath: try #require(Self.directory))
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for (number, condition) in Self.conditions.enumerated() {
            try Data("w\(condition)".utf8).write(to: directory.appending(path: "when-\(number)"))
        }
        let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        for file in try FileManager.default.contentsOfDirectory(at: golden, includingPropertiesForKeys: nil)
        where file.pathExtension == "yaml" {
            let text = try Data(contentsOf: file)
            guard text.count < 4000 else { continue }
            try (Data("y".utf8) + text).write(
                to: directory.appending(path: file.deletingPathExtension().lastPathComponent))
        }
    }
}
