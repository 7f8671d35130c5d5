import ArgumentParser
import StagewireControl

struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Have a stage go on that was paused because too much of what it got was given up on.",
        discussion: """
            A stage pauses when too many of its last records became dead letters (`breaker` in the pipeline file), and tries \
            again by itself after a while. Once what was wrong is repaired it need not wait for that. A stage whose dead \
            letters are full goes on when some of them are retried or dropped, and not by this.

            EXAMPLES:
              stagewire resume score
              stagewire resume score --pipeline sensors

            Exits 0 whether the stage was paused or not, 1 when no pipeline runs there, 2 for a wrong command line or stage, \
            3 when the pipeline belongs to somebody else.
            """)

    @Argument(help: "The stages.")
    var stages: [String]

    @OptionGroup var pipeline: PipelineOption

    @Flag(help: "Print what was done as JSON to standard output.")
    var json = false

    func run() async throws {
        try await reporting {
            let client = try await pipeline.client()
            var answers: [ResumeAnswer] = []
            for stage in stages { answers.append(try await client.resume(stage)) }
            if json { return Output.json("resume", answers) }
            Output.text(answers.map(Self.sentence).joined(separator: "\n"))
        }
    }

    static func sentence(_ answer: ResumeAnswer) -> String {
        answer.resumed
            ? "\(answer.stage) goes on."
            : "\(answer.stage) was not paused by its breaker; `stagewire status` says what else may be in its way."
    }
}
