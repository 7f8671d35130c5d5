import StagewireModel

struct NameForm: Form {
    let type = "name"

    var schema: JSONValue {
        ["type": scalarTypes, "pattern": .string(Self.pattern), "maxLength": .integer(Limits.name)]
    }

    static let pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> String? { reader.name(value, what) }
}

struct PathForm: Form {
    let type = "path"
    let schema: JSONValue = ["type": scalarTypes, "minLength": 1]

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> String? { reader.path(value, what) }
}

struct FlagForm: WritableForm {
    let type = "`true`, `false`"
    let schema: JSONValue = ["type": "boolean"]

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Bool? { reader.flag(value, what) }
    func written(_ result: Bool) -> JSONValue { .flag(result) }
}

struct IntegerForm<Number: FixedWidthInteger & Sendable>: WritableForm {
    let range: ClosedRange<Int>

    init(_ range: ClosedRange<Int>) { self.range = range }

    var type: String { "\(range.lowerBound) to \(range.upperBound)" }
    var schema: JSONValue {
        ["type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound)]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Number? {
        reader.integer(value, what, in: range).map { Number($0) }
    }

    func written(_ result: Number) -> JSONValue { .integer(Int(result)) }
}

struct DurationForm: WritableForm {
    let range: ClosedRange<Duration>
    var isWholeSeconds = false

    init(_ range: ClosedRange<Duration>, wholeSeconds: Bool = false) {
        (self.range, isWholeSeconds) = (range, wholeSeconds)
    }

    var type: String {
        let bounds = "\(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))"
        return isWholeSeconds ? "duration in whole seconds, \(bounds)" : "duration, \(bounds)"
    }

    /// The range cannot be said by a pattern; the reader checks it.
    var schema: JSONValue { ["type": "string", "pattern": .string("^\(Self.pattern)$")] }

    /// Larger units first, each at most once, at least one.
    static let pattern: String = {
        let units = Quantity.durations.map { "([0-9]+\($0.name))?" }.joined()
        return "(?=[0-9])\(units)"
    }()

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Duration? {
        guard let duration = reader.duration(value, what, in: range) else { return nil }
        guard !isWholeSeconds || duration.components.attoseconds == 0 else {
            reader.mismatch(value, what, expected: "whole seconds", hint: "the system counts this in seconds")
            return nil
        }
        return duration
    }

    func written(_ result: Duration) -> JSONValue { .string(Quantity.text(result)) }
}

struct SizeForm: WritableForm {
    let range: ClosedRange<Int>

    init(_ range: ClosedRange<Int>) { self.range = range }

    var type: String { "size, \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))" }

    /// A number of bytes, or a text with a unit, whose range the reader checks.
    var schema: JSONValue {
        let units = Quantity.sizes.map(\.name).joined(separator: "|")
        return [
            "type": ["integer", "string"], "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound),
            "pattern": .string("^[0-9]+( ?(\(units)))?$"),
        ]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Int? { reader.size(value, what, in: range) }
    func written(_ result: Int) -> JSONValue { .string(Quantity.text(result)) }
}

/// One of a few words.
struct ChoiceForm<Choice: Equatable & Sendable>: WritableForm {
    let choices: [(word: String, choice: Choice)]

    init(_ choices: [(String, Choice)]) { self.choices = choices }

    private var words: [String] { choices.map(\.word) }

    var type: String { words.map { "`\($0)`" }.joined(separator: ", ") }
    var schema: JSONValue { ["enum": .array(words.map { .string($0) })] }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Choice? {
        reader.choice(value, what, among: choices)
    }

    func written(_ result: Choice) -> JSONValue {
        guard let word = choices.first(where: { $0.choice == result })?.word else {
            preconditionFailure("every choice has a word")
        }
        return .string(word)
    }
}

extension ChoiceForm where Choice: RawRepresentable & CaseIterable, Choice.RawValue == String {
    init() { self.init(Choice.allCases.map { ($0.rawValue, $0) }) }
}
