import StagewireLedger
import StagewireModel
import Testing

@Suite struct LayoutInputTests {
    /// `join` reads `numbers` twice, and a port of `split` between.
    static let layout: Layout = {
        var split = StageDefinition(name: "split", inputs: [InputDefinition(stage: 0)])
        split.ports = ["out", "odd"]
        let inputs = [InputDefinition(stage: 0), InputDefinition(stage: 1, port: 1), InputDefinition(stage: 0)]
        let stages = [
            StageDefinition(name: "numbers", isSource: true), split, StageDefinition(name: "join", inputs: inputs),
        ]
        return Layout(PipelineDefinition(name: "inputs", stages: stages))
    }()

    @Test(
        arguments: [
            ("split", nil, 0), ("split", "numbers", 0), ("join", "numbers", 1), ("join", "split.odd", 2),
            ("join", "numbers#2", 3),
        ] as [(String, String?, Int)])
    func whatIsMeant(_ stage: String, _ input: String?, _ number: Int) throws {
        #expect(try Self.layout.subscription(stage: stage, input: input) == number)
    }

    @Test(
        arguments: [
            ("numbers", nil, .isSource(stage: "numbers")),
            ("x", "numbers", .unknownStage("x")),
            ("join", nil, .several(stage: "join", inputs: ["numbers", "split.odd", "numbers#2"])),
            ("split", "numbers#2", .doesNotRead(stage: "split", input: "numbers#2", inputs: ["numbers"])),
            ("split", "numbers#1", .doesNotRead(stage: "split", input: "numbers#1", inputs: ["numbers"])),
        ] as [(String, String?, InputProblem)])
    func whatIsNot(_ stage: String, _ input: String?, _ problem: InputProblem) {
        #expect(throws: problem) { try Self.layout.subscription(stage: stage, input: input) }
    }
}
