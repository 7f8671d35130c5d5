import StagewireWire

/// JSON of a literal, as a stage's configuration is written.
enum JSONWriter {
    static func text(_ value: FrameLiteral) -> String {
        switch value {
        case .null: "null"
        case .flag(let flag): "\(flag)"
        case .integer(let number): "\(number)"
        case .unsigned(let number): "\(number)"
        case .real(let number): "\(number)"
        case .text(let text): quoted(text)
        case .bytes(let bytes): quoted(String(decoding: bytes, as: UTF8.self))
        case .list(let list): "[" + list.map(text).joined(separator: ", ") + "]"
        case .object(let members):
            "{" + members.map { "\(quoted($0.name)): \(text($0.value))" }.joined(separator: ", ") + "}"
        }
    }

    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case let scalar where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            case let scalar: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
