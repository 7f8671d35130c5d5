/// Bytes in hexadecimal.
enum HexDump {
    /// "00000010  68 65 6c 6c 6f 00 ...  |hello.|": up to 16 bytes from `offset` on.
    static func line(_ bytes: RawSpan, at offset: Int) -> String {
        let row = bytes.extracting(offset..<min(offset + 16, bytes.byteCount)).withUnsafeBytes { Array($0) }
        let digits = row.map(Self.digits).joined(separator: " ")
        let space = String(repeating: " ", count: 47 - digits.count)
        let text = String(decoding: row.map { (0x20..<0x7f).contains($0) ? $0 : UInt8(ascii: ".") }, as: UTF8.self)
        return "\(Self.digits(UInt32(truncatingIfNeeded: offset)))  \(digits)\(space)  |\(text)|"
    }

    /// "e4c186f8"
    static func digits<Number: FixedWidthInteger>(_ number: Number) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, Number.bitWidth / 4 - text.count)) + text
    }

    /// Two digits for each byte, on one line.
    static func digits(_ bytes: RawSpan) -> String {
        bytes.withUnsafeBytes { $0.map(digits).joined() }
    }
}
