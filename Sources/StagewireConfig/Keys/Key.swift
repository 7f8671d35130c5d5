/// One key of a mapping: a row of a table in docs/CONFIGURATION.md, a property of the JSON Schema, and what the
/// reader reads. There is no second list of keys, ranges or defaults.
struct Key<F: Form>: KeyRow {
    let name: String
    let form: F
    let standard: Standard
    let summary: String

    init(_ name: String, _ form: F, _ standard: Standard, _ summary: String) {
        (self.name, self.form, self.standard, self.summary) = (name, form, standard, summary)
    }

    /// `standard` is the value that the model begins with.
    init(_ name: String, _ form: F, standard: F.Result, _ summary: String) where F: WritableForm {
        self.init(name, form, .value(form.written(standard)), summary)
    }

    var type: String { form.type }
    var valueSchema: JSONValue { form.schema }
}

/// What holds where a key is absent.
enum Standard: Equatable, Sendable {
    case required
    case value(JSONValue)
    /// Nothing that can be written down as a value; said in these words. Empty: nothing at all.
    case note(String)
}

/// A key of any form, for those who list keys.
protocol KeyRow: Sendable {
    var name: String { get }
    /// What the column "type" of the documentation says.
    var type: String { get }
    var standard: Standard { get }
    /// One sentence, Markdown; may be empty.
    var summary: String { get }
    var valueSchema: JSONValue { get }
}

extension KeyRow {
    /// The key's property in the schema.
    var schema: JSONValue {
        var members: [JSONValue.Member] = []
        let words = summary.isEmpty ? type : summary
        members.append(.init("description", .string(words)))
        if case .value(let value) = standard { members.append(.init("default", value)) }
        return valueSchema.adding(members)
    }

    /// The key's row in docs/CONFIGURATION.md.
    var row: String {
        let standard =
            switch standard {
            case .required: "required"
            case .note(let words): words
            case .value(.integer(let integer)): String(integer)
            case .value(let value): "`\(value.flow)`"
            }
        let cells = ["`\(name)`", type, standard, summary]
        return "|" + cells.map { $0.isEmpty ? " |" : " \($0) |" }.joined()
    }
}

extension JSONValue {
    /// As YAML writes it within a line, for the simple values that are defaults.
    fileprivate var flow: String {
        switch self {
        case .object(let members): "{" + members.map { "\($0.name): \($0.value.flow)" }.joined(separator: ", ") + "}"
        case .array(let values): "[" + values.map(\.flow).joined(separator: ", ") + "]"
        case .string(let text): text
        case .integer(let integer): String(integer)
        case .flag(let flag): String(flag)
        }
    }
}

extension Reader {
    /// The value of a key, `nil` if it is absent or has been reported.
    mutating func read<F: Form>(_ key: Key<F>, in fields: Fields) -> F.Result? {
        fields[key].flatMap { key.form.read($0, "`\(key.name)`", &self) }
    }

    /// Leaves `target` as it is if the key is absent or has been reported.
    mutating func set<F: Form>(_ target: inout F.Result, _ key: Key<F>, in fields: Fields) {
        if let result = read(key, in: fields) { target = result }
    }
}
