import StagewireModel

/// A stage's name, `{stage: <name>, …}`, or a list of these.
struct InputsForm: Form {
    private static let one = MappingForm(keys: InputKeys.all) { $0.input($1) }

    var type: String { "[input](#inputs), or a list of up to \(ConfigurationLimits.inputs)" }
    var schema: JSONValue {
        let input: JSONValue = ["$ref": "#/$defs/input"]
        let list: JSONValue = [
            "type": "array", "minItems": 1, "maxItems": .integer(ConfigurationLimits.inputs), "items": input,
        ]
        return ["anyOf": [input, list]]
    }
    static var input: JSONValue { ["anyOf": [NameForm().schema, one.schema]] }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> [InputDraft]? {
        guard case .sequence = value.content else { return input(value, what, &reader).map { [$0] } }
        guard let values = reader.list(value, what, of: "stages") else { return nil }
        guard values.count <= ConfigurationLimits.inputs else {
            reader.report(
                value.position, "\(what): at most \(ConfigurationLimits.inputs) inputs, found \(values.count)")
            return nil
        }
        return values.compactMap { input($0, what, &reader) }
    }

    private func input(_ value: Value, _ what: String, _ reader: inout Reader) -> InputDraft? {
        if case .mapping = value.content { return Self.one.read(value, what, &reader) }
        let expected = "a stage's name, `{stage: <name>, …}` or a list of these"
        return reader.text(value, what, expected: expected).map { InputDraft(stage: Located($0, at: value.position)) }
    }
}

/// A condition; a mistake in it is reported where it stands inside the text.
struct ExpressionForm: Form {
    let type = "[expression](#conditions)"
    var schema: JSONValue { ["type": "string", "minLength": 1, "maxLength": .integer(PredicateLimits.length)] }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Predicate? {
        guard let scalar = value.scalar else {
            reader.mismatch(value, what, expected: "an expression such as 'level == \"high\"'")
            return nil
        }
        guard let text = reader.text(value, what, expected: "an expression") else { return nil }
        do {
            return try Predicate(parsing: text)
        } catch {
            let position = reader.source.position(of: error.offset, in: scalar, at: value.position)
            reader.report(position, "\(what): \(error.message)", hint: error.hint)
            return nil
        }
    }
}
