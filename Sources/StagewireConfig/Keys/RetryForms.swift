import StagewireModel

/// First and longest delay: `200ms..30s`, or one duration for a constant delay.
struct BackoffForm: WritableForm {
    let range: ClosedRange<Duration>

    var type: String {
        "range of durations, \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))"
    }
    var schema: JSONValue {
        ["type": "string", "pattern": .string("^\(DurationForm.pattern)([.][.]\(DurationForm.pattern))?$")]
    }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> ClosedRange<Duration>? {
        let text = value.scalar?.text ?? ""
        let dots = text.firstRange(of: "..")
        let first = Quantity.duration(dots.map { String(text[..<$0.lowerBound]) } ?? text)
        let limit = dots.map { Quantity.duration(String(text[$0.upperBound...])) } ?? first
        guard let first, let limit else {
            reader.mismatch(value, what, expected: "a range of durations such as `200ms..30s`")
            return nil
        }
        guard reader.check(first, value, what, in: range), reader.check(limit, value, what, in: range) else {
            return nil
        }
        guard first <= limit else {
            reader.report(
                value.position, "\(what): the first delay is longer than the last",
                hint: "write `\(Quantity.text(limit))..\(Quantity.text(first))`")
            return nil
        }
        return first...limit
    }

    func written(_ result: ClosedRange<Duration>) -> JSONValue {
        .string("\(Quantity.text(result.lowerBound))..\(Quantity.text(result.upperBound))")
    }
}

/// A duration, or `none` for no limit.
struct AgeForm: WritableForm {
    let range: ClosedRange<Duration>

    var type: String { DurationForm(range).type + ", or `none`" }
    var schema: JSONValue { ["type": "string", "pattern": .string("^(none|\(DurationForm.pattern))$")] }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> Duration?? {
        if value.scalar?.text == "none" { return .some(nil) }
        return reader.duration(value, what, in: range).map { .some($0) }
    }

    func written(_ result: Duration?) -> JSONValue { .string(result.map { Quantity.text($0) } ?? "none") }
}

/// A mapping, or `none`.
struct BreakerForm: Form {
    private static let mapping = MappingForm(keys: BreakerKeys.all) { $0.breaker($1) }
    let type = "mapping, or `none`"

    var schema: JSONValue { ["anyOf": [["const": "none"], Self.mapping.schema]] }

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> BreakerPolicy?? {
        guard let scalar = value.scalar else { return Self.mapping.read(value, what, &reader).map { .some($0) } }
        if scalar.text == "none" { return .some(nil) }
        let names = BreakerKeys.all.map { "`\($0.name)`" }.joined(separator: ", ")
        reader.mismatch(
            value, what, expected: "a mapping (\(names)) or `none`", hint: "`none` has the stage go on whatever fails")
        return nil
    }
}

struct PercentForm: WritableForm {
    let type = "`0%` to `100%`"
    let schema: JSONValue = ["type": "string", "pattern": "^0*(100|[0-9]{1,2})%$"]

    func read(_ value: Value, _ what: String, _ reader: inout Reader) -> UInt32? {
        // `UInt32` would take a sign as well.
        if let text = value.scalar?.text, text.hasSuffix("%"), text.dropLast().utf8.allSatisfy({ (48...57) ~= $0 }),
            let percent = UInt32(text.dropLast()), percent <= 100
        {
            return percent
        }
        let isBare = value.scalar?.kind == .integer || value.scalar?.kind == .number
        reader.mismatch(value, what, expected: "a percentage from `0%` to `100%`", hint: isBare ? "add `%`" : nil)
        return nil
    }

    func written(_ result: UInt32) -> JSONValue { .string("\(result)%") }
}
