import StagewireControl
import StagewireWire

/// Dead letters for a person, one a line.
struct LetterTable {
    var letters: [DeadLetterSummary]

    func lines(width: Int) -> [String] {
        let columns = [
            TextTable.Column(heading: "letter", isText: true), .init(heading: "reason", isText: true, rank: 9),
            .init(heading: "attempts", rank: 4), .init(heading: "key", isText: true, rank: 5),
            .init(heading: "schema", isText: true, rank: 2), .init(heading: "bytes", rank: 1),
            .init(heading: "given up", isText: true, rank: 3), .init(heading: "error", isText: true, isTail: true),
        ]
        return TextTable(columns: columns, rows: letters.map(row)).lines(width: width).map {
            StatusWatch.cut($0, width)
        }
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
