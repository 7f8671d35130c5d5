import Foundation
import StagewireControl
import Testing

/// `docs/CONTROL_API.md` against the types: its answers are answers, and its tables complete.
@Suite struct DocumentationTests {
    private static let text: String = {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return (try? String(contentsOf: root.appendingPathComponent("docs/CONTROL_API.md"), encoding: .utf8)) ?? ""
    }()

    /// Blocks fenced as JSON, in order.
    private static let blocks = text.components(separatedBy: "```json\n").dropFirst().map {
        $0.components(separatedBy: "```")[0]
    }

    /// Decoded and encoded again: every field is known, and none is missing.
    private func isExactly<Value: Codable>(_ type: Value.Type, _ block: String) throws {
        let value = try ControlJSON.decode(type, from: Data(block.utf8))
        #expect(String(decoding: ControlJSON.encode(value), as: UTF8.self) == block)
    }

    @Test func answersAreAnswers() throws {
        try #require(Self.blocks.count == 11)
        try isExactly(PipelineStatus.self, Self.blocks[0])
        try isExactly([String: StageStatus.Breaker].self, Self.blocks[1])
        try isExactly(ResumeAnswer.self, Self.blocks[2])
        try isExactly(ReplayAnswer.self, Self.blocks[3])
        try isExactly(DeadLetterPage.self, Self.blocks[4])
        try isExactly(DeadLetterEdited.self, Self.blocks[6])
        try isExactly(DeadLetterSelection.self, Self.blocks[7])
        try isExactly(DeadLetterAnswer.self, Self.blocks[8])
        try isExactly(StopAnswer.self, Self.blocks[9])
        try isExactly(EndAnswer.self, Self.blocks[10])
    }

    @Test func everyConditionHasItsRow() {
        for parameter in DeadLetterFilter.parameters { #expect(Self.text.contains("`\(parameter)`"), "\(parameter)") }
    }

    /// The document leaves the summary out of the full letter; with it, it is one.
    @Test func fullLetter() throws {
        let page = try ControlJSON.decode(DeadLetterPage.self, from: Data(Self.blocks[4].utf8))
        let letter = String(decoding: ControlJSON.encode(try #require(page.letters.first)), as: UTF8.self)
        let whole = Self.blocks[5].replacing(
            "  \"more_parents\"", with: "  \"letter\" : \(letter), \"more_parents\"", maxReplacements: 1)
        let detail = try ControlJSON.decode(DeadLetterDetail.self, from: Data(whole.utf8))
        #expect(detail.root == page.letters[0].id && detail.payloadText != nil)
    }

    @Test func everyCodeHasItsRow() {
        for code in ControlProblem.Code.allCases {
            #expect(Self.text.contains("| `\(code.rawValue)` | \(code.status)"), "\(code.rawValue)")
        }
    }
}
