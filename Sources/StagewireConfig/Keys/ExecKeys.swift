/// The keys of `exec`: what the built-in stage of that name is told (docs/EXEC.md).
enum ExecKeys {
    /// How a batch stands on the command's standard input, and what its standard output holds.
    enum Input: String, CaseIterable { case lines, lengthPrefixed = "length-prefixed", jsonLines = "json-lines", file }
    enum Output: String, CaseIterable { case lines, lengthPrefixed = "length-prefixed", jsonLines = "json-lines", none }
    enum Meaning: String, CaseIterable { case accept, reject, retry }

    static let command = Key("command", CommandForm(), .required, "program and arguments; there is no shell")
    static let input = Key(
        "input", ChoiceForm<Input>(), standard: Input.lines, "how the command gets its records: docs/EXEC.md")
    static let output = Key(
        "output", ChoiceForm<Output>(), .note("as `input`; `none` for `file`"), "how it gives records back")
    static let batch = Key(
        "batch", MappingForm(keys: ExecBatchKeys.all) { $0.batch($1) }, .note("what has arrived, up to 500"),
        "the records of one run of the command: one step")
    static let timeout = Key(
        "timeout", DurationForm(ConfigurationLimits.execTimeout), standard: .seconds(60),
        "of one run; then its process group gets SIGTERM")
    static let grace = Key(
        "grace", DurationForm(ConfigurationLimits.execGrace), standard: .seconds(5), "from SIGTERM to SIGKILL")
    static let exitCodes = Key(
        "exit_codes", ExitCodesForm(), .note("0 accept, 65 reject, others retry"), "what an exit code means")

    static let all: [any KeyRow] = [command, input, output, batch, timeout, grace, exitCodes]
}

/// The keys of `batch`.
enum ExecBatchKeys {
    static let records = Key(
        "records", IntegerForm<Int>(ConfigurationLimits.execRecords), standard: 500, "at most so many")
    static let bytes = Key(
        "bytes", SizeForm(ConfigurationLimits.bytes), .note("no limit of its own"), "at most so much payload")
    static let every = Key(
        "every", DurationForm(ConfigurationLimits.execEvery), standard: .zero,
        "waits so long for the batch to fill; 0s: takes what has arrived")

    static let all: [any KeyRow] = [records, bytes, every]
}

/// Exit codes and what they mean.
struct ExitCodesForm: Form {
    let type = "mapping of 0 to 255 to `accept`, `reject`, `retry`"

    var schema: JSONValue {
        [
            "type": "object", "additionalProperties": ChoiceForm<ExecKeys.Meaning>().schema,
            "propertyNames": ["pattern": "^([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])$"],
        ]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> [(code: String, meaning: ExecKeys.Meaning)]? {
        guard case .mapping(let entries) = value.content else {
            reader.mismatch(value, what, expected: "a mapping of exit codes to `accept`, `reject` or `retry`")
            return nil
        }
        var meanings: [(code: String, meaning: ExecKeys.Meaning)] = []
        for entry in entries {
            guard let code = UInt8(entry.key), String(code) == entry.key else {
                reader.report(entry.keyPosition, "\(what): \(quoted(entry.key)) is no exit code", hint: "0 to 255")
                continue
            }
            if let meaning = ChoiceForm<ExecKeys.Meaning>().read(entry.value, what, &reader) {
                meanings.append((entry.key, meaning))
            }
        }
        return meanings
    }
}
