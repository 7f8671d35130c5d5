import Foundation
import Testing

@testable import StagewireConfig

/// The documents say what the reader does: their examples load, and the tables of docs/CONFIGURATION.md are the
/// tables of keys.
@Suite struct DocumentationTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func read(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    struct Block {
        var place: String
        var text: String
    }

    static func blocks(_ path: String) throws -> [Block] {
        var blocks: [Block] = []
        var isInside = false
        for (index, line) in try read(path).components(separatedBy: "\n").enumerated() {
            if isInside, line == "```" {
                isInside = false
            } else if isInside {
                blocks[blocks.count - 1].text += line + "\n"
            } else if line == "```yaml" {
                isInside = true
                blocks.append(Block(place: "\(path):\(index + 2)", text: ""))
            }
        }
        return blocks
    }

    /// Paths below docs/ with this ending, and README.md.
    static func documents(_ ending: String) -> [String] {
        let files = FileManager.default.enumerator(atPath: root.appendingPathComponent("docs").path)
        let paths = (files?.compactMap { $0 as? String } ?? []).filter { $0.hasSuffix(ending) }
        return (ending == ".md" ? ["README.md"] : []) + paths.map { "docs/" + $0 }.sorted()
    }

    /// A whole pipeline says so in its first line that is no comment.
    static func isPipeline(_ text: String) -> Bool {
        text.split(separator: "\n").first { !$0.hasPrefix("#") }?.hasPrefix("pipeline:") ?? false
    }

    // MARK: Examples

    @Test func everyPipelineInTheDocumentsLoads() throws {
        var count = 0
        for path in Self.documents(".md") {
            for block in try Self.blocks(path) where Self.isPipeline(block.text) {
                #expect(complaint(block.text) == "", "\(block.place)")
                count += 1
            }
        }
        #expect(count >= 3)
    }

    @Test func everyExampleFileLoads() throws {
        let paths = Self.documents(".yaml")
        #expect(paths.contains("docs/examples/polyglot/pipeline.yaml"))
        for path in paths {
            let text = try Self.read(path)
            if Self.isPipeline(text) { #expect(complaint(text) == "", "\(path)") }
        }
    }

    /// A block of docs/CONFIGURATION.md without `pipeline:` shows keys of a stage: it is put where it belongs.
    static func whole(_ text: String) -> String {
        guard !isPipeline(text) else { return text }
        let indented = text.components(separatedBy: "\n").map { $0.isEmpty ? "" : "    " + $0 }.joined(separator: "\n")
        return
            "pipeline: p\nstages:\n  first: {run: [x], source: true, ports: [out, alerts]}\n  second: {run: [x], from: first}\n"
            + "  shown:\n" + indented
            + (["run:", "exec:", "attach:"].contains { text.contains($0) } ? "" : "    run: [x]\n")
            + (text.contains("from:") || text.contains("source:") ? "" : "    from: first\n")
    }

    @Test func everyPartOfAStageLoads() throws {
        let blocks = try Self.blocks("docs/CONFIGURATION.md")
        #expect(blocks.count >= 6)
        for block in blocks { #expect(complaint(Self.whole(block.text)) == "", "\(block.place)") }
    }

    // MARK: Tables

    /// Which table of keys each heading of the document introduces.
    static let tables: [(heading: String, keys: [any KeyRow])] = [
        ("## Pipeline", PipelineKeys.all), ("## Retention", RetentionKeys.all), ("## Stages", StageKeys.all),
        ("### Retry", RetryKeys.all),
        ("### Breaker", BreakerKeys.all),
        ("### Executables", ExecKeys.all), ("#### Batches", ExecBatchKeys.all), ("### Inputs", InputKeys.all),
        ("### Resources", ResourceKeys.all), ("### Schemas", SchemaKeys.all),
        ("## Limits", LimitKeys.all),
    ]

    /// Lines of the first table behind a heading, without its head.
    static func rows(behind heading: String, in lines: [String]) -> Range<Int> {
        guard let start = lines.firstIndex(of: heading),
            let head = lines[start...].firstIndex(where: { $0.hasPrefix("|---") })
        else { return 0..<0 }
        return head + 1..<(lines[head...].firstIndex { !$0.hasPrefix("|") } ?? lines.count)
    }

    /// In both directions, column by column: a row that is missing, wrong or too much. After an intended change,
    /// `STAGEWIRE_GOLDEN=write swift test --filter Documentation` writes the tables and the schema anew.
    @Test func tablesAreThoseOfTheKeys() throws {
        let path = "docs/CONFIGURATION.md"
        var lines = try Self.read(path).components(separatedBy: "\n")
        for (heading, keys) in Self.tables {
            let rows = Self.rows(behind: heading, in: lines)
            if Self.isWriting { lines.replaceSubrange(rows, with: keys.map(\.row)) }
            let written = lines[Self.rows(behind: heading, in: lines)]
            #expect(written.joined(separator: "\n") == keys.map(\.row).joined(separator: "\n"), "\(heading)")
            #expect(Set(keys.map(\.name)).count == keys.count)
        }
        if Self.isWriting { try Self.write(lines.joined(separator: "\n"), path) }
    }

    // MARK: Schema

    @Test func schemaIsCommitted() throws {
        let path = "docs/pipeline.schema.json"
        if Self.isWriting { try Self.write(PipelineSchema.text + "\n", path) }
        #expect(try Self.read(path) == PipelineSchema.text + "\n", "\(path): run `stagewire schema`")
    }

    static let isWriting = ProcessInfo.processInfo.environment["STAGEWIRE_GOLDEN"] == "write"

    static func write(_ text: String, _ path: String) throws {
        try text.write(to: root.appendingPathComponent(path), atomically: true, encoding: .utf8)
    }
}
