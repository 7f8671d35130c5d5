import StagewireModel

extension Reader {
    /// A stage's `config` as one compact JSON value: keys in the order of the file, numbers digit by digit.
    mutating func configuration(_ value: Value) -> [UInt8]? {
        let count = errors.count
        var json: [UInt8] = []
        append(value, to: &json)
        guard errors.count == count, !value.isInvalid else { return nil }
        guard json.count <= ConfigurationLimits.config else {
            report(
                value.position, "`config` has \(json.count) bytes as JSON",
                hint:
                    "at most \(Quantity.text(ConfigurationLimits.config)): put large data into a file and name it here")
            return nil
        }
        return json
    }

    private mutating func append(_ value: Value, to json: inout [UInt8]) {
        switch value.content {
        case .invalid: break
        case .scalar(let scalar): append(scalar, at: value.position, to: &json)
        case .sequence(let values):
            json.append(UInt8(ascii: "["))
            for (index, element) in values.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                append(element, to: &json)
            }
            json.append(UInt8(ascii: "]"))
        case .mapping(let entries):
            json.append(UInt8(ascii: "{"))
            for (index, entry) in entries.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                JSONText.append(entry.key, to: &json)
                json.append(UInt8(ascii: ":"))
                append(entry.value, to: &json)
            }
            json.append(UInt8(ascii: "}"))
        }
    }

    private mutating func append(_ scalar: Scalar, at position: Position, to json: inout [UInt8]) {
        switch scalar.kind {
        case .null: json += "null".utf8
        case .flag(let flag): json += (flag ? "true" : "false").utf8
        case .text: JSONText.append(scalar.text, to: &json)
        case .integer, .number:
            guard let numeral = Numeral(scalar.text) else { preconditionFailure("a number has digits") }
            json += numeral.json.utf8
        case .notFinite:
            report(
                position, "`config`: \(quoted(scalar.text)) is not a finite number",
                hint: "JSON has no such number; write a text in quotes or leave it out")
        case .ambiguous:
            report(
                position, "`config`: the number \(quoted(scalar.text)) begins with a zero",
                hint: "quote it if it is a text, or leave the zero out")
        }
    }
}

/// Strings as JSON writes them (RFC 8259, section 7).
enum JSONText {
    static func append(_ text: String, to json: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        json.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): json += "\\\"".utf8
            case UInt8(ascii: "\\"): json += "\\\\".utf8
            case UInt8(ascii: "\n"): json += "\\n".utf8
            case UInt8(ascii: "\r"): json += "\\r".utf8
            case UInt8(ascii: "\t"): json += "\\t".utf8
            case 0..<0x20: json += "\\u00".utf8 + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: json.append(byte)
            }
        }
        json.append(UInt8(ascii: "\""))
    }
}
