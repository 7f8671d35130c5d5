import Foundation

/// Values as JSON text that is safe on a terminal, too.
enum JSONText {
    /// Over several lines, for a result.
    static func pretty(_ value: some Encodable) -> String { text(value, [.prettyPrinted]) }

    /// On one line, for streams and logs.
    static func line(_ value: some Encodable) -> String { text(value, []) }

    private static func text(_ value: some Encodable, _ extra: JSONEncoder.OutputFormatting) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = extra.union([.sortedKeys, .withoutEscapingSlashes])
        // JSON has no such numbers, and a worker may well put them into an attribute.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            return escaped(String(decoding: try encoder.encode(value), as: UTF8.self))
        } catch {
            preconditionFailure("results are encodable: \(error)")
        }
    }

    /// JSON only demands that U+0000 to U+001F are escaped. DEL, the C1 controls and those that turn a line's
    /// direction around act on a terminal as well; outside ASCII and on DEL JSON is always inside a string.
    private static func escaped(_ json: String) -> String {
        guard json.unicodeScalars.contains(where: isUnsafe) else { return json }
        var text = ""
        for scalar in json.unicodeScalars {
            guard isUnsafe(scalar) else {
                text.unicodeScalars.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 {
                let hex = String(unit, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            }
        }
        return text
    }

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        guard scalar.value >= 0x7f else { return false }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}
