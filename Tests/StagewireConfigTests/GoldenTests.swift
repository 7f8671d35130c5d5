import Foundation
import StagewireConfig
import Testing

/// `Golden/*.yaml` are broken in one way or another; the `.txt` beside each holds every word that a person gets to
/// see. After an intended change, `STAGEWIRE_GOLDEN=write swift test --filter Golden` writes them anew.
@Suite struct GoldenTests {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.sorted()
    }()

    @Test func thereAreEnough() { #expect(Self.names.count >= 25) }

    @Test(arguments: names) func complains(_ name: String) throws {
        let text = try String(contentsOf: Self.directory.appendingPathComponent("\(name).yaml"), encoding: .utf8)
        let golden = Self.directory.appendingPathComponent("\(name).txt")
        let output: String
        do {
            _ = try PipelineFile.parse(text, name: "\(name).yaml", directory: ".")
            output = "no complaint\n"
        } catch {
            output = error.description + "\n"
        }
        if ProcessInfo.processInfo.environment["STAGEWIRE_GOLDEN"] == "write" {
            try output.write(to: golden, atomically: true, encoding: .utf8)
        }
        #expect(output == (try String(contentsOf: golden, encoding: .utf8)))
        #expect(output != "no complaint\n")
    }
}
