import Foundation
import Testing

@testable import StagewireConfig

/// Every example of `docs/CONFIGURATION.md` is loaded as a reader would load it.
@Suite struct DocumentationTests {
    static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("docs/CONFIGURATION.md")

    static func blocks() throws -> [(line: Int, text: String)] {
        var blocks: [(line: Int, text: String)] = []
        var isInside = false
        for (index, line) in try String(contentsOf: path, encoding: .utf8).components(separatedBy: "\n").enumerated() {
            if isInside, line == "```" {
                isInside = false
            } else if isInside {
                blocks[blocks.count - 1].text += line + "\n"
            } else if line == "```yaml" {
                isInside = true
                blocks.append((index + 2, ""))
            }
        }
        return blocks
    }

    /// A block without `pipeline:` shows keys of a stage: it is put where it belongs.
    static func whole(_ text: String) -> String {
        guard !text.contains("pipeline:") else { return text }
        let indented = text.components(separatedBy: "\n").map { $0.isEmpty ? "" : "    " + $0 }.joined(separator: "\n")
        return
            "pipeline: p\nstages:\n  first: {run: [x], source: true, ports: [out, alerts]}\n  second: {run: [x], from: first}\n"
            + "  shown:\n" + indented + (text.contains("run:") || text.contains("attach:") ? "" : "    run: [x]\n")
            + (text.contains("from:") || text.contains("source:") ? "" : "    from: first\n")
    }

    @Test func examplesLoad() throws {
        let blocks = try Self.blocks()
        #expect(blocks.count >= 5)
        for block in blocks { #expect(complaint(Self.whole(block.text)) == "", "docs/CONFIGURATION.md:\(block.line)") }
    }

    @Test func everyKeyIsDescribed() throws {
        let text = try String(contentsOf: Self.path, encoding: .utf8)
        for key in Reader.pipelineKeys + Reader.stageKeys + Reader.limitKeys + [
            "attempts", "backoff", "max_age", "jitter",
        ] {
            #expect(text.contains("\n| `\(key)` |"), "\(key)")
        }
    }
}
