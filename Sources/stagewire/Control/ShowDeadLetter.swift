import ArgumentParser
import Foundation
import StagewireControl
import StagewireWire

struct ShowDeadLetter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show everything that is known about one dead letter.",
        discussion: """
            EXAMPLES:
              stagewire dead-letters show score/17
              stagewire dead-letters show score/17 --payload | jq .
              stagewire dead-letters show score/17 --record | ./score --test -
            """)

    @Argument(
        help: ArgumentHelp("Stage and number, such as score/17.", valueName: "stage/number"),
        transform: LetterName.parse)
    var letter: LetterName

    @OptionGroup var choice: PipelineOption

    @Flag(help: "Write the payload's bytes to standard output, and nothing else.")
    var payload = false

    @Flag(help: "Write the record as one line of JSON, as a stage's --test reads it, and nothing else.")
    var record = false

    @Flag(help: "Print it as JSON to standard output.")
    var json = false

    func validate() throws {
        guard [json, payload, record].count(where: \.self) <= 1 else {
            throw ValidationError("--payload, --record and --json exclude each other.")
        }
    }

    func run() async throws {
        try await reporting {
            let detail = try await choice.client().deadLetter(stage: letter.stage, number: letter.number)
            if json { return Output.json("dead-letters show", detail) }
            if payload { return Self.write(Data(base64Encoded: detail.payloadBase64) ?? Data()) }
            if record { return Self.write(Data(LetterRecord(letter: detail).line + [UInt8(ascii: "\n")])) }
            Output.text(LetterView(letter: detail).lines.joined(separator: "\n"))
        }
    }
}

extension ShowDeadLetter {
    /// For programs, as it is. A reader that has seen enough, like `head`, is no error.
    private static func write(_ data: Data) { try? FileHandle.standardOutput.write(contentsOf: data) }
}

/// One dead letter for a person.
struct LetterView {
    var letter: DeadLetterDetail

    /// Bytes of a payload that are shown as hexadecimal digits.
    private static let dumped = 4096

    var lines: [String] {
        let summary = letter.letter
        let attempts = Figures.count(Int(summary.attempts), "attempt")
        var lines = ["\(summary.stage)/\(summary.number): \(summary.reason) after \(attempts), \(summary.time)"]
        if summary.isRetrying { lines.append("  a retry was asked for, and waits for room") }
        lines += fields.map { name, value in "  " + name.padding(toLength: 12, withPad: " ", startingAt: 0) + value }
        if !letter.attributes.isEmpty {
            lines.append("  attributes")
            lines += letter.attributes.map { "    \(Text.escaped($0.name)) = \(Self.text($0.value))" }
        }
        lines.append("  way")
        lines += way.lines().map { "  " + $0 }
        lines.append("  payload, \(Figures.count(summary.payloadBytes, "byte"))")
        return lines + payload.map { "    " + $0 }
    }

    private var fields: [(String, String)] {
        let summary = letter.letter
        let error = summary.error
        let code = error.name.map { "\($0) (\(error.code))" } ?? "\(error.code)"
        var fields = [("error", "\(code): \(Text.escaped(error.message))")]
        fields += [("read from", "\(summary.input).\(summary.port)"), ("id", summary.id)]
        if let key = summary.key {
            fields.append(("key", Text.escaped(key)))
        } else if let key = letter.keyBase64 {
            fields.append(("key", "\(key) (base64)"))
        }
        if !summary.schema.isEmpty {
            fields.append(("schema", "\(Text.escaped(summary.schema)) \(summary.schemaVersion)"))
        }
        if !letter.contentType.isEmpty { fields.append(("content", Text.escaped(letter.contentType))) }
        if let time = letter.eventTime { fields.append(("event time", time)) }
        if let time = letter.ingestTime { fields.append(("entered", time)) }
        for parent in letter.parents { fields.append(("parent", parent)) }
        if letter.hasMoreParents { fields.append(("", "and more parents, which lineage does not keep")) }
        if letter.root != summary.id { fields.append(("root", letter.root)) }
        return fields
    }

    private var way: TextTable {
        let headings = ["stage", "version", "instance", "language", "emitted", "attempt"]
        return TextTable(
            columns: headings.map { .init(heading: $0, isText: $0 != "attempt") },
            rows: letter.hops.map { hop in
                [hop.stage, hop.version, hop.instance, hop.language, hop.time, "\(hop.attempt)"].map {
                    .init($0.isEmpty ? "-" : Text.escaped($0, limit: 64))
                }
            })
    }

    private static func text(_ value: DeadLetterDetail.Value) -> String {
        switch value {
        case .text(let text): Text.escaped(text)
        case .integer(let integer): "\(integer)"
        case .number(let number): "\(number)"
        case .flag(let flag): "\(flag)"
        }
    }

    // MARK: The payload

    private var payload: [String] {
        if let text = letter.payloadText {
            return text.split(separator: "\n", omittingEmptySubsequences: false).map {
                Text.escaped(String($0), limit: .max)
            }
        }
        let bytes = [UInt8](Data(base64Encoded: letter.payloadBase64) ?? Data())
        var lines = stride(from: 0, to: min(bytes.count, Self.dumped), by: 16).map {
            HexDump.line(bytes.span.bytes, at: $0)
        }
        if bytes.count > Self.dumped {
            lines.append("and \(bytes.count - Self.dumped) more; --payload writes all of them")
        }
        return lines
    }
}
