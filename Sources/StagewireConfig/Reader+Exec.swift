import StagewireModel

/// What `exec` says: a command, and how records go in and out.
struct ExecDraft {
    var command: Located<[String]>
    /// The stage's configuration, which the built-in stage reads.
    var json: [UInt8]
}

extension Reader {
    mutating func exec(_ fields: Fields) -> ExecDraft? {
        guard fields[ExecKeys.command] != nil else {
            report(fields.position, "`exec` names no command", hint: "add `command: [<program>, <argument>]`")
            return nil
        }
        var json = ObjectWriter()
        let command = read(ExecKeys.command, in: fields)
        if let command { json.add("command", JSONValue.array(command.content.map { .string($0) }).line) }
        if let input = read(ExecKeys.input, in: fields) { json.add("input", text: input.rawValue) }
        if let output = read(ExecKeys.output, in: fields) { json.add("output", text: output.rawValue) }
        if let batch = read(ExecKeys.batch, in: fields) { json.add("batch", batch) }
        if let timeout = read(ExecKeys.timeout, in: fields) { json.add("timeout", Self.seconds(timeout)) }
        if let grace = read(ExecKeys.grace, in: fields) { json.add("grace", Self.seconds(grace)) }
        if let codes = read(ExecKeys.exitCodes, in: fields) {
            let members = codes.map { JSONValue.Member($0.code, .string($0.meaning.rawValue)) }
            json.add("exit_codes", JSONValue.object(members).line)
        }
        return command.map { ExecDraft(command: $0, json: json.bytes) }
    }

    /// `batch` as JSON.
    mutating func batch(_ fields: Fields) -> String {
        var json = ObjectWriter()
        if let records = read(ExecBatchKeys.records, in: fields) { json.add("records", String(records)) }
        if let bytes = read(ExecBatchKeys.bytes, in: fields) { json.add("bytes", String(bytes)) }
        if let every = read(ExecBatchKeys.every, in: fields) { json.add("every", Self.seconds(every)) }
        return String(decoding: json.bytes, as: UTF8.self)
    }

    /// Seconds as JSON writes them, to the millisecond, which is as fine as durations are written.
    private static func seconds(_ duration: Duration) -> String {
        let milliseconds = duration.nanoseconds / 1_000_000
        let (whole, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        let digits = String(rest)
        return rest == 0 ? String(whole) : "\(whole)." + String(repeating: "0", count: 3 - digits.count) + digits
    }
}

/// A JSON object, member by member; values are JSON already.
private struct ObjectWriter {
    private var members: [String] = []
    var bytes: [UInt8] { Array("{\(members.joined(separator: ","))}".utf8) }

    mutating func add(_ name: String, _ json: String) { members.append("\(JSONValue.string(name).line):\(json)") }
    mutating func add(_ name: String, text: String) { add(name, JSONValue.string(text).line) }
}
