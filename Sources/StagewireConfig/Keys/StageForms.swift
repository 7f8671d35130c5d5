import StagewireModel

/// The name of something else in the file; whether it exists is asked when everything has been read.
struct ReferenceForm: Form {
    let noun: String

    init(_ noun: String) { self.noun = noun }

    var type: String { "name of a \(noun)" }
    var schema: JSONValue { NameForm().schema }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Located<String>? {
        reader.text(value, what, expected: "a \(noun)'s name").map { Located($0, at: value.position) }
    }
}

/// Something and where it stands.
struct Located<Content: Sendable>: Sendable {
    var content: Content
    var position: Position

    init(_ content: Content, at position: Position) { (self.content, self.position) = (content, position) }
}

/// Program and arguments, and where the program's name stands.
struct CommandForm: Form {
    let type = "list of texts"
    let schema: JSONValue = ["type": "array", "minItems": 1, "items": ["type": scalarTypes]]

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Located<[String]>? {
        if let scalar = value.scalar, scalar.kind == .text {
            let words = scalar.text.split(whereSeparator: \.isWhitespace).map(String.init)
            reader.mismatch(
                value, what, expected: "a list of program and arguments (there is no shell)",
                hint: "write `\(what.filter { $0 != "`" }): [\(words.joined(separator: ", "))]`")
            return nil
        }
        guard let values = reader.list(value, what, of: "program and arguments") else { return nil }
        var words: [String] = []
        for value in values {
            guard let word = reader.text(value, what) else { continue }
            guard !word.utf8.contains(0) else {
                reader.report(value.position, "\(what): an argument cannot contain a zero byte")
                continue
            }
            words.append(word)
        }
        guard words.count == values.count else { return nil }
        guard !words[0].isEmpty else {
            reader.report(values[0].position, "\(what): the program's name is empty")
            return nil
        }
        return Located(words, at: values[0].position)
    }
}

/// Variables and their texts.
struct EnvironmentForm: WritableForm {
    private static let reserved = "STAGEWIRE_"
    let type = "mapping of texts"

    var schema: JSONValue {
        [
            "type": "object", "additionalProperties": ["type": scalarTypes],
            "propertyNames": ["pattern": .string("^(?!\(Self.reserved))[^=]+$")],
        ]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> [String: String]? {
        guard case .mapping(let entries) = value.content else {
            reader.mismatch(value, what, expected: "a mapping of variables to texts")
            return nil
        }
        var variables: [String: String] = [:]
        for entry in entries {
            if entry.key.isEmpty || entry.key.contains("=") || entry.key.utf8.contains(0) {
                reader.report(entry.keyPosition, "\(what): \(quoted(entry.key)) cannot name an environment variable")
            } else if entry.key.hasPrefix(Self.reserved) {
                reader.report(
                    entry.keyPosition, "\(what): variables that begin with `\(Self.reserved)` are set by the broker",
                    hint: "choose another name, or pass the value in `config`")
            } else if let text = reader.text(entry.value, "\(what): \(quoted(entry.key))") {
                if text.utf8.contains(0) {
                    reader.report(entry.value.position, "\(what): a value cannot contain a zero byte")
                }
                variables[entry.key] = text
            }
        }
        return variables
    }

    func written(_ result: [String: String]) -> JSONValue {
        .object(result.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })
    }
}

struct PortsForm: WritableForm {
    var type: String { "list of up to \(ConfigurationLimits.ports) names" }
    var schema: JSONValue {
        [
            "type": "array", "minItems": 1, "maxItems": .integer(ConfigurationLimits.ports),
            "uniqueItems": true, "items": NameForm().schema,
        ]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> [String]? {
        guard let values = reader.list(value, what, of: "names") else { return nil }
        guard values.count <= ConfigurationLimits.ports else {
            reader.report(
                value.position, "\(what): at most \(ConfigurationLimits.ports) ports, found \(values.count)")
            return nil
        }
        var names: [String] = []
        for value in values {
            guard let name = reader.name(value, what) else { continue }
            if names.contains(name) {
                reader.report(value.position, "\(what): \(quoted(name)) stands twice")
            } else {
                names.append(name)
            }
        }
        return names.isEmpty ? nil : names
    }

    func written(_ result: [String]) -> JSONValue { .array(result.map { .string($0) }) }
}

/// One schema, or several.
struct SchemasForm: Form {
    let type = "`{schema, version}`, or a list"
    private static let one = MappingForm(keys: SchemaKeys.all) { $0.schema($1) }

    var schema: JSONValue {
        ["anyOf": [Self.one.schema, ["type": "array", "items": Self.one.schema]]]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> [Schema]? {
        if case .sequence(let values) = value.content {
            return values.compactMap { Self.one.read($0, what, &reader) }
        }
        return Self.one.read(value, what, &reader).map { [$0] }
    }
}

/// A schema's name: any text, for other systems have given it.
struct SchemaNameForm: Form {
    let type = "text"
    var schema: JSONValue { ["type": scalarTypes, "minLength": 1, "maxLength": .integer(Limits.name)] }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> String? {
        guard let name = reader.text(value, what) else { return nil }
        guard (1...Limits.name).contains(name.utf8.count) else {
            reader.report(
                value.position, "\(what): a name has 1 to \(Limits.name) bytes, this one has \(name.utf8.count)")
            return nil
        }
        return name
    }
}
