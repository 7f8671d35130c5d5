import ArgumentParser
import Glibc
import StagewireControl

/// Which letters `retry` and `drop` are about: by name, or all of a stage, or those of a stage that meet conditions.
struct LetterChoice: ParsableArguments {
    @Argument(
        help: ArgumentHelp("Stages and numbers, such as score/17.", valueName: "stage/number"),
        transform: LetterName.parse)
    var letters: [LetterName] = []

    @Option(help: "The stage, with --all or conditions.")
    var stage: String?

    @Flag(help: "All of the stage.")
    var all = false

    @OptionGroup var conditions: LetterConditions

    func validate() throws {
        let isNarrow = !conditions.filter.isEmpty
        let isByStage = stage != nil || isNarrow || all
        if letters.isEmpty, !isByStage {
            throw ValidationError("Name dead letters, or give --stage with --all or with conditions.")
        }
        guard isByStage else { return }
        guard letters.isEmpty else { throw ValidationError("Name dead letters or give --stage, not both.") }
        guard stage != nil else { throw ValidationError("--all and conditions need a --stage.") }
        guard all != isNarrow else { throw ValidationError("--stage needs either --all or conditions.") }
    }

    /// One for each stage, in the order of their first mention.
    var selections: [DeadLetterSelection] {
        if let stage {
            return [DeadLetterSelection(stage: stage, filter: conditions.filter, all: all ? true : nil)]
        }
        var selections: [DeadLetterSelection] = []
        for letter in letters {
            if let index = selections.firstIndex(where: { $0.stage == letter.stage }) {
                selections[index].numbers?.append(letter.number)
            } else {
                selections.append(DeadLetterSelection(stage: letter.stage, numbers: [letter.number]))
            }
        }
        return selections
    }
}

/// What became of one stage's letters.
struct LetterChange: Encodable {
    var stage: String
    var changed: Int
    var waiting: Int
    var missing: [UInt64]

    init(_ stage: String, _ answer: DeadLetterAnswer) {
        (self.stage, changed, waiting, missing) = (stage, answer.changed, answer.waiting, answer.missing)
    }

    /// "3 dead letters of score are retried"
    func sentences(_ done: String) -> [String] {
        var sentences: [String] = []
        let verb = changed == 1 ? "is" : "are"
        if changed > 0 { sentences.append("\(Figures.count(changed, "dead letter")) of \(stage) \(verb) \(done)") }
        if waiting > 0 {
            let what = changed > 0 ? "\(waiting)" : "\(Figures.count(waiting, "dead letter")) of \(stage)"
            sentences.append("\(what) \(waiting == 1 ? "waits" : "wait") for room")
        }
        let text = sentences.joined(separator: "; ")
        var lines = text.isEmpty ? [] : [text]
        if !missing.isEmpty {
            let numbers = missing.map(String.init).joined(separator: ", ")
            lines.append("\(stage) has no dead \(missing.count == 1 ? "letter" : "letters") \(numbers) (any more)")
        }
        return lines.isEmpty ? ["\(stage) has no such dead letters"] : lines
    }
}

/// Prints what was done. Letters that were named and do not exist are a failure when nothing else was done.
private func conclude(_ changes: [LetterChange], _ command: String, _ done: String, json: Bool) throws {
    let sentences = changes.flatMap { $0.sentences(done) }
    let isFutile = changes.allSatisfy { $0.changed == 0 && $0.waiting == 0 && !$0.missing.isEmpty }
    if isFutile {
        throw ControlFailure(
            Problem(
                code: ControlProblem.Code.notFound.rawValue, message: sentences.joined(separator: "; "),
                hint: "`stagewire dead-letters list` shows those that there are"), .runtime)
    }
    if json { return Output.json(command, changes) }
    Output.text(sentences.joined(separator: "\n"))
}

struct RetryDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Have dead letters delivered again, with all their attempts before them.",
        discussion: """
            They re-enter only where they failed, behind what waits for their keys.

            EXAMPLES:
              stagewire dead-letters retry score/17 score/18
              stagewire dead-letters retry --stage score --reason EXPIRED
              stagewire dead-letters retry --stage score --error 'no such table' --before 1h --dry-run
            """)

    @OptionGroup var choice: LetterChoice
    @OptionGroup var pipeline: PipelineOption

    @Flag(help: "Show which ones are meant, and change nothing.")
    var dryRun = false

    @Flag(help: "Print what was done as JSON to standard output.")
    var json = false

    func run() async throws {
        try await reporting {
            let client = try await pipeline.client()
            if dryRun { return try await rehearse(choice.selections, client, "retry", "retried", json: json) }
            var changes: [LetterChange] = []
            for selection in choice.selections {
                changes.append(LetterChange(selection.stage, try await client.retry(selection)))
            }
            try conclude(changes, "dead-letters retry", "retried", json: json)
        }
    }
}

struct DropDeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "Remove dead letters for good.",
        discussion: """
            More than one is dropped only after a question, or with --yes.

            EXAMPLES:
              stagewire dead-letters drop --stage score --reason REJECTED --yes
              stagewire dead-letters drop --stage score --attribute site=lab --dry-run
            """)

    @OptionGroup var choice: LetterChoice
    @OptionGroup var pipeline: PipelineOption

    @Flag(help: "Show which ones are meant, and change nothing.")
    var dryRun = false

    @Flag(name: .shortAndLong, help: "Do not ask.")
    var yes = false

    @Flag(help: "Print what was done as JSON to standard output.")
    var json = false

    func run() async throws {
        try await reporting {
            let client = try await pipeline.client()
            if dryRun { return try await rehearse(choice.selections, client, "drop", "dropped", json: json) }
            var selections = choice.selections
            if !yes { selections = try await confirmed(selections, client) }
            var changes: [LetterChange] = []
            for selection in selections {
                changes.append(LetterChange(selection.stage, try await client.drop(selection)))
            }
            try conclude(changes, "dead-letters drop", "dropped", json: json)
        }
    }

    /// What is dropped is what was asked about: letters that come meanwhile are not among it.
    private func confirmed(
        _ selections: [DeadLetterSelection], _ client: ControlClient
    ) async throws -> [DeadLetterSelection] {
        var exact: [DeadLetterSelection] = []
        for var selection in selections {
            if selection.numbers == nil {
                let page = try await client.allDeadLetters(
                    stage: selection.stage, filter: selection.filter, limit: Self.most)
                selection = DeadLetterSelection(stage: selection.stage, numbers: page.letters.map(\.number))
            }
            exact.append(selection)
        }
        let count = exact.reduce(0) { $0 + ($1.numbers?.count ?? 0) }
        guard count > 1 else { return exact }
        let stages = exact.map(\.stage).joined(separator: ", ")
        guard Terminal.isTerminal(STDIN_FILENO), Terminal.isTerminal(STDERR_FILENO) else {
            throw ControlFailure(
                "\(count) dead letters of \(stages) would be dropped, and nobody can be asked whether they may",
                hint: "add --yes", status: .usage)
        }
        Terminal.write("Drop \(count) dead letters of \(stages) for good? [y/N] ", to: STDERR_FILENO)
        guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
            throw ControlFailure("nothing was dropped")
        }
        return exact
    }

    /// As many as one request takes; who has more asks again.
    private static let most = 50_000
}
