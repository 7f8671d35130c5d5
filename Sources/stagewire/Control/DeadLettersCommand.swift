import ArgumentParser
import StagewireControl

struct DeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead-letters",
        abstract:
            "Look at records that were given up on; have them delivered again, as they are or edited, or drop them.",
        discussion: """
            A dead letter is named by its stage and number, as in score/17. Conditions choose several; given together, \
            all of them hold.

            EXAMPLES:
              stagewire dead-letters list --stage score && stagewire dead-letters retry --stage score --all
            """,
        subcommands: [
            ListDeadLetters.self, ShowDeadLetter.self, EditDeadLetter.self, RetryDeadLetters.self, DropDeadLetters.self,
        ])
}

/// `score/17`
struct LetterName: Equatable {
    var stage: String
    var number: UInt64

    /// For `@Argument(transform:)`.
    static func parse(_ text: String) throws -> LetterName {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, let number = UInt64(parts[1]) else {
            throw ValidationError("'\(text)' names no dead letter. Write STAGE/NUMBER, such as score/17.")
        }
        return LetterName(stage: String(parts[0]), number: number)
    }
}

/// The pipeline, where positions on the command line belong to dead letters.
struct PipelineOption: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The pipeline: its file, or its name. Without it, the only one that runs.", valueName: "pipeline"))
    var pipeline: String?

    @OptionGroup var place: ControlPlace

    func client() async throws -> ControlClient { try await place.client(pipeline) }
}

extension ControlClient {
    /// All matching letters of one stage, up to `limit`, page by page; and how many there are.
    func allDeadLetters(stage: String, filter: DeadLetterFilter, limit: Int) async throws -> DeadLetterPage {
        var all = DeadLetterPage(letters: [], total: 0)
        repeat {
            let page = try await deadLetters(
                stage: stage, filter: filter, after: all.next,
                limit: min(limit - all.letters.count, ControlAPI.longestPage))
            all.letters += page.letters
            (all.total, all.next) = (page.total, page.next)
        } while all.next != nil && all.letters.count < limit
        return all
    }
}
