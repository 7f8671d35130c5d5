/// Writing JSON.
enum JSONText {
    /// Appends a text in quotes. Only what has to be escaped is.
    static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0x0a: bytes += Array("\\n".utf8)
            case 0x0d: bytes += Array("\\r".utf8)
            case 0x09: bytes += Array("\\t".utf8)
            case 0..<0x20, 0x7f: bytes += Array("\\u00".utf8) + Array(Hexadecimal.text([byte]).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// A number that reads back as the same double: never an integer's form.
    static func number(_ value: Double) -> String? {
        guard value.isFinite else { return nil }
        // Swift prints the shortest digits that read back; `5e-324` and `1e+16` are JSON as they are.
        return "\(value)"
    }

    /// The tokens of a value without white space between them.
    static func compact(_ bytes: [UInt8], _ range: Range<Int>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(range.count)
        var isText = false
        var isEscaped = false
        for byte in bytes[range] {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
            } else if byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
                continue
            } else if byte == UInt8(ascii: "\"") {
                isText = true
            }
            result.append(byte)
        }
        return result
    }
}
