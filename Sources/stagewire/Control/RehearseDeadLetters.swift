import Glibc
import StagewireControl

/// `--dry-run`: which letters are meant by selections, and how many; nothing is changed.
func rehearse(
    _ selections: [DeadLetterSelection], _ client: ControlClient, _ command: String, _ done: String, json: Bool
) async throws {
    var rehearsal = LetterRehearsal()
    for selection in selections { try await rehearsal.add(selection, client) }
    if json { return Output.json("dead-letters \(command)", rehearsal) }
    let width = Terminal.isTerminal(STDOUT_FILENO) ? Terminal.width(STDOUT_FILENO) : .max
    Output.text(rehearsal.lines(done, width: width).joined(separator: "\n"))
}

/// What a change would be about.
struct LetterRehearsal: Encodable {
    struct Missing: Encodable, Equatable {
        var stage: String
        var number: UInt64
    }

    private(set) var letters: [DeadLetterSummary] = []
    /// All that are meant; `letters` has the first of them.
    private(set) var total = 0
    private(set) var missing: [Missing] = []

    /// As many as anybody reads.
    private static let shown = ControlAPI.defaultPage

    mutating func add(_ selection: DeadLetterSelection, _ client: ControlClient) async throws {
        guard let numbers = selection.numbers else {
            // At least one is asked for, to learn how many there are.
            let room = Self.shown - letters.count
            let page = try await client.allDeadLetters(
                stage: selection.stage, filter: selection.filter, limit: max(1, room))
            return add(page.letters, total: page.total)
        }
        for number in Set(numbers).sorted() {
            do {
                add([try await client.deadLetter(stage: selection.stage, number: number).letter], total: 1)
            } catch let failure as ControlFailure where failure.problem.code == ControlProblem.Code.notFound.rawValue {
                missing.append(Missing(stage: selection.stage, number: number))
            }
        }
    }

    mutating func add(_ more: [DeadLetterSummary], total count: Int) {
        letters += more.prefix(max(0, Self.shown - letters.count))
        total += count
    }

    func lines(_ done: String, width: Int) -> [String] {
        var lines = letters.isEmpty ? [] : LetterTable(letters: letters).lines(width: width)
        if letters.count < total { lines.append("  and \(total - letters.count) more") }
        for letter in missing { lines.append("\(letter.stage) has no dead letter \(letter.number) (any more)") }
        let count = total == 0 ? "No dead letter" : Figures.count(total, "dead letter")
        return lines + ["\(count) would be \(done); nothing was changed."]
    }
}
