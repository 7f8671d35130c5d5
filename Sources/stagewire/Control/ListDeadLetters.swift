import ArgumentParser
import Glibc
import StagewireControl
import StagewireWire

struct ListDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List dead letters, oldest first for each stage.",
        discussion: """
            EXAMPLES:
              stagewire dead-letters list sensors --stage score --reason attempts_exhausted
            """)

    @OptionGroup var choice: PipelineChoice

    @Option(help: "Only those of this stage.")
    var stage: String?

    @Option(help: "Only those with this reason, such as REJECTED or ATTEMPTS_EXHAUSTED.")
    var reason: String?

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
            return try await client.allDeadLetters(stage: stage, reason: reason, limit: limit)
        }
        var all = DeadLetterPage(letters: [], total: 0)
        for stage in try await client.status().stages where stage.kind != .source {
            // At least one is asked for, to learn how many there are.
            let room = limit - all.letters.count
            let page = try await client.allDeadLetters(stage: stage.name, reason: reason, limit: max(1, room))
            all.letters += page.letters.prefix(room)
            all.total += page.total
        }
        return all
    }

    private func lines(_ page: DeadLetterPage, width: Int) -> [String] {
        guard page.total > 0 else {
            let what = "dead letters" + (reason.map { " with the reason \($0.uppercased())" } ?? "")
            return [stage.map { "\($0) has no \(what)." } ?? "No stage has \(what)."]
        }
        let columns = [
            TextTable.Column(heading: "letter", isText: true), .init(heading: "reason", isText: true, rank: 9),
            .init(heading: "attempts", rank: 4), .init(heading: "key", isText: true, rank: 5),
            .init(heading: "schema", isText: true, rank: 2), .init(heading: "bytes", rank: 1),
            .init(heading: "given up", isText: true, rank: 3), .init(heading: "error", isText: true, isTail: true),
        ]
        let table = TextTable(columns: columns, rows: page.letters.map(row))
        var lines = table.lines(width: width).map { StatusWatch.cut($0, width) }
        if page.letters.count < page.total {
            lines.append("\(page.letters.count) of \(page.total); --limit shows more, --stage and --reason less")
        }
        return lines
    }

    private func row(_ letter: DeadLetterSummary) -> [TextTable.Cell] {
        let schema = letter.schema.isEmpty ? "-" : Text.escaped("\(letter.schema) \(letter.schemaVersion)", limit: 40)
        // Without fractions of a second: 2026-11-21T04:05:06Z.
        let time = letter.time.prefix { $0 != "." } + "Z"
        return [
            .init("\(letter.stage)/\(letter.number)"), .init(letter.reason + (letter.isRetrying ? " (retrying)" : "")),
            .init("\(letter.attempts)"), .init(letter.key.map { Text.escaped($0, limit: 32) } ?? "-"), .init(schema),
            .init("\(letter.payloadBytes)"), .init(String(time)), .init(Text.escaped(letter.error.message)),
        ]
    }
}
