import ArgumentParser
import Glibc
import StagewireControl

struct ListDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List dead letters, oldest first for each stage.",
        discussion: """
            EXAMPLES:
              stagewire dead-letters list sensors --stage score --reason attempts_exhausted
              stagewire dead-letters list --error 'connection refused' --after 10m
            """)

    @OptionGroup var choice: PipelineChoice

    @Option(help: "Only those of this stage.")
    var stage: String?

    @OptionGroup var conditions: LetterConditions

    @Option(help: "Show so many at most.")
    var limit = ControlAPI.defaultPage

    @Flag(help: "Print them as JSON to standard output.")
    var json = false

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit has to be at least 1.") }
    }

    func run() async throws {
        try await reporting {
            let client = try await choice.client()
            let page = try await fetch(client)
            if json { return Output.json("dead-letters list", page) }
            let width = Terminal.isTerminal(STDOUT_FILENO) ? Terminal.width(STDOUT_FILENO) : .max
            Output.text(lines(page, width: width).joined(separator: "\n"))
        }
    }

    private func fetch(_ client: ControlClient) async throws -> DeadLetterPage {
        if let stage {
            return try await client.allDeadLetters(stage: stage, filter: conditions.filter, limit: limit)
        }
        var all = DeadLetterPage(letters: [], total: 0)
        for stage in try await client.status().stages where stage.kind != .source {
            // At least one is asked for, to learn how many there are.
            let room = limit - all.letters.count
            let page = try await client.allDeadLetters(
                stage: stage.name, filter: conditions.filter, limit: max(1, room))
            all.letters += page.letters.prefix(room)
            all.total += page.total
        }
        return all
    }

    private func lines(_ page: DeadLetterPage, width: Int) -> [String] {
        guard page.total > 0 else {
            let what = conditions.filter.isEmpty ? "dead letters" : "such dead letters"
            return [stage.map { "\($0) has no \(what)." } ?? "No stage has \(what)."]
        }
        var lines = LetterTable(letters: page.letters).lines(width: width)
        if page.letters.count < page.total {
            lines.append("\(page.letters.count) of \(page.total); --limit shows more, --stage and conditions less")
        }
        return lines
    }
}
