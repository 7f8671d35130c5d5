import Foundation
import StagewireModel
import Testing

@testable import StagewireConfig

/// `Drawings/NAME.yaml` as Mermaid and as DOT, word for word. `STAGEWIRE_GOLDEN=write` writes them anew; look at
/// them with `dot -Tpng` and a Mermaid viewer before committing.
@Suite struct DrawingTests {
    static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Drawings")

    @Test(arguments: ["sensors", "awkward"]) func drawings(_ name: String) throws {
        func url(_ ending: String) -> URL { Self.directory.appendingPathComponent("\(name).\(ending)") }
        let graph = PipelineGraph(try parse(String(contentsOf: url("yaml"), encoding: .utf8)).definition)
        for (ending, text) in [("mmd", graph.mermaid), ("dot", graph.dot)] {
            if DocumentationTests.isWriting { try text.write(to: url(ending), atomically: true, encoding: .utf8) }
            #expect(text == (try String(contentsOf: url(ending), encoding: .utf8)), "\(name).\(ending)")
        }
    }

    @Test func nodesAndEdges() throws {
        let text = """
            pipeline: p
            stages:
              c: {attach: external, from: [b, {stage: a, port: y, overflow: drop-newest, when: 'x in ["1"]'}]}
              a: {run: [x], source: true, ports: [x, y], workers: 3}
              b: {run: [x], from: a}
            """
        let graph = PipelineGraph(try parse(text).definition)
        #expect(
            graph.nodes == [
                .init(name: "a", kind: .source, workers: 3), .init(name: "b", kind: .transform, workers: 1),
                .init(name: "c", kind: .sink, workers: nil),
            ])
        #expect(
            graph.edges == [
                .init(from: "a", to: "b", port: "x"), .init(from: "b", to: "c"),
                .init(from: "a", to: "c", port: "y", when: "x in [\"1\"]", overflow: "drop-newest"),
            ])
    }

    /// A source that nobody reads is still a source.
    @Test func lonelySource() throws {
        let graph = PipelineGraph(try parse("pipeline: p\nstages: {a: {run: [x], source: true}}").definition)
        #expect(graph.nodes.map(\.kind) == [.source] && graph.edges.isEmpty)
    }

    @Test func longTextsAreCut() {
        let words = Array(repeating: "attribute", count: 100).joined(separator: " ")
        #expect(DrawnText.wrapped(words).count == 6 && DrawnText.wrapped(words).last == "…")
        #expect(DrawnText.wrapped(String(repeating: "x", count: 500)).map(\.count) == [73])
        #expect(DrawnText.wrapped("a == 1") == ["a == 1"])
        #expect(DrawnText.wrapped("") == [""])
    }

    /// Whatever stands in a condition, a label stays within its quotes and on its line.
    @Test(arguments: 0..<100 as Range<UInt64>) func labelsStayInTheirQuotes(_ seed: UInt64) {
        var random = Random(seed: seed)
        let hostile: [String] = [
            "\"", "\\", "\n", "\r", "\u{1}", "\u{2028}", "<", "&", "#", "|", "`", "]", ")", "é", " ", "a", "--", ";",
        ]
        let text = (0..<Int.random(in: 1..<30, using: &random)).map { _ in random.pick(hostile) }.joined()
        var definition = PipelineDefinition(
            name: "p",
            stages: [
                StageDefinition(name: "a", isSource: true),
                StageDefinition(
                    name: "b", inputs: [InputDefinition(stage: 0, when: .compare("x", .equal, .text(text)))]),
            ])
        definition.stages[0].launch = Launch(command: ["x"])
        let graph = PipelineGraph(definition)
        #expect(graph.mermaid.split(separator: "\n", omittingEmptySubsequences: false).count == 6, "seed \(seed)")
        let arrow = graph.mermaid.split(separator: "\n")[3]
        #expect(arrow.hasPrefix("    s0 -->|\"when x ==") && arrow.hasSuffix("\"| s1"), "seed \(seed)")
        #expect(arrow.count { $0 == "\"" } == 2 && arrow.count { $0 == "|" } == 2, "seed \(seed): \(arrow)")
        let line = graph.dot.unicodeScalars.split(separator: "\n").map(String.init)[7]
        let label = line.dropFirst("    \"a\" -> \"b\" [label=\"".count).dropLast(2)
        #expect(line.hasSuffix("\"]") && Self.isEscaped(label), "seed \(seed): \(line)")
    }

    /// Every quote has a backslash of its own in front, and no backslash is left over.
    private static func isEscaped(_ text: Substring) -> Bool {
        var isAfterBackslash = false
        for character in text.unicodeScalars {
            if isAfterBackslash {
                isAfterBackslash = false
            } else if character == "\"" {
                return false
            } else {
                isAfterBackslash = character == "\\"
            }
        }
        return !isAfterBackslash
    }
}
